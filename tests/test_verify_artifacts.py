"""verify: pseudo-documents, indexes, runs and other outputs are whole, or the report says what is wrong."""

import gzip
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from splade_anserini.artifacts.manifests import MANIFEST
from tests.cli_runner import Outcome, run_stage
from tests.encoder_fixtures import write_dictionary_encoder
from tests.tiny import WORDS

pytestmark = pytest.mark.slow

NAMES = WORDS.split()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus, an encoder, and what encode, index and search made of them."""
    home = tmp_path_factory.mktemp("made")
    write_dictionary_encoder(home / "words", {word: {word: 1 + len(word) / 10} for word in NAMES})
    texts = random.Random(3)
    lines = [{"id": f"d{number}", "text": " ".join(texts.sample(NAMES, 6))} for number in range(60)]
    (home / "corpus.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (home / "topics.tsv").write_text(
        "".join(f"q{number}\t{NAMES[number]} {NAMES[-number]}\n" for number in range(1, 9))
    )
    here = Path.cwd()
    os.chdir(home)
    try:
        for stage in (
            (
                "encode",
                "--corpus",
                "corpus.jsonl",
                "--encoder",
                "./words",
                "--docs-per-shard",
                20,
                "--output",
                "impacts",
            ),
            ("index", "--input", "impacts", "--index", "index"),
            ("index", "--bm25", "--input", "corpus.jsonl", "--index", "texts"),
            ("search", "--index", "index", "--topics", "topics.tsv", "--output", "run.txt"),
            ("convert", "--input", "impacts", "--output", "out.ciff"),
        ):
            done = run_stage(*stage)
            assert done.code == 0, done.err
    finally:
        os.chdir(here)
    return home


@pytest.fixture
def home(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copy = Path(shutil.copytree(made, tmp_path / "home"))
    monkeypatch.chdir(copy)
    return copy


def verdicts(done: Outcome) -> dict[str, str]:
    """Return the verdict of each check in a table."""
    rows = [line.split("  ") for line in done.out.splitlines() if line.startswith("  ") and line[2] != " "]
    return {row[1]: next(cell for cell in row[2:] if cell).strip() for row in rows}


def verify(*arguments: object) -> Outcome:
    return run_stage("verify", *arguments)


def change_a_line(path: Path, change: Callable[[str], str]) -> None:
    first, *others = gzip.decompress(path.read_bytes()).decode().splitlines(keepends=True)
    path.write_bytes(gzip.compress("".join([change(first), *others]).encode(), mtime=0))


def forget_checksums(impacts: Path) -> None:
    manifest = json.loads((impacts / MANIFEST).read_text())
    manifest.pop("checksum", None)
    for shard in manifest["shards"]:
        del shard["sha256"]
    (impacts / MANIFEST).write_text(json.dumps(manifest))


# What is whole.


@pytest.mark.parametrize(
    ("arguments", "kind", "checks"),
    [
        (
            ["impacts", "--corpus", "corpus.jsonl"],
            "impact pseudo-documents",
            ["manifest", "files", "checksums", "records", "ids", "encoded again"],
        ),
        (
            ["index", "--against", "impacts"],
            "a Lucene impact index",
            ["manifest", "CheckIndex", "counts", "pseudo-documents"],
        ),
        (["index", "--against", "impacts", "--level", 3], "a Lucene impact index", ["CheckIndex"]),
        (["texts"], "a text index (BM25)", ["manifest", "CheckIndex", "counts"]),
        (["run.txt", "--against", "index"], "a run", ["manifest", "checksum", "lines", "index"]),
        (["out.ciff"], "an output of convert", ["manifest", "checksum"]),
    ],
)
def test_what_is_whole_passes_every_check(home: Path, arguments: list[object], kind: str, checks: list[str]) -> None:
    done = verify(*arguments)
    assert done.code == 0, done.out
    assert done.out.splitlines()[0] == f"{arguments[0]}: {kind}"
    assert done.out.splitlines()[-1] == "pass"
    assert dict.fromkeys(checks, "ok").items() <= verdicts(done).items()


def test_several_paths_are_verified_and_the_report_can_be_json(home: Path) -> None:
    (home / "run.txt").write_text("")
    done = verify("impacts", "run.txt", "--format", "json")
    assert done.code == 1
    first, second = json.loads(done.out)
    assert (first["path"], first["passed"], second["path"], second["passed"]) == ("impacts", True, "run.txt", False)
    assert [check["name"] for check in second["checks"] if check["passed"] is False] == ["checksum", "lines"]


def test_parts_of_several_machines_are_verified_together(home: Path) -> None:
    for part in (0, 1):
        arguments = ("--corpus", "corpus.jsonl", "--encoder", "./words", "--shard-num", 2, "--shard-id", part)
        assert run_stage("encode", *arguments, "--output", f"parts/{part}").code == 0
    assert verify("parts", "--corpus", "corpus.jsonl").code == 0
    shutil.rmtree(home / "parts" / "1")
    shutil.copytree(home / "parts" / "0", home / "parts" / "1")
    done = verify("parts")
    assert (done.code, verdicts(done)["files"], verdicts(done)["ids"]) == (1, "FAILED", "FAILED")


# What is not.


def test_a_changed_shard_is_named(home: Path) -> None:
    change_a_line(home / "impacts" / "shard-00001.jsonl.gz", lambda line: line.replace(":", ": ", 1))
    done = verify("impacts")
    assert (done.code, verdicts(done)["checksums"]) == (1, "FAILED")
    assert "impacts/shard-00001.jsonl.gz was changed after it was written" in done.out


def test_a_missing_shard_is_named(home: Path) -> None:
    (home / "impacts" / "shard-00002.jsonl.gz").unlink()
    done = verify("impacts")
    assert (done.code, verdicts(done)["files"]) == (1, "FAILED")
    assert "impacts/shard-00002.jsonl.gz is missing" in done.out


def test_records_are_read_where_there_are_no_checksums(home: Path) -> None:
    forget_checksums(home / "impacts")
    done = verify("impacts")
    assert (done.code, verdicts(done)["checksums"]) == (0, "-")
    assert "3 of an earlier version, without a checksum" in done.out
    change_a_line(home / "impacts" / "shard-00000.jsonl.gz", lambda line: line.replace(":1", ":-1"))
    done = verify("impacts")
    assert (done.code, verdicts(done)["records"]) == (1, "FAILED")
    assert "shard-00000.jsonl.gz, line 1: the impact of" in done.out


def test_an_id_that_is_there_twice_is_named(home: Path) -> None:
    forget_checksums(home / "impacts")
    change_a_line(home / "impacts" / "shard-00001.jsonl.gz", lambda line: line.replace('"d20"', '"d2"'))
    done = verify("impacts")
    assert (done.code, verdicts(done)["ids"]) == (1, "FAILED")
    assert "duplicate document id 'd2'" in done.out


def test_impacts_that_the_encoder_does_not_give_are_found(home: Path) -> None:
    forget_checksums(home / "impacts")

    def exchange(line: str) -> str:
        record = json.loads(line)
        tokens = list(record["vector"])
        record["vector"] = dict(zip(tokens, reversed(record["vector"].values()), strict=True))
        return json.dumps(record) + "\n"

    change_a_line(home / "impacts" / "shard-00001.jsonl.gz", exchange)
    assert verify("impacts").code == 0
    done = verify("impacts", "--corpus", "corpus.jsonl")
    assert (done.code, verdicts(done)["encoded again"]) == (1, "FAILED")
    assert "document d20, token" in done.out


def test_another_encoder_than_the_recorded_one_is_not_compared(home: Path) -> None:
    shutil.rmtree(home / "words")
    write_dictionary_encoder(home / "words", {word: {word: 2.0} for word in NAMES})
    done = verify("impacts", "--corpus", "corpus.jsonl")
    assert (done.code, verdicts(done)["encoded again"]) == (1, "FAILED")
    assert "is another than the manifest records: weights differ" in done.out


@pytest.mark.parametrize("seed", range(5))
def test_a_flipped_bit_in_an_index_is_found(home: Path, seed: int) -> None:
    chance = random.Random(seed)
    path = chance.choice([file for file in sorted((home / "index").iterdir()) if file.name.startswith("_")])
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)
    done = verify("index")
    assert (done.code, verdicts(done)["CheckIndex"]) == (1, "FAILED"), path


def test_an_index_of_other_counts_is_found(home: Path) -> None:
    manifest = json.loads((home / "index" / MANIFEST).read_text())
    manifest.pop("checksum", None)
    manifest["counts"]["documents"] += 1
    (home / "index" / MANIFEST).write_text(json.dumps(manifest))
    done = verify("index")
    assert (done.code, verdicts(done)["counts"]) == (1, "FAILED")
    assert "documents: 60 instead of 61" in done.out


def test_an_index_of_other_pseudo_documents_is_found_also_with_the_same_counts(home: Path) -> None:
    forget_checksums(home / "impacts")

    def rename(line: str) -> str:
        record = json.loads(line)
        record["vector"]["other"] = record["vector"].pop(next(iter(record["vector"])))
        return json.dumps(record) + "\n"

    change_a_line(home / "impacts" / "shard-00001.jsonl.gz", rename)
    done = verify("index", "--against", "impacts")
    assert (done.code, verdicts(done)["pseudo-documents"]) == (1, "FAILED")
    assert "document d20 has other entries in the index" in done.out


def test_an_index_of_another_program_is_checked_without_counts(home: Path) -> None:
    (home / "index" / MANIFEST).unlink()
    done = verify("index")
    assert (done.code, verdicts(done)["manifest"], verdicts(done)["CheckIndex"]) == (0, "-", "ok")


def test_a_changed_run_is_found(home: Path) -> None:
    run = home / "run.txt"
    run.write_text(run.read_text().replace("d1 ", "d999 "))
    done = verify("run.txt", "--against", "index")
    assert done.code == 1
    assert [name for name, verdict in verdicts(done).items() if verdict == "FAILED"] == ["checksum", "index"]
    assert "d999" in done.out


def test_a_run_of_another_index_is_found(home: Path) -> None:
    assert run_stage("index", "--input", "impacts", "--index", "again").code == 0
    done = verify("run.txt", "--against", "again")
    assert (done.code, verdicts(done)["index"]) == (1, "FAILED")
    assert "again is another index than the run was made from, or was built again since" in done.out


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("corpus.jsonl", "corpus.jsonl is a file without a manifest beside it"),
        ("nothing-here/at/all", "does not exist"),
        (".", "is not an encoder"),
    ],
)
def test_what_this_program_did_not_write_is_bad_input(home: Path, name: str, message: str) -> None:
    done = verify(name)
    assert (done.code, message in done.err) == (2, True), done.err


def test_a_manifest_with_missing_fields_is_a_failure(home: Path) -> None:
    (home / "impacts" / MANIFEST).write_text('{"kind": "impacts"}')
    done = verify("impacts")
    assert (done.code, verdicts(done)["manifest"]) == (1, "FAILED")
    assert "is not a valid impact manifest" in done.out


def test_an_index_without_a_valid_commit_is_a_failure(home: Path) -> None:
    for file in (home / "index").glob("segments_*"):
        file.write_bytes(b"")
    done = verify("index")
    assert (done.code, verdicts(done)["CheckIndex"]) == (1, "FAILED")


# Repair.


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"nonsense")])
def test_a_lost_shard_is_encoded_again_with_the_same_bytes(home: Path, harm: Callable[[Path], object]) -> None:
    shard = home / "impacts" / "shard-00001.jsonl.gz"
    before = {path.name: path.read_bytes() for path in (home / "impacts").iterdir()}
    harm(shard)
    done = verify("impacts", "--repair")
    assert done.code == 0, done.err
    assert "impacts: encoded again: shard-00001.jsonl.gz" in done.err
    assert {path.name: path.read_bytes() for path in (home / "impacts").iterdir()} == before


def test_a_shard_is_not_replaced_when_the_corpus_is_another(home: Path) -> None:
    shard = home / "impacts" / "shard-00001.jsonl.gz"
    shard.write_bytes(b"edited")
    lines = (home / "corpus.jsonl").read_text().splitlines(keepends=True)
    (home / "corpus.jsonl").write_text("".join([*lines[:20], *reversed(lines[20:])]))
    done = verify("impacts", "--repair")
    assert (done.code, "The corpus corpus.jsonl has changed" in done.err) == (2, True), done.err
    assert shard.read_bytes() == b"edited"
    assert sorted(path.name for path in (home / "impacts").iterdir()) == [
        *(f"shard-0000{number}.jsonl.gz" for number in range(3)),
        MANIFEST,
    ]


def test_an_index_cannot_be_repaired(home: Path) -> None:
    done = verify("index", "--repair")
    assert (done.code, "index cannot be repaired" in done.err) == (2, True)


# What several steps wrote.


@pytest.fixture
def golden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copy = Path(shutil.copytree(Path(__file__).parent / "golden", tmp_path / "golden"))
    monkeypatch.chdir(copy)
    return copy


def test_a_reproduction_is_verified_with_all_that_it_wrote(golden: Path) -> None:
    done = verify("indexes/tiny.reproduction")
    assert done.code == 0, done.out
    assert {
        "steps": "ok",
        "impacts: records": "ok",
        "index tiny: CheckIndex": "ok",
        "index tiny: pseudo-documents": "ok",
        "run.texts.txt.gz": "ok",
    }.items() <= verdicts(done).items()
    (golden / "indexes" / "tiny.reproduction" / "run.texts.txt.gz").write_bytes(gzip.compress(b"q1 Q0 d1\n"))
    done = verify("indexes/tiny.reproduction")
    assert (done.code, verdicts(done)["run.texts.txt.gz"]) == (1, "FAILED")


def test_an_index_of_a_reproduction_is_compared_with_its_pseudo_documents_without_being_asked(
    golden: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = verify("indexes/tiny")
    assert (done.code, verdicts(done)["pseudo-documents"]) == (0, "ok")
    monkeypatch.chdir(golden / "indexes" / "tiny")
    done = verify(".")
    assert (done.code, verdicts(done)["pseudo-documents"]) == (0, "ok")


@pytest.mark.parametrize(
    ("path", "code", "verdict"),
    [("sweep", 0, "ok"), ("killed/tiny.reproduction", 1, "FAILED"), ("interrupted/tiny.training", 1, "FAILED")],
)
def test_steps_that_are_not_done_are_a_failure(golden: Path, path: str, code: int, verdict: str) -> None:
    done = verify(path)
    assert (done.code, verdicts(done)["steps"]) == (code, verdict), done.out
