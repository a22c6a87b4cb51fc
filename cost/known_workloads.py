"""Which workloads a rule set has an answer for; all others are refused, never guessed at.

The reference knows neither padding nor dilation. Of graphs that branch it is followed where
each layer reads the one before it and adds take shortcuts from further back: there it has no
halo at the end of a shortcut, and one order of layers.
"""

from __future__ import annotations

from collections.abc import Iterator

from cost.reference_backward import effective_workload
from cost.rules import RuleSet
from problems.errors import ProblemError
from problems.load import catalogue
from problems.problem import Problem
from problems.workload import Layer, LayerKind, Padding, Workload

PADDED = "-padded"
"""End of the names of catalogue workloads that have a form without padding."""


def check_known(problem: Problem, rules: RuleSet) -> None:
    """Raise ProblemError, one sentence, for a workload that the rules do not know."""
    for text in unknown(problem.workload, rules):
        raise ProblemError(f"{problem.source}: {text}")


def unknown(workload: Workload, rules: RuleSet) -> Iterator[str]:
    """What of a workload the rules do not know."""
    for layer in workload.layers:
        if not rules.true_padding and layer.padding != Padding():
            yield f"layer {layer.name}: the rules {rules.name} know no padding{_instead(workload)}"
        if not rules.true_padding and max(layer.dilation_x, layer.dilation_y) > 1:
            yield f"layer {layer.name}: the rules {rules.name} know no dilation"
    if not rules.true_branches and not workload.is_chain:
        for text in _strange_branches(workload):
            yield (
                f"{text}: of workloads that branch, the rules {rules.name} know those in which "
                "each layer reads the one before it and adds read another one, too"
            )


def _instead(workload: Workload) -> str:
    """Which workload of the catalogue to take in the place of a padded one."""
    name = workload.name.removesuffix(PADDED)
    if name == workload.name or name not in catalogue().workloads:
        return ""
    return f"; take {name}, the same network as the reference has it"


def _strange_branches(workload: Workload) -> Iterator[str]:
    for position, layer in enumerate(workload.layers):
        where = f"layer {layer.name}"
        before = workload.layers[position - 1].name if position else workload.input_name
        if before not in layer.sources:
            yield f"{where} does not read {before}, which comes before it"
        if layer.kind.joins and layer.kind is not LayerKind.ADD:
            yield f"{where} is a {layer.kind.value}"
        if layer.weight_source is not None:
            yield f"{where} takes a map as its matrix"
        if _skips(layer):
            yield f"{where} has a stride that passes its kernel"
    # What is left has one output, so that sizes can be walked back from it.
    for layer, effective in zip(workload.layers, effective_workload(workload).layers, strict=True):
        declared, wanted = layer.sizes, effective.sizes
        if (wanted["OX"], wanted["OY"]) != (declared["OX"], declared["OY"]):
            yield (
                f"layer {layer.name} makes {declared['OX']}x{declared['OY']}, those after it need "
                f"{wanted['OX']}x{wanted['OY']}"
            )


def _skips(layer: Layer) -> bool:
    tied, sizes = layer.input_index, layer.sizes
    return (tied.tied_x and layer.stride_x > sizes["FX"]) or (
        tied.tied_y and layer.stride_y > sizes["FY"]
    )
