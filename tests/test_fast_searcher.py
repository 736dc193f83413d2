"""FastLuceneImpactSearcher, compared with Pyserini's LuceneImpactSearcher."""

from collections.abc import Iterator
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

import pytest

from splade_anserini.errors import InputError
from splade_anserini.exporting.anserini_files import JAVA_MODEL, JAVA_VOCABULARY
from splade_anserini.lucene import FastLuceneImpactSearcher, IndexOptions, start_jvm
from tests.impact_fixtures import ANIMALS, random_vectors
from tests.tiny import SENTENCES

pytestmark = pytest.mark.slow

TEXTS = [" ".join(f"t{(number * step) % 45}" for step in range(1, 2 + number % 6)) for number in range(60)]


class WordCounter:
    """A query encoder: the impact of a word is the number of its occurrences."""

    def encode(self, text: str) -> dict[str, int]:
        words = text.split()
        return {word: words.count(word) for word in words}


class Number:
    """A query encoder: the text is the impact of t1."""

    def encode(self, text: str) -> dict[str, float]:
        return {"t1": float(text)}


@pytest.fixture(scope="module")
def directory(shared_index: Any) -> Path:
    vectors = {id_: vector | {"the": 1} for id_, vector in random_vectors(3, 400).items()}
    path: Path = shared_index(vectors, IndexOptions(threads=2, store_text=True))
    return path


@pytest.fixture(scope="module", params=[-1, 0, 1.5], ids=lambda min_idf: f"min_idf={min_idf}")
def both(request: pytest.FixtureRequest, directory: Path) -> Iterator[tuple[FastLuceneImpactSearcher, Any]]:
    from splade_anserini.lucene import LuceneImpactSearcher

    with FastLuceneImpactSearcher(directory, WordCounter(), min_idf=request.param) as fast:
        pyserinis = LuceneImpactSearcher(str(directory), WordCounter(), min_idf=request.param)
        yield fast, pyserinis
        pyserinis.close()


def rows(hits: Any) -> list[tuple[str, int, int]]:
    # Anserini subtracts millionths from tied scores, as far as float32 can represent them.
    return [(hit.docid, round(hit.score), hit.lucene_docid) for hit in hits]


@pytest.mark.parametrize("hits", [1, 10, 1000])
def test_search_returns_the_hits_of_pyserinis_searcher(both: Any, hits: int) -> None:
    fast, pyserinis = both
    for text in [*TEXTS, "the", "the t1", "unknown", ""]:
        assert rows(fast.search(text, hits)) == rows(pyserinis.search(text, hits)), text


@pytest.mark.parametrize("threads", [1, 2])
def test_batch_search_returns_the_hits_of_pyserinis_searcher(both: Any, threads: int) -> None:
    fast, pyserinis = both
    ids = [f"q{number}" for number in range(len(TEXTS))]
    results = fast.batch_search(TEXTS, ids, k=20, threads=threads)
    expected = pyserinis.batch_search(TEXTS, ids, k=20, threads=threads)
    assert list(results) == ids
    assert {id_: rows(hits) for id_, hits in results.items()} == {id_: rows(hits) for id_, hits in expected.items()}


@pytest.mark.parametrize("name", ["docid", "lucene_docid"])
def test_documents_are_those_of_pyserinis_searcher(both: Any, name: str) -> None:
    fast, pyserinis = both
    assert fast.num_docs == pyserinis.num_docs == 400
    docid = getattr(fast.search("t1", 1)[0], name)
    document, expected = fast.doc(docid), pyserinis.doc(docid)
    for method in ("id", "docid", "raw", "contents"):
        assert getattr(document, method)() == getattr(expected, method)()
    assert document.get("raw") == expected.get("raw")


@pytest.mark.parametrize("docid", ["nobody", 400, -1])
def test_there_is_no_document_with_an_unknown_id(directory: Path, docid: str | int) -> None:
    with FastLuceneImpactSearcher(directory, WordCounter()) as searcher:
        assert searcher.doc(docid) is None


def public_names(searcher: Any) -> set[str]:
    return {name for name in {*dir(type(searcher)), *vars(searcher)} if not name.startswith("_")}


def test_it_has_all_public_methods_and_attributes_of_pyserinis_searcher(both: Any) -> None:
    fast, pyserinis = both
    assert public_names(pyserinis) <= {name for name in dir(fast) if hasattr(fast, name)}


