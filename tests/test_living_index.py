"""Indexes that change: what is left is what an index of it from scratch would be, and a crash leaves old or new."""

import random
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from splade_anserini import Document, FastLuceneImpactSearcher, ImpactIndex
from splade_anserini.artifacts.files import directory_lock
from splade_anserini.artifacts.manifests import MANIFEST, NEXT_MANIFEST, IndexManifest, read_manifest, write_manifest
from splade_anserini.encode import encode
from splade_anserini.errors import InputError, IntegrityError, MismatchError, OutputError
from splade_anserini.formats.corpora import open_corpus
from splade_anserini.index import index
from splade_anserini.indexing.changing import append_documents, delete_documents, update_documents
from splade_anserini.lucene import ImpactSearcher, IndexOptions, TwoStepSearcher, index_changes
from splade_anserini.lucene.index_changing import ChangingWriter
from splade_anserini.lucene.query_weights import QueryWeights
from splade_anserini.merge import MergeOptions, merge
from splade_anserini.verification import index as verification
from splade_anserini.verification.index import verify_index
from tests.cli_runner import run_stage
from tests.encoder_fixtures import ENCODER
from tests.impact_fixtures import ANIMALS, random_vectors, write_encoded

pytestmark = pytest.mark.slow

type Vectors = Mapping[str, Mapping[str, int]]

OPTIONS = IndexOptions(threads=1)
MORE = {"d5": {"cat": 2, "cow": 9}, "d 6": {"cow": 4, "bird": 1}}
QUERIES = ({"cat": 3, "bird": 1}, {"dog": 2, "##ing": 5}, {"cow": 1, "fish": 1, "cat": 1}, {"unknown": 7})


def build(
    home: Path, name: str, vectors: Vectors = ANIMALS, options: IndexOptions = OPTIONS, **encoding: object
) -> Path:
    """Encode and index vectors; return the directory of the index."""
    impacts(home, vectors, f"{name}.impacts", **encoding)
    index(home / f"{name}.impacts", home / name, options)
    return home / name


def impacts(home: Path, vectors: Vectors, name: str = "more", **encoding: object) -> Path:
    shutil.rmtree(home / name, ignore_errors=True)
    manifest = write_encoded(home / name, vectors, **encoding)
    with_spaces = sum(" " in id_ for id_ in vectors)
    write_manifest(home / name, manifest.model_copy(update={"ids_with_spaces": with_spaces}))
    return home / name


def answers(path: Path, queries: Any = QUERIES) -> list[object]:
    """What an index holds, and its rankings: plain, with idf, and in two steps."""
    with ImpactSearcher(path) as searcher:
        weights = QueryWeights(searcher, 0.75)
        two_step = TwoStepSearcher(searcher, 1)
        plain = [searcher.rank(query, 10)[:2] for query in queries]
        with_idf = [searcher.rank(weights.weighted(query), 10)[:2] for query in queries]
        steps = [hits for _, hits in two_step.search({str(n): weights.weighted(q) for n, q in enumerate(queries)}, 5)]
        return [searcher.documents, plain, with_idf, steps]


def manifest_of(path: Path) -> IndexManifest:
    manifest = read_manifest(path, IndexManifest)
    assert manifest is not None
    return manifest


def bytes_of(path: Path) -> dict[str, bytes]:
    """The files of an index; Lucene leaves its lock file."""
    return {each.name: each.read_bytes() for each in path.iterdir() if each.name != "write.lock"}


def assert_as_from_scratch(path: Path, home: Path, vectors: Vectors, queries: Any = QUERIES) -> None:
    scratch = build(home, "scratch", vectors)
    assert answers(path, queries) == answers(scratch, queries)
    own, expected = manifest_of(path), manifest_of(scratch)
    assert (own.counts, own.ids_with_spaces) == (expected.counts, expected.ids_with_spaces)
    assert verify_index(path, level=3).passed
    shutil.rmtree(scratch)
    shutil.rmtree(home / "scratch.impacts")


