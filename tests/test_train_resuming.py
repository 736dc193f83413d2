"""Resuming of training runs: after a kill, on a full disk, with other settings, and with --overwrite."""

import json
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from splade_anserini.artifacts.manifests import CheckpointManifest, read_manifest
from splade_anserini.errors import OutputError
from splade_anserini.training.run_directory import SUFFIX
from tests.training_fixtures import (
    call_after,
    read_log,
    run_train,
    train_with,
)

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent

OFTEN = ["--checkpoint-every", 2, "--log-every", 1]
"""Of the six steps, checkpoints after the second and the fourth."""


@pytest.fixture(scope="module")
def home(training_home: Path) -> Path:
    return training_home


@pytest.fixture(autouse=True, scope="module")
def _threads_of_a_new_process() -> None:
    """Let torch compute here with as many threads as in another process; tests before may have changed their number."""
    import torch

    program = [sys.executable, "-c", "import torch; print(torch.get_num_threads())"]
    torch.set_num_threads(int(subprocess.run(program, capture_output=True, check=True, text=True).stdout))


class InterruptedRunError(Exception):
    """Ends a run in the middle."""


def interrupt() -> None:
    raise InterruptedRunError


def interrupted_run(home: Path, output: Path, steps: int, *lines: str) -> None:
    with pytest.raises(InterruptedRunError):
        train_with(home, output, call_after(steps, interrupt), *lines)


@pytest.fixture(scope="module")
def uninterrupted(home: Path, _threads_of_a_new_process: None) -> Path:
    done = run_train(home, home / "uninterrupted", *OFTEN)
    assert done.code == 0, done.err
    return home / "uninterrupted"


def assert_same_bytes(mine: Path, theirs: Path) -> None:
    for name in ("model.safetensors", "log.jsonl"):
        assert (mine / name).read_bytes() == (theirs / name).read_bytes()


KILL = """
import os, signal, sys
from pathlib import Path
from tests.training_fixtures import call_after, train_with
home, output, step = sys.argv[1:]
train_with(Path(home), Path(output), call_after(int(step), lambda: os.kill(os.getpid(), signal.SIGKILL)))
"""


@pytest.mark.parametrize(("step", "checkpoints"), [(1, []), (5, ["step-4"])])
def test_a_killed_run_that_is_started_again_ends_with_the_same_bytes(
    home: Path, uninterrupted: Path, tmp_path: Path, step: int, checkpoints: list[str]
) -> None:
    output = tmp_path / "out"
    done = subprocess.run([sys.executable, "-c", KILL, home, output, str(step)], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert [path.name for path in (tmp_path / f"out{SUFFIX}").glob("step-*")] == checkpoints
    assert not output.exists()
    assert run_train(home, output, *OFTEN).code == 0
    assert_same_bytes(output, uninterrupted)
    assert not (tmp_path / f"out{SUFFIX}").exists()


def test_progress_starts_at_the_step_of_the_checkpoint(home: Path, tmp_path: Path) -> None:
    interrupted_run(home, tmp_path / "out", 5)
    steps: list[int] = []
    train_with(home, tmp_path / "out", steps.append)
    assert steps == [4, 1, 1]


@pytest.mark.parametrize(
    ("options", "different"),
    [
        (["--set", "training.seed=7"], "card.training.seed"),
        (["--data", "more.jsonl"], "data"),
        (["--topics", "other.jsonl"], "data"),
        (["--validation", "."], "validation"),
    ],
)
def test_an_unfinished_run_with_other_settings_is_refused_and_stays(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], different: str
) -> None:
    output = tmp_path / "unfinished"
    interrupted_run(home, output, 3)
    monkeypatch.chdir(home)
    (home / "more.jsonl").write_bytes((home / "triples.jsonl").read_bytes())
    (home / "other.jsonl").write_text((home / "queries.jsonl").read_text().replace("cure", "remedy"))
    done = run_train(home, output, *OFTEN, *options)
    assert (done.code, f"unfinished{SUFFIX}; these differ: {different}." in done.err) == (2, True), done.err
    assert not output.exists()
    assert run_train(home, output, *OFTEN).code == 0