def test_its_methods_have_the_parameters_of_pyserinis_and_their_defaults() -> None:
    from splade_anserini.lucene import LuceneImpactSearcher

    def parameters(function: Any) -> list[tuple[str, object, object]]:
        return [
            (parameter.name, parameter.kind, parameter.default) for parameter in signature(function).parameters.values()
        ]

    methods = [name for name, method in vars(LuceneImpactSearcher).items() if callable(method) and name[0] != "_"]
    assert {"search", "batch_search", "encode", "set_rocchio", "doc_by_field"} <= set(methods)
    for name in ["__init__", "from_prebuilt_index", "list_prebuilt_indexes", *methods]:
        own, pyserinis = getattr(FastLuceneImpactSearcher, name), getattr(LuceneImpactSearcher, name)
        more = [("query_idf", Parameter.KEYWORD_ONLY, 0.0)] if name in {"__init__", "from_prebuilt_index"} else []
        more += [("filters", Parameter.KEYWORD_ONLY, ())] if name in {"search", "batch_search"} else []
        assert parameters(own) == [*parameters(pyserinis), *more], name


def test_its_attributes_have_the_values_of_pyserinis_searcher(both: Any) -> None:
    fast, pyserinis = both
    for name in ["min_idf", "encoder_type", "num_docs", "prebuilt_index_name"]:
        assert getattr(fast, name) == getattr(pyserinis, name), name
    assert str(fast.index_dir) == pyserinis.index_dir
    assert dict(fast.idf) == pytest.approx(pyserinis.idf)
    assert "unknown" not in fast.idf
    assert fast.object.get_total_num_docs() == 400
    assert fast.encode("the t1 the") == pyserinis.encode("the t1 the") == {"the": 2, "t1": 1}


def test_a_token_of_all_documents_counts_with_min_idf_minus_1_and_not_by_default(directory: Path) -> None:
    with FastLuceneImpactSearcher(directory, WordCounter()) as searcher:
        assert searcher.search("the") == []
    with FastLuceneImpactSearcher(directory, WordCounter(), min_idf=-1) as searcher:
        assert len(searcher.search("the")) == 10


def test_min_idf_can_be_set_after_the_searcher_was_opened(directory: Path) -> None:
    with FastLuceneImpactSearcher(directory, WordCounter()) as searcher:
        assert searcher.search("the", fields={"contents": 1.0}) == []
        searcher.min_idf = -1
        assert len(searcher.search("the")) == len(searcher.search("the", fields={"contents": 1.0})) == 10


def test_search_in_fields_adds_up_the_scores_of_the_fields_times_their_boosts(both: Any) -> None:
    fast, _ = both
    for text in [*TEXTS, "unknown", ""]:
        expected = [hit._replace(score=2.5 * hit.score) for hit in fast.search(text, 20)]
        assert fast.search(text, 20, fields={"contents": 2.5}) == expected
        assert fast.search(text, 20, fields={"contents": 2.5, "no such field": 1}) == expected
        assert fast.batch_search([text], ["q"], 20, fields={"contents": 2.5})["q"] == expected


def test_a_second_field_adds_to_the_scores_of_its_documents(directory: Path) -> None:
    with FastLuceneImpactSearcher(directory, WordCounter(), min_idf=-1) as searcher:
        last = searcher.search("t1", 400)[-1]
        first = searcher.search(f"t1 {last.docid}", 1, fields={"contents": 1, "id": 1000})[0]
        assert (first.docid, first.score) == (last.docid, last.score + 1000)


@pytest.fixture(scope="module")
def with_vectors(shared_index: Any) -> Path:
    path: Path = shared_index(random_vectors(3, 400), IndexOptions(threads=2, store_docvectors=True, store_text=True))
    return path


@pytest.mark.parametrize("method", ["rm3", "rocchio"])
def test_feedback_returns_the_hits_of_pyserinis_searcher_until_it_is_turned_off(
    method: str, with_vectors: Path
) -> None:
    from splade_anserini.lucene import LuceneImpactSearcher

    options = {"rm3": {"fb_terms": 5, "filter_terms": False}, "rocchio": {"top_fb_docs": 5, "beta": 0.5}}[method]
    pyserinis = LuceneImpactSearcher(str(with_vectors), WordCounter())
    with FastLuceneImpactSearcher(with_vectors, WordCounter()) as fast:
        before = [fast.search(text) for text in TEXTS[:10]]
        for searcher in (fast, pyserinis):
            assert not getattr(searcher, f"is_using_{method}")()
            getattr(searcher, f"set_{method}")(**options)
            assert getattr(searcher, f"is_using_{method}")()
        expanded = [[(hit.docid, hit.score, hit.lucene_docid) for hit in pyserinis.search(text)] for text in TEXTS[:10]]
        assert [[hit[:3] for hit in fast.search(text)] for text in TEXTS[:10]] == expanded
        assert [hit[:3] for hit in fast.batch_search(TEXTS[:1], ["q"])["q"]] == expanded[0]
        assert expanded != [[hit[:3] for hit in hits] for hits in before]
        getattr(fast, f"unset_{method}")()
        assert not getattr(fast, f"is_using_{method}")()
        assert [fast.search(text) for text in TEXTS[:10]] == before
    pyserinis.close()


