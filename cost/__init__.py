"""Cost model: what a schedule costs on an accelerator. Pure functions, no solver."""
