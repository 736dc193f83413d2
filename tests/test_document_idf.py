"""Impacts of documents that are multiplied by a power of their tokens' idf before they are indexed."""

import gzip
import json
import math
import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splade_anserini.artifacts.document_idf import DocumentIdf
from splade_anserini.artifacts.manifests import MANIFEST, IndexManifest, read_manifest, write_manifest
from splade_anserini.convert import ConvertOptions, convert
from splade_anserini.errors import NOTE, InputError, IntegrityError, MismatchError, RecordError
from splade_anserini.impact_index import ImpactIndex
from splade_anserini.index import index
from splade_anserini.lucene import ImpactSearcher, IndexOptions, PyseriniImpactSearcher, count_index
from splade_anserini.lucene.document_idf import multiplied_by_idf, require_no_document_idf
from splade_anserini.lucene.sources import find_impacts
from splade_anserini.lucene.worker_options import IndexWorkerOptions
from splade_anserini.merge import merge
from splade_anserini.retrieval.options import QueryOptions
from splade_anserini.retrieval.query_settings import query_idf_for
from splade_anserini.vectors.idf import CollectionIdf
from tests.cli_runner import Outcome, run_stage
from tests.impact_fixtures import documents, write_documents, write_encoded
from tests.index_postings import postings

type Vectors = Mapping[str, Mapping[str, int]]

TOKENS = [f"t{n}" for n in range(8)]
ALPHA = 0.75


def draw_vectors(seed: int, size: int, most: int = 6) -> dict[str, dict[str, int]]:
    """Draw vectors in which the first tokens are frequent; some are empty, and "always" is in all others."""
    chance = random.Random(seed)
    vectors: dict[str, dict[str, int]] = {}
    for number in range(size):
        tokens = [token for i, token in enumerate(TOKENS) if chance.random() < 1 / (i + 1)]
        tokens += ["always"] if number % 7 else []
        vectors[f"d{number}"] = {token: chance.randint(1, most) for token in tokens if number % 7}
    return vectors


VECTORS = draw_vectors(1, 150)
QUERIES = {f"q{n}": {TOKENS[n % 8]: 3, TOKENS[(n * 3) % 8]: 1, "always": 2} for n in range(16)}


def products(vectors: Vectors, alpha: float) -> dict[str, dict[str, int]]:
    """Compute the vectors of an index in plain Python; those without an entry are not in it."""
    n = sum(1 for vector in vectors.values() if vector)
    frequencies = Counter(token for vector in vectors.values() for token in vector)
    multiplied = {
        id_: {
            token: round(impact * math.log(1 + (n - frequencies[token] + 0.5) / (frequencies[token] + 0.5)) ** alpha)
            for token, impact in vector.items()
        }
        for id_, vector in vectors.items()
    }
    kept = {id_: {token: impact for token, impact in vector.items() if impact} for id_, vector in multiplied.items()}
    return {id_: vector for id_, vector in kept.items() if vector}


def by_token(vectors: Vectors) -> dict[str, dict[str, int]]:
    """Return token → document → impact."""
    tokens = {token for vector in vectors.values() for token in vector}
    return {token: {id_: vector[token] for id_, vector in vectors.items() if token in vector} for token in tokens}


def options(alpha: float = ALPHA, **others: Any) -> IndexOptions:
    return IndexOptions(document_idf=alpha, **{"threads": 1, **others})


entries = st.dictionaries(st.sampled_from(TOKENS), st.integers(1, 300))


