"""encode with several processes: the bytes of one, whoever is killed, and no process that stays behind."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from splade_anserini.artifacts.manifests import ImpactManifest, read_manifest
from splade_anserini.errors import WorkerError
from tests.cli_runner import heeding_interrupts, run_stage
from tests.shared_models import SharedModels
from tests.worker_fixtures import (
    alive,
    bytes_of,
    children_of,
    wait_until_ended,
    write_words_corpus,
    write_words_encoder,
)

pytestmark = pytest.mark.slow

type Arguments = list[str | Path]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_words_corpus(tmp_path_factory.mktemp("corpus") / "corpus.jsonl", 6000)


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Arguments:
    """Options for 60 shards, encoded without torch."""
    encoder = write_words_encoder(tmp_path_factory.mktemp("encoder") / "words")
    return ["--corpus", corpus, "--encoder", encoder, "--docs-per-shard", "100", "--max-length", "16"]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, arguments: Arguments) -> Path:
    """What one process writes."""
    output = tmp_path_factory.mktemp("one-process") / "out"
    done = run_stage("encode", *arguments, "--threads", "1", "--output", output)
    assert done.code == 0, done.err
    return output


@pytest.mark.parametrize("options", [["2"], ["3", "--threads", "2"]])
def test_workers_write_the_bytes_of_one_process(
    tmp_path: Path, arguments: Arguments, expected: Path, options: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    done = run_stage("encode", *arguments, "--output", tmp_path / "out", "--workers", *options)
    assert done.code == 0, done.err
    assert "documents in 60 shards" in done.out
    assert [record.getMessage().partition(" (")[0] for record in caplog.records] == ["1,200 of 6,000 documents"]
    assert bytes_of(tmp_path / "out") == bytes_of(expected)
    manifest = read_manifest(tmp_path / "out", ImpactManifest)
    assert manifest is not None
    assert manifest.complete
    assert manifest.truncation is not None
    assert manifest.truncation.texts == 6000
    assert manifest.truncation.truncated > 0
    assert (manifest.empty, manifest.ids_with_spaces) == (381, 667)


@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=pytest.mark.full)])
def test_torch_gives_the_same_bytes_in_workers(tmp_path: Path, shared_models: SharedModels, precision: str) -> None:
    corpus = tmp_path / "corpus.jsonl"
    lines = (json.dumps({"_id": f"d{i}", "text": "the cat sat on a mat " * (1 + i % 7)}) for i in range(400))
    corpus.write_text("\n".join(lines))
    same = ["--corpus", corpus, "--encoder", shared_models.checkpoint(), "--docs-per-shard", "64"]
    same += ["--precision", precision, "--batch-size", "16"]
    for name, options in (("one", ["--threads", "2"]), ("two", ["--workers", "2"])):
        done = run_stage("encode", *same, "--output", tmp_path / name, *options)
        assert done.code == 0, done.err
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")


def test_parts_and_passages_are_the_same_with_workers(tmp_path: Path, arguments: Arguments) -> None:
    part = [*arguments, "--passages", "8/4", "--shard-id", "1", "--shard-num", "3"]
    for name, options in {"one": [], "two": ["--workers", "2"]}.items():
        assert run_stage("encode", *part, "--output", tmp_path / name, *options).code == 0
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")


def test_fewer_shards_than_workers_is_said(
    tmp_path: Path, arguments: Arguments, caplog: pytest.LogCaptureFixture
) -> None:
    few = [*arguments, "--docs-per-shard", "6000", "--output", tmp_path / "out", "--workers", "4"]
    done = run_stage("encode", *few)
    assert done.code == 0
    assert "1 shard for 4 workers: --docs-per-shard 1500 would give each one." in caplog.messages


def test_a_lost_shard_is_encoded_again_by_workers(tmp_path: Path, arguments: Arguments, expected: Path) -> None:
    command = [*arguments, "--output", tmp_path / "out", "--workers", "2"]
    assert run_stage("encode", *command).code == 0
    (tmp_path / "out" / "shard-00003.jsonl.gz").unlink()
    (tmp_path / "out" / "shard-00050.jsonl.gz").unlink()
    assert run_stage("encode", *command).code == 0
    assert bytes_of(tmp_path / "out") == bytes_of(expected)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (["--encoder", "./nowhere"], "./nowhere does not exist"),
        (["--device", "cuda:7"], "--device cuda:7 is not available"),
        (["--device", "cuda:0,cuda:0"], "names cuda:0 twice"),
        (["--pooling", "sum"], "was exported with pooling max"),
    ],
)
def test_an_encoder_that_cannot_be_opened_is_reported_as_in_one_process(
    tmp_path: Path, arguments: Arguments, changed: list[str], message: str
) -> None:
    done = run_stage("encode", *arguments, "--output", tmp_path / "out", "--workers", "2", *changed)
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "out").exists()


# Processes that are killed.


def start(arguments: Arguments, output: Path) -> "subprocess.Popen[str]":
    """Start encode with two workers, and wait for its third shard."""
    command = [sys.executable, "-m", "splade_anserini.encode", *arguments, "--output", output, "--workers", "2"]
    with heeding_interrupts():
        driver = subprocess.Popen(
            list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
        )
    while len(list(output.glob("shard-*.gz"))) < 3:
        assert driver.poll() is None, "it ended before it could be disturbed"
        time.sleep(0.001)
    return driver


def test_a_worker_that_is_killed_changes_nothing(tmp_path: Path, arguments: Arguments, expected: Path) -> None:
    driver = start(arguments, tmp_path / "out")
    workers = children_of(driver.pid)
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    out, err = driver.communicate(timeout=600)
    assert driver.returncode == 0, err
    assert "documents in 60 shards" in out
    assert re.search(r"WARNING: A worker was ended by signal 9 \(SIGKILL\)", err)
    assert bytes_of(tmp_path / "out") == bytes_of(expected)
    wait_until_ended(workers)


@pytest.mark.parametrize(
    "number",
    [signal.SIGKILL, signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.full)],
    ids=lambda number: number.name,
)
def test_workers_end_with_the_driver_and_it_resumes(
    tmp_path: Path, arguments: Arguments, expected: Path, number: signal.Signals
) -> None:
    driver = start(arguments, tmp_path / "out")
    workers = children_of(driver.pid)
    assert all(map(alive, workers))
    driver.send_signal(number)
    _, err = driver.communicate(timeout=600)
    assert driver.returncode == (130 if number == signal.SIGINT else -number)
    assert err == ("\nInterrupted. Run the same command again to resume.\n" if number == signal.SIGINT else "")
    wait_until_ended(workers)
    manifest = read_manifest(tmp_path / "out", ImpactManifest)
    assert manifest is not None
    assert not manifest.complete
    done = run_stage("encode", *arguments, "--output", tmp_path / "out", "--workers", "2")
    assert done.code == 0, done.err
    assert bytes_of(tmp_path / "out") == bytes_of(expected)


def test_workers_that_are_killed_again_and_again_are_an_error(
    tmp_path: Path, arguments: Arguments, monkeypatch: pytest.MonkeyPatch
) -> None:
    from splade_anserini.encode import encode
    from splade_anserini.encoding.options import EncodeOptions
    from splade_anserini.encoding.workers import EncoderWorkers
    from splade_anserini.formats.corpora import open_corpus
    from splade_anserini.workers.processes import ProcessBackend
    from tests.worker_fixtures import FatalRecipe

    corpus = open_corpus(arguments[1])
    recipe = FatalRecipe(str(arguments[3]), "w77 w80")
    with (
        EncoderWorkers(ProcessBackend([recipe, recipe])) as workers,
        pytest.raises(WorkerError, match=r"during shard-00000\.jsonl\.gz, as did 1 other"),
    ):
        encode(corpus, workers, tmp_path / "out", EncodeOptions(docs_per_shard=100))
    left = read_manifest(tmp_path / "out", ImpactManifest)
    assert left is not None
    assert not left.complete


def test_the_driver_loads_no_model(tmp_path: Path, arguments: Arguments) -> None:
    code = (
        "import sys; from splade_anserini.encode import command; from splade_anserini.cli.console import main_of\n"
        "try:\n    main_of(command)\nexcept SystemExit as leaving:\n    assert not leaving.code\n"
        "print(sorted({'torch', 'onnxruntime', 'transformers'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, *arguments, "--output", tmp_path / "out", "--workers", "2"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    assert done.stdout.endswith("\n[]\n")
