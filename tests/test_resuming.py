"""A reproduction that is killed goes on where it stopped, wherever that was, and ends as one that was not."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from splade_anserini.artifacts.files import directory_lock
from splade_anserini.artifacts.manifests import MANIFEST
from tests.pseudo import ANIMALS, documents, write_documents
from tests.running import Outcome, run_stage
from tests.tiny import WORDS, tiny_checkpoint

NAME = "small"
CARD = """
name = "small"
description = "Sixty documents in three shards."
corpus = "set"
encoder = "./tiny"

[encode]
docs_per_shard = 20

[[evaluation]]
name = "test"
topics = "set"
qrels = "set"
measures = ["nDCG@10"]
"""

# Runs the command, and kills it without a warning when a file or directory of that name is put in place for the nth
# time: before it stands there.
VICTIM = """
import os, signal, sys
place, nth, *arguments = sys.argv[1:]
left = int(nth)
def watch(event, details):
    global left
    if event == "os.rename" and str(details[1]).endswith(place):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
sys.argv = ["reproduce", *arguments]
from splade_anserini.__main__ import main
main()
"""
LEDGER = ".reproduction/splade.manifest"

# Where it is killed, time after time. Each step writes the ledger when it begins and when it ends, so that the second
# time is the end of the first step that is not done.
DEATHS = [
    ("shard-00002.jsonl.gz", 1),
    (LEDGER, 2),  # All is encoded, but the ledger does not say so: shards are read over, none is written again.
    (f"/{NAME}", 1),
    (LEDGER, 2),  # The index stands, but the ledger does not say so.
    ("run.test.txt.gz", 1),
    (LEDGER, 2),  # The run stands, but the ledger does not say so.
    ("report.json", 1),
]


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    tiny_checkpoint(home / "tiny")
    (home / "set" / "qrels").mkdir(parents=True)
    words = WORDS.split()
    texts = {f"d{number}": " ".join(words[number : number + 8]) for number in range(60)}
    queries = {f"q{number}": " ".join(words[number : number + 2]) for number in range(0, 60, 5)}
    for name, some in [("corpus", texts), ("queries", queries)]:
        lines = [json.dumps({"_id": id_, "text": text}) for id_, text in some.items()]
        (home / "set" / f"{name}.jsonl").write_text("\n".join(lines))
    judged = [f"{id_}\td{id_[1:]}\t1" for id_ in queries]
    (home / "set" / "qrels" / "test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *judged]))
    (home / "small.toml").write_text(CARD)
    return home / "small.toml"


def killed(card: Path, output: Path, place: str, nth: int) -> None:
    arguments = [sys.executable, "-c", VICTIM, place, str(nth), "reproduce", str(card), "--output", str(output)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr


def stamps(output: Path) -> dict[str, tuple[int, int]]:
    """Return inode and time of what appears whole: shards, index and run."""
    work = output / f"{NAME}.reproduction"
    places = [*work.glob("impacts/shard-*.gz"), *work.glob("run.*.gz"), *output.glob(NAME)]
    return {place.name: (place.stat().st_ino, place.stat().st_mtime_ns) for place in places}


@pytest.fixture
def copied(card: Path, tmp_path: Path) -> Path:
    """A card and a collection to change."""
    shutil.copytree(card.parent, tmp_path / "copy")
    return tmp_path / "copy" / card.name


def run(card: Path, *options: object) -> tuple[Outcome, list[str]]:
    """Reproduce beside the card; return what was said, and the steps that had been done before."""
    outcome = run_stage("reproduce", card, *options)
    return outcome, re.findall(r"^  (encode|index|search test): .*done before$", outcome.out, re.MULTILINE)


STEPS = ["encode", "index", "search test"]


@pytest.mark.slow
def test_killed_in_every_step_it_does_nothing_twice_that_was_whole(card: Path, tmp_path: Path) -> None:
    assert run_stage("reproduce", card, "--output", tmp_path / "undisturbed").code == 0
    output = tmp_path / "disturbed"
    found: dict[str, tuple[int, int]] = {}
    for place, nth in DEATHS:
        killed(card, output, place, nth)
        now = stamps(output)
        assert found.items() <= now.items(), f"made again before {place} was"
        found = now
        assert not list(output.rglob("report.json"))
        assert run(card, "--output", output, "--plan")[0].code == 0
    assert len(found) == 5
    done, before = run(card, "--output", output)
    assert (done.code, done.err, before) == (0, "", STEPS)
    assert stamps(output) == found
    ranked = Path(f"{NAME}.reproduction") / "run.test.txt.gz"
    assert (output / ranked).read_bytes() == (tmp_path / "undisturbed" / ranked).read_bytes()
    assert not list(output.rglob("*.partial")), "nothing half-done is left"


@pytest.mark.slow
def test_a_corpus_that_changed_is_encoded_anew_only_when_told(copied: Path) -> None:
    assert run(copied)[1] == []
    corpus = copied.parent / "set" / "corpus.jsonl"
    corpus.write_text(corpus.read_text() + '\n{"_id": "new", "text": "cat dog"}\n')
    refused, _ = run(copied)
    assert (refused.code, "contents was " in refused.err) == (2, True)
    done, before = run(copied, "--force")
    assert (done.code, before) == (0, [])
    assert "61 documents" in done.out
    assert run(copied)[1] == STEPS


@pytest.mark.slow
def test_data_that_moved_are_the_same_data_and_pseudo_documents_may_go(copied: Path) -> None:
    assert run(copied)[1] == []
    (copied.parent / "set").rename(copied.parent / "moved")
    copied.write_text(CARD.replace('"set"', '"moved"'))
    shutil.rmtree(copied.parent / "small.reproduction" / "impacts")
    assert run(copied)[1] == STEPS


@pytest.mark.slow
def test_a_shard_that_was_lost_is_made_again_when_the_index_needs_it(copied: Path) -> None:
    assert run(copied)[1] == []
    impacts = copied.parent / "small.reproduction" / "impacts"
    before = (impacts / "shard-00001.jsonl.gz").read_bytes()
    (impacts / "shard-00001.jsonl.gz").unlink()
    assert run(copied)[1] == STEPS, "the index holds it"
    shutil.rmtree(copied.parent / NAME)
    (impacts / "foreign.jsonl.gz").write_bytes(before)
    told, _ = run(copied)
    assert (told.code, f"Remove {impacts}" in told.err) == (2, True)
    (impacts / "foreign.jsonl.gz").unlink()
    assert run(copied)[0].code == 0
    assert (impacts / "shard-00001.jsonl.gz").read_bytes() == before


@pytest.mark.slow
def test_documents_that_are_encoded_already_are_taken_from_a_directory_and_taken_again(tmp_path: Path) -> None:
    write_documents(tmp_path / "given" / "a.jsonl.gz", documents(ANIMALS))
    (tmp_path / "topics.tsv").write_text("q1\tcat cat\nq2\tfish\n")
    (tmp_path / "qrels.txt").write_text("q1 0 d1 1\nq2 0 d4 1\n")
    card = tmp_path / "small.toml"
    text = CARD.replace('corpus = "set"\nencoder = "./tiny"', 'impacts = "given"')
    text = text.replace('topics = "set"', 'topics = "topics.tsv"\nencoded = true').replace('"set"', '"qrels.txt"')
    card.write_text(text)
    done, before = run(card)
    assert (done.code, done.err, before) == (0, "", [])
    assert re.search(r"nDCG@10 +1\.0000", done.out)
    # Killed between taking and the note of it.
    (tmp_path / "small.reproduction" / MANIFEST).unlink()
    shutil.rmtree(tmp_path / NAME)
    assert run(card)[0].code == 0
    # More of them.
    write_documents(tmp_path / "given" / "b.jsonl", documents({"d9": {"cat": 9}}))
    assert run(card)[0].code == 2
    assert "5 documents" in run(card, "--force")[0].out
    # Their own home would be read as well.
    card.write_text(text.replace('"given"', '"."').replace('name = "small"', 'name = "other"'))
    refused, _ = run(card)
    assert (refused.code, "lies inside" in refused.err) == (2, True)


@pytest.mark.slow
def test_an_index_of_somebody_else_is_found_before_the_long_work_however_often_one_asks(copied: Path) -> None:
    (copied.parent / NAME).mkdir()
    (copied.parent / NAME / "segments_1").touch()
    for _ in range(2):
        refused, _ = run(copied)
        assert (refused.code, "no record of how it was made" in refused.err) == (2, True)
        assert not (copied.parent / "small.reproduction" / "impacts").exists()
    assert (copied.parent / NAME / "segments_1").exists()


def test_topics_that_nobody_judged_are_found_before_the_long_work(copied: Path) -> None:
    (copied.parent / "others.txt").write_text("somebody 0 d1 1\n")
    copied.write_text(CARD.replace('qrels = "set"', 'qrels = "others.txt"'))
    refused, _ = run(copied)
    assert (refused.code, "no topic of " in refused.err) == (2, True)
    assert not (copied.parent / "small.reproduction").exists()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_said_and_the_same_command_goes_on(copied: Path) -> None:
    work = copied.parent / "small.reproduction"
    work.mkdir()
    before: list[str] = []
    for name, done in [(MANIFEST, []), ("run.test.txt.gz", []), ("report.html", ["encode", "index"])]:
        (work / f"{name}.partial").symlink_to("/dev/full")
        told, before = run(copied)
        assert (told.code, "disk is full" in told.err, before) == (2, True, done)
        assert not list(work.rglob("*.partial"))
        assert not (work / name).exists()
    assert run(copied)[1] == STEPS


def test_two_at_once_are_one_too_many(copied: Path) -> None:
    (copied.parent / "small.reproduction").mkdir()
    with directory_lock(copied.parent / "small.reproduction"):
        refused, _ = run(copied)
    assert (refused.code, "Another process is writing to" in refused.err) == (2, True)


def test_a_place_that_cannot_be_is_told(copied: Path) -> None:
    (copied.parent / "file").touch()
    for place in [copied.parent / "file", Path("/proc/no")]:
        refused, _ = run(copied, "--output", place)
        assert (refused.code, "cannot be written" in refused.err) == (2, True)
    for foreign in ['{"kind": "index"}', "{", ""]:
        (copied.parent / "small.reproduction").mkdir(exist_ok=True)
        (copied.parent / "small.reproduction" / MANIFEST).write_text(foreign)
        refused, _ = run(copied)
        assert (refused.code, "is no ReproductionManifest" in refused.err) == (2, True)
