"""The plan of a reproduction: counts, disk space and inputs; and the time left, which is measured while it runs."""

import gzip
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from splade_anserini.reproduction.counts import topic_count
from splade_anserini.reproduction.plan import OutputPaths
from splade_anserini.reproduction.plan_report import (
    IMPACT_BYTES,
    INDEX_BYTES,
    POSTINGS_PER_DOCUMENT,
    VECTOR_BYTES,
    StepEstimate,
    estimate_steps,
)
from splade_anserini.reproduction.resolved_card import check_judged_topics, resolve_card
from splade_anserini.reproduction.time_left import EncodingTimer, TimeLeft
from tests.cli_runner import run_stage
from tests.impact_fixtures import ANIMALS, documents, write_documents, write_encoded

CARD = """
name = "mine"
description = "Mine."
SOURCE
encoder = "splade-mini"

[[evaluation]]
name = "test"
topics = "topics.tsv"
qrels = "qrels.txt"
measures = ["nDCG@10"]
"""


def estimates_of(home: Path, source: str, more: str = "") -> dict[str, StepEstimate]:
    """Return the estimates for a card in `home` by step."""
    (home / "topics.tsv").write_text("q1\tcat\nq2\tdog\n")
    (home / "mine.toml").write_text(CARD.replace("SOURCE", source) + more)
    resolved = resolve_card(home / "mine.toml")
    return {estimate.step.name: estimate for estimate in estimate_steps(resolved, OutputPaths(home / "out", "mine"))}


# Counts and disk space.

RECORDS = [json.dumps({"_id": f"d{number}", "text": "cat"}) for number in range(3)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("corpus.jsonl", "\n\n".join(RECORDS).encode()),
        ("corpus.jsonl.gz", gzip.compress("\n".join(RECORDS).encode())),
        ("corpus.json", f"[\n{', '.join(RECORDS)}\n]".encode()),
        ("corpus.tsv", b"d0\tcat\nd1\tcat\nd2\tcat\n"),
    ],
    ids=["jsonl", "jsonl.gz", "json", "tsv"],
)
def test_documents_of_a_corpus_in_files_are_counted(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    estimates = estimates_of(tmp_path, f'corpus = "{name}"')
    assert [*estimates] == ["encode", "index", "search test", "evaluate test"]
    assert [estimate.count for estimate in estimates.values()] == ["3 documents"] * 2 + ["2 queries"] * 2
    assert estimates["encode"].bytes == 3 * POSTINGS_PER_DOCUMENT * IMPACT_BYTES
    assert estimates["index"].bytes == 3 * POSTINGS_PER_DOCUMENT * INDEX_BYTES


def test_encoded_documents_are_counted_in_all_files_and_need_no_more_disk(tmp_path: Path) -> None:
    write_documents(tmp_path / "given" / "a.jsonl.gz", documents(ANIMALS))
    write_documents(tmp_path / "given" / "b.jsonl", documents({"d9": {"cat": 9}}))
    estimates = estimates_of(tmp_path, 'impacts = "given"')
    assert (estimates["link"].count, estimates["link"].bytes) == ("5 documents", 0)


def test_documents_and_postings_are_read_from_a_manifest(tmp_path: Path) -> None:
    manifest = write_encoded(tmp_path / "given")
    estimates = estimates_of(tmp_path, 'impacts = "given"', "[index]\nstore_docvectors = true")
    assert estimates["index"].count == "4 documents"
    assert estimates["index"].bytes == manifest.counts.postings * (INDEX_BYTES + VECTOR_BYTES)


def test_a_manifest_of_unfinished_encoding_is_not_used(tmp_path: Path) -> None:
    write_encoded(tmp_path / "given", complete=False)
    assert estimates_of(tmp_path, 'impacts = "given"')["index"].bytes == 4 * POSTINGS_PER_DOCUMENT * INDEX_BYTES


def test_what_is_missing_is_not_counted(tmp_path: Path) -> None:
    estimates = estimates_of(tmp_path, 'corpus = "gone.tsv"')
    assert (estimates["encode"].count, estimates["encode"].bytes) == ("? documents", None)
    assert (estimates["search test"].count, estimates["search test"].bytes) == ("2 queries", None)


# Topics and judgements of a split of a BEIR directory.


def test_topics_and_judgements_may_be_those_of_a_split(tmp_path: Path) -> None:
    (tmp_path / "set" / "qrels").mkdir(parents=True)
    (tmp_path / "set" / "queries.jsonl").write_text("\n".join(RECORDS))
    (tmp_path / "set" / "qrels" / "dev.tsv").write_text("query-id\tcorpus-id\tscore\nd1\td1\t1\n")
    path = tmp_path / "mine.toml"
    card = CARD.replace("SOURCE", 'corpus = "gone.tsv"')
    path.write_text(card.replace('"topics.tsv"', '"set@dev"').replace('"qrels.txt"', '"set@dev"'))
    resolved = resolve_card(path)
    assert resolved.input_states()[str(tmp_path / "set@dev")] == "found"
    assert topic_count(resolved.evaluations[0]) == 1
    check_judged_topics(resolved)


# The command.


def test_a_plan_reads_counts_from_the_registry_of_ir_datasets_and_downloads_nothing(tmp_path: Path) -> None:
    outcome = run_stage("reproduce", "msmarco-v1-passage.splade-v3", "--plan", "--output", tmp_path)
    assert (outcome.code, outcome.complaints) == (0, "")
    for line in [
        r"encode +8,841,823 documents +10\.6 GB",
        r"index +8,841,823 documents +4\.4 GB",
        r"search dev +6,980 queries +69\.8 MB",
        r"evaluate dl19 +43 queries +0\.0 MB",
        r"total +15\.1 GB",
        r"Output: .* \([\d,.]+ GB free.*\)",
        r"  from ir_datasets +irds:msmarco-passage/trec-dl-2020/judged",
        r"  from Hugging Face +splade-v3",
        r"Time is measured and printed once the first shard \(10,000 documents\) is encoded\.",
        r"Disk space is estimated at 200 postings per document .*",
    ]:
        assert re.search(f"^{line}$", outcome.out, re.MULTILINE), line
    assert not list(tmp_path.iterdir())


def test_a_plan_lists_missing_inputs_and_where_to_get_them(tmp_path: Path) -> None:
    (tmp_path / "nfcorpus" / "qrels").mkdir(parents=True)
    (tmp_path / "nfcorpus" / "qrels" / "test.tsv").touch()
    outcome = run_stage("reproduce", "nfcorpus.splade-v3", "--plan", "--data", tmp_path)
    assert (outcome.code, outcome.complaints) == (0, "")
    assert f"  missing            {tmp_path}/splade-v3.nfcorpus/docs.jsonl.gz\n" in outcome.out
    assert f"  found              {tmp_path}/nfcorpus/qrels/test.tsv\n" in outcome.out
    assert "Where to get missing inputs: splade-v3.nfcorpus: the vectors that SPLADE-v3" in outcome.out
    assert "first shard" not in outcome.out, "nothing is encoded"


def test_a_plan_without_a_data_directory_lists_what_needs_it() -> None:
    outcome = run_stage("reproduce", "nfcorpus.splade-v3", "--plan")
    assert (outcome.code, outcome.complaints) == (0, "")
    assert "  missing            {data}/splade-v3.nfcorpus/docs.jsonl.gz\n" in outcome.out


def test_a_plan_of_several_cards_ends_with_the_sum_of_their_disk_space(tmp_path: Path) -> None:
    outcome = run_stage("reproduce", "beir.scifact.d*", "beir.nfcorpus.d*", "--plan", "--output", tmp_path)
    assert (outcome.code, outcome.complaints) == (0, "")
    disk = [float(size) for size in re.findall(r"^total +([\d.]+) MB$", outcome.out, re.MULTILINE)]
    (whole,) = re.findall(r"^2 cards in total: ([\d.]+) MB$", outcome.out, re.MULTILINE)
    assert len(disk) == 2
    assert float(whole) == pytest.approx(sum(disk), abs=0.11)


def test_a_plan_says_when_the_disk_has_too_little_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10**9))
    outcome = run_stage("reproduce", "beir.scifact.d*", "beir.fever.d*", "--plan", "--output", tmp_path / "new")
    free = re.findall(r"^Output: .* \((.*)\)$", outcome.out, re.MULTILINE)
    assert free == ["1.0 GB free", "1.0 GB free, which is too little"]