class TestChanges:
    def test_appended_documents_are_found(self, tmp_path: Path) -> None:
        path = build(tmp_path, "index")
        changed = append_documents(path, impacts(tmp_path, MORE))
        assert (changed.change.added, changed.manifest.revision) == (2, 1)
        assert_as_from_scratch(path, tmp_path, {**ANIMALS, **MORE})

    def test_deleted_documents_count_no_more_and_missing_ids_are_named(self, tmp_path: Path) -> None:
        path = build(tmp_path, "index", {**ANIMALS, **MORE})
        changed = delete_documents(path, ["d1", "d 6", "x", "d1"])
        assert (changed.change.deleted, changed.missing) == (2, ("x",))
        assert_as_from_scratch(path, tmp_path, {id_: {**ANIMALS, **MORE}[id_] for id_ in ("d2", "d3", "d4", "d5")})

    def test_updates_replace_and_add_and_an_empty_vector_deletes(self, tmp_path: Path) -> None:
        path = build(tmp_path, "index")
        new = {"d1": {"cow": 1}, "d2": {}, "d7": {"cat": 9}, "d8": {}}
        changed = update_documents(path, impacts(tmp_path, new))
        assert (changed.change.added, changed.change.replaced, changed.change.deleted) == (1, 1, 1)
        assert changed.empty == 2
        left = {"d1": {"cow": 1}, "d3": ANIMALS["d3"], "d4": ANIMALS["d4"], "d7": {"cat": 9}}
        assert_as_from_scratch(path, tmp_path, left)

    def test_deletions_come_first_in_one_change(self, tmp_path: Path) -> None:
        path = build(tmp_path, "index")
        changed = append_documents(path, impacts(tmp_path, {"d1": {"cow": 5}}), delete=["d1", "d2"])
        assert (changed.change.added, changed.change.deleted, changed.manifest.revision) == (1, 2, 1)
        assert_as_from_scratch(path, tmp_path, {"d1": {"cow": 5}, "d3": ANIMALS["d3"], "d4": ANIMALS["d4"]})

    def test_an_index_may_become_empty_and_grow_again(self, tmp_path: Path) -> None:
        path = build(tmp_path, "index")
        delete_documents(path, ANIMALS)
        assert answers(path)[0] == 0
        assert verify_index(path).passed
        append_documents(path, impacts(tmp_path, MORE))
        assert_as_from_scratch(path, tmp_path, MORE)

    def test_stored_records_and_document_vectors_are_those_of_the_index(self, tmp_path: Path) -> None:
        path = build(tmp_path, "index", options=IndexOptions(threads=1, store_text=True, store_docvectors=True))
        append_documents(path, impacts(tmp_path, MORE))
        with ImpactSearcher(path) as searcher:
            document = searcher.document("d5")
            assert document is not None
            assert document["contents"] == "text of d5"
        with pytest.raises(MismatchError, match="built without --store-text"):
            append_documents(build(tmp_path, "bare"), tmp_path / "more", options=IndexOptions(store_text=True))

    def test_vectors_of_others_are_checked_while_they_are_added(self, tmp_path: Path) -> None:
        (tmp_path / "own.jsonl").write_text('{"id": "a", "vector": {"cat": 3}}\n')
        index(tmp_path / "own.jsonl", tmp_path / "index", OPTIONS)
        (tmp_path / "new.jsonl").write_text('{"id": "b", "vector": {"cat": 3, "dog": 1}}\n')
        append_documents(tmp_path / "index", tmp_path / "new.jsonl")
        assert manifest_of(tmp_path / "index").counts.postings == 3
        (tmp_path / "bad.jsonl").write_text('{"id": "c", "vector": {"cat": 3, "cat": 1}}\n')
        before = bytes_of(tmp_path / "index")
        with pytest.raises(InputError, match="duplicate token 'cat'"):
            update_documents(tmp_path / "index", tmp_path / "bad.jsonl", delete=["a"])
        assert bytes_of(tmp_path / "index") == before

    def test_the_same_append_again_leaves_the_index_as_it_is(self, tmp_path: Path) -> None:
        path = build(tmp_path, "index")
        append_documents(path, impacts(tmp_path, MORE))
        before = bytes_of(path)
        assert append_documents(path, tmp_path / "more").was_made_before
        assert bytes_of(path) == before

    def test_info_says_what_was_changed(self, tmp_path: Path) -> None:
        path = build(tmp_path, "index")
        update_documents(path, impacts(tmp_path, {**MORE, "d1": {"cow": 1}}), delete=["d2"])
        done = run_stage("info", path)
        line = "Changed 1 time since it was built, last: 2 documents added, 1 document replaced, 1 document deleted."
        assert line in done.out.splitlines()

    def test_an_index_that_was_changed_is_not_rebuilt_without_overwrite(self, tmp_path: Path) -> None:
        path = build(tmp_path, "index")
        append_documents(path, impacts(tmp_path, MORE))
        with pytest.raises(OutputError, match="its documents were changed 1 time since it was built"):
            index(tmp_path / "index.impacts", path, OPTIONS)
        index(tmp_path / "index.impacts", path, OPTIONS, overwrite=True)
        assert manifest_of(path).revision == 0

    def test_changed_indexes_merge_and_are_compared_with_pseudo_documents(self, tmp_path: Path) -> None:
        path = build(tmp_path, "index")
        delete_documents(path, ["d1"])
        append_documents(path, impacts(tmp_path, {"d1": ANIMALS["d1"]}))
        assert verify_index(path, impacts=tmp_path / "index.impacts").passed
        other = build(tmp_path, "other", MORE)
        merge([path, other], tmp_path / "both")
        assert_as_from_scratch(tmp_path / "both", tmp_path, {**ANIMALS, **MORE})
        merge([path, other], tmp_path / "sharded", MergeOptions(sharded=True))
        delete_documents(path, ["d1"])
        with pytest.raises(MismatchError, match="was changed after the sharded index"):
            ImpactSearcher(tmp_path / "sharded")


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, dict[str, dict[str, int]]]]:
    """Changes of an index; documents that share many weights, so that there are ties."""
    ids = st.sampled_from([f"d{number}" for number in range(8)])
    vectors = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 3), max_size=3)
    kinds = st.sampled_from(["update", "update", "delete", "append"])
    return draw(st.lists(st.tuples(kinds, st.dictionaries(ids, vectors, min_size=1, max_size=5)), max_size=5))


