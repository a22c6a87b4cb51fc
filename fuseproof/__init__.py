"""Fuseproof: provably optimal depth-first schedules for DNN accelerators."""

from cost.overlap import OverlapMode
from cost.recost import recost
from cost.rules import DEFINES, EXACT, RuleSet
from cost.schedule import Schedule
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
from solver.front import Front, pareto_front
from solver.objective import Objective
from solver.result import Result, Status
from solver.solve import solve
from solver.verify import verify

__all__ = [
    "DEFINES",
    "EXACT",
    "Front",
    "FuseproofError",
    "Hardware",
    "InfeasibleError",
    "Objective",
    "OverlapMode",
    "Problem",
    "ProblemError",
    "Result",
    "RuleSet",
    "Schedule",
    "Status",
    "Workload",
    "catalogue",
    "load_problem",
    "pareto_front",
    "recost",
    "solve",
    "verify",
]
