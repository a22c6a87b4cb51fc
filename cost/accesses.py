"""Word accesses and energy of the traffic between memory levels."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

from cost.links import Direction, Link, Moves
from cost.tile_model import Ratio, TensorModel


def words_of(bits: Ratio, granule_bits: int, word_bits: int) -> float:
    """Words, in fractions of `word_bits`, of an access in whole granules."""
    return ceil(bits / granule_bits) * (granule_bits / word_bits)


def burst_words(
    amount_bits: float, word_bits: int, granule_bits: int, partner_bits: Ratio
) -> float:
    """Words of an access cut into bursts as wide as the narrower of the two ends.

    `partner_bits` is what all the memories at the other end take in a cycle.
    """
    burst = min(partner_bits, word_bits, amount_bits)
    return words_of(burst, granule_bits, word_bits) * ceil(amount_bits / burst)


def link_accesses(tensor: TensorModel, link: Link) -> Iterator[tuple[int, Direction, float]]:
    """Yield (level, direction, word accesses over the whole layer-tile) of one link."""
    upper = link.lower + 1
    if link.down.total:
        yield upper, "rl", _upper_words(tensor, link, link.down, reads=True)
        if link.lower >= 0:
            yield link.lower, "wh", _lower_words(tensor, link, link.down, reads=False)
    if link.up.total:
        yield upper, "wl", _upper_words(tensor, link, link.up, reads=False)
        if link.lower >= 0:
            yield link.lower, "rh", _lower_words(tensor, link, link.up, reads=True)


def access_pj(tensor: TensorModel, level: int, direction: Direction) -> float:
    """Energy of one full word accessed at a level of a tensor."""
    memory = tensor.memories[level]
    return memory.read_pj if direction in ("rl", "rh") else memory.write_pj


def _lower_words(tensor: TensorModel, link: Link, moves: Moves, *, reads: bool) -> float:
    memory = tensor.memories[link.lower]
    granule = memory.read_granule_bits if reads else memory.write_granule_bits
    width = memory.read_bits_per_cycle if reads else memory.write_bits_per_cycle
    instances = tensor.instances[link.lower + 1]
    total = 0.0
    for count, bits in ((moves.partial, tensor.partial_bits), (moves.final, tensor.final_bits)):
        total += words_of(link.held * bits, granule, width) * count * instances
    return total


def _upper_words(tensor: TensorModel, link: Link, moves: Moves, *, reads: bool) -> float:
    upper = link.lower + 1
    memory = tensor.memories[upper]
    granule = memory.read_granule_bits if reads else memory.write_granule_bits
    width = memory.read_bits_per_cycle if reads else memory.write_bits_per_cycle
    instances = tensor.instances[upper + 1]
    total = 0.0
    for count, bits in ((moves.partial, tensor.partial_bits), (moves.final, tensor.final_bits)):
        amount_bits = link.moved * bits
        if count == 0 or amount_bits == 0:
            continue
        if link.lower < 0:
            words = words_of(amount_bits, granule, width)
        else:
            below = tensor.memories[link.lower]
            partner = below.write_bits_per_cycle if reads else below.read_bits_per_cycle
            ratio = tensor.energy_fan_out.unique_ratio[upper]
            words = burst_words(amount_bits, width, granule, partner * ratio)
        total += words * count * instances
    return total