FOUR = ({"a": 1}, {"a": 2, "b": 1, "c": 3}, {"d": 1, "c": 1}, {"a": 1, "b": 1, "c": 1, "d": 1})


def check_history(home: Path, history: list[tuple[str, dict[str, dict[str, int]]]]) -> None:
    """Make changes one after the other; compare what is left with an index of it from scratch."""
    left: dict[str, dict[str, int]] = {"d0": {"a": 1, "b": 1}, "d7": {"a": 1}, "d 9": {"a": 1, "c": 2}}
    path = build(home, "index", left)
    for kind, vectors in history:
        if kind == "delete":
            delete_documents(path, vectors)
            left = {id_: vector for id_, vector in left.items() if id_ not in vectors}
            continue
        new = {id_: vector for id_, vector in vectors.items() if id_ not in left} if kind == "append" else vectors
        if any(new.values()):
            (update_documents if kind == "update" else append_documents)(path, impacts(home, new))
            left = {id_: vector for id_, vector in {**left, **new}.items() if vector}
    if left:
        assert_as_from_scratch(path, home, left, FOUR)
    else:
        assert answers(path, FOUR)[0] == 0


@given(histories())
@settings(max_examples=4, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_history_leaves_what_an_index_from_scratch_would_be(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[str, dict[str, dict[str, int]]]]
) -> None:
    check_history(tmp_path_factory.mktemp("history"), history)


@pytest.mark.full
@given(histories())
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_many_histories_do(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[str, dict[str, dict[str, int]]]]
) -> None:
    check_history(tmp_path_factory.mktemp("history"), history)


