"""A reproduction that is killed in any step resumes there, and ends with the same bytes as one that was not."""

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from splade_anserini.artifacts.files import directory_lock
from splade_anserini.artifacts.manifests import MANIFEST
from tests.cli_runner import Outcome, run_stage
from tests.encoder_fixtures import write_dictionary_encoder
from tests.impact_fixtures import ANIMALS, documents, write_documents
from tests.tiny import WORDS

NAME = "small"
CARD = """
name = "small"
description = "Sixty documents in three shards."
corpus = "set"
encoder = "./words"

[encode]
docs_per_shard = 20

[[evaluation]]
name = "test"
topics = "set"
qrels = "set"
measures = ["nDCG@10"]
"""

# Runs the command, and kills it just before a file or directory is renamed to a path with this ending for the nth time.
KILLED_COMMAND = """
import os, signal, sys
from splade_anserini.__main__ import main

ending, left = sys.argv[1], int(sys.argv[2])
del sys.argv[1:3]

def watch(event, details):
    global left
    if event == "os.rename" and str(details[1]).endswith(ending):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(watch)
main()
"""
LEDGER = ".reproduction/splade.manifest"

# The ends of paths, and counts, at which it is killed, one after the other. Each step writes the ledger when it starts
# and when it completes, so that the second time is the end of the first step that has not been done.
KILLS = [
    ("shard-00002.jsonl.gz", 1),
    (LEDGER, 2),  # All documents are encoded, but the ledger does not say so: shards are read, but not written again.
    (f"/{NAME}", 1),
    (LEDGER, 2),  # The index is built, but the ledger does not say so.
    ("run.test.txt.gz", 1),
    (LEDGER, 2),  # The run is written, but the ledger does not say so.
    ("report.json", 1),
]


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    write_dictionary_encoder(home / "words", {word: {word: 1 + len(word) / 10} for word in WORDS.split()})
    (home / "set" / "qrels").mkdir(parents=True)
    words = WORDS.split()
    texts = {f"d{start}": " ".join(words[start : start + 8]) for start in range(60)}
    queries = {f"q{start}": " ".join(words[start : start + 2]) for start in range(0, 60, 5)}
    for name, records in [("corpus", texts), ("queries", queries)]:
        lines = [json.dumps({"_id": id_, "text": text}) for id_, text in records.items()]
        (home / "set" / f"{name}.jsonl").write_text("\n".join(lines))
    judged = [f"{id_}\td{id_[1:]}\t1" for id_ in queries]
    (home / "set" / "qrels" / "test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *judged]))
    (home / "small.toml").write_text(CARD)
    return home / "small.toml"


def run_and_kill(card: Path, output: Path, ending: str, nth: int) -> None:
    """Run the command, and kill it before a path with this ending appears for the nth time."""
    arguments = [ending, str(nth), "reproduce", card, "--output", output]
    process = subprocess.run([sys.executable, "-c", KILLED_COMMAND, *arguments], capture_output=True, check=False)
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()


def stamps(output: Path) -> dict[str, tuple[int, int]]:
    """Return inode and time of modification of what appears whole: shards, index and run."""
    reproduction = output / f"{NAME}.reproduction"
    paths = [*reproduction.glob("impacts/shard-*.gz"), *reproduction.glob("run.*.gz"), *output.glob(NAME)]
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}


@pytest.fixture
def copied(card: Path, tmp_path: Path) -> Path:
    """Return a copy of the card, with its collection, that a test may change."""
    shutil.copytree(card.parent, tmp_path / "copy")
    return tmp_path / "copy" / card.name


def run(card: Path, *options: object) -> tuple[Outcome, list[str]]:
    """Reproduce beside the card; return the outcome, and the steps that had been done before."""
    outcome = run_stage("reproduce", card, *options)
    return outcome, re.findall(r"^  (encode|index|search test): .*done before$", outcome.out, re.MULTILINE)


STEPS = ["encode", "index", "search test"]


