"""Time the bounds and the search for a best mapping of a few layer-tiles.

    python benchmarks/mapping.py

Tables, bounds over all placements, and the search for the mapping of least weighted cost, its
operands in their outermost memories. Compiled code is loaded first. Not a test.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from cost.best_mapping import BestSearch  # noqa: E402 - run from anywhere, uninstalled
from cost.layer_model import build_layer_model  # noqa: E402
from cost.mapping_bounds import lower_bounds  # noqa: E402
from cost.mapping_search import size_vector  # noqa: E402
from cost.mapping_tables import energy_tables  # noqa: E402
from cost.rules import EXACT  # noqa: E402
from problems import load_problem  # noqa: E402

LAYER_TILES = (
    ("mc-cnn@tesla-npu-like", 1, (90, 60), (2.3e7, 1.9e9)),
    ("fsrcnn@meta-proto-df", 7, (72, 60), (1.98e7, 1.8e9)),
    ("resnet-18@ascend-like", 5, (28, 14), (1e7, 2e9)),
    ("dmcnn-vd@ascend-like-df", 3, (192, 96), (3e8, 4.7e10)),
)
"""Problem, layer, tile and weights (per pJ, per cycle), about those of an EDP."""
MOST_NODES = 60_000
REPEATS = 20


def main() -> int:
    """Print one row a layer-tile; exit code 0 whatever the figures."""
    table = Table(title="One layer-tile, exact rules")
    for column in ("layer-tile", "points", "tables", "bounds", "nodes", "a node"):
        table.add_column(column, justify="left" if column == "layer-tile" else "right")
    for name, number, tile, weights in LAYER_TILES:
        problem = load_problem(name)
        layer = problem.workload.layers[number]
        unroll = problem.hardware.unrolling(problem.workload.name, layer)
        model = build_layer_model(problem.hardware, unroll, layer, EXACT)
        sizes = size_vector({**layer.sizes, "OX": tile[0], "OY": tile[1]})
        arrays = model.arrays
        levels = tuple(int(n) for n in arrays.n_levels)
        points = len(energy_tables(arrays, sizes, arrays.n_levels)[0].products)
        tables_s = _seconds(energy_tables, arrays, sizes, arrays.n_levels)
        bounds_s = _seconds(lower_bounds, model, sizes)
        BestSearch(model, sizes, levels, weights, 0.0).step()
        search, nodes = BestSearch(model, sizes, levels, weights, 0.0), 0
        started = time.perf_counter()
        while not search.done and nodes < MOST_NODES:
            nodes += search.step()
        spent = time.perf_counter() - started
        table.add_row(
            f"{name} {layer.name}: {tile[0]} x {tile[1]}",
            f"{points:,}",
            f"{tables_s * 1e3:.2f} ms",
            f"{bounds_s * 1e3:.2f} ms",
            f"{nodes:,}",
            f"{spent / nodes * 1e6:.1f} us",
        )
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    return 0


def _seconds(work: Callable[..., object], *inputs: object) -> float:
    work(*inputs)
    started = time.perf_counter()
    for _ in range(REPEATS):
        work(*inputs)
    return (time.perf_counter() - started) / REPEATS


if __name__ == "__main__":
    sys.exit(main())
