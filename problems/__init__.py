"""Problems: workloads, accelerators, and the files that describe them."""

from problems.errors import FuseproofError, InfeasibleError, PolicyError, ProblemError
from problems.hardware import Hardware, MemoryLevel, OperandPorts, SpatialRule, Unroll
from problems.load import Catalogue, catalogue, load_hardware, load_problem, load_workload
from problems.problem import Problem
from problems.workload import (
    LOOP_DIMS,
    Layer,
    LayerKind,
    Operand,
    Padding,
    Precision,
    TensorIndex,
    Workload,
)

__all__ = [
    "LOOP_DIMS",
    "Catalogue",
    "FuseproofError",
    "Hardware",
    "InfeasibleError",
    "Layer",
    "LayerKind",
    "MemoryLevel",
    "Operand",
    "OperandPorts",
    "Padding",
    "PolicyError",
    "Precision",
    "Problem",
    "ProblemError",
    "SpatialRule",
    "TensorIndex",
    "Unroll",
    "Workload",
    "catalogue",
    "load_hardware",
    "load_problem",
    "load_workload",
]