class TestCounting:
    @given(entries, st.integers(1, 60), st.floats(0.01, 4))
    def test_products_are_rounded_with_halves_to_the_even_integer(
        self, vector: dict[str, int], documents: int, alpha: float
    ) -> None:
        idf = CollectionIdf(alpha, documents, {token: 1 + n for n, token in enumerate(TOKENS) if n < documents})
        known = {token: impact for token, impact in vector.items() if token in idf.frequencies}
        expected = {token: round(impact * idf.factors[token]) for token, impact in known.items()}
        assert idf.weighted(known) == {token: impact for token, impact in expected.items() if impact}

    def test_halves_go_to_the_even_integer(self) -> None:
        idf = CollectionIdf(1.0, 2, {"a": 1})
        idf.factors["a"] = 0.5
        assert [idf.weighted({"a": impact}) for impact in (1, 2, 3, 5)] == [{}, {"a": 1}, {"a": 2}, {"a": 2}]

    @pytest.mark.parametrize("threads", [1, 3])
    @pytest.mark.parametrize("kind", ["with a manifest", "without a manifest", "weights"])
    def test_documents_and_tokens_of_all_files_are_counted(self, kind: str, threads: int, tmp_path: Path) -> None:
        source = find_impacts(write_vectors(tmp_path / "impacts", VECTORS, kind))
        steps: list[int] = []
        idf = multiplied_by_idf(source, ALPHA, threads, steps.append).idf
        assert idf is not None
        frequencies = Counter(token for vector in VECTORS.values() for token in vector)
        assert (idf.documents, idf.frequencies) == (sum(map(bool, VECTORS.values())), frequencies)
        assert sum(steps) == len(VECTORS)

    @pytest.mark.parametrize("kind", ["a part", "a file"])
    def test_a_part_of_a_collection_is_refused(self, kind: str, tmp_path: Path) -> None:
        parts = {"shard_id": 0, "shard_num": 3} if kind == "a part" else {}
        write_encoded(tmp_path / "impacts", **parts)
        path = tmp_path / "impacts" / ("shard-00000.jsonl.gz" if kind == "a file" else "")
        problem = "is part 0 of 3" if kind == "a part" else "is one of 2 files"
        with pytest.raises(MismatchError, match=problem):
            multiplied_by_idf(find_impacts(path), ALPHA)

    def test_counts_that_are_not_those_of_the_manifest_are_refused(self, tmp_path: Path) -> None:
        write_encoded(tmp_path / "impacts")
        shard = tmp_path / "impacts" / "shard-00000.jsonl.gz"
        shard.write_bytes(gzip.compress(gzip.decompress(shard.read_bytes()).replace(b'"cat":3', b'"cat":4')))
        with pytest.raises(IntegrityError, match="does not match its manifest: impacts: 24 instead of 23"):
            multiplied_by_idf(find_impacts(tmp_path / "impacts"), ALPHA)

    def test_parts_that_were_multiplied_each_by_its_own_idf_do_not_belong_together(self, tmp_path: Path) -> None:
        for part, size in enumerate((4, 5)):
            idf = DocumentIdf(alpha=1, documents=size, frequencies="0")
            vectors = {f"{part}{id_}": {"a": 1} for id_ in range(3)}
            write_encoded(tmp_path / str(part), vectors, shard_id=part, shard_num=2, document_idf=idf)
        with pytest.raises(MismatchError, match="document idf"):
            find_impacts(tmp_path)


def write_vectors(path: Path, vectors: Vectors, kind: str) -> Path:
    """Write vectors in one of the forms that `index` reads; return what to pass it."""
    if kind in ("with a manifest", "with checksums"):
        write_encoded(path, vectors, shard_size=40)
        if kind == "with checksums":
            convert(path, path.with_name("sealed"), ConvertOptions(docs_per_shard=40))
            return path.with_name("sealed")
    elif kind == "without a manifest":
        for part in range(2):
            write_documents(path / f"{part}.jsonl", documents(dict(list(vectors.items())[part::2])))
    elif kind == "weights":
        path.mkdir()
        records = [{"docid": id_, "sparse": dict(vector)} for id_, vector in vectors.items()]
        with gzip.open(path / "docs.ndjson.gz", "wt") as file:
            file.writelines(json.dumps(record) + "\n" for record in records)
    else:
        write_encoded(path, vectors)
        convert(path, path.with_name(f"vectors.{kind}"))
        return path.with_name(f"vectors.{kind}")
    return path


