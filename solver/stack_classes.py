"""Stacks that are the same but for their place in the network.

A network repeats itself: what a run of equal blocks costs, cut and placed in some way, another run
of such blocks costs, too. What is found out about one option then holds for its twins.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

from cost.stack_graph import NETWORK_INPUT, consumers
from problems.workload import Layer, Workload
from solver.space import StackRange
from solver.stack_tables import StackTables


class StackClasses:
    """Tells which stacks cost the same whatever is decided inside."""

    def __init__(self, tables: StackTables) -> None:
        self._inside = tables.inside
        workload = tables.problem.workload
        users = consumers(workload)
        numbers: dict[Hashable, int] = {}
        self._layers: list[int] = []
        """Number of what a layer computes and reads, by position."""
        self._readers: list[int] = []
        """Number of where its readers are."""
        for position, layer in enumerate(workload.layers):
            reads = []
            for source in layer.all_sources:
                made = (
                    NETWORK_INPUT if source == workload.input_name else workload.positions[source]
                )
                # The reference takes the sizes of maps from their readers, but not the input's.
                special = made == NETWORK_INPUT and not tables.rules.true_branches
                reads.append((position - made, _shape(workload, made), special))
            what = tables.alike(position), _nameless(layer), tuple(reads)
            self._layers.append(numbers.setdefault(what, len(numbers)))
            read_by = tuple(user - position for user in users[position])
            self._readers.append(numbers.setdefault(read_by, len(numbers)))

    def class_of(self, r: StackRange, source: int) -> Hashable:
        """Equal for stacks whose options of the same size, mode and target cost the same.

        `source`: the memory that the carried map comes from.
        Layers are told by all that their tiles cost, and by what they read and who reads them, as
        distances; so the graphs of such stacks are equal, and so is what leaves them. A stack of
        which anything is fixed by hand is like no other.
        """
        if any(self._inside.holds(r.layers, position) for position in r.layers):
            return r.layers, r.carried, source
        inner, first = r.layers[:-1], r.layers[0]
        return (
            tuple(position - first for position in r.layers),
            tuple(self._layers[position] for position in r.layers),
            tuple(self._readers[position] for position in inner),
            (source, r.carried - first) if source != r.dram else None,
        )


def _nameless(layer: Layer) -> Layer:
    """A layer without its name and those of others."""
    second = None if layer.weight_source is None else ""
    return replace(layer, name="", sources=(), weight_source=second)


def _shape(workload: Workload, producer: int) -> tuple[int, int, int, int]:
    """Channels, those of a batch together, columns, rows and bits an element of a map."""
    if producer == NETWORK_INPUT:
        channels = workload.input_channels
        return channels, workload.input_width, workload.input_height, workload.input_bits
    layer = workload.layers[producer]
    sizes, bits = layer.sizes, layer.precision.output_bits
    return sizes["B"] * layer.channels, sizes["OX"], sizes["OY"], bits
