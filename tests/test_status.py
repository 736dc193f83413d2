"""status and info: how far artefacts are, from their manifests alone, and what to do with them."""

import fcntl
import json
import shutil
from pathlib import Path
from threading import Timer

import pytest

from splade_anserini.artifacts.files import directory_lock, whole_directory
from splade_anserini.artifacts.manifests import MANIFEST, OutputManifest
from tests.cli_runner import Outcome, run_stage
from tests.impact_fixtures import write_encoded

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def golden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copy = Path(shutil.copytree(GOLDEN, tmp_path / "golden"))
    monkeypatch.chdir(copy)
    return copy


def status(*paths: object) -> Outcome:
    return run_stage("status", *paths)


def parts_of(done: Outcome) -> dict[str, str]:
    record = json.loads(done.out)
    return {part["name"]: part["state"] for part in record["parts"]}


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("impacts", "impacts: impact pseudo-documents, whole: 10 documents in 3 shards"),
        ("parts", "parts: impact pseudo-documents, whole: 2 of 2 parts"),
        ("parts/1", "parts/1: impact pseudo-documents, whole: part 1 of 2, 5 documents in 1 shard"),
        ("index", "index: a Lucene impact index, whole: 9 documents, 198 postings"),
        ("indexes/tiny.reproduction", "a reproduction, whole: 4 steps of the card tiny done"),
        ("sweep", "sweep: a sweep, whole: 5 settings measured"),
        ("checkpoints/tiny", "checkpoints/tiny: a trained checkpoint, whole: 6 steps"),
        ("encoders/tiny", "encoders/tiny: an encoder, whole: exported from checkpoints/tiny"),
    ],
)
def test_what_is_whole_has_exit_code_0(golden: Path, path: str, line: str) -> None:
    done = status(path)
    assert (done.code, line in done.out.splitlines()[0]) == (0, True), done.out


@pytest.mark.parametrize(
    ("path", "state", "detail", "parts"),
    [
        (
            "impacts-interrupted",
            "interrupted",
            "4 documents in 1 shard",
            {"shard-00000.jsonl.gz": "whole", "shard-00001.jsonl.gz": "interrupted"},
        ),
        (
            "killed/tiny.reproduction",
            "interrupted",
            "3 steps of the card tiny done",
            {"encode": "whole", "index": "whole", "search texts": "whole", "search vectors": "interrupted"},
        ),
        ("interrupted/tiny.training", "interrupted", "step 4 of 6", {"step-4": "whole"}),
        ("interrupted/tiny", "interrupted", "step 4 of 6", {"step-4": "whole"}),
    ],
)
def test_what_was_interrupted_has_exit_code_1_and_says_how_far_it_is(
    golden: Path, path: str, state: str, detail: str, parts: dict[str, str]
) -> None:
    done = status(path, "--format", "json")
    record = json.loads(done.out)
    assert (done.code, record["state"], record["detail"], parts_of(done)) == (1, state, detail, parts)
    assert "Run the same command again, which resumes" in record["next"]


@pytest.mark.parametrize(
    "path", ["impacts-interrupted", "sweep", "killed/tiny.reproduction", "interrupted/tiny.training"]
)
def test_what_a_process_is_writing_is_in_progress(golden: Path, path: str) -> None:
    with directory_lock(golden / path):
        done = status(path, "--format", "json")
    record = json.loads(done.out)
    assert (done.code, record["state"], record["next"]) == (1, "in progress", "Wait: a process is writing it.")


def test_an_index_that_is_being_built_is_in_progress_and_one_that_was_killed_is_interrupted(tmp_path: Path) -> None:
    with whole_directory(tmp_path / "index") as partial:
        (partial / "_0.fdt").touch()
        assert f"{tmp_path / 'index'}: a directory, in progress" in status(tmp_path / "index").out
        shutil.copytree(partial, tmp_path / "other.partial")
    assert f"{tmp_path / 'other'}: a directory, interrupted" in status(tmp_path / "other").out


def test_a_link_to_what_is_being_built_has_its_status(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "index")
    with whole_directory(tmp_path / "disk" / "index"):
        assert f"{tmp_path / 'link'}: a directory, in progress" in status(tmp_path / "link").out


def test_a_lock_is_only_held_for_a_moment(tmp_path: Path) -> None:
    """A command that starts while `status` looks is not refused."""
    (tmp_path / ".lock").touch()
    with (tmp_path / ".lock").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        releasing = Timer(0.01, lambda: fcntl.flock(file, fcntl.LOCK_UN))
        releasing.start()
        with directory_lock(tmp_path):
            pass
        releasing.join()


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    write_encoded(tmp_path)
    (tmp_path / "shard-00001.jsonl.gz").unlink()
    done = status(tmp_path, "--format", "json")
    assert (done.code, json.loads(done.out)["state"]) == (1, "incomplete")
    assert parts_of(done) == {"shard-00000.jsonl.gz": "whole", "shard-00001.jsonl.gz": "missing"}
    assert f"splade-anserini verify {tmp_path} --repair" in json.loads(done.out)["next"]


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    for part in (0, 2):
        write_encoded(tmp_path / f"machine-{part}", shard_id=part, shard_num=3)
    done = status(tmp_path, "--format", "json")
    assert (done.code, json.loads(done.out)["detail"]) == (1, "2 of 3 parts")
    assert parts_of(done) == {"machine-0": "whole", "machine-2": "whole", "part 1": "missing"}


