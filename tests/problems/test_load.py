"""How a problem is named, found and put together."""

from pathlib import Path

import pytest

from problems import FuseproofError, InfeasibleError, ProblemError, catalogue, load_problem

WORKLOADS = (
    "dmcnn-vd",
    "fsrcnn",
    "mc-cnn",
    "mobilenet-v1",
    "mobilenet-v1-padded",
    "resnet-18",
    "resnet-18-padded",
)
ARCHITECTURES = ("ascend-like", "edge-tpu-like", "meta-proto", "tesla-npu-like", "tpu-like")


def test_catalogue_names() -> None:
    """The catalogue holds seven workloads and ten accelerators."""
    workloads, hardware = catalogue()
    assert workloads == WORKLOADS
    assert hardware == tuple(
        sorted(f"{name}{variant}" for name in ARCHITECTURES for variant in ("", "-df"))
    )


@pytest.mark.parametrize("hardware", catalogue().hardware)
@pytest.mark.parametrize("workload", catalogue().workloads)
def test_every_catalogue_pair_loads(workload: str, hardware: str) -> None:
    """Each pair loads under its own name and is hashable data."""
    problem = load_problem(f"{workload}@{hardware}")
    assert problem.name == problem.source == f"{workload}@{hardware}"
    assert (problem.workload.name, problem.hardware.name) == (workload, hardware)
    assert all(problem.hardware.unrolling(workload, layer) for layer in problem.workload.layers)


def test_two_paths_joined_by_at(data: Path) -> None:
    """Two files make a problem, named after what they hold."""
    problem = load_problem(f"{data}/tiny.yaml@{data}/tiny-hw.yaml")
    assert problem.name == "tiny@tiny-hw"


def test_names_and_paths_mix(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Either side may be a catalogue name; paths start at the working directory."""
    monkeypatch.chdir(data)
    assert load_problem("tiny.yaml@meta-proto").name == "tiny@meta-proto"
    assert load_problem("fsrcnn@tiny-hw.yaml").name == "fsrcnn@tiny-hw"


def test_problem_file_finds_its_parts_in_its_own_folder(data: Path, tmp_path: Path) -> None:
    """Paths inside a problem file are relative to that file, not to where we are."""
    (tmp_path / "net.yaml").write_text((data / "tiny.yaml").read_text())
    file = tmp_path / "problem.yaml"
    file.write_text("name: mine\nworkload: net.yaml\nhardware: tpu-like\n")
    problem = load_problem(str(file))
    assert (problem.name, problem.workload.name) == ("mine", "tiny")
    assert problem.hardware == load_problem("fsrcnn@tpu-like").hardware


def test_layers_are_sorted_so_that_producers_come_first(data: Path, tmp_path: Path) -> None:
    """A file may list layers in any order; the workload has them in graph order."""
    head, *rest = (data / "tiny.yaml").read_text().split("  - {")
    file = tmp_path / "reversed.yaml"
    file.write_text(head + "".join(f"  - {{{layer}" for layer in reversed(rest)))
    problem = load_problem(f"{file}@meta-proto")
    assert [layer.name for layer in problem.workload.layers] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # nothing given
        ("", "unknown problem '': expected WORKLOAD@HARDWARE (such as fsrcnn@meta-proto-df)"),
        # a workload alone
        ("fsrcnn", "unknown problem 'fsrcnn': expected WORKLOAD@HARDWARE"),
        # a joint too many
        ("fsrcnn@meta-proto@df", "; did you mean 'fsrcnn@meta-proto-df'?"),
        # misspelt on either side
        ("fsrcn@meta-proto", "unknown workload 'fsrcn'"),
        ("fsrcn@meta-proto", "; did you mean 'fsrcnn'?"),
        ("fsrcnn@meta_proto_df", "; did you mean 'meta-proto-df'?"),
        # files that are not there
        ("missing.yaml", "missing.yaml: no such file"),
        ("fsrcnn@no/such/file.yaml", "no/such/file.yaml: no such file"),
        # a folder
        ("fsrcnn@./", ".: cannot be read: Is a directory"),
        # paths that no file can have
        ("x" * 5000 + ".yaml", "cannot be read: File name too long"),
        ("a\0.yaml", "not a valid path"),
    ],
)
def test_unknown_problem_is_told_in_one_line(text: str, message: str) -> None:
    """Text that names no problem raises ProblemError with what would be right."""
    with pytest.raises(ProblemError) as caught:
        load_problem(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tiny.yaml", "this is a workload file, half a problem: name it as FILE@HARDWARE"),
        ("tiny-hw.yaml", "this is a hardware file, half a problem: name it as WORKLOAD@FILE"),
    ],
)
def test_half_a_problem(data: Path, name: str, message: str) -> None:
    """A workload or hardware file alone is told apart from a problem file."""
    with pytest.raises(ProblemError) as caught:
        load_problem(str(data / name))
    assert str(caught.value) == f"{data / name}: {message}"


def test_file_that_is_not_text(tmp_path: Path) -> None:
    """A binary file is refused by name."""
    file = tmp_path / "image.yaml"
    file.write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(ProblemError, match=r"image\.yaml: is not UTF-8 text"):
        load_problem(str(file))


def test_yaml_tags_construct_nothing(tmp_path: Path) -> None:
    """A file cannot make the loader call Python: tags beyond plain values are refused."""
    file = tmp_path / "evil.yaml"
    file.write_text("workload: !!python/object/apply:os.getcwd []\nhardware: meta-proto\n")
    with pytest.raises(ProblemError, match="not valid YAML: could not determine a constructor"):
        load_problem(str(file))


def test_infeasible_error_tells_demand_limit_and_levers() -> None:
    """InfeasibleError is one line with the numbers and what would help."""
    error = InfeasibleError(
        "weights of layer a in dram", demand=2048, limit=1024, unit="bits", levers=["raise it"]
    )
    assert isinstance(error, FuseproofError)
    expected = "weights of layer a in dram: needs 2,048 bits, the limit is 1,024 bits; raise it"
    assert str(error) == expected