def test_notes_on_the_card_may_change_while_a_run_is_unfinished(
    home: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    interrupted_run(home, output, 5)
    refused = run_train(home, output, *OFTEN, "--set", 'license="MIT"', "--set", "training.seed=7")
    assert (refused.code, "these differ: card.training.seed." in refused.err) == (2, True)
    assert run_train(home, output, *OFTEN, "--set", 'recipe.time="a minute"', "--set", 'license="MIT"').code == 0
    assert_same_bytes(output, uninterrupted)


def test_overwrite_starts_an_unfinished_run_over(home: Path, uninterrupted: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    interrupted_run(home, output, 3, "training.seed=7")
    refused = run_train(home, output, *OFTEN)
    assert (refused.code, "Add --overwrite to start over" in refused.err) == (2, True)
    done = run_train(home, output, *OFTEN, "--overwrite")
    assert done.code == 0, done.err
    assert_same_bytes(output, uninterrupted)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_finished_run_is_up_to_date_and_replaced_only_with_overwrite(home: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    options = ["--validation", home, "--validate-every", 3, "--format", "json"]
    first = run_train(home, output, *options)
    assert first.code == 0, first.err
    printed = json.loads(first.out)
    names = ["output", "steps", "loss", "query_entries", "document_entries", "best_step", "nDCG@10", "R@100"]
    assert list(printed) == [*names, "up_to_date"]
    written = (output / "model.safetensors").stat().st_mtime_ns
    again = run_train(home, output, *options, "--checkpoint-every", 4)
    assert (again.code, json.loads(again.out)) == (0, printed | {"up_to_date": True})
    assert (output / "model.safetensors").stat().st_mtime_ns == written
    other = run_train(home, output, *options, "--measures", "RR@10")
    assert (other.code, "measures was [], is ['RR@10']" in other.err) == (2, True)
    noted = run_train(home, output, *options, "--set", 'recipe.time="a minute"')
    assert (noted.code, json.loads(noted.out)["up_to_date"]) == (0, True)
    licensed = run_train(home, output, *options, "--set", 'license="CC0-1.0"')
    assert (licensed.code, "inputs: card.license was" in licensed.err) == (2, True)
    replaced = run_train(home, output, *options, "--measures", "RR@10", "--overwrite")
    assert (replaced.code, "RR@10" in replaced.out) == (0, True)
    manifest = read_manifest(output, CheckpointManifest)
    assert manifest is not None


@pytest.mark.parametrize("model", ["backbone", "teacher.model"])
def test_overwrite_removes_no_model_that_is_read(home: Path, tmp_path: Path, model: str) -> None:
    output = tmp_path / "out"
    assert run_train(home, output, *OFTEN).code == 0
    weights = (output / "model.safetensors").read_bytes()
    done = run_train(home, output, "--set", f'training.{model}="{output}"', "--overwrite")
    assert (done.code, "are the same path" in done.err) == (2, True), done.err
    assert (output / "model.safetensors").read_bytes() == weights


@pytest.mark.parametrize("directory", ["out", f"out{SUFFIX}"])
def test_embeddings_are_not_where_the_run_is_written(home: Path, tmp_path: Path, directory: str) -> None:
    done = run_train(home, tmp_path / "out", "--teacher-embeddings", tmp_path / directory / "embeddings.bin")
    assert (done.code, "which training replaces or removes" in done.err) == (2, True), done.err
    assert list(tmp_path.iterdir()) == []


def test_checkpoints_without_a_description_are_not_gone_on_with(
    home: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    interrupted_run(home, tmp_path / "out", 5, "training.seed=7")
    (tmp_path / f"out{SUFFIX}" / "run.json").unlink()
    done = run_train(home, tmp_path / "out", *OFTEN)
    assert done.code == 0, done.err
    assert_same_bytes(tmp_path / "out", uninterrupted)


def test_overwrite_removes_no_directory_that_others_made(home: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").touch()
    done = run_train(home, tmp_path / "out", "--overwrite")
    assert (done.code, "was not written by splade-anserini" in done.err) == (2, True)
    assert (tmp_path / "out" / "notes.txt").exists()


def test_a_run_interrupted_before_its_first_checkpoint_leaves_nothing(home: Path, tmp_path: Path) -> None:
    interrupted_run(home, tmp_path / "out", 1)
    assert list(tmp_path.iterdir()) == []


def test_the_rest_of_a_run_without_a_checkpoint_is_replaced(home: Path, tmp_path: Path) -> None:
    directory = tmp_path / f"out{SUFFIX}"
    (directory / "step-2.partial").mkdir(parents=True)
    (directory / "run.json").write_text("{}")
    files: list[Path] = []
    train_with(
        home,
        tmp_path / "out",
        call_after(1, lambda: files.extend([*directory.glob("*.json"), *directory.glob("*.partial")])),
    )
    assert files == [directory / "run.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_unfinished_run_of_a_version_with_former_names_resumes(home: Path, tmp_path: Path) -> None:
    output, directory = tmp_path / "out", tmp_path / f"out{SUFFIX}"
    lines = [f'training.teacher={{model="{home / "backbone"}"}}', "training.cluster_size=4"]
    interrupted_run(home, output, 3, *lines)
    (directory / "clusters.npz").rename(directory / "topics.npz")
    description = (directory / "run.json").read_text()
    assert description.count('"cluster_size"') == 1
    (directory / "run.json").write_text(description.replace('"cluster_size"', '"topics"'))
    steps: list[int] = []
    train_with(home, output, steps.append, *lines)
    assert steps == [2, 1, 1, 1, 1]
    assert (len(read_log(output)), directory.exists()) == (6, False)


def test_two_processes_do_not_train_into_the_same_output(home: Path, tmp_path: Path) -> None:
    def start_another() -> None:
        train_with(home, tmp_path / "out", lambda _: None)

    with pytest.raises(OutputError, match="Another process"):
        train_with(home, tmp_path / "out", call_after(3, start_another))


@pytest.fixture
def limit_file_size() -> Iterator[Callable[[int], None]]:
    """Return a function that limits the size of files that this process writes; -1 lifts the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft if size < 0 else size, hard))

    yield limit
    limit(-1)


@pytest.mark.parametrize(
    ("step", "unwritten", "checkpoint"), [(3, "step-4", "step-2"), (6, "out", "step-4")], ids=["checkpoint", "output"]
)
def test_a_full_disk_leaves_the_checkpoint_before(
    home: Path,
    uninterrupted: Path,
    tmp_path: Path,
    limit_file_size: Callable[[int], None],
    step: int,
    unwritten: str,
    checkpoint: str,
) -> None:
    with pytest.raises(OutputError, match=rf"{unwritten} cannot be written") as caught:
        train_with(home, tmp_path / "out", call_after(step, lambda: limit_file_size(60_000)))
    limit_file_size(-1)
    assert "resumes from the last checkpoint" in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == [f"out{SUFFIX}"]
    assert [path.name for path in (tmp_path / f"out{SUFFIX}").glob("step-*")] == [checkpoint]
    assert run_train(home, tmp_path / "out", *OFTEN).code == 0
    assert_same_bytes(tmp_path / "out", uninterrupted)