@pytest.mark.slow
class TestIndex:
    @pytest.mark.parametrize(
        ("kind", "threads"),
        [
            ("with a manifest", 1),
            ("with checksums", 4),
            ("without a manifest", 4),
            ("weights", 1),
            ("parquet", 1),
            ("ciff", 4),
            ("npz", 2),
        ],
    )
    def test_the_index_is_that_of_a_computation_in_plain_python(
        self, kind: str, threads: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        source = write_vectors(tmp_path / "impacts", VECTORS, kind)
        caplog.set_level(NOTE)
        manifest = index(source, tmp_path / "index", options(threads=threads))
        assert caplog.text.count("ids are read from docid, vectors from sparse") == (kind == "weights")
        expected = products(VECTORS, ALPHA)
        assert postings(tmp_path / "index") == by_token(expected)
        assert manifest.counts == count_index(tmp_path / "index")
        assert manifest.counts.documents == len(expected)
        assert manifest.document_idf
        indexed = sum(1 for vector in VECTORS.values() if vector)
        assert (manifest.document_idf.alpha, manifest.document_idf.documents) == (ALPHA, indexed)
        before = sum(map(len, VECTORS.values()))
        assert manifest.rounded_to_zero == before - sum(map(len, expected.values())) > 0
        assert manifest.emptied == indexed - len(expected) > 0

    @pytest.mark.parametrize("kind", ["with a manifest", "without a manifest", "weights"])
    def test_both_writers_write_the_same_index(self, kind: str, tmp_path: Path) -> None:
        source = write_vectors(tmp_path / "impacts", VECTORS, kind)
        manifests = [
            index(source, tmp_path / writer, options(writer=writer, store_text=True))
            for writer in ("lucene", "anserini")
        ]
        assert postings(tmp_path / "anserini") == postings(tmp_path / "lucene")
        assert not [path for path in (tmp_path / "anserini").iterdir() if path.is_dir()]
        of_lucene, of_anserini = (manifest.model_dump(exclude={"writer", "options"}) for manifest in manifests)
        assert of_lucene == of_anserini

    @settings(max_examples=8, deadline=None)
    @given(vectors=st.lists(entries, min_size=1, max_size=12).filter(any), alpha=st.floats(0.1, 3))
    def test_random_collections(
        self, vectors: list[dict[str, int]], alpha: float, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        home = tmp_path_factory.mktemp("random")
        by_id = {str(n): vector for n, vector in enumerate(vectors)}
        write_documents(home / "impacts" / "all.jsonl", documents(by_id))
        expected = products(by_id, alpha)
        if not expected:
            with pytest.raises(InputError, match="all impacts become 0"):
                index(home / "impacts", home / "index", options(alpha))
            return
        index(home / "impacts", home / "index", options(alpha))
        assert postings(home / "index") == by_token(expected)

    def test_an_alpha_of_0_gives_the_index_without_the_option(self, tmp_path: Path) -> None:
        write_encoded(tmp_path / "impacts", VECTORS)
        index(tmp_path / "impacts", tmp_path / "with", options(0.0))
        index(tmp_path / "impacts", tmp_path / "without", IndexOptions(threads=1))
        assert (tmp_path / "with" / MANIFEST).read_bytes() == (tmp_path / "without" / MANIFEST).read_bytes()
        assert postings(tmp_path / "with") == postings(tmp_path / "without") == by_token(VECTORS)

    @pytest.mark.parametrize("writer", ["lucene", "anserini"])
    def test_stored_records_have_the_text_and_those_of_anserini_the_products(
        self, tmp_path: Path, writer: Literal["lucene", "anserini"]
    ) -> None:
        write_encoded(tmp_path / "impacts", VECTORS)
        index(tmp_path / "impacts", tmp_path / "index", options(store_text=True, writer=writer))
        with ImpactSearcher(tmp_path / "index") as searcher:
            ranking = searcher.rank({"always": 1}, 3)
            records = [json.loads(record or "") for record in searcher.records(ranking.docs)]
        expected = products(VECTORS, ALPHA)
        products_of_hits = [expected[id_] if writer == "anserini" else None for id_ in ranking.ids]
        assert [record["id"] for record in records] == ranking.ids
        assert [record.get("vector") for record in records] == products_of_hits
        assert [record["contents"] for record in records] == [f"text of {id_}" for id_ in ranking.ids]

    def test_all_parts_of_several_machines_are_one_collection(self, tmp_path: Path) -> None:
        for part in range(3):
            vectors = dict(list(VECTORS.items())[part::3])
            write_encoded(tmp_path / "impacts" / str(part), vectors, shard_id=part, shard_num=3)
        index(tmp_path / "impacts", tmp_path / "index", options())
        assert postings(tmp_path / "index") == by_token(products(VECTORS, ALPHA))

    @pytest.mark.parametrize("kind", ["with checksums", "without a manifest"])
    @pytest.mark.parametrize("workers", [IndexWorkerOptions(workers=2), IndexWorkerOptions(shards=2)])
    def test_workers_and_shards_multiply_by_the_idf_of_the_whole_collection(
        self, workers: IndexWorkerOptions, kind: str, tmp_path: Path
    ) -> None:
        source = write_vectors(tmp_path / "impacts", VECTORS, kind)
        manifest = index(source, tmp_path / "index", options(), workers=workers)
        assert postings(tmp_path / "index") == by_token(products(VECTORS, ALPHA))
        alone = index(source, tmp_path / "alone", options())
        same = {"counts", "document_idf", "rounded_to_zero", "emptied", "zeros", "query_idf"}
        assert manifest.model_dump(include=same) == alone.model_dump(include=same)
        if workers.shards:
            shards = [read_manifest(path, IndexManifest) for path in sorted((tmp_path / "index").glob("shard-*"))]
            assert [shard and shard.document_idf for shard in shards] == [alone.document_idf] * 2
            assert sum(shard.emptied for shard in shards if shard) == alone.emptied
            merge([tmp_path / "index"], tmp_path / "merged")
            merged = read_manifest(tmp_path / "merged", IndexManifest)
            assert merged is not None
            assert merged.model_dump(include=same) == alone.model_dump(include=same)
            assert postings(tmp_path / "merged") == postings(tmp_path / "alone")

    def test_the_command_says_what_it_left_out(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        write_encoded(tmp_path / "impacts", VECTORS)
        caplog.set_level(NOTE)
        outcome = build(tmp_path, "--document-idf", ALPHA)
        assert outcome.code == 0, outcome.err
        assert "Entries that --document-idf made 0, which are left out: " in caplog.text
        assert "Documents without an entry after --document-idf, which Lucene cannot hold: " in caplog.text

    def test_the_same_command_has_nothing_to_do_and_another_alpha_needs_overwrite(self, tmp_path: Path) -> None:
        write_encoded(tmp_path / "impacts", VECTORS)
        assert build(tmp_path, "--document-idf", ALPHA).code == 0
        commit = (tmp_path / "index" / MANIFEST).stat().st_mtime_ns
        assert build(tmp_path, "--document-idf", ALPHA).code == 0
        assert (tmp_path / "index" / MANIFEST).stat().st_mtime_ns == commit
        for others in ([], ["--document-idf", 1]):
            other = build(tmp_path, *others)
            assert (other.code, "document_idf was 0.75" in other.err) == (2, True)
        assert build(tmp_path, "--overwrite").code == 0
        plain = build(tmp_path, "--document-idf", 1)
        assert (plain.code, "document_idf was None, is 1" in plain.err) == (2, True)

    def test_texts_have_no_impacts_to_multiply(self, tmp_path: Path) -> None:
        outcome = build(tmp_path, "--bm25", "--document-idf", ALPHA)
        assert (outcome.code, "--document-idf has no effect with --bm25." in outcome.err) == (2, True)


def build(home: Path, *options: object) -> Outcome:
    return run_stage("index", "--input", home / "impacts", "--index", home / "index", "--threads", 1, *options)


@pytest.mark.slow
class TestRefusals:
    def test_a_product_that_is_too_great_names_its_document(self, tmp_path: Path) -> None:
        write_documents(tmp_path / "impacts" / "all.jsonl", documents({f"d{n}": {f"t{n}": 900_000} for n in range(9)}))
        with pytest.raises(RecordError, match=r"the impact of 't0' is 900,000, and 1,[0-9,]* with its idf"):
            index(tmp_path / "impacts", tmp_path / "index", options(0.5))
        assert list(tmp_path.iterdir()) == [tmp_path / "impacts"]

    def test_a_duplicate_id_is_found(self, tmp_path: Path) -> None:
        write_documents(tmp_path / "impacts" / "a.jsonl", documents(VECTORS))
        write_documents(tmp_path / "impacts" / "b.jsonl", documents({"d3": {"t1": 1}}))
        for writer in ("lucene", "anserini"):
            with pytest.raises(RecordError, match="duplicate document id 'd3'"):
                index(tmp_path / "impacts", tmp_path / "index", options(writer=writer))
        assert list(tmp_path.iterdir()) == [tmp_path / "impacts"]

    def test_a_repeated_token_is_found(self, tmp_path: Path) -> None:
        (tmp_path / "impacts").mkdir()
        (tmp_path / "impacts" / "a.jsonl").write_text('{"id": "d", "vector": {"a": 1, "a": 2}}\n')
        with pytest.raises(RecordError, match="the key 'a' occurs twice"):
            index(tmp_path / "impacts", tmp_path / "index", options())

    @pytest.mark.parametrize("change", ["another token", "a token of another document", "a document more"])
    def test_vectors_that_change_between_the_readings_are_found(
        self, change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from splade_anserini.lucene import document_idf

        path = tmp_path / "impacts" / "all.jsonl"
        write_documents(path, documents({"d1": {"a": 50}, "d2": {"b": 50}, "d3": {"a": 1, "c": 50}}))

        def count_and_change(*arguments: Any) -> Any:
            source = multiplied_by_idf(*arguments)
            new = {"d1": {"z" if change == "another token" else "b": 50}}
            new |= {"d2": {"b": 50}, "d3": {"a": 1, "c": 50}}
            if change == "a document more":
                new |= {"d1": {"a": 50}, "d4": {"c": 1}}
            write_documents(path, documents(new))
            return source

        monkeypatch.setattr(document_idf, "multiplied_by_idf", count_and_change)
        with pytest.raises(IntegrityError, match="was changed while it was read"):
            index(tmp_path / "impacts", tmp_path / "index", options())
        assert list(tmp_path.iterdir()) == [tmp_path / "impacts"]

    @pytest.mark.parametrize("writer", ["lucene", "anserini"])
    def test_an_interrupted_build_leaves_nothing(self, writer: str, tmp_path: Path) -> None:
        from contextlib import contextmanager

        write_encoded(tmp_path / "impacts", VECTORS)

        @contextmanager
        def bars(title: str, *_: object) -> Any:
            def progress(_: int) -> None:
                if title == "Indexing":
                    raise KeyboardInterrupt

            yield progress

        with pytest.raises(KeyboardInterrupt):
            index(tmp_path / "impacts", tmp_path / "index", options(writer=writer), bars=bars)
        assert list(tmp_path.iterdir()) == [tmp_path / "impacts"]

    def test_what_would_make_its_counts_untrue_can_refuse_it(self, tmp_path: Path) -> None:
        write_encoded(tmp_path / "impacts", VECTORS)
        index(tmp_path / "impacts", tmp_path / "plain", options(0.0))
        require_no_document_idf(tmp_path / "plain", "merging it")
        index(tmp_path / "impacts", tmp_path / "index", options())
        with pytest.raises(MismatchError, match=r"idf\^0.75 .* which merging it would make untrue"):
            require_no_document_idf(tmp_path / "index", "merging it")
        for kind in ([], ["--sharded"]):
            inputs = ["--input", tmp_path / "plain", "--input", tmp_path / "index"]
            outcome = run_stage("merge", *inputs, "--output", tmp_path / "both", *kind, "--force")
            assert (outcome.code, "which joining it with others would make untrue" in outcome.err) == (2, True)
            assert not (tmp_path / "both").exists()


@pytest.mark.slow
class TestSearch:
    def test_pyserinis_searcher_gives_the_scores_of_a_computation_in_plain_python(self, tmp_path: Path) -> None:
        write_encoded(tmp_path / "impacts", VECTORS)
        index(tmp_path / "impacts", tmp_path / "index", options())
        documents = products(VECTORS, ALPHA)
        with ImpactSearcher(tmp_path / "index") as ours, PyseriniImpactSearcher(tmp_path / "index") as theirs:
            rankings = dict(ours.search(QUERIES, 1000))
            assert rankings == dict(theirs.search(QUERIES, 1000))
        ties = 0
        for id_, query in QUERIES.items():
            scores = {
                doc_id: sum(impact * vector.get(token, 0) for token, impact in query.items())
                for doc_id, vector in documents.items()
            }
            expected = sorted(((-score, doc_id) for doc_id, score in scores.items() if score))
            assert [(-hit.score, hit.doc_id) for hit in rankings[id_]] == expected
            ties += len(expected) - len({score for score, _ in expected})
        assert ties > 10


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index with --document-idf, an index of the same products without it, and topics."""
    directory = tmp_path_factory.mktemp("document-idf")
    write_encoded(directory / "impacts", VECTORS)
    index(directory / "impacts", directory / "index", options(store_docvectors=True))
    write_encoded(directory / "products", products(VECTORS, ALPHA))
    index(directory / "products", directory / "same", IndexOptions(threads=1, store_docvectors=True))
    lines = [json.dumps({"id": id_, "vector": vector}) + "\n" for id_, vector in QUERIES.items()]
    (directory / "topics.jsonl").write_text("".join(lines))
    return directory


def find(home: Path, name: str, output: Path, *more: object, command: str = "search") -> Outcome:
    """Search one of the indexes of `home`."""
    topics = ["--topics", home / "topics.jsonl", "--output", output]
    return run_stage(command, "--index", home / name, *topics, *more)


@pytest.mark.slow
class TestSearchCommands:
    @pytest.mark.parametrize(
        "more",
        [
            [],
            ["--searcher", "pyserini"],
            ["--two-step", 2, "--hits", 20],
            ["--query-top-k", 2],
            ["--feedback", "rm3"],
            ["--feedback", "rocchio"],
        ],
    )
    def test_every_search_is_that_of_the_products(self, more: list[object], home: Path, tmp_path: Path) -> None:
        outcome = find(home, "index", tmp_path / "run", *more)
        assert outcome.code == 0, outcome.err
        assert find(home, "same", tmp_path / "same", *more).code == 0
        assert (tmp_path / "run").read_bytes() == (tmp_path / "same").read_bytes() != b""

    def test_rescoring_gives_the_scores_of_the_search(self, home: Path, tmp_path: Path) -> None:
        assert find(home, "index", tmp_path / "run").code == 0
        rescored = find(home, "index", tmp_path / "rescored", "--run", tmp_path / "run", command="rescore")
        assert rescored.code == 0, rescored.err
        assert (tmp_path / "rescored").read_bytes() == (tmp_path / "run").read_bytes()

    def test_the_manifest_of_a_run_names_the_power(self, home: Path, tmp_path: Path) -> None:
        assert find(home, "index", tmp_path / "run").code == 0
        assert json.loads((tmp_path / "run.manifest").read_text())["inputs"]["document idf"] == "0.75"
        assert find(home, "same", tmp_path / "same").code == 0
        assert "document idf" not in json.loads((tmp_path / "same.manifest").read_text())["inputs"]

    @pytest.mark.parametrize("command", ["search", "rescore"])
    def test_idf_counts_twice_only_with_force(
        self, command: str, home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert find(home, "index", tmp_path / "run").code == 0
        more = ["--query-idf", 0.5, *(["--run", tmp_path / "run"] if command == "rescore" else [])]
        refused = find(home, "index", tmp_path / "twice", *more, command=command)
        assert (refused.code, "--query-idf 0.5 would count idf twice" in refused.err) == (2, True)
        assert not (tmp_path / "twice").exists()
        assert find(home, "index", tmp_path / "twice", *more, "--force", command=command).code == 0
        assert "Impacts of queries are multiplied by idf^0.5, and those of Index" in caplog.text
        assert find(home, "same", tmp_path / "same", *more, command=command).code == 0
        assert (tmp_path / "twice").read_bytes() == (tmp_path / "same").read_bytes()

    def test_an_encoder_that_asks_for_idf_in_queries_does_not_get_it_twice(
        self, home: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        manifest = read_manifest(home / "index", IndexManifest)
        assert manifest
        assert manifest.query_idf == 0
        # As of vectors of unknown origin.
        unknown = manifest.model_copy(update={"encoder": None, "query_idf": None})
        with caplog.at_level(NOTE):
            assert query_idf_for(unknown, QueryOptions(encoder="splade-mini"), "Index i") == 0
        assert "those of index i were, by idf^0.75 (--document-idf)" in caplog.text
        plain = unknown.model_copy(update={"document_idf": None})
        assert query_idf_for(plain, QueryOptions(encoder="splade-mini"), "Index i") == 0.75

    def test_sweep_and_impact_index_refuse_idf_twice(self, home: Path, tmp_path: Path) -> None:
        (tmp_path / "qrels").write_text("q1 0 d1 1\n")
        sweep = ["--qrels", tmp_path / "qrels", "--query-idf", "0.5"]
        outcome = find(home, "index", tmp_path / "sweep", *sweep, command="sweep")
        assert (outcome.code, "would count idf twice" in outcome.err) == (2, True)
        with pytest.raises(MismatchError, match="would count idf twice"):
            ImpactIndex.open(home / "index", query_idf=1.0)
        with ImpactIndex.open(home / "index") as opened:
            assert opened.query_idf == 0
            with pytest.raises(MismatchError, match="would count idf twice"):
                opened.query_idf = 1.0
        with ImpactIndex.open(home / "index", query_idf=1.0, force=True) as opened:
            assert opened.query_idf == 1

    def test_a_possible_rounding_ends_the_search_without_a_run(self, home: Path, tmp_path: Path) -> None:
        vector = dict.fromkeys(TOKENS, 1_000_000)
        (tmp_path / "topics.jsonl").write_text(json.dumps({"id": "q", "vector": vector}))
        output = ["--topics", tmp_path / "topics.jsonl", "--output", tmp_path / "run"]
        outcome = run_stage("search", "--index", home / "index", *output)
        assert (outcome.code, "which may have been rounded" in outcome.err) == (2, True)
        assert not (tmp_path / "run").exists()
        with (
            ImpactIndex.open(home / "index", query_idf=0.0) as opened,
            pytest.raises(InputError, match="may have been rounded"),
        ):
            list(opened.search_vectors([vector]))


@pytest.mark.slow
class TestConvert:
    @pytest.mark.parametrize("name", ["out", "out.parquet", "out.ciff", "out.npz", "out.bmp.ciff", "out.jsonl"])
    def test_the_products_are_those_of_the_index(self, name: str, tmp_path: Path) -> None:
        write_encoded(tmp_path / "impacts", VECTORS)
        converted = convert(tmp_path / "impacts", tmp_path / name, ConvertOptions(document_idf=ALPHA))
        expected = products(VECTORS, ALPHA)
        assert (converted.counts.documents, converted.empty) == (len(expected), len(VECTORS) - len(expected))
        manifest = index(tmp_path / name, tmp_path / "index", IndexOptions(threads=1))
        assert postings(tmp_path / "index") == by_token(expected)
        direct = index(tmp_path / "impacts", tmp_path / "direct", options())
        # Seismic's format has no room for it.
        assert manifest.document_idf == (None if name == "out.jsonl" else direct.document_idf)

    def test_impacts_are_not_multiplied_twice(self, tmp_path: Path) -> None:
        write_encoded(tmp_path / "impacts", VECTORS)
        convert(tmp_path / "impacts", tmp_path / "out.npz", ConvertOptions(document_idf=ALPHA))
        for again in (
            lambda: index(tmp_path / "out.npz", tmp_path / "index", options()),
            lambda: convert(tmp_path / "out.npz", tmp_path / "again", ConvertOptions(document_idf=ALPHA)),
        ):
            with pytest.raises(InputError, match=r"were multiplied by idf\^0.75 already"):
                again()

    def test_the_greatest_impact_is_bounded_after_the_multiplication(self, tmp_path: Path) -> None:
        write_encoded(tmp_path / "impacts", VECTORS)
        convert(tmp_path / "impacts", tmp_path / "out", ConvertOptions(document_idf=2, max_impact=5))
        index(tmp_path / "out", tmp_path / "index", IndexOptions(threads=1))
        greatest = max(max(vector.values()) for vector in products(VECTORS, 2).values())
        expected = {
            token: {id_: max(1, math.floor(impact * 5 / greatest + 0.5)) for id_, impact in impacts.items()}
            for token, impacts in by_token(products(VECTORS, 2)).items()
        }
        assert postings(tmp_path / "index") == expected

    def test_the_command_records_it_and_says_what_it_lost(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        write_encoded(tmp_path / "impacts", VECTORS)
        paths = ["--input", tmp_path / "impacts", "--output", tmp_path / "out.jsonl"]
        outcome = run_stage("convert", *paths, "--document-idf", ALPHA)
        assert outcome.code == 0, outcome.err
        assert "encoder, scale and idf are lost" in caplog.text
        assert "Documents whose vector --document-idf made empty: " in caplog.text
        assert "up to date" in run_stage("convert", *paths, "--document-idf", ALPHA).out
        assert run_stage("convert", *paths).code == 2
        assert run_stage("convert", "--topics", *paths, "--document-idf", ALPHA).code == 2


@pytest.mark.slow
class TestVerifyAndInfo:
    def test_verify_compares_the_products(self, tmp_path: Path) -> None:
        write_encoded(tmp_path / "impacts", VECTORS)
        index(tmp_path / "impacts", tmp_path / "index", options())
        against = ["verify", tmp_path / "index", "--against", tmp_path / "impacts"]
        assert run_stage(*map(str, against)).code == 0
        manifest = read_manifest(tmp_path / "index", IndexManifest)
        assert manifest
        assert manifest.document_idf
        for change in ({"alpha": 0.5}, {"frequencies": "0"}, {"documents": 5}):
            idf = manifest.document_idf.model_copy(update=change)
            write_manifest(tmp_path / "index", manifest.model_copy(update={"document_idf": idf}))
            assert run_stage(*map(str, against)).code == 1

    def test_info_and_status_tell(self, tmp_path: Path) -> None:
        write_encoded(tmp_path / "impacts", VECTORS)
        manifest = index(tmp_path / "impacts", tmp_path / "index", options())
        assert manifest.document_idf
        told = run_stage("info", str(tmp_path / "index")).out
        count = manifest.document_idf.documents
        assert f"The impacts were multiplied by idf^0.75 of their tokens in {count} documents" in told
        assert "impacts × idf^0.75" in run_stage("status", str(tmp_path / "index")).out
        convert(tmp_path / "impacts", tmp_path / "out", ConvertOptions(document_idf=ALPHA))
        assert "The impacts were multiplied by idf^0.75" in run_stage("info", str(tmp_path / "out")).out
