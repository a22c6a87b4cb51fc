"""A true result is verified, and whatever is changed in it is found out."""

import json
import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from problems import Problem, ProblemError
from solver.certificate import proven_bound
from solver.cli import main
from solver.objective import Objective
from solver.verify import verify
from tests.solver.conftest import PROBLEM

Document = dict[str, Any]


def refusal(document: Document) -> str:
    """What is wrong with a document: its faults, or why it cannot be read."""
    try:
        found = verify(document)
    except ProblemError as error:
        return f"{error.key}: {error.message}"
    assert found.ok == (not found.problems)
    return "; ".join(found.problems)


def test_true_result_is_verified(document: Document) -> None:
    """The result as written has no faults, and the check says what it rests on."""
    found = verify(document)
    assert found.ok, found.problems
    assert found.recosted is not None
    assert found.recosted.energy_pj == pytest.approx(document["energy_pj"], rel=1e-12)
    assert any("CP-SAT" in line for line in found.unchecked)
    assert any("half-planes" in line for line in found.checked)


def scale(*path: str | int, by: float) -> Callable[[Document], None]:
    """Multiply a number."""

    def change(document: Document) -> None:
        inner, key = follow(document, path)
        inner[key] = type(inner[key])(inner[key] * by)

    return change


def put(*path: str | int, value: object) -> Callable[[Document], None]:
    """Replace a value by another."""

    def change(document: Document) -> None:
        inner, key = follow(document, path)
        assert inner[key] != value, "the change changes nothing"
        inner[key] = value

    return change


def follow(document: Any, path: tuple[str | int, ...]) -> tuple[Any, str | int]:
    """The innermost container on a path, and the key in it."""
    for key in path[:-1]:
        document = document[key]
    return document, path[-1]


def swap_loops(document: Document) -> None:
    """Another loop order of the layer-tile with the most loops."""
    plans = [
        plan
        for stack in document["stacks"]
        for tile in stack["placements"]
        for plan in tile["layers"]
    ]
    loops = max(plans, key=lambda plan: len(plan["loops"]))["loops"]
    loops[0], loops[-1] = loops[-1], loops[0]


def drop_a_tile(document: Document) -> None:
    """A kind of tile less."""
    document["stacks"][0]["placements"].pop()


def cost_a_layer_less(document: Document) -> None:
    """A cheaper layer-tile, with totals that agree."""
    tile = document["stacks"][0]["placements"][0]
    count = math.prod(sum(length for _, length in tile[axis]) for axis in ("columns", "rows"))
    tile["layers"][0]["energy_pj"] -= 10
    document["energy_pj"] -= 10 * count
    document["edp"] = document["energy_pj"] * document["latency_cycles"]
    document["best_bound"] = document["edp"]
    document["gap"] = 0.0


def better_answer(document: Document) -> None:
    """All figures of the answer 1 % better, bound and gap to match."""
    document["energy_pj"] *= 0.99
    document["edp"] = document["energy_pj"] * document["latency_cycles"]
    document["best_bound"] = document["edp"]
    document["gap"] = 0.0


def tall_bound(document: Document) -> None:
    """A bound above the answer, with a gap that follows from it."""
    document["best_bound"] = 1.01 * document["edp"]
    document["gap"] = (document["edp"] - document["best_bound"]) / document["edp"]


def dearer_answer(document: Document) -> None:
    """A space without the mode of the answer."""
    document["space"]["modes"] = ["fully-recompute"]


def no_proof(document: Document) -> None:
    """A certificate without steps."""
    document["certificate"] = []


def one_step_less(document: Document) -> None:
    """A certificate without the step of the strongest bound on the product."""
    steps = document["certificate"]
    steps.remove(max(steps, key=lambda step: min(step["energy_weight"], step["latency_weight"])))


def each_step(change: Callable[[Document], None]) -> Callable[[Document], None]:
    """Change every step of the certificate."""

    def changed(document: Document) -> None:
        for step in document["certificate"]:
            change(step)

    return changed


def shift_start(step: Document) -> None:
    """A potential at the input that is not 0."""
    step["potentials"]["0:dram"] = 5.0


def no_end(step: Document) -> None:
    """No potential at the output."""
    del step["potentials"]["2:dram"]


def beyond_end(step: Document) -> None:
    """A cut that the chain does not have."""
    step["potentials"]["3:dram"] = 2 * step["potentials"]["2:dram"]


def raise_inside(step: Document) -> None:
    """A potential in a memory that the hardware does not have."""
    step["potentials"]["1:cache"] = 1.0


def negative_inside(step: Document) -> None:
    """A potential below zero."""
    step["potentials"]["1:buffer"] = -1.0


def strong_step(step: Document) -> None:
    """Bound and potentials twice as high."""
    step["bound"] *= 2
    step["potentials"] = {cut: 2 * value for cut, value in step["potentials"].items()}


