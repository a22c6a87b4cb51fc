"""Where compiled code is kept between runs: one folder per state of the sources.

numba looks only at a function's own file to see whether its compiled form is stale, not
at the functions it calls in other files. Naming the folder after all compiled sources
makes that question moot.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numba


def _fingerprint(package: Path) -> str:
    digest = hashlib.sha256(numba.__version__.encode())
    for source in sorted(package.glob("*.py")):
        text = source.read_bytes()
        # Compiled modules, and those whose tuples and constants they read.
        if b"numba" in text or b"NamedTuple" in text:
            digest.update(source.name.encode() + b"\0" + text + b"\0")
    return digest.hexdigest()[:16]


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def use_cache_of(package: Path) -> None:
    """Point numba at the folder for the sources of `package` as they are now.

    Beside the sources if that is writable, else in the user's cache folder. A folder that
    the user chose (NUMBA_CACHE_DIR) gets a subfolder per state, too.
    """
    name = "compiled-" + _fingerprint(package)
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    places = [Path(chosen)] if chosen else []
    places += [package / "__pycache__", home / "fuseproof"]
    for place in places:
        if _writable(place / name):
            vars(numba.config)["CACHE_DIR"] = str(place / name)
            return