@pytest.mark.slow
def test_killed_in_every_step_it_repeats_no_completed_work(card: Path, tmp_path: Path) -> None:
    assert run_stage("reproduce", card, "--output", tmp_path / "undisturbed").code == 0
    output = tmp_path / "disturbed"
    before: dict[str, tuple[int, int]] = {}
    for ending, nth in KILLS:
        run_and_kill(card, output, ending, nth)
        after = stamps(output)
        assert before.items() <= after.items(), f"rewritten before {ending} was"
        before = after
        assert not list(output.rglob("report.json"))
        assert run(card, "--output", output, "--plan")[0].code == 0
    assert len(before) == 5
    outcome, skipped = run(card, "--output", output)
    assert (outcome.code, outcome.err, skipped) == (0, "", STEPS)
    assert stamps(output) == before
    run_file = Path(f"{NAME}.reproduction") / "run.test.txt.gz"
    assert (output / run_file).read_bytes() == (tmp_path / "undisturbed" / run_file).read_bytes()
    assert not list(output.rglob("*.partial")), "no partial file is left"


@pytest.mark.slow
def test_the_time_left_is_printed_from_the_first_shard_on(copied: Path) -> None:
    outcome, _ = run(copied)
    left = re.findall(r"^  encode: (\d+) of 60 documents, about \d+ s left$", outcome.out, re.MULTILINE)
    assert left == ["20", "40"]


@pytest.mark.slow
def test_a_ledger_of_an_earlier_version_is_read(copied: Path) -> None:
    assert run(copied)[1] == []
    path = copied.parent / "small.reproduction" / MANIFEST
    ledger = json.loads(path.read_text())
    former = {"what" if key == "result" else key: value for key, value in ledger["steps"].pop("index").items()}
    begun = {"settings": ledger["steps"].pop("search test")["settings"], "before": None}
    ledger["steps"]["index"] = former
    del ledger["started"], ledger["checksum"]
    path.write_text(json.dumps(ledger | {"begun": {"search test": begun}}))
    outcome, skipped = run(copied)
    assert (outcome.code, outcome.err, skipped) == (0, "", STEPS)
    assert "the command was killed" in outcome.out, "the run is recognized as complete"


@pytest.mark.slow
def test_a_changed_corpus_is_encoded_again_only_with_overwrite(copied: Path) -> None:
    assert run(copied)[1] == []
    corpus = copied.parent / "set" / "corpus.jsonl"
    corpus.write_text(corpus.read_text() + '\n{"_id": "new", "text": "cat dog"}\n')
    refused, _ = run(copied)
    assert (refused.code, "contents was " in refused.err) == (2, True)
    outcome, skipped = run(copied, "--overwrite")
    assert (outcome.code, skipped) == (0, [])
    assert "61 documents" in outcome.out
    assert run(copied)[1] == STEPS


@pytest.mark.slow
def test_moved_data_are_the_same_data_and_pseudo_documents_may_be_deleted(copied: Path) -> None:
    assert run(copied)[1] == []
    (copied.parent / "set").rename(copied.parent / "moved")
    copied.write_text(CARD.replace('"set"', '"moved"'))
    shutil.rmtree(copied.parent / "small.reproduction" / "impacts")
    assert run(copied)[1] == STEPS


@pytest.mark.slow
def test_a_lost_shard_is_encoded_again_when_the_index_needs_it(copied: Path) -> None:
    assert run(copied)[1] == []
    impacts = copied.parent / "small.reproduction" / "impacts"
    before = (impacts / "shard-00001.jsonl.gz").read_bytes()
    (impacts / "shard-00001.jsonl.gz").unlink()
    assert run(copied)[1] == STEPS, "the index is built"
    shutil.rmtree(copied.parent / NAME)
    (impacts / "foreign.jsonl.gz").write_bytes(before)
    refused, _ = run(copied)
    assert (refused.code, f"Remove {impacts}" in refused.err) == (2, True)
    (impacts / "foreign.jsonl.gz").unlink()
    assert run(copied)[0].code == 0
    assert (impacts / "shard-00001.jsonl.gz").read_bytes() == before


