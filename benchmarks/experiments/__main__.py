"""Train small models one after the other, each with one or two changes to card.toml, and evaluate them.

Run: python benchmarks/experiments --data DIR [--output DIR] [--only NAME …] [--plot FILE]

DIR holds msmarco-sample/, nfcorpus/ and cranfield/. Each run adds a line to OUTPUT/results.jsonl; runs that are in this
file are skipped, and an interrupted one resumes. The tables are printed at the end, in Markdown.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from judge import Collection, Encoded, check, rankings
from prepare import TRAINED, ZERO_SHOT, bm25_index, collections, run_command, training_data
from report import draw, tables
from runs import RUNS, Run

from splade_anserini.cards.encoder_card import EncoderCard
from splade_anserini.cards.finding import read_card
from splade_anserini.lucene import search_bm25
from splade_anserini.parallel import cpu_count

CARD = Path(__file__).with_name("card.toml")
BM25, WARM = "BM25", "warm start, untrained"

type Row = dict[str, Any]


class Results:
    """The file of results, with a line of JSON for each run."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.rows: dict[str, Row] = {}
        for line in path.read_text().splitlines() if path.exists() else []:
            row = json.loads(line)
            self.rows[row["name"]] = row

    def has(self, name: str, settings: Mapping[str, Any]) -> bool:
        """Return whether the run was done with these settings."""
        return name in self.rows and self.rows[name]["settings"] == settings

    def add(self, row: Row) -> None:
        """Add a row, and write it to the file."""
        self.rows[row["name"]] = row
        with self._path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(row["name"], json.dumps(row["measures"]), file=sys.stderr, flush=True)


class Bench:
    """The collections, training examples and results that all runs share."""

    def __init__(self, data: Path, output: Path, changes: Sequence[str]) -> None:
        self._output, self._changes = output, tuple(changes)
        output.mkdir(parents=True, exist_ok=True)
        self._directories = collections(data, output)
        self._collections = {name: Collection.read(directory) for name, directory in self._directories.items()}
        card = read_card(CARD, EncoderCard, self._changes)
        if card.training is None:
            raise ValueError(f"{CARD} has no [training]")
        self._card, self._recipe = card, card.training
        self._examples = training_data(data, output, self._recipe.steps * self._recipe.batch_size)
        self.results = Results(output / "results.jsonl")

    def settings(self, run: Run | None = None) -> Row:
        """Return the settings that decide the content of a row."""
        changes = [*self._changes, *(run.changes if run else ())]
        card = read_card(CARD, EncoderCard, changes).model_dump(mode="json", exclude_none=True)
        return {"card": card, "data": run.data if run else ""}

    def rows(self) -> dict[str, Row]:
        """Return the rows of all runs that were done with the current settings."""
        current = {BM25: self.settings(), WARM: self.settings(), **{run.name: self.settings(run) for run in RUNS}}
        return {name: self.results.rows[name] for name, settings in current.items() if self.results.has(name, settings)}

    def bm25(self) -> None:
        """Evaluate BM25, on whole documents."""
        settings = self.settings()
        if self.results.has(BM25, settings):
            return
        row: Row = {"name": BM25, "settings": settings, "measures": {}, "sparsity": {}}
        for name, collection in self._collections.items():
            hits = search_bm25(bm25_index(self._directories[name], self._output), collection.queries, 100, cpu_count())
            row["measures"][name] = collection.measures(hits)
        self.results.add(row)

    def warm_start(self) -> None:
        """Evaluate the model from which all runs start, and compare the search with Lucene's."""
        settings = self.settings()
        if self.results.has(WARM, settings):
            return
        checkpoint, head = self._output / "warm-start", self._recipe.head
        if not checkpoint.exists() and head:
            numbers = ("--threshold", head.threshold, "--logit-scale", head.logit_scale)
            run_command("warm-start", "--backbone", self._recipe.backbone, *numbers, "--output", checkpoint)
        self.results.add({"name": WARM, "settings": settings, **self._evaluate(checkpoint, compare=True)})

    def train(self, run: Run) -> None:
        """Train, evaluate, and add the row."""
        settings = self.settings(run)
        if self.results.has(run.name, settings):
            return
        digest = blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=4).hexdigest()
        checkpoint = self._output / "checkpoints" / f"{run.name.replace(',', '').replace(' ', '-')}-{digest}"
        begin = time.perf_counter()
        if not checkpoint.exists():
            changes = [word for change in (*self._changes, *run.changes) for word in ("--set", change)]
            run_command("train", "--card", CARD, "--data", self._examples[run.data], *changes, "--output", checkpoint)
        minutes = (time.perf_counter() - begin) / 60
        row = {"name": run.name, "settings": settings, "steps": self._recipe.steps, **self._evaluate(checkpoint)}
        self.results.add({**row, "minutes": {"train": minutes, **row["minutes"]}})

    def _evaluate(self, checkpoint: Path, *, compare: bool = False) -> Row:
        begin = time.perf_counter()
        row: Row = {"measures": {}, "sparsity": {}}
        for name, collection in self._collections.items():
            encoded = Encoded.of(str(checkpoint), collection, self._card.max_length)
            if compare:
                check(collection, encoded, self._output / "lucene")
            row["measures"][name] = collection.measures(rankings(collection, encoded))
            row["sparsity"][name] = encoded.sparsity()
        return {**row, "minutes": {"judge": (time.perf_counter() - begin) / 60}}


def main() -> None:
    """Print tables on stdout and progress on stderr."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help=f"directory of {TRAINED}, {', '.join(ZERO_SHOT)}")
    parser.add_argument("--output", type=Path, default=Path("build") / "experiments", help="directory for all outputs")
    parser.add_argument("--only", action="append", choices=[run.name for run in RUNS], help="repeat for several")
    parser.add_argument("--set", action="append", default=[], help="change a line of card.toml for all runs")
    parser.add_argument("--plot", type=Path, help="plot of effectiveness against FLOPS (PNG)")
    arguments = parser.parse_args()
    bench = Bench(arguments.data, arguments.output, arguments.set)
    bench.bm25()
    bench.warm_start()
    failed = []
    for run in RUNS:
        try:
            if not arguments.only or run.name in arguments.only:
                bench.train(run)
        except subprocess.CalledProcessError:  # the command has printed why; other runs do not depend on this one
            failed.append(run.name)
    rows = bench.rows()
    print(tables(rows))
    if arguments.plot:
        draw(rows, arguments.plot)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