# The time left.


@pytest.fixture
def time_left() -> Callable[..., list[TimeLeft]]:
    """Return a function that encodes documents, one a second, and returns what was reported."""

    def encode(total: int, docs_per_shard: int, reused: int = 0) -> list[TimeLeft]:
        now = 0.0
        reports: list[TimeLeft] = []
        timer = EncodingTimer(total, docs_per_shard, reports.append, reused=reused, clock=lambda: now)
        for document in range(total):
            now += document >= reused
            timer(1)
        return reports

    return encode


def test_the_time_left_is_reported_after_the_first_shard_and_after_each_tenth_of_the_corpus(
    time_left: Callable[..., list[TimeLeft]],
) -> None:
    reports = time_left(1000, 20)
    assert [report.documents for report in reports] == [20, *range(120, 1000, 100)]
    assert all(report.seconds == pytest.approx(1000 - report.documents) for report in reports)


def test_the_time_left_is_reported_at_most_once_per_shard(time_left: Callable[..., list[TimeLeft]]) -> None:
    assert [report.documents for report in time_left(60, 20)] == [20, 40]


def test_no_time_is_reported_for_a_corpus_of_one_shard(time_left: Callable[..., list[TimeLeft]]) -> None:
    assert time_left(20, 20) == []


def test_shards_that_were_encoded_before_do_not_count_in_the_speed(time_left: Callable[..., list[TimeLeft]]) -> None:
    reports = time_left(100, 10, reused=50)
    assert [report.documents for report in reports] == [60, 70, 80, 90]
    assert all(report.seconds == pytest.approx(100 - report.documents) for report in reports)