class TestRefusals:
    def test_ids_that_are_there_are_named_and_nothing_is_changed(self, tmp_path: Path) -> None:
        path = build(tmp_path, "index")
        before = bytes_of(path)
        with pytest.raises(InputError, match=r"4 documents are in .* already: 'd1', 'd2', 'd3' and 1 more"):
            append_documents(path, impacts(tmp_path, {**MORE, **ANIMALS}))
        assert bytes_of(path) == before
        assert list(tmp_path.glob(".*")) == []

    @pytest.mark.parametrize(
        ("encoding", "difference"),
        [
            ({"scale": 50.0}, "scale: 100.0 and 50.0"),
            ({"top_k": 10}, "top-k: none and 10"),
            ({"max_length": 64}, "max-length: 256 and 64"),
            ({"passages": "100/50"}, "passages: none and 100/50"),
            ({"encoder": None}, "encoder weights: w and none"),
        ],
    )
    def test_documents_that_were_made_with_other_settings(
        self, tmp_path: Path, encoding: dict[str, object], difference: str
    ) -> None:
        path = build(tmp_path, "index")
        with pytest.raises(MismatchError, match=difference):
            append_documents(path, impacts(tmp_path, MORE, **encoding))
        assert append_documents(path, tmp_path / "more", force=True).change.added == 2

    def test_pruning_is_recorded_with_the_index(self, tmp_path: Path) -> None:
        path = build(tmp_path, "index", top_k=10)
        assert manifest_of(path).top_k == 10
        append_documents(path, impacts(tmp_path, MORE, top_k=10))

    def test_an_index_with_document_idf(self, tmp_path: Path) -> None:
        path = build(tmp_path, "index", options=IndexOptions(threads=1, document_idf=0.5))
        with pytest.raises(MismatchError, match="adding or deleting documents would make untrue"):
            delete_documents(path, ["d1"])

    def test_a_sharded_index(self, tmp_path: Path) -> None:
        merge([build(tmp_path, "a"), build(tmp_path, "b", MORE)], tmp_path / "s", MergeOptions(sharded=True))
        with pytest.raises(InputError, match="is a sharded index"):
            delete_documents(tmp_path / "s", ["d1"])

    def test_an_index_without_a_manifest(self, tmp_path: Path) -> None:
        path = build(tmp_path, "index")
        (path / MANIFEST).unlink()
        with pytest.raises(InputError, match="has no manifest"):
            delete_documents(path, ["d1"])

    def test_a_text_index(self, tmp_path: Path) -> None:
        (tmp_path / "corpus.jsonl").write_text('{"id": "a", "contents": "cats sleep"}\n')
        assert run_stage("index", "--bm25", "--input", tmp_path / "corpus.jsonl", "--index", tmp_path / "i").code == 0
        with pytest.raises(InputError, match=r"is a text index \(BM25\), which cannot be changed"):
            delete_documents(tmp_path / "i", ["a"])

    def test_a_second_writer(self, tmp_path: Path) -> None:
        path = build(tmp_path, "index")
        with (
            directory_lock(tmp_path, name=".index.lock", of=path),
            pytest.raises(OutputError, match="Another process is writing to"),
        ):
            delete_documents(path, ["d1"])

    def test_a_writer_of_another_program(self, tmp_path: Path) -> None:
        path = build(tmp_path, "index")
        from jnius import autoclass

        directory = autoclass("org.apache.lucene.store.FSDirectory").open(
            autoclass("java.nio.file.Paths").get(str(path))
        )
        lock = directory.obtainLock("write.lock")
        try:
            with pytest.raises(OutputError, match="Another program is writing to"):
                delete_documents(path, ["d1"])
        finally:
            lock.close()
        assert delete_documents(path, ["d1"]).change.deleted == 1


class TestCommand:
    def test_the_same_runs_as_from_scratch(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        path = build(tmp_path, "index")
        (tmp_path / "ids.txt").write_text("d1\n\nnot there\n")
        more = impacts(tmp_path, MORE)
        done = run_stage("index", "--append", "--input", more, "--index", path, "--delete", tmp_path / "ids.txt")
        assert done.out == f"{path}: 2 documents added, 1 document deleted; now 5 documents, 9 postings, 35 impacts\n"
        assert f"1 id to delete is not in {path}: 'not there'" in caplog.text
        done = run_stage("index", "--update", "--input", more, "--index", path)
        assert done.out.startswith(f"{path}: 2 documents replaced; now 5 documents")
        done = run_stage("index", "--delete", tmp_path / "ids.txt", "--index", path)
        assert done.out.startswith(f"{path}: nothing changed; now 5 documents")
        left = {id_: vector for id_, vector in {**ANIMALS, **MORE}.items() if id_ != "d1"}
        scratch = build(tmp_path, "scratch", left)
        (tmp_path / "topics.tsv").write_text('q1\t{"cat": 3, "cow": 2, "bird": 1}\nq2\t{"dog": 1}\n')
        runs = []
        for each in (path, scratch):
            arguments = ("--pre-encoded", "--query-idf", 0.75, "--two-step", 2, "--format", "msmarco")
            files = ("--topics", tmp_path / "topics.tsv", "--output", tmp_path / f"{each.name}.txt")
            done = run_stage("search", "--index", each, *files, *arguments)
            assert done.code == 0, done.err
            runs.append((tmp_path / f"{each.name}.txt").read_bytes())
        assert runs[0] == runs[1]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--append", "--update", "--input", "x"], "--append and --update exclude each other"),
            (["--append"], "--input is missing"),
            ([], "--input is missing"),
            (["--delete", "x", "--input", "y"], "--input has no effect with --delete alone"),
            (["--append", "--input", "x", "--overwrite"], "--overwrite excludes --append"),
            (["--append", "--input", "x", "--workers", "2"], "--workers has no effect with --append"),
            (["--append", "--input", "x", "--bm25"], "Text indexes (--bm25) cannot be changed"),
            (["--input", "x", "--force"], "--force has no effect without --append or --update"),
        ],
    )
    def test_options_that_do_not_go_together(self, tmp_path: Path, arguments: list[str], message: str) -> None:
        done = run_stage("index", "--index", tmp_path / "index", *arguments)
        assert done.code == 2
        assert message in done.err

    def test_a_file_of_ids_may_not_be_empty(self, tmp_path: Path) -> None:
        (tmp_path / "ids.txt").write_text("\n")
        done = run_stage("index", "--delete", tmp_path / "ids.txt", "--index", build(tmp_path, "index"))
        assert (done.code, "has no ids" in done.err) == (2, True)