@pytest.mark.slow
def test_encoded_documents_are_linked_and_linked_again_when_they_change(tmp_path: Path) -> None:
    write_documents(tmp_path / "given" / "a.jsonl.gz", documents(ANIMALS))
    (tmp_path / "topics.tsv").write_text("q1\tcat cat\nq2\tfish\n")
    (tmp_path / "qrels.txt").write_text("q1 0 d1 1\nq2 0 d4 1\n")
    card = tmp_path / "small.toml"
    text = CARD.replace('corpus = "set"\nencoder = "./words"', 'impacts = "given"')
    text = text.replace('topics = "set"', 'topics = "topics.tsv"\nencoded = true').replace('"set"', '"qrels.txt"')
    card.write_text(text)
    outcome, skipped = run(card)
    assert (outcome.code, outcome.err, skipped) == (0, "", [])
    assert re.search(r"nDCG@10 +1\.0000", outcome.out)
    assert re.search(r"^  link: linked to given ", outcome.out, re.MULTILINE)
    # Killed before the link was recorded.
    (tmp_path / "small.reproduction" / MANIFEST).unlink()
    shutil.rmtree(tmp_path / NAME)
    assert run(card)[0].code == 0
    # Another file.
    write_documents(tmp_path / "given" / "b.jsonl", documents({"d9": {"cat": 9}}))
    assert run(card)[0].code == 2
    assert "5 documents" in run(card, "--overwrite")[0].out
    # The output would be part of the input.
    card.write_text(text.replace('"given"', '"."').replace('name = "small"', 'name = "other"'))
    refused, _ = run(card)
    assert (refused.code, "is inside its own input" in refused.err) == (2, True)


@pytest.mark.slow
def test_an_index_without_a_record_is_refused_before_encoding_every_time(copied: Path) -> None:
    (copied.parent / NAME).mkdir()
    (copied.parent / NAME / "segments_1").touch()
    for _ in range(2):
        refused, _ = run(copied)
        assert (refused.code, "no record of how it was built" in refused.err) == (2, True)
        assert not (copied.parent / "small.reproduction" / "impacts").exists()
    assert (copied.parent / NAME / "segments_1").exists()


def test_topics_without_judgements_are_refused_before_encoding(copied: Path) -> None:
    (copied.parent / "others.txt").write_text("somebody 0 d1 1\n")
    copied.write_text(CARD.replace('qrels = "set"', 'qrels = "others.txt"'))
    refused, _ = run(copied)
    assert (refused.code, "no topic of " in refused.err) == (2, True)
    assert not (copied.parent / "small.reproduction").exists()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_reported_and_the_same_command_resumes(copied: Path) -> None:
    reproduction = copied.parent / "small.reproduction"
    reproduction.mkdir()
    for name, done in [(MANIFEST, []), ("run.test.txt.gz", []), ("report.html", ["encode", "index"])]:
        (reproduction / f"{name}.partial").symlink_to("/dev/full")
        failed, skipped = run(copied)
        assert (failed.code, "disk is full" in failed.err, skipped) == (2, True, done)
        assert not list(reproduction.rglob("*.partial"))
        assert not (reproduction / name).exists()
    assert run(copied)[1] == STEPS


def test_a_second_command_at_the_same_time_is_refused(copied: Path) -> None:
    (copied.parent / "small.reproduction").mkdir()
    with directory_lock(copied.parent / "small.reproduction"):
        refused, _ = run(copied)
    assert (refused.code, "Another process is writing to" in refused.err) == (2, True)


@pytest.mark.parametrize("output", ["file", "/proc/no"])
def test_an_output_that_cannot_be_written_is_refused(copied: Path, output: str) -> None:
    (copied.parent / "file").touch()
    refused, _ = run(copied, "--output", copied.parent / output)
    assert (refused.code, "cannot be written" in refused.err) == (2, True)


@pytest.mark.parametrize("content", ['{"kind": "index"}', "{", ""])
def test_an_invalid_ledger_is_refused(copied: Path, content: str) -> None:
    (copied.parent / "small.reproduction").mkdir()
    (copied.parent / "small.reproduction" / MANIFEST).write_text(content)
    refused, _ = run(copied)
    assert (refused.code, "is not a valid reproduction manifest" in refused.err) == (2, True)
