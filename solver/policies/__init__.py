"""Heuristic baselines: what is worth comparing an optimum with."""
