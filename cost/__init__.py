"""Cost model: what a schedule costs on an accelerator. Pure functions, no solver."""

from pathlib import Path

from cost.compiled_cache import use_cache_of

# Before any module of the package is compiled, hence before any is imported.
use_cache_of(Path(__file__).parent)
