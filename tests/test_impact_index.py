"""ImpactIndex: from texts to hits in memory, and to an ordinary index on disk."""

import contextlib
import gc
import io
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from splade_anserini import DictionaryEncoder, Document, ImpactIndex, InMemoryCorpus, open_encoder
from splade_anserini.artifacts.manifests import IndexManifest, read_manifest
from splade_anserini.encode import encode
from splade_anserini.errors import InputError, MismatchError, OutputError
from splade_anserini.impact_index import Hit
from tests.cli_runner import run_stage
from tests.encoder_fixtures import ENCODER, EXPANSIONS, write_dictionary_encoder
from tests.impact_fixtures import write_encoded

pytestmark = pytest.mark.slow

TEXTS = ["cats sleep", "dogs bark", "dogs sleep", "nothing known"]


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory for temporary files, which every test leaves empty."""
    home = tmp_path / "temporary"
    home.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(home))
    return home


@pytest.fixture(scope="module")
def shared() -> Iterator[ImpactIndex]:
    with ImpactIndex.from_texts(TEXTS, encoder=ENCODER) as index:
        yield index


def test_texts_are_found_by_queries_best_first_with_score_and_text(shared: ImpactIndex) -> None:
    assert shared.search("sleep pet cats") == [
        Hit("0", 200.0 * 200 + 50 * 50 + 150 * 150, "cats sleep"),
        Hit("2", 75.0 * 50 + 150 * 150, "dogs sleep"),
        Hit("1", 75.0 * 50, "dogs bark"),
    ]
    assert [hit.id for hit in shared.search("sleep", k=1)] == ["0"]


def test_several_queries_give_a_list_of_hits_for_each(shared: ImpactIndex) -> None:
    queries = ["cats", "nothing", "sleep", "cats"]
    assert shared.search(iter(queries), k=5) == [shared.search(query, k=5) for query in queries]
    assert shared.search([]) == []


def test_texts_with_an_empty_vector_are_not_found_and_not_counted(shared: ImpactIndex) -> None:
    assert len(shared) == 3
    assert repr(shared) == f"<ImpactIndex in {shared.directory}: 3 documents>"


def test_hits_have_the_documents_that_are_stored(shared: ImpactIndex) -> None:
    hits = shared.search("cats dogs")
    assert [hit.document for hit in hits] == [{"id": hit.id, "contents": hit.text} for hit in hits]
    assert shared.document(hits[0].id) == hits[0].document
    assert next(shared.search_vectors([{"cat": 1}], with_text=False))[0].document is None
    with pytest.raises(InputError, match="the first is 'no-such-id'"):
        shared.document("no-such-id")


def test_ids_and_texts_are_any_iterables() -> None:
    with ImpactIndex.from_texts(map(str.lower, ["CATS", "Dogs"]), (f"d{n}" for n in (7, 8)), encoder=ENCODER) as index:
        assert index.search("cats dogs") == [Hit("d8", 45625.0, "dogs"), Hit("d7", 43750.0, "cats")]


@pytest.mark.slow
def test_documents_bring_their_ids_and_titles() -> None:
    texts = ["cats sleep", "dogs bark"]
    documents = [Document("d1", "cats", "sleep"), Document("d2", "", "dogs bark")]
    with (
        ImpactIndex.from_texts(texts, ["d1", "d2"]) as expected,
        ImpactIndex.from_texts(documents) as index,
    ):
        assert index.search("cats", k=2) == expected.search("cats", k=2)
    with pytest.raises(InputError, match=r"texts\[1\] is Document"):
        ImpactIndex.from_texts(["cats sleep", documents[1]])


def test_encode_takes_names(tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl").write_text('{"id": "d1", "text": "cats sleep"}\n')
    encode(tmp_path / "corpus.jsonl", "splade-mini-v2", tmp_path / "named")
    corpus = InMemoryCorpus("texts", [Document("d1", "", "cats sleep")])
    encode(corpus, open_encoder("splade-mini-v2"), tmp_path / "opened")
    first, second = (sorted(directory.glob("*.gz")) for directory in (tmp_path / "named", tmp_path / "opened"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second] != []


@pytest.mark.parametrize(
    ("texts", "ids", "message"),
    [
        (["a", "b"], ["d1", "d1"], r"document 2: duplicate document id 'd1' \(first seen at document 1\)"),
        (["a"], [""], "the id is empty"),
        (["a"], ["d\t1"], r"the id 'd\\t1' contains white space"),
        (["a", "b"], ["d1"], r"There are 2 texts and 1 id\.\nExpected one id for each text"),
        ([], None, "There are no texts to index"),
        ("a text", None, "texts is a single string"),
        (["a"], "d1", "ids is a single string"),
        (["a", None], None, r"texts\[1\] is None\.\nExpected a string"),
        (["a"], [1], r"ids\[0\] is 1\.\nExpected a string"),
        (["unknown"], None, "has nothing to index: all document vectors are empty"),
    ],
)
def test_what_cannot_be_indexed_is_refused_and_leaves_no_files(
    texts: Any, ids: Any, message: str, temporary: Path
) -> None:
    with pytest.raises(InputError, match=message):
        ImpactIndex.from_texts(texts, ids, encoder=ENCODER)
    assert list(temporary.iterdir()) == []


def test_k_must_be_at_least_1(shared: ImpactIndex) -> None:
    with pytest.raises(InputError, match="k must be at least 1, got 0"):
        shared.search("cats", k=0)


def test_scale_and_static_pruning_are_options_and_recorded() -> None:
    with ImpactIndex.from_texts(TEXTS, encoder=ENCODER, scale=10, top_k=1, store_text=False) as index:
        assert index.search("sleep pet cats") == [Hit("0", 20.0 * 20, None)]
        manifest = read_manifest(index.directory, IndexManifest)
    assert manifest is not None
    assert manifest.scale == 10
    assert manifest.counts.postings == 3


def test_a_query_encoder_of_its_own_must_have_the_vocabulary_of_the_documents() -> None:
    alike = DictionaryEncoder(EXPANSIONS | {"felines": {"cat": 1.0}})
    with ImpactIndex.from_texts(TEXTS, encoder=ENCODER, query_encoder=alike) as index:
        assert [hit.id for hit in index.search("felines")] == ["0"]
    other = DictionaryEncoder({"felines": {"feline": 1.0}})
    with (
        ImpactIndex.from_texts(TEXTS, encoder=ENCODER, query_encoder=other) as index,
        pytest.raises(MismatchError, match="has another vocabulary"),
    ):
        index.search("felines")


def test_the_files_are_removed_at_the_end_of_the_block_and_a_closed_index_says_so(temporary: Path) -> None:
    with ImpactIndex.from_texts(TEXTS, encoder=ENCODER) as index:
        assert list(temporary.iterdir()) == [index.directory.parent]
    assert list(temporary.iterdir()) == []
    index.close()
    with pytest.raises(InputError, match="The index is closed"):
        index.search("cats")
    with pytest.raises(InputError, match="The index is closed"):
        index.save(temporary / "saved")


def test_an_index_that_is_not_used_any_more_is_removed_and_gives_its_memory_back(temporary: Path) -> None:
    index = ImpactIndex.from_texts(TEXTS, encoder=ENCODER)
    assert len(index.search("cats")) == 3
    del index
    gc.collect()
    assert list(temporary.iterdir()) == []
    with ImpactIndex.from_texts(TEXTS, encoder=ENCODER) as other:
        assert len(other.search("cats")) == 3
    if sys.platform == "linux":
        assert str(temporary) not in Path("/proc/self/maps").read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_does_not_remove_the_index_of_its_parent(temporary: Path) -> None:
    with ImpactIndex.from_texts(TEXTS, encoder=ENCODER) as index:
        child = os.fork()
        if child == 0:
            index._finalizer()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert index.search("sleep")[0].text == "cats sleep"
        assert index.directory.is_dir()


@pytest.mark.slow
def test_a_program_that_ends_leaves_no_files(temporary: Path) -> None:
    code = f"""
