import shutil
from collections.abc import Sequence
from pathlib import Path

import orjson
import pytest
from ir_measures import ScoredDoc

from splade_anserini.cards.shipped import cranfield
from splade_anserini.encoding import DictionaryEncoder, ImpactQueryEncoder, open_encoder, quantize
from splade_anserini.formats.corpora import open_corpus
from splade_anserini.formats.runs import write_run
from splade_anserini.formats.topics import read_topics
from splade_anserini.index import index
from splade_anserini.lucene import ImpactSearcher, build_bm25_index, search_bm25
from splade_anserini.retrieval.fusion import FusionOptions
from splade_anserini.retrieval.hybrid import with_bm25
from splade_anserini.retrieval.options import SearchOptions
from splade_anserini.retrieval.query_vectors import encode_queries
from splade_anserini.search import search
from tests.cli_runner import Outcome, run_stage
from tests.encoder_fixtures import write_dictionary_encoder
from tests.impact_fixtures import write_encoded

HITS = 40


DOCUMENTS = list(open_corpus(str(cranfield())))[:600]
TOPICS = read_topics(str(cranfield()))[:30]
TEXTS = [document.contents for document in DOCUMENTS] + [query.text for query in TOPICS]
WORDS = {word for text in TEXTS for word in text.split()}
# Weights are lengths of words, so that rankings differ from those of BM25.
EXPANSIONS = {word: {word: len(word) / 100} for word in WORDS if word.isalpha() and len(word) > 3}


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cranfield as an impact index and as a text index, and a few of its topics."""
    directory = tmp_path_factory.mktemp("cranfield")
    encoder = open_encoder(write_dictionary_encoder(directory / "encoder", EXPANSIONS))
    vectors = encoder.encode([document.contents for document in DOCUMENTS])
    impacts = {document.id: quantize(vector, 100) for document, vector in zip(DOCUMENTS, vectors, strict=True)}
    write_encoded(directory / "impacts", impacts, shard_size=100, encoder=encoder.identity)
    index(directory / "impacts", directory / "index")
    text_index(directory, {document.id: document.contents for document in DOCUMENTS})
    # The first query has the id of a document, which it finds; the word of the last is in no document.
    lines = [f"{DOCUMENTS[0].id}\t{DOCUMENTS[0].title}", *(f"t{query.id}\t{query.text}" for query in TOPICS)]
    (directory / "topics.tsv").write_text("\n".join([*lines, "none\tzzzz"]) + "\n")
    return directory


def text_index(directory: Path, texts: dict[str, str]) -> Path:
    (directory / "json").mkdir(parents=True)
    rows = b"".join(orjson.dumps({"id": doc_id, "contents": text}) + b"\n" for doc_id, text in texts.items())
    (directory / "json" / "a.jsonl").write_bytes(rows)
    build_bm25_index(directory / "json", directory / "bm25")
    return directory / "bm25"


def run_search(collection: Path, output: Path, *options: object) -> Outcome:
    topics = collection / "topics.tsv"
    return run_stage("search", "--index", collection / "index", "--topics", topics, "--output", output, *options)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "fusion"),
    [
        ([], ["--method", "interpolation", "--normalize", "max", "--weight", "1,0.5"]),
        (["--hybrid-weight", 2], ["--method", "interpolation", "--normalize", "max", "--weight", "1,2"]),
        (["--hybrid-method", "rrf"], []),
    ],
)
def test_hybrid_search_gives_the_same_run_as_search_bm25_and_fuse(
    collection: Path, tmp_path: Path, method: list[object], fusion: list[object]
) -> None:
    impact_run, bm25_run, fused_run, hybrid_run = (
        tmp_path / f"{name}.txt" for name in ("impact", "bm25", "fused", "hybrid")
    )
    hits = ("--hits", HITS)
    assert run_search(collection, impact_run, *hits).code == 0
    queries = read_topics(str(collection / "topics.tsv"))
    write_run(bm25_run, search_bm25(collection / "bm25", queries, HITS))
    runs = ("--run", impact_run, "--run", bm25_run)
    assert run_stage("fuse", *runs, "--output", fused_run, "--depth", HITS, *hits, *fusion).code == 0
    assert run_search(collection, hybrid_run, *hits, "--hybrid", f"bm25:{collection / 'bm25'}", *method).code == 0
    assert hybrid_run.read_text() == fused_run.read_text()
    assert hybrid_run.read_text() not in (impact_run.read_text(), bm25_run.read_text())
    assert len(hybrid_run.read_text().splitlines()) == 31 * HITS


@pytest.mark.slow
def test_remove_query_leaves_the_querys_document_out_of_both_rankings(collection: Path) -> None:
    queries = read_topics(str(collection / "topics.tsv"))[:2]
    vectors = encode_queries(queries, ImpactQueryEncoder(DictionaryEncoder(EXPANSIONS), scale=100))
    doc_ids = {}
    with ImpactSearcher(collection / "index") as searcher:
        for remove_query in (True, False):
            rankings = search(vectors, searcher, SearchOptions(hits=5, remove_query=remove_query))
            fusion = FusionOptions(depth=5, hits=5)
            fused = with_bm25(rankings, queries, collection / "bm25", fusion, remove_query=remove_query)
            doc_ids[remove_query] = {query_id: [hit.doc_id for hit in ranking] for query_id, ranking in fused}
    own = queries[0].id
    assert own == doc_ids[False][own][0]
    assert own not in doc_ids[True][own]
    assert [len(ranking) for ranking in doc_ids[True].values()] == [5, 5]
    assert doc_ids[True][queries[1].id] == doc_ids[False][queries[1].id]


@pytest.mark.slow
def test_a_removed_document_is_replaced_by_the_next_one(collection: Path) -> None:
    """Each ranking alone has `hits` other documents: the search is for one more."""
    queries = read_topics(str(collection / "topics.tsv"))[:1]
    own = queries[0].id
    vectors = encode_queries(queries, ImpactQueryEncoder(DictionaryEncoder(EXPANSIONS), scale=100))

    def others(ranking: Sequence[ScoredDoc]) -> list[str]:
        return [hit.doc_id for hit in ranking if hit.doc_id != own]

    with ImpactSearcher(collection / "index") as searcher:
        ((_, impact_hits),) = search(vectors, searcher, SearchOptions(hits=5, remove_query=True))
        ((_, six),) = search(vectors, searcher, SearchOptions(hits=6))
    assert own in {hit.doc_id for hit in six}
    assert [hit.doc_id for hit in impact_hits] == others(six)
    fusion = FusionOptions(depth=5, hits=5)
    ((_, bm25_hits),) = with_bm25([(own, [])], queries, collection / "bm25", fusion, remove_query=True)
    ((_, six),) = search_bm25(collection / "bm25", queries, 6)
    assert own in {hit.doc_id for hit in six}
    assert [hit.doc_id for hit in bm25_hits] == others(six)


@pytest.fixture(scope="module")
def other_indexes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Text indexes that hybrid search cannot use, and an empty directory."""
    directory = tmp_path_factory.mktemp("others")
    text_index(directory / "others", {"x1": "the cat", "x2": "the dog"})
    text_index(directory / "blank", {"1": "the", "2": "of the"})
    (directory / "empty").mkdir()
    return directory