def light_weights(step: Document) -> None:
    """The same bound for half the weights: twice as strong a claim."""
    step["energy_weight"] /= 2
    step["latency_weight"] /= 2


TILE = ("stacks", 0, "placements", 0)
LAYER = (*TILE, "layers", 0)
TAMPERED = {
    "tile": (put("stacks", 0, "tile", value=[7, 4]), "tile"),
    "tile of no size": (put("stacks", 0, "tile", value=[0, 5]), "no size"),
    "tile out of the world": (put("stacks", 0, "tile", value=[10**12, 10**12]), ""),
    "mode": (put("stacks", 0, "mode", value="fully-recompute"), ""),
    "weights": (put(*LAYER, "weights", value="dram"), ""),
    "resident weights": (put("stacks", 0, "weights", 0, value="dram"), ""),
    "operand": (put(*LAYER, "operand", value="w_regs"), ""),
    "output": (put(*LAYER, "output", value="o_regs"), ""),
    "producer": (put(*LAYER, "producer", value="nowhere"), "has no memory nowhere"),
    "source": (put("stacks", 0, "source", value="buffer"), "all that it reads lies in dram"),
    "target": (put("stacks", 0, "target", value="buffer"), "network output goes to dram"),
    "loop order": (swap_loops, "is stated as"),
    "loop factor": (scale(*LAYER, "loops", 0, 1, by=2), "cannot be costed"),
    "loop that is none": (put(*LAYER, "loops", 0, value=["Q", 3]), "cannot be costed"),
    "cut": (scale(*LAYER, "cuts", "O", 0, by=-1), ""),
    "size": (scale(*LAYER, "size", 0, by=2), "is stated as"),
    "missing tiles": (drop_a_tile, "not covered exactly once"),
    "tiles counted twice": (put(*TILE, "columns", value=[[0, 2]]), ""),
    "layer": (put(*LAYER, "layer", value="second"), "list other layers"),
    "layers": (put("stacks", 0, "layers", value=["first"]), "the stacks hold layers"),
    "layer-tile energy": (scale(*LAYER, "energy_pj", by=0.5), "energy is stated as"),
    "layer-tile latency": (scale(*LAYER, "latency_cycles", by=2), "latency is stated as"),
    "copy energy": (scale(*LAYER, "copy_energy_pj", by=0.5), "copy energy is stated as"),
    "arrival": (scale("stacks", 0, "arrival_energy_pj", by=0.5), "weight arrival energy"),
    "a cheaper layer": (cost_a_layer_less, "energy is stated as"),
    "energy": (scale("energy_pj", by=1 - 1e-6), "energy_pj is stated as"),
    "latency": (scale("latency_cycles", by=2), "latency_cycles is stated as"),
    "edp": (scale("edp", by=0.9), "edp is stated as"),
    "all figures": (better_answer, "energy_pj is stated as"),
    "bound": (scale("best_bound", by=0.9), "gap is stated as"),
    "tall bound": (tall_bound, "above the schedule's value"),
    "gap": (put("gap", value=0.5), "gap is stated as"),
    "status": (put("status", value="feasible"), "status is feasible"),
    "status without schedule": (put("status", value="infeasible"), "yet stacks is given"),
    "tolerance": (put("tolerance", value=0.5), "tolerance 0.5"),
    "objective": (put("objective", value="energy"), ""),
    "rules": (put("rules", value="defines"), ""),
    "workload": (put("workload", value="fsrcnn"), "the problem has two-layers"),
    "hardware": (put("hardware", value="meta-proto-df"), "the problem has three-memories"),
    "problem": (put("problem", value="fsrcnn@meta-proto-df"), "the problem has fsrcnn"),
    "space": (dearer_answer, "outside the space"),
    "space tiles": (put("space", "tiles", value="grid:6x5"), "outside the space"),
    "space options": (scale("space", "options", by=2), "space.options is stated as"),
    "no proof": (no_proof, "the certificate proves 0.0"),
    "a step less": (one_step_less, "the certificate proves"),
    "weaker steps": (each_step(scale("bound", by=0.99)), "the certificate proves"),
    "stronger bounds": (each_step(scale("bound", by=1.01)), "passes what the potentials give"),
    "stronger steps": (each_step(strong_step), "the answer itself costs"),
    "light weights": (each_step(light_weights), "the answer itself costs"),
    "heavy weights": (each_step(scale("energy_weight", by=2)), "the certificate proves"),
    "negative weights": (each_step(put("energy_weight", value=-1.0)), "prove nothing"),
    "start": (each_step(shift_start), "the potential at the input is not 0"),
    "end": (each_step(no_end), "no potential at the output"),
    "beyond the end": (each_step(beyond_end), "a potential at cut 3, the last one is 2"),
    "unknown memory": (each_step(raise_inside), "no memory of the hardware"),
    "negative potential": (each_step(negative_inside), "a potential below 0"),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_tampered_result_is_rejected(name: str, document: Document) -> None:
    """One change to the document, and it is no longer accepted, for the right reason."""
    change, told = TAMPERED[name]
    before = json.dumps(document)
    change(document)
    assert json.dumps(document) != before, "the change changes nothing"
    found = refusal(document)
    assert found, f"{name}: accepted"
    assert told in found


RECORDS = ("seconds", "phase_seconds", "option_counts", "trace", "notes", "survivors")
"""What the check calls a mere record."""


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Paths to all values inside, containers included."""
    if path:
        yield path
    entries = value.items() if isinstance(value, dict) else ()
    for key, inner in enumerate(value) if isinstance(value, list) else entries:
        yield from leaves(inner, (*path, key))


def test_no_change_makes_a_traceback(document: Document, problem: Problem) -> None:
    """Any value replaced by any other kind of value is refused or rejected, in one line."""
    text = json.dumps(document)
    strange = ({}, [], "x", -1, 1.5, 10**400, True, None, float("nan"), [[]])
    for number, path in enumerate(leaves(json.loads(text))):
        for value in strange[number % 3 :: 3]:
            changed = json.loads(text)
            inner, key = follow(changed, path)
            if inner[key] == value:
                continue
            inner[key] = value
            try:
                found = verify(changed, problem)
            except ProblemError as error:
                assert error.key and "\n" not in str(error), f"{path} = {value!r}: {error}"
                continue
            # A step that claims less may still be enough; a second buffer that fits and saves
            # no time is a schedule of the same cost.
            silent = path[0] in ("problem", "format", "certificate")
            silent |= any(part in RECORDS for part in path)
            silent |= "double_buffered" in path and value is True
            assert not found.ok or silent, f"{path} = {value!r}"


@pytest.mark.parametrize(
    "path",
    [
        ("stacks", 0, "placements", 0, "layers", 1, "loops"),
        ("stacks", 0, "mode"),
        ("best_bound",),
        ("certificate", 0, "potentials"),
        ("certificate", 0, "bound"),
        ("space", "tiles"),
    ],
)
def test_missing_key_is_named(
    path: tuple[str | int, ...],
    document: Document,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A missing key, an unknown key and a wrong type: one line with file and key path."""
    where = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)[1:]
    file = tmp_path / "answer.json"
    inner, key = follow(document, path)
    value = inner.pop(key)
    for changed in ({}, {key: True}, {key: value, f"{key}s": value}):
        file.write_text(json.dumps(with_entries(document, path, changed)))
        assert main(["verify", str(file)]) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1
        assert err.startswith(f"error: {file}: {where}")