from splade_anserini import DictionaryEncoder, ImpactIndex
index = ImpactIndex.from_texts(["cats"], encoder=DictionaryEncoder({EXPANSIONS!r}))
print(index.search("cats"))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[Hit(id='0', score=42500.0, text='cats')]\n"
    assert done.stderr == ""
    assert [path for path in temporary.iterdir() if path.name.startswith("splade-anserini")] == []


@pytest.mark.slow
def test_threads_that_share_an_index_get_the_hits_that_one_gets(shared: ImpactIndex) -> None:
    queries = ["cats", "sleep", "dogs bark", "sleep pet cats", "nothing"] * 20
    expected = shared.search(queries)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(shared.search, queries)) == expected


@pytest.mark.slow
@pytest.mark.parametrize("power", [0, 0.75])
def test_the_results_are_those_of_encode_index_and_search_to_the_byte(tmp_path: Path, power: float) -> None:
    name = write_dictionary_encoder(tmp_path / "encoder", EXPANSIONS, scale=51.2)
    texts = [f"{first} {second}" for first in EXPANSIONS for second in EXPANSIONS]
    ids = [f"d{(7 * position) % 31}" for position in range(len(texts))]
    queries = {"q1": "cats", "q2": "sleep bark", "q3": "dogs sleep"}
    files = {kind: tmp_path / kind for kind in ("corpus.tsv", "topics.tsv", "impacts", "index", "saved")}
    files["corpus.tsv"].write_text("".join(f"{id_}\t{text}\n" for id_, text in zip(ids, texts, strict=True)))
    files["topics.tsv"].write_text("".join(f"{id_}\t{text}\n" for id_, text in queries.items()))
    for command in (
        ("encode", "--corpus", files["corpus.tsv"], "--encoder", name, "--output", files["impacts"]),
        ("index", "--input", files["impacts"], "--index", files["index"], "--store-text"),
    ):
        assert run_stage(*command).code == 0
    with ImpactIndex.from_texts(texts, ids, encoder=name) as index:
        assert index.query_idf == 0
        index.query_idf = power
        index.save(files["saved"])
        hits = dict(zip(queries, index.search(list(queries.values()), k=10), strict=True))
    runs = {}
    for kind in ("index", "saved"):
        run = tmp_path / f"{kind}.txt"
        options = ("--topics", files["topics.tsv"], "--output", run, "--hits", 10, "--query-idf", power)
        done = run_stage("search", "--index", files[kind], *options)
        assert done.code == 0, done.err
        runs[kind] = run.read_bytes()
    assert runs["saved"] == runs["index"]
    lines = [line.split() for line in runs["index"].decode().splitlines()]
    assert [(line[0], line[2]) for line in lines] == [(id_, hit.id) for id_, found in hits.items() for hit in found]
    with ImpactIndex.open(files["index"], query_idf=power) as reopened:
        assert reopened.query_idf == power
        assert dict(zip(queries, reopened.search(queries.values(), k=10), strict=True)) == hits
    made, saved = (read_manifest(files[kind], IndexManifest) for kind in ("index", "saved"))
    assert made is not None
    assert saved is not None
    ignored = {"corpus", "source"}
    assert saved.model_dump(exclude=ignored) == made.model_dump(exclude=ignored)


