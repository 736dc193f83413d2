"""A plan: what its figures rest on, and how far they are from what is taken in the end."""

import gzip
import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splade_anserini.cards.finding import find_index_cards
from splade_anserini.cards.shipped import cranfield
from splade_anserini.errors import InputError, RecordError
from splade_anserini.formats.corpora import open_corpus
from splade_anserini.reproduction import sample
from splade_anserini.reproduction.contract import open_contract
from splade_anserini.reproduction.estimates import estimated
from splade_anserini.reproduction.execution import ExecutionOptions
from splade_anserini.reproduction.plan import Places
from splade_anserini.reproduction.running import reproduce
from splade_anserini.reproduction.sample import impact_sample
from splade_anserini.reproduction.synthetic import Pool, documents, queries
from tests.pseudo import documents as pseudo_documents
from tests.pseudo import random_vectors, write_documents, write_encoded
from tests.running import run_stage

DATA = Path(os.environ.get("SPLADE_ANSERINI_DATA", Path(__file__).parents[2] / "shared" / "data"))
VECTORS = st.lists(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 9), min_size=1), min_size=1, max_size=5)


# What is made up.


@given(VECTORS, st.integers(1, 8), st.integers(0, 9))
def test_what_is_drawn_from_vectors_is_made_of_their_tokens_and_impacts(
    vectors: list[dict[str, int]], entries: int, seed: int
) -> None:
    drawn = Pool.of(vectors).vectors(5, entries, seed)
    assert len(drawn) == 5
    for vector in drawn:
        assert 1 <= len(vector) <= entries
        assert vector.keys() <= {token for held in vectors for token in held}
        assert set(vector.values()) <= {impact for held in vectors for impact in held.values()}


@settings(max_examples=5)
@given(st.integers(1, 300))
def test_documents_that_nothing_is_known_of_have_as_many_entries_as_are_wanted(entries: int) -> None:
    made = documents(Pool.assumed(), 20, entries)
    assert len({document.id for document in made}) == 20
    mean = sum(len(document.vector) for document in made) / 20
    assert 0.95 * entries <= mean <= entries
    assert made == documents(Pool.assumed(), 20, entries), "the same every time"
    assert queries(Pool.assumed(), 20, entries) != {document.id: document.vector for document in made}


# What is encoded already.


def test_few_records_are_counted_and_no_more_are_kept_than_are_wanted(tmp_path: Path) -> None:
    vectors = random_vectors(1, 300)
    write_documents(tmp_path / "a.jsonl.gz", pseudo_documents(vectors)[:200])
    write_documents(tmp_path / "b.jsonl", pseudo_documents(vectors)[200:])
    found = impact_sample(tmp_path, 50)
    assert (found.total, found.counted, found.files) == (300, "counted", 2)
    assert sum(len(document.vector) for document in found.documents[:-1]) < 50
    assert impact_sample(tmp_path / "b.jsonl", 10**6).total == len(impact_sample(tmp_path / "b.jsonl", 10**6).documents)


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz"])
def test_of_many_records_the_number_is_reckoned_from_the_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.setattr(sample, "COUNTED", 1000)
    for part in range(3):
        write_documents(tmp_path / f"{part}.{suffix}", pseudo_documents(random_vectors(part, 2000)))
    found = impact_sample(tmp_path, 4000)
    assert len(found.documents) < 2000
    assert found.total == pytest.approx(6000, rel=0.1)
    assert found.counted.startswith("reckoned from the first ")


def test_what_a_manifest_counts_is_not_counted_again(tmp_path: Path) -> None:
    write_encoded(tmp_path)
    found = impact_sample(tmp_path, 1)
    assert (found.total, found.counted, len(found.documents)) == (4, "read from the manifest", 1)


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": "d1"}\n')
    with pytest.raises(RecordError, match=r"a\.jsonl, line 1: no vector"):
        impact_sample(tmp_path, 100)


def test_nothing_is_no_collection(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").touch()
    with pytest.raises(InputError, match="holds no impact pseudo-documents"):
        impact_sample(tmp_path, 100)


# The figures of a card.


def test_a_plan_of_what_is_not_at_hand_says_what_is_assumed_and_downloads_nothing(tmp_path: Path) -> None:
    outcome = run_stage("reproduce", "msmarco-v1-passage.splade-v3", "--plan", "--output", tmp_path)
    assert (outcome.code, outcome.err) == (0, "")
    for part in [
        "8,841,823 documents", "6,980 queries", "43 queries", "54 queries", "Free there",
        "encode: documents read from ir_datasets' registry; assumed, as the encoder is not at hand",
        "index: measured on 4,000 made-up documents, 150 entries each",
        "search dev, search dl19, search dl20: assumed: 25 entries a query",
        "evaluate dev, evaluate dl19, evaluate dl20: measured",
    ]:  # fmt: skip
        assert part in outcome.out
    assert not list(tmp_path.iterdir())


def test_several_plans_have_a_sum(tmp_path: Path) -> None:
    outcome = run_stage("reproduce", "beir.scifact.*", "beir.nfcorpus.*", "--plan", "--output", tmp_path)
    assert (outcome.code, outcome.err) == (0, "")
    assert re.search(r"^2 cards altogether: [\d.,]+ \w+, [\d.]+ MB$", outcome.out, re.MULTILINE)
    disk = [float(size) for size in re.findall(r"^altogether .* ([\d.]+) MB$", outcome.out, re.MULTILINE)]
    (whole,) = re.findall(r"^2 cards altogether: .* ([\d.]+) MB$", outcome.out, re.MULTILINE)
    assert float(whole) == pytest.approx(sum(disk), abs=0.11)


def near(card: Path, data: Path, output: Path) -> None:
    """Hold what a plan says of disk against what a reproduction takes; both within 1.5 of each other."""
    contract, means = open_contract(card, data), ExecutionOptions()
    places = Places(output, contract.card.name)
    planned = {one.step.name: one for one in estimated(contract, places, means)}
    assert not output.exists() or not list(output.iterdir()), "a plan leaves nothing behind"
    reproduce(contract, places, means, lambda *_: None)
    taken = {"index": places.index, "search test": places.run("test")}
    if not contract.impacts:
        taken["encode"] = places.impacts
    for name, path in taken.items():
        files = path.rglob("*") if path.is_dir() else [path]
        size = sum(file.stat().st_size for file in files)
        assert size / 1.5 < (planned[name].bytes or 0) < size * 1.5, name


@pytest.mark.slow
def test_a_plan_is_near_what_an_encoder_and_texts_take(tmp_path: Path) -> None:
    (shipped,) = find_index_cards("cranfield.splade-mini")
    lines = [json.dumps({"_id": one.id, "title": one.title, "text": one.text}) for one in open_corpus(str(cranfield()))]
    (tmp_path / "corpus.jsonl.gz").write_bytes(gzip.compress("\n".join(lines[:300]).encode()))
    card = shipped.read_text(encoding="utf-8").replace('corpus = "{package}/cranfield"', 'corpus = "corpus.jsonl.gz"')
    (tmp_path / shipped.name).write_text(card)
    near(tmp_path / shipped.name, tmp_path, tmp_path / "output")


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "splade-v3.nfcorpus").is_dir(), reason=f"the vectors of NFCorpus are not at {DATA}")
def test_a_plan_is_near_what_real_vectors_take(tmp_path: Path) -> None:
    (card,) = find_index_cards("nfcorpus.splade-v3")
    near(card, DATA, tmp_path)