@pytest.mark.parametrize("method", ["set_rm3", "set_rocchio"])
def test_feedback_without_document_vectors_is_an_error(method: str, shared_index: Any) -> None:
    index = shared_index(random_vectors(4, 20))
    with (
        FastLuceneImpactSearcher(index, WordCounter()) as searcher,
        pytest.raises(InputError, match="no document vectors"),
    ):
        getattr(searcher, method)()


def test_an_analyzer_changes_no_hit(both: Any) -> None:
    fast, pyserinis = both
    before = [rows(fast.search(text)) for text in TEXTS]
    from pyserini.analysis import get_lucene_analyzer

    for searcher in (fast, pyserinis):
        searcher.set_analyzer(get_lucene_analyzer())
    assert [rows(fast.search(text)) for text in TEXTS] == before == [rows(pyserinis.search(text)) for text in TEXTS]


def test_the_language_sets_the_analyzer(directory: Path) -> None:
    with FastLuceneImpactSearcher(directory, WordCounter()) as searcher:
        searcher.set_language("zh")
        assert "CJKAnalyzer" in searcher.object.get_analyzer().toString()
        with pytest.raises(InputError, match="no analyzer for the language 'klingon'"):
            searcher.set_language("klingon")


def test_fields_with_feedback_are_refused(with_vectors: Path) -> None:
    with FastLuceneImpactSearcher(with_vectors, WordCounter()) as searcher:
        searcher.set_rm3()
        with pytest.raises(InputError, match="`fields` cannot be used with feedback"):
            searcher.search("t1", fields={"contents": 1})


def test_the_document_of_a_hit_is_lucenes(both: Any) -> None:
    fast, pyserinis = both
    (hit,), (expected,) = fast.search("t1", 1), pyserinis.search("t1", 1)
    assert hit.lucene_document.get("raw") == expected.lucene_document.get("raw") != ""
    assert repr(hit) == f"Hit(docid={hit.docid!r}, score={hit.score!r}, lucene_docid={hit.lucene_docid})"


def test_a_document_is_found_by_any_indexed_field(both: Any) -> None:
    fast, pyserinis = both
    docid = fast.search("t1", 1)[0].docid
    for field, value in [("id", docid), ("id", "nobody"), ("contents", "t1"), ("no such field", "t1")]:
        document, expected = fast.doc_by_field(field, value), pyserinis.doc_by_field(field, value)
        assert (document and document.id()) == (expected and expected.id()), field


def test_weights_may_be_integers_of_any_type(directory: Path) -> None:
    with FastLuceneImpactSearcher(directory, Number()) as searcher:  # type: ignore[arg-type]
        assert len(searcher.search("2.0")) == 10


@pytest.mark.parametrize("weight", ["1.5", "-1"])
def test_a_weight_that_is_not_a_non_negative_integer_is_refused(directory: Path, weight: str) -> None:
    with (
        FastLuceneImpactSearcher(directory, Number()) as searcher,  # type: ignore[arg-type]
        pytest.raises(InputError, match="non-negative integers"),
    ):
        searcher.search(weight)


def test_a_query_without_an_id_is_refused(directory: Path) -> None:
    with (
        FastLuceneImpactSearcher(directory, WordCounter()) as searcher,
        pytest.raises(InputError, match=r"There are 1 query and 2 ids.\nExpected one id for each query"),
    ):
        searcher.batch_search(["1"], ["a", "b"])


def test_an_encoder_of_this_package_is_opened_by_its_name(directory: Path) -> None:
    from splade_anserini import OnnxQueryEncoder

    with FastLuceneImpactSearcher(directory, "splade-mini") as searcher:
        assert searcher.encode("a headache") == OnnxQueryEncoder("splade-mini").encode("a headache")


def test_without_an_encoder_queries_are_encoded_as_pyserini_does(directory: Path) -> None:
    from splade_anserini.lucene import LuceneImpactSearcher

    pyserinis = LuceneImpactSearcher(str(directory), None)
    with FastLuceneImpactSearcher(directory, None) as searcher:
        assert type(searcher.query_encoder) is type(pyserinis.query_encoder)
    pyserinis.close()


