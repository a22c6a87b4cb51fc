"""The transfers over one link between two memory levels of an operand (compiled)."""

from __future__ import annotations

import math

from numba import njit

from cost.boundary_tables import OUT, READ_BW, WRITE_BW
from cost.layer_model import RH, RL, WH, WL

LANDS, LEAVES, IS_FETCHED, ARRIVES = range(4)
"""Accesses that a link makes: written above and read below on the way up, read above and
written below on the way down."""


@njit(cache=True)
def link_of(a, o, m):
    """Ports and widths of the link between level m of operand o (-1: the MACs) and m + 1.

    Returns (of outputs, counts sums apart, ends in the MACs, (bits of sums, of finished
    values), ports and widths by access): what `link_transfers` asks of a link, as plain values
    that are cheap to hand on for every point of a lattice.
    """
    below = max(m, 0)
    high, low = a.memory[a.mem_index[o, m + 1]], a.memory[a.mem_index[o, below]]
    upper, lower = a.ports[o, m + 1], a.ports[o, below]
    ports = (upper[WL], lower[RH], upper[RL], lower[WH])
    widths = (high[WRITE_BW], low[READ_BW], high[READ_BW], low[WRITE_BW])
    return o == OUT, a.psums, m < 0, (a.precision[o, 0], a.precision[o, 1]), ports, widths


@njit(cache=True)
def link_transfers(link, held, moved, periods, distinct, partial, window, ports, busy, free, n):
    """Append the transfers over a link, as `link_of` describes it.

    `held` and `moved` elements cross it at a time, `partial`: as partial sums under the
    reference's rules. From index `n` on: the port, its busy cycles beyond the first access,
    and the cycles of the windows that they may take, `window` each. Returns the number of
    transfers now and the cycles of the first block of an input.
    """
    outputs, psums, from_macs, bits, link_ports, widths = link
    first = 0.0
    for access in range(4):
        below = access in (LEAVES, ARRIVES)
        if below and from_macs:
            continue
        amount = held if below else moved
        if not outputs:
            if bits[0] == 0 or access in (LANDS, LEAVES):
                continue
            real = math.ceil(amount * bits[0] / widths[access])
            busy[n] = real * (periods - 1)
            free[n] = float(window) * (periods - 1)
            first = max(first, real)
        else:
            upward = access in (LANDS, LEAVES)
            wide = math.ceil(amount * bits[0] / widths[access])
            final = math.ceil(amount * bits[1] / widths[access])
            if psums and upward:
                skipped = wide if periods > distinct else final
                busy[n] = wide * (periods - distinct) + final * distinct - skipped
                free[n] = float(window) * (periods - 1)
            elif psums:
                if periods == distinct:
                    continue
                busy[n] = wide * (periods - distinct)
                free[n] = float(window) * (periods - distinct)
            else:
                if not upward and not partial:
                    continue
                busy[n] = (wide if partial else final) * (periods - 1)
                free[n] = float(window) * (periods - 1)
        ports[n] = link_ports[access]
        n += 1
    return n, first


@njit(cache=True)
def drain_cycles(link, m, held, moved):
    """Cycles in which the last outputs leave over their topmost link, from level m.

    One more cycle for each link below.
    """
    bits, widths = link[3], link[5]
    out = math.ceil(held * bits[1] / widths[LEAVES])
    into = math.ceil(moved * bits[1] / widths[LANDS])
    return max(out, into) + m