@pytest.mark.slow
@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{collection}/bm25", "Expected bm25: followed by the directory of a text index"),
        ("bm25:", "--hybrid 'bm25:' is not valid"),
        ("bm25:{others}/nowhere", "nowhere does not exist"),
        ("bm25:{others}/empty", "it is empty"),
        ("bm25:{collection}/index", "is an impact index; BM25 needs a text index."),
        ("bm25:{others}/blank/bm25", "has no text in its field `contents`"),
        ("bm25:{others}/others/bm25", "have no document in common"),
    ],
)
def test_an_index_that_hybrid_search_cannot_use_is_an_error(
    collection: Path, other_indexes: Path, tmp_path: Path, value: str, message: str
) -> None:
    value = value.format(collection=collection, others=other_indexes)
    outcome = run_search(collection, tmp_path / "out.txt", "--hybrid", value)
    assert (outcome.code, message in outcome.err) == (2, True), outcome.err
    assert not list(tmp_path.glob("out*"))


@pytest.mark.slow
def test_hybrid_search_of_encoded_topics_is_an_error(collection: Path, tmp_path: Path) -> None:
    options = ("--pre-encoded", "--hybrid", f"bm25:{collection / 'bm25'}")
    outcome = run_search(collection, tmp_path / "out.txt", *options)
    assert (outcome.code, "--hybrid needs their texts for BM25" in outcome.err) == (2, True), outcome.err
    assert not list(tmp_path.glob("out*"))


@pytest.mark.slow
def test_hybrid_search_of_an_index_that_was_changed_since_is_a_warning(
    collection: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("index", "bm25"):
        shutil.copytree(collection / name, tmp_path / name)
    (tmp_path / "ids.txt").write_text(f"{DOCUMENTS[3].id}\n")

    def warning(impacts: Path, texts: Path) -> bool:
        options = ("--hybrid", f"bm25:{texts}", "--output", tmp_path / "run.txt", "--overwrite")
        topics = collection / "topics.tsv"
        caplog.clear()
        outcome = run_stage("search", "--index", impacts, "--topics", topics, *options)
        assert outcome.code == 0, outcome.err
        return "BM25 finds documents that were deleted" in caplog.text

    assert not warning(tmp_path / "index", tmp_path / "bm25")
    done = run_stage("index", "--index", tmp_path / "index", "--delete", tmp_path / "ids.txt")
    assert done.code == 0, done.err
    assert warning(tmp_path / "index", tmp_path / "bm25")
    text_index(tmp_path / "again", {document.id: document.contents for document in DOCUMENTS[4:]})
    assert not warning(tmp_path / "index", tmp_path / "again" / "bm25")