def test_an_index_without_a_commit_and_an_encoder_without_a_graph_are_damaged(golden: Path) -> None:
    (golden / "index" / "segments_1").unlink()
    (golden / "encoders" / "tiny" / "model.onnx").unlink()
    done = status("index", "encoders/tiny")
    assert done.code == 1
    assert "index: a Lucene impact index, damaged" in done.out
    assert "encoders/tiny: an encoder, damaged" in done.out
    assert "model.onnx  missing" in done.out


def test_a_manifest_that_is_not_valid_is_damaged(golden: Path) -> None:
    (golden / "impacts" / MANIFEST).write_text('{"kind": "impacts"}')
    done = status("impacts")
    assert (done.code, "impacts: impact pseudo-documents, damaged" in done.out) == (1, True)


def test_a_file_has_the_counts_of_its_manifest(tmp_path: Path) -> None:
    (tmp_path / "run.txt").touch()
    manifest = OutputManifest(command="search", counts={"queries": 8, "hits": 32}, sha256="0")
    (tmp_path / "run.txt.manifest").write_text(manifest.model_dump_json())
    assert (
        status(tmp_path / "run.txt").out == f"{tmp_path / 'run.txt'}: an output of search, whole: queries 8, hits 32\n"
    )


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("collection", "collection was not written by splade-anserini"),
        ("qrels.txt", "qrels.txt is a file without a manifest beside it"),
        ("nothing", "nothing does not exist"),
        ("backbone", "backbone was not written by splade-anserini"),
    ],
)
@pytest.mark.parametrize("command", ["status", "info"])
def test_what_this_program_did_not_write_is_bad_input(golden: Path, command: str, path: str, message: str) -> None:
    done = run_stage(command, path)
    assert (done.code, message in done.err) == (2, True), done.err


@pytest.mark.parametrize("command", ["status", "info"])
def test_of_several_paths_each_is_reported_and_the_worst_exit_code_counts(golden: Path, command: str) -> None:
    done = run_stage(command, "impacts", "collection", "impacts-interrupted")
    assert (done.code, "collection was not written" in done.err) == (2, True)
    assert "impacts: impact pseudo-documents, whole" in done.out
    assert "impacts-interrupted: impact pseudo-documents, interrupted" in done.out
    done = run_stage(command, "impacts", "index", "--format", "json")
    assert (done.code, len(json.loads(done.out))) == (0, 2)


@pytest.mark.parametrize(
    ("path", "sentences", "commands"),
    [
        (
            "impacts",
            [
                "Documents of collection, encoded by tiny (fp32, max pooling).",
                "Impacts are weights × 12.5; texts are cut at 24 tokens.",
                "9 documents with 22.0 entries each; 1 with an empty vector.",
            ],
            ["index --input impacts --index indexes/impacts", "verify impacts --corpus collection"],
        ),
        (
            "index",
            ["Documents of collection, encoded by tiny (fp32, max pooling).", "Written by splade-anserini 0.1.0"],
            ["search --index index --topics TOPICS --output run.txt"],
        ),
        (
            "checkpoints/idf",
            ["A checkpoint of 2 steps, norm pooling, query side idf."],
            ["export --encoder checkpoints/idf --output encoders/idf"],
        ),
        (
            "encoders/tiny",
            ["exported from checkpoints/tiny", "Its query side is splade; the scale is 12.5"],
            ["encode --corpus CORPUS --encoder encoders/tiny"],
        ),
        ("indexes/tiny.reproduction", ["the index indexes/tiny, runs and a report"], ["cat indexes"]),
    ],
)
def test_info_prints_the_status_first_and_then_what_it_is_and_what_to_do(
    golden: Path, path: str, sentences: list[str], commands: list[str]
) -> None:
    done = run_stage("info", path)
    assert done.code == 0, done.err
    assert done.out.startswith(status(path).out)
    for words in [*sentences, *commands]:
        assert words in done.out


@pytest.mark.parametrize(
    "path", ["impacts", "impacts-interrupted", "index", "sweep", "indexes/tiny.reproduction", "encoders/tiny"]
)
@pytest.mark.parametrize("command", ["status", "info"])
def test_the_working_directory_has_the_status_of_its_path(
    golden: Path, command: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_path = run_stage(command, path, "--format", "json")
    monkeypatch.chdir(golden / path)
    here = run_stage(command, ".", "--format", "json")
    first, second = (json.loads(done.out) for done in (by_path, here))
    first, second = (record.get("status", record) for record in (first, second))
    assert (here.code, second["state"], second["parts"]) == (by_path.code, first["state"], first["parts"])


def test_info_of_what_is_not_whole_says_what_to_do_first(golden: Path) -> None:
    done = run_stage("info", "impacts-interrupted", "--format", "json")
    record = json.loads(done.out)
    assert (done.code, record["commands"], record["status"]["state"]) == (1, [], "interrupted")
    assert "Documents of collection, encoded by tiny (fp32, max pooling)." in record["about"]