MOMENTS = {
    "before the commit is prepared": (ChangingWriter, "prepare", False),
    "after it is prepared": (index_changes, "whole_file", False),
    "with the manifest beside it": (ChangingWriter, "commit", False),
    "after the commit": (index_changes, "_place_manifest", True),
}
"""The function that is about to run → whether the index is in its new state."""


class TestCrashes:
    @pytest.mark.parametrize("moment", MOMENTS)
    def test_what_is_on_disk_at_any_moment_is_the_old_or_the_new_index(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
    ) -> None:
        path, left = build(tmp_path, "index"), tmp_path / "left" / "index"
        owner, name, is_new = MOMENTS[moment]
        function = getattr(owner, name)

        def copy_first(*arguments: Any) -> Any:
            if not left.exists() and (path / NEXT_MANIFEST).exists() >= (name in {"commit", "_place_manifest"}):
                shutil.copytree(path, left)
            return function(*arguments)

        monkeypatch.setattr(owner, name, copy_first)
        append_documents(path, impacts(tmp_path, MORE), delete=["d1"])
        monkeypatch.setattr(owner, name, function)
        states = {False: ANIMALS, True: {**{k: v for k, v in ANIMALS.items() if k != "d1"}, **MORE}}
        assert_as_from_scratch(left, tmp_path, states[is_new])
        # The next command completes it, or drops what is left of it.
        delete_documents(left, ["d2", "d1"])
        assert not (left / NEXT_MANIFEST).exists()
        assert_as_from_scratch(left, tmp_path, {k: v for k, v in states[is_new].items() if k not in {"d1", "d2"}})

    @pytest.mark.parametrize("moment", ["before the commit is prepared", "after it is prepared", "after the commit"])
    def test_after_an_error_the_index_is_old_or_new(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
    ) -> None:
        path = build(tmp_path, "index")
        before = bytes_of(path)

        def fail(*_: object) -> None:
            raise KeyboardInterrupt

        commit = ChangingWriter.commit

        def commit_and_fail(writer: ChangingWriter) -> None:
            commit(writer)
            raise KeyboardInterrupt

        owner, name, is_new = MOMENTS[moment]
        with monkeypatch.context() as patch:
            patch.setattr(*(ChangingWriter, "commit", commit_and_fail) if is_new else (owner, name, fail))
            with pytest.raises(KeyboardInterrupt):
                append_documents(path, impacts(tmp_path, MORE))
        if is_new:
            assert_as_from_scratch(path, tmp_path, {**ANIMALS, **MORE})
        else:
            assert bytes_of(path) == before
        assert list(tmp_path.glob(".*")) == []

    def test_a_change_that_would_not_hold_what_it_should_is_dropped(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = build(tmp_path, "index")
        before, delete = bytes_of(path), ChangingWriter.delete
        monkeypatch.setattr(ChangingWriter, "delete", lambda writer, ids: delete(writer, ids[1:]))
        with pytest.raises(IntegrityError, match="would not hold what it should: documents: 3 instead of 2"):
            delete_documents(path, ["d1", "d2"])
        assert bytes_of(path) == before


KILLED = """
import sys
from splade_anserini.indexing.changing import append_documents, delete_documents

path, more, ids = sys.argv[1:]
delete_documents(path, ["not there"])
print("ready", flush=True)
append_documents(path, more, delete=ids.split())
"""
"""Changes an index; Java was used before it says that it is ready."""


@pytest.mark.full
def test_a_change_that_is_killed_at_any_moment_leaves_the_old_or_the_new_index(tmp_path: Path) -> None:
    vectors, more = random_vectors(1, 2000), random_vectors(2, 500)
    deleted = list(vectors)[::7]
    build(tmp_path, "old", vectors, shard_size=500)
    append_documents(shutil.copytree(tmp_path / "old", tmp_path / "new"), impacts(tmp_path, more), delete=deleted)
    queries = [dict.fromkeys(vector, 1) for vector in list(more.values())[:5]]
    old, new = (answers(tmp_path / name, queries) for name in ("old", "new"))
    assert old != new
    chance, seen = random.Random(7), list[bool]()
    for number in range(60):
        path = tmp_path / f"index-{number}"
        shutil.copytree(tmp_path / "old", path)
        command = [sys.executable, "-c", KILLED, path, tmp_path / "more", " ".join(deleted)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(chance.random())
            process.kill()
        assert verify_index(path, level=2).passed
        left = answers(path, queries)
        assert left in (old, new)
        seen.append(left == new)
        changed = append_documents(path, tmp_path / "more", delete=deleted)
        assert changed.was_made_before == seen[-1]
        assert answers(path, queries) == new
        shutil.rmtree(path)
    assert set(seen) == {False, True}


class TestReaders:
    def test_a_searcher_keeps_its_view_until_it_is_reopened(self, tmp_path: Path) -> None:
        path = build(tmp_path, "index")
        with ImpactSearcher(path) as searcher:
            assert searcher.reopened() is searcher
            update_documents(path, impacts(tmp_path, {**MORE, "d1": {"cow": 1}}), delete=["d4"])
            assert searcher.documents == 4
            assert searcher.rank({"fish": 1, "cow": 1}, 10).ids == ["d4"]
            with searcher.reopened() as reopened:
                assert reopened.rank({"fish": 1, "cow": 1}, 10).ids == ["d5", "d 6", "d1"]
                assert reopened.reopened() is reopened
            assert searcher.rank({"fish": 1, "cow": 1}, 10).ids == ["d4"]

    def test_an_index_that_was_replaced_is_reopened_too(self, tmp_path: Path) -> None:
        path = build(tmp_path, "index")
        with ImpactSearcher(path) as searcher:
            index(impacts(tmp_path, MORE), path, OPTIONS, overwrite=True)
            with searcher.reopened() as reopened:
                assert reopened.documents == 2
            assert searcher.documents == 4

    @pytest.mark.parametrize("moment", MOMENTS)
    def test_an_index_opens_while_it_is_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
    ) -> None:
        path = build(tmp_path, "index")
        owner, name, is_new = MOMENTS[moment]
        function, seen = getattr(owner, name), list[int]()

        def search_first(*arguments: Any) -> Any:
            with ImpactSearcher(path) as searcher:
                seen.append(searcher.documents)
            return function(*arguments)

        monkeypatch.setattr(owner, name, search_first)
        append_documents(path, impacts(tmp_path, MORE))
        assert seen[-1] == (6 if is_new else 4)

    def test_a_commit_between_reader_and_manifest_is_noticed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from splade_anserini.lucene import index_reader

        path = build(tmp_path, "index")
        shutil.copytree(path, tmp_path / "later")
        append_documents(tmp_path / "later", impacts(tmp_path, MORE))
        check = index_reader._check_counts

        def change_first(*arguments: Any) -> None:
            if not (path / "changed").exists():
                shutil.copytree(tmp_path / "later", path, dirs_exist_ok=True)
                (path / "changed").touch()
            check(*arguments)

        monkeypatch.setattr(index_reader, "_check_counts", change_first)
        with ImpactSearcher(path) as searcher:
            assert searcher.documents == 6

    def test_an_index_that_is_changed_while_it_is_verified_is_verified_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = build(tmp_path, "index")
        check = verification._check_counts

        def change_first(*arguments: Any) -> None:
            if manifest_of(path).revision == 0:
                delete_documents(path, ["d1"])
            check(*arguments)

        monkeypatch.setattr(verification, "_check_counts", change_first)
        assert verify_index(path).passed

    def test_pyserinis_methods_reopen(self, tmp_path: Path) -> None:
        path = build(tmp_path, "index")
        with FastLuceneImpactSearcher(path, _Fixed()) as searcher:
            assert not searcher.reopen()
            hits = searcher.search("any")
            assert [hit.docid for hit in hits] == ["d1", "d3"]
            update_documents(path, impacts(tmp_path, MORE), delete=["d1"])
            assert searcher.num_docs == 4
            assert searcher.reopen()
            assert searcher.num_docs == 5
            assert [hit.docid for hit in searcher.search("any")] == ["d5", "d3"]
            assert hits[1].lucene_document.get("id") == "d3"
            assert hits[0].lucene_document is None


class _Fixed:
    def encode(self, _: str) -> dict[str, int]:
        return {"cat": 1}


class TestImpactIndex:
    def test_texts_are_appended_updated_and_deleted(self) -> None:
        with ImpactIndex.from_texts(["cats sleep", "dogs bark"], ["a", "b"], encoder=ENCODER) as living:
            assert living.append(["dogs sleep"], ["c"]).change.added == 1
            assert [hit.id for hit in living.search("sleep")] == ["a", "c"]
            assert [hit.text for hit in living.search("sleep")] == ["cats sleep", "dogs sleep"]
            living.update(["cats sleep", "cats bark"], ["c", "d"])
            assert len(living) == 4
            assert [hit.id for hit in living.search("sleep cats")][:2] == ["a", "c"]
            assert living.delete(["a", "x"]).missing == ("x",)
            assert [hit.id for hit in living.search("sleep")] == ["c"]
            with pytest.raises(InputError, match=r"1 document is in .* already: 'c'"):
                living.append(["dogs bark"], ["c"])

    def test_documents_keep_their_fields(self, tmp_path: Path) -> None:
        (tmp_path / "corpus.jsonl").write_text('{"id": "a", "contents": "cats sleep", "year": 1999}\n')
        encode(open_corpus(tmp_path / "corpus.jsonl"), ENCODER, tmp_path / "impacts")
        options = IndexOptions(store_text=True, filter_fields="year:int")
        index(tmp_path / "impacts", tmp_path / "index", options, documents=tmp_path / "corpus.jsonl")
        with pytest.raises(InputError, match="was built with --documents"):
            append_documents(tmp_path / "index", impacts(tmp_path, MORE))
        with ImpactIndex.open(tmp_path / "index", query_encoder=ENCODER) as living:
            living._encoder = ENCODER
            living.append([Document("b", "", "cats bark", {"year": 2020})])
            assert living.document("b") == {"id": "b", "contents": "cats bark", "year": 2020}
            assert [hit.id for hit in living.search("cats", filters=["year>2000"])] == ["b"]

    @pytest.mark.parametrize("texts", [["cats sleep"], [Document("a", "", "cats"), "dogs bark"], []])
    def test_texts_need_ids(self, tmp_path: Path, texts: list[str | Document]) -> None:
        with (
            ImpactIndex.open(build(tmp_path, "index"), query_encoder=ENCODER) as living,
            pytest.raises(InputError, match="There are texts without ids"),
        ):
            living.append(texts)

    def test_another_object_sees_changes_after_it_is_reopened(self, tmp_path: Path) -> None:
        with ImpactIndex.from_texts(["cats sleep"], ["a"], encoder=ENCODER) as made:
            made.save(tmp_path / "index")
        with (
            ImpactIndex.open(tmp_path / "index", query_encoder=ENCODER, query_idf=0.5) as reader,
            ImpactIndex.open(tmp_path / "index", query_encoder=ENCODER) as writer,
        ):
            assert not reader.reopen()
            writer.delete(["a"])
            assert (len(reader), len(writer)) == (1, 0)
            assert reader.reopen()
            assert (len(reader), reader.query_idf) == (0, 0.5)
            with pytest.raises(InputError):
                writer.append(["cats sleep"], ["b"])