def with_entries(document: Document, path: tuple[str | int, ...], entries: Document) -> Document:
    """A copy of the document with entries added beside the end of a path."""
    copy: Document = json.loads(json.dumps(document))
    inner, _ = follow(copy, path)
    inner.update(entries)
    return copy


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "line 1: is not valid JSON"),
        ('{"format": "fuseproof-result/2",\n', "line 2: is not valid JSON"),
        ("[1, 2]", "a result is a JSON object"),
        ("{}", "format: is missing"),
        ('{"format": "fuseproof-result/1"}', "expected 'fuseproof-result/2'"),
        ('{"format": "fuseproof-result/2"}', "objective: is missing"),
        ("[" * 100_000, "is not valid JSON"),
        ("1" * 10_000, "is not valid JSON"),
    ],
)
def test_broken_file_is_named(
    text: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is no result at all is refused in one line that names the file."""
    file = tmp_path / "answer.json"
    file.write_text(text)
    assert main(["verify", str(file)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert f"{file}: " in err and told in err


def test_bytes_that_are_no_text_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A binary file is refused like any other."""
    file = tmp_path / "answer.json"
    file.write_bytes(b"\xff\xfe\x00")
    assert main(["verify", str(file)]) == 2
    assert "is not UTF-8 text" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("objective", "rows", "bound"),
    [
        (Objective.ENERGY, [(1, 0, 3), (2, 0, 8), (1, 1, 100)], 4),
        (Objective.LATENCY, [(0, 2, 8), (1, 1, 100)], 4),
        (Objective.EDP, [], 0),
        (Objective.EDP, [(1, 0, 3), (0, 1, 5)], 15),
        # Corners (1, 9) and (8, 2): the product is least at the first.
        (Objective.EDP, [(1, 0, 1), (0, 1, 2), (1, 1, 10)], 9),
        (Objective.EDP, [(1, 1, 10)], 0),
    ],
)
def test_bound_of_half_planes(
    objective: Objective, rows: list[tuple[int, int, int]], bound: int
) -> None:
    """The bound is what hand calculation of the corners gives."""
    assert proven_bound([tuple(map(Fraction, row)) for row in rows], objective) == bound


def test_problem_of_the_document_is_loaded(document: Document) -> None:
    """Without a problem given, the one that the document names is taken."""
    assert document["problem"] == PROBLEM
    assert verify(document).ok