@pytest.mark.slow
def test_a_saved_index_is_read_by_pyserini_and_opens_again(shared: ImpactIndex, tmp_path: Path) -> None:
    from splade_anserini import ImpactQueryEncoder
    from splade_anserini.lucene import LuceneImpactSearcher

    shared.save(tmp_path / "saved")
    searcher = LuceneImpactSearcher(str(tmp_path / "saved"), ImpactQueryEncoder(ENCODER), min_idf=-1)
    hits = searcher.search("sleep pet cats", k=10)
    assert [(hit.docid, round(hit.score)) for hit in hits] == [
        (hit.id, round(hit.score)) for hit in shared.search("sleep pet cats")
    ]
    assert json.loads(searcher.doc("0").raw())["contents"] == "cats sleep"
    searcher.close()
    with ImpactIndex.open(tmp_path / "saved", query_encoder=ENCODER) as reopened:
        assert reopened.search("sleep pet cats") == shared.search("sleep pet cats")
        assert len(reopened) == len(shared)
    assert (tmp_path / "saved" / "splade.manifest").is_file()


def test_saving_replaces_an_index_only_with_overwrite_and_never_another_directory(
    shared: ImpactIndex, tmp_path: Path
) -> None:
    shared.save(tmp_path / "saved")
    with pytest.raises(OutputError, match="already exists"):
        shared.save(tmp_path / "saved")
    with ImpactIndex.from_texts(["cats"], encoder=ENCODER) as other:
        other.save(tmp_path / "saved", overwrite=True)
    with ImpactIndex.open(tmp_path / "saved", query_encoder=ENCODER) as reopened:
        assert len(reopened) == 1
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "notes.txt").touch()
    with pytest.raises(OutputError, match="already exists and is not an index"):
        shared.save(tmp_path / "notes", overwrite=True)
    with pytest.raises(OutputError, match="are the same path"):
        shared.save(shared.directory, overwrite=True)


def test_an_index_whose_encoder_is_unknown_needs_one_for_its_queries(tmp_path: Path) -> None:
    from splade_anserini.index import index

    write_encoded(tmp_path / "impacts")
    for path in (tmp_path / "impacts").glob("splade.manifest"):
        path.unlink()
    index(tmp_path / "impacts", tmp_path / "index")
    with (
        ImpactIndex.open(tmp_path / "index") as opened,
        pytest.raises(InputError, match="does not record which encoder its documents were encoded with"),
    ):
        opened.search("cats")
    with ImpactIndex.open(tmp_path / "index", query_encoder=ENCODER) as opened:
        assert [(hit.id, hit.text) for hit in opened.search("cats")] == [("d1", None), ("d3", None)]


def test_opening_what_is_not_an_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a Lucene index: it is empty"):
        ImpactIndex.open(tmp_path / "temporary")
    with pytest.raises(InputError, match="There is no index 'nowhere'"):
        ImpactIndex.open("nowhere")


@pytest.mark.slow
def test_the_lines_of_the_page_on_impact_indexes_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parent.parent / "docs" / "impact-index.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code, {})
    one, several, reopened = printed.getvalue().splitlines()
    assert one.startswith("[Hit(id='d1', score=")
    assert re.findall(r"id='(\w+)'", several) == ["d1", "d2"]
    assert reopened == "3 Cats sleep all day."
