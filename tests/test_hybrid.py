from pathlib import Path

import orjson
import pytest

from splade_anserini.cards.shipped import cranfield
from splade_anserini.encoding import DictionaryEncoder, ImpactQueryEncoder, quantize
from splade_anserini.formats.corpora import open_corpus
from splade_anserini.formats.runs import write_run
from splade_anserini.formats.topics import read_topics
from splade_anserini.index import index
from splade_anserini.lucene import ImpactSearcher, build_bm25_index, search_bm25
from splade_anserini.retrieval.hybrid import with_bm25
from splade_anserini.retrieval.options import SearchOptions
from splade_anserini.retrieval.query_vectors import encode_queries
from splade_anserini.search import search
from tests.pseudo import write_encoded
from tests.running import Outcome, run_stage

HITS = 40


DOCUMENTS = list(open_corpus(str(cranfield())))[:600]
TOPICS = read_topics(str(cranfield()))[:30]
WORDS = {
    word for text in [each.contents for each in DOCUMENTS] + [each.text for each in TOPICS] for word in text.split()
}
# Ranks otherwise than BM25: a word counts as it is long.
ENCODER = DictionaryEncoder({word: {word: len(word) / 100} for word in WORDS if word.isalpha() and len(word) > 3})


@pytest.fixture(autouse=True)
def _encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `dictionary` the name of an encoder."""
    import splade_anserini.encoding

    def opened(name: str, options: object = None) -> DictionaryEncoder:
        return {"dictionary": ENCODER}[name]

    monkeypatch.setattr(splade_anserini.encoding, "open_query_encoder", opened)


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cranfield as an impact index and as a text index, and a few of its topics."""
    place = tmp_path_factory.mktemp("cranfield")
    vectors = ENCODER.encode([each.contents for each in DOCUMENTS])
    impacts = {each.id: quantize(vector, 100) for each, vector in zip(DOCUMENTS, vectors, strict=True)}
    write_encoded(place / "impacts", impacts, encoder=ENCODER.identity)
    index(place / "impacts", place / "index")
    text_index(place, {each.id: each.contents for each in DOCUMENTS})
    # The first is named like a document, which it finds; the last has a word of no document.
    lines = [f"{DOCUMENTS[0].id}\t{DOCUMENTS[0].title}", *(f"t{query.id}\t{query.text}" for query in TOPICS)]
    (place / "topics.tsv").write_text("\n".join([*lines, "none\tzzzz"]) + "\n")
    return place


def text_index(place: Path, texts: dict[str, str]) -> Path:
    (place / "json").mkdir(parents=True)
    rows = b"".join(orjson.dumps({"id": id_, "contents": text}) + b"\n" for id_, text in texts.items())
    (place / "json" / "a.jsonl").write_bytes(rows)
    build_bm25_index(place / "json", place / "bm25")
    return place / "bm25"


def searched(place: Path, output: Path, *more: object) -> Outcome:
    topics = place / "topics.tsv"
    return run_stage("search", "--index", place / "index", "--topics", topics, "--output", output, *more)


@pytest.mark.slow
def test_hybrid_is_search_and_bm25_and_fuse(collection: Path, tmp_path: Path) -> None:
    one, other, apart, at_once = (tmp_path / name for name in ("impacts.txt", "bm25.txt", "apart.txt", "at-once.txt"))
    assert searched(collection, one, "--hits", HITS).code == 0
    queries = read_topics(str(collection / "topics.tsv"))
    write_run(other, search_bm25(collection / "bm25", queries, HITS))
    assert run_stage("fuse", "--run", one, "--run", other, "--output", apart, "--depth", HITS, "--hits", HITS).code == 0
    outcome = searched(collection, at_once, "--hits", HITS, "--hybrid", f"bm25:{collection / 'bm25'}")
    assert outcome.code == 0
    assert at_once.read_text() == apart.read_text()
    assert at_once.read_text() not in (one.read_text(), other.read_text())
    assert len(at_once.read_text().splitlines()) == 31 * HITS


@pytest.mark.slow
def test_the_querys_own_document_is_in_neither_ranking(collection: Path) -> None:
    queries = read_topics(str(collection / "topics.tsv"))[:2]
    vectors = encode_queries(queries, ImpactQueryEncoder(ENCODER, scale=100))
    found = {}
    with ImpactSearcher(collection / "index") as searcher:
        for remove in (True, False):
            rankings = search(vectors, searcher, SearchOptions(hits=5, remove_query=remove))
            fused = with_bm25(rankings, queries, collection / "bm25", 5, remove_query=remove)
            found[remove] = {query_id: [hit.doc_id for hit in ranking] for query_id, ranking in fused}
    own = queries[0].id
    assert own == found[False][own][0]
    assert own not in found[True][own]
    assert [len(ranking) for ranking in found[True].values()] == [5, 5]
    assert found[True][queries[1].id] == found[False][queries[1].id]


@pytest.mark.slow
def test_every_bad_input_has_its_sentence_and_exit_code_2(collection: Path, tmp_path: Path) -> None:
    others = text_index(tmp_path / "others", {"x1": "the cat", "x2": "the dog"})
    blank = text_index(tmp_path / "blank", {"1": "the", "2": "of the"})
    (tmp_path / "empty").mkdir()
    for name, said in [
        (collection / "bm25", "Expected bm25: and the directory"),
        ("bm25:", "nothing to search that is called 'bm25:'"),
        (f"bm25:{tmp_path / 'nowhere'}", "nowhere does not exist"),
        (f"bm25:{tmp_path / 'empty'}", "is no Lucene index: it is empty"),
        (f"bm25:{collection / 'index'}", "is an impact index"),
        (f"bm25:{blank}", "has no text to search"),
        (f"bm25:{others}", "No document of"),
    ]:
        outcome = searched(collection, tmp_path / "out.txt", "--hybrid", name)
        assert (outcome.code, said in outcome.err) == (2, True), outcome.err
    outcome = searched(collection, tmp_path / "out.txt", "--pre-encoded", "--hybrid", f"bm25:{collection / 'bm25'}")
    assert (outcome.code, "--hybrid needs their texts" in outcome.err) == (2, True), outcome.err
    assert not list(tmp_path.glob("out*"))
