"""How near latency bounds of random layer-tiles come to their least latency.

    python benchmarks/latency_bounds.py [PROBLEM ...] [--tiles 60] [--seed 5]

Layers, tile sizes (parts of the map along both axes) and the memories of the three operands are
drawn at random; those that cannot fit are drawn anew. The bound is what a search begins with, the
mix of views; at once: the bound that all placements of a tile get together, in a fraction of the
time, before any is looked at. Nodes are those of the searches. Not a test.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from random import Random
from statistics import mean, median

import numpy as np
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from cost.best_mapping import BestSearch  # noqa: E402 - run from anywhere, uninstalled
from cost.layer_model import build_layer_model  # noqa: E402
from cost.mapping_bounds import lower_bounds  # noqa: E402
from cost.mapping_search import size_vector  # noqa: E402
from cost.rules import EXACT  # noqa: E402
from problems import Problem, load_problem  # noqa: E402

PROBLEMS = (
    "resnet-18@tesla-npu-like-df",
    "resnet-18@tpu-like-df",
    "resnet-18@ascend-like-df",
    "resnet-18@meta-proto-df",
    "resnet-18@edge-tpu-like-df",
    "dmcnn-vd@ascend-like-df",
    "dmcnn-vd@tpu-like",
    "mc-cnn@ascend-like-df",
    "resnet-18@meta-proto",
)
PARTS = (1, 1, 2, 3, 4, 6, 8, 12, 16, 24)
"""Tiles along an axis of the map."""
CYCLES_ALONE = (0.0, 1.0)
MOST_NODES = 60_000


def main() -> int:
    """Print one row a problem; exit code 0 whatever the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problems", nargs="*", default=PROBLEMS)
    parser.add_argument("--tiles", type=int, default=60)
    parser.add_argument("--seed", type=int, default=5)
    args = parser.parse_args()
    table = Table(title="Latency of layer-tiles: bound below the optimum, exact rules")
    columns = "problem", "settled", "open", "mean", "median", "most", "at once", "its most", "nodes"
    for column in columns:
        table.add_column(column, justify="left" if column == "problem" else "right")
    for name in args.problems:
        found = [_search(*s) for s in _draw(load_problem(name), Random(args.seed), args.tiles)]
        gaps = [1 - bound / best for bound, _, best, _ in found if best < np.inf]
        wide = [1 - bound / best for _, bound, best, _ in found if best < np.inf and bound > 0]
        figures = (mean(gaps), median(gaps), max(gaps), mean(wide), max(wide)) if wide else ()
        table.add_row(
            name,
            str(len(gaps)),
            str(sum(best == np.inf for *_, best, _ in found)),
            *((f"{gap:.3%}" for gap in figures) if figures else "-----"),
            f"{sum(nodes for *_, nodes in found):,}",
        )
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    return 0


def _draw(problem: Problem, rng: Random, count: int) -> list[tuple[BestSearch, float]]:
    """Searches of random layer-tiles that may have a mapping, with bounds of all placements."""
    layers = [layer for layer in problem.workload.layers if layer.computes]
    searches: list[tuple[BestSearch, float]] = []
    while len(searches) < count:
        layer = rng.choice(layers)
        unrolling = problem.hardware.unrolling(problem.workload.name, layer)
        model = build_layer_model(problem.hardware, unrolling, layer, EXACT)
        sizes = size_vector(layer.sizes)
        for axis in (4, 5):
            sizes[axis] = -(-sizes[axis] // rng.choice(PARTS))
        w, i, o = (rng.randint(1, len(chain)) for chain in model.chain)
        search = BestSearch(model, sizes, (w, i, o), CYCLES_ALONE, 0.0)
        if np.isfinite(search.bound):
            at_once = float(lower_bounds(model, sizes)[w - 1, i - 1, o - 1, 1])
            # No stack has the inputs of an add in two levels, and no bound is worked out there.
            searches.append((search, 0.0 if layer.kind.joins and w != i else at_once))
    return searches


def _search(search: BestSearch, at_once: float) -> tuple[float, float, float, int]:
    """(bound to begin with, `at_once`, least cycles, infinite if they are not found, nodes)."""
    bound, nodes = search.bound, 0
    while not search.done and nodes < MOST_NODES:
        nodes += search.step()
    return bound, at_once, np.inf if search.point is None else search.point.latency_cycles, nodes


if __name__ == "__main__":
    sys.exit(main())
