"""A reproduction that is killed goes on where it stopped, wherever that was, and ends as one that was not."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import run_stage
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
        plan = run_stage("reproduce", card, "--output", output, "--plan")
        assert plan.code == 0
    assert len(found) == 5
    done = run_stage("reproduce", card, "--output", output)
    assert (done.code, done.err) == (0, "")
    assert re.findall(r"^  (encode|index|search test): .*done before$", done.out, re.MULTILINE) == [
        "encode", "index", "search test",
    ]  # fmt: skip
    assert stamps(output) == found
    run = Path(f"{NAME}.reproduction") / "run.test.txt.gz"
    assert (output / run).read_bytes() == (tmp_path / "undisturbed" / run).read_bytes()
    assert not list(output.rglob("*.partial")), "nothing half-done is left"