@pytest.mark.parametrize("query_encoder", ["nobody/knows-it", 3])
def test_what_is_not_an_encoder_is_refused(query_encoder: Any, directory: Path) -> None:
    with pytest.raises(InputError, match=r"[Tt]he(re is no)? query encoder"):
        FastLuceneImpactSearcher(directory, query_encoder)


@pytest.mark.parametrize(
    ("encoder_type", "problem"), [("tensorflow", "encoder type is 'tensorflow'"), ("onnx", "is not a name")]
)
def test_an_encoder_type_that_does_not_fit_is_refused(encoder_type: Any, problem: str, directory: Path) -> None:
    with pytest.raises(InputError, match=problem):
        FastLuceneImpactSearcher(directory, WordCounter(), encoder_type=encoder_type)


@pytest.fixture
def anserinis_cache(shared_models: Any, tmp_path: Path) -> Iterator[Path]:
    """A cache of Anserini in which a tiny encoder is installed as SPLADE-v3."""
    from splade_anserini.export import export
    from splade_anserini.exporting.options import ExportOptions
    from splade_anserini.modeling.checkpoint import load_checkpoint

    export(load_checkpoint(shared_models.checkpoint()), tmp_path / "encoder", ExportOptions(anserini=True), SENTENCES)
    encoders = tmp_path / "cache" / "encoders"
    encoders.mkdir(parents=True)
    for source, name in [(JAVA_MODEL, "splade-v3-optimized.onnx"), (JAVA_VOCABULARY, "splade-v3-vocab.txt")]:
        (tmp_path / "encoder" / source).rename(encoders / name)
    start_jvm()
    from jnius import autoclass

    autoclass("java.lang.System").setProperty("pyserini.cache", str(tmp_path / "cache"))
    yield tmp_path / "cache"
    autoclass("java.lang.System").clearProperty("pyserini.cache")


def test_anserinis_own_encoders_give_the_hits_of_pyserinis_searcher(shared_index: Any, anserinis_cache: Path) -> None:
    from splade_anserini.lucene import LuceneImpactSearcher

    words = {"d1": {"head": 3, "##ache": 5}, "d2": {"cat": 2, "dog": 7}, "d3": {"head": 1, "dog": 1, "doctor": 4}}
    index = shared_index(words)
    pyserinis = LuceneImpactSearcher(str(index), "SpladeV3", encoder_type="onnx")
    with FastLuceneImpactSearcher(index, "SpladeV3", encoder_type="onnx") as fast:
        for text in SENTENCES:
            assert rows(fast.search(text)) == rows(pyserinis.search(text))
            assert fast.encode(text).toString() == pyserinis.encode(text).toString() != "{}"
        assert rows(fast.batch_search(["a cat"], ["q"])["q"]) == rows(pyserinis.search("a cat"))
    pyserinis.close()


def test_a_prebuilt_index_that_pyserini_does_not_have_is_an_error() -> None:
    with pytest.raises(InputError, match="Pyserini cannot provide the index 'no-such-index'"):
        FastLuceneImpactSearcher.from_prebuilt_index("no-such-index", WordCounter())


def test_a_prebuilt_index_is_that_of_pyserinis_cache(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start_jvm()
    from pyserini import util

    monkeypatch.setattr(util, "download_prebuilt_index", lambda *_, **__: str(directory))
    with FastLuceneImpactSearcher.from_prebuilt_index("some-index", WordCounter(), min_idf=-1) as searcher:
        assert (searcher.prebuilt_index_name, searcher.min_idf, searcher.num_docs) == ("some-index", -1, 400)


def test_a_path_that_is_not_an_index_is_an_error_and_is_not_created(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"The index .*typo does not exist"):
        FastLuceneImpactSearcher(tmp_path / "typo", WordCounter())
    assert not (tmp_path / "typo").exists()


def test_documents_of_hits_are_read_without_their_vectors(directory: Path) -> None:
    with FastLuceneImpactSearcher(directory, Number(), min_idf=-1) as searcher:
        hits = searcher.search("1", 5)
        expected = [{"id": hit.docid, "contents": f"text of {hit.docid}"} for hit in hits]
        assert [hit.document for hit in hits] == expected
        assert searcher.documents([*hits, hits[0]]) == [*expected, expected[0]]
        assert searcher.documents([]) == []
        assert searcher.document(hits[3].docid) == expected[3]
        with pytest.raises(InputError, match=r"1 of 1 document is not in the index .*; the first is 'no-such-id'"):
            searcher.document("no-such-id")


def test_documents_that_are_not_stored_are_none(shared_index: Any) -> None:
    with FastLuceneImpactSearcher(shared_index(ANIMALS), Number()) as searcher:
        assert searcher.document("d1") is None
