"""Fuseproof: provably optimal depth-first schedules for DNN accelerators."""

from problems import (
    FuseproofError,
    Hardware,
    InfeasibleError,
    Problem,
    ProblemError,
    Workload,
    catalogue,
    load_problem,
)

__all__ = [
    "FuseproofError",
    "Hardware",
    "InfeasibleError",
    "Problem",
    "ProblemError",
    "Workload",
    "catalogue",
    "load_problem",
]
