"""Joining indexes: the same runs as one index of all documents, and nothing is joined that does not belong together."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from splade_anserini.artifacts.manifests import Counts, IndexManifest, read_manifest
from splade_anserini.artifacts.sharded_index import fingerprint_of_index
from splade_anserini.errors import InputError, MismatchError, OutputError
from splade_anserini.formats.topics import write_encoded_topics
from splade_anserini.index import index
from splade_anserini.lucene import ImpactSearcher, IndexOptions
from splade_anserini.merge import MergeOptions, merge
from tests.cli_runner import run_stage
from tests.impact_fixtures import documents, random_vectors, write_documents, write_encoded

VECTORS = random_vectors(7, 60)
QUERIES = {f"q{n}": vector for n, vector in enumerate(random_vectors(8, 12).values())} | {"empty": {}}
SHARDED = MergeOptions(sharded=True)

type Vectors = Mapping[str, Mapping[str, int]]


def build(home: Path, name: str, vectors: Vectors, options: IndexOptions | None = None, **encoding: object) -> Path:
    """Encode and index vectors; return the directory of the index."""
    write_encoded(home / f"{name}.impacts", vectors, shard_size=20, **encoding)
    index(home / f"{name}.impacts", home / name, options or IndexOptions(threads=1, store_docvectors=True))
    return home / name


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index `single`, its documents in `a`, `b` and `c`, these `merged` and `sharded`, and topics."""
    home = tmp_path_factory.mktemp("merge")
    items = list(VECTORS.items())
    build(home, "single", VECTORS)
    for name, part in {"a": items[:31], "b": items[31:35], "c": items[35:]}.items():
        build(home, name, dict(part))
    merge([home / "a", home / "b", home / "c"], home / "merged")
    merge([home / "a", home / "b", home / "c"], home / "sharded", SHARDED)
    write_encoded_topics(home / "topics.tsv", {id_: vector for id_, vector in QUERIES.items() if vector})
    return home


def run_of(home: Path, name: str, output: Path, *arguments: object) -> bytes:
    topics = home / "topics.tsv"
    done = run_stage(
        "search", "--index", home / name, "--topics", topics, "--pre-encoded", "--output", output, *arguments
    )
    assert done.code == 0, done.err
    return output.read_bytes()


@pytest.mark.parametrize("name", ["merged", "sharded"])
@pytest.mark.parametrize(
    "arguments",
    [
        ["--hits", 1],
        ["--hits", 10],
        ["--hits", 1000, "--threads", 2],
        ["--query-idf", 0.75],
        ["--two-step", 2],
        ["--searcher", "pyserini"],
        ["--feedback", "rm3"],
        ["--feedback", "rocchio"],
    ],
    ids=lambda arguments: " ".join(map(str, arguments)),
)
def test_runs_are_those_of_one_index_of_all_documents(
    home: Path, tmp_path: Path, name: str, arguments: list[object]
) -> None:
    expected = run_of(home, "single", tmp_path / "single.txt", *arguments)
    assert expected
    assert run_of(home, name, tmp_path / "joined.txt", *arguments) == expected


def test_documents_keep_their_order(home: Path) -> None:
    with ImpactSearcher(home / "merged") as searcher, ImpactSearcher(home / "sharded") as sharded:
        expected = [f'"{id_}"' for id_ in VECTORS]
        for each in (searcher, sharded):
            query = {token: 1 for vector in VECTORS.values() for token in vector}
            ranking = each.rank(query, len(VECTORS))
            by_number = sorted(zip(ranking.docs, ranking.ids, strict=True))
            assert [f'"{id_}"' for _, id_ in by_number] == expected


def test_the_manifest_says_what_was_joined(home: Path) -> None:
    single, merged = (read_manifest(home / name, IndexManifest) for name in ("single", "merged"))
    assert single is not None
    assert merged is not None
    assert merged.counts == single.counts
    assert (merged.encoder, merged.scale, merged.max_length) == (single.encoder, single.scale, single.max_length)
    assert [part.path for part in merged.parts] == [str((home / name).resolve()) for name in "abc"]
    assert [part.fingerprint for part in merged.parts] == [fingerprint_of_index(home / name) for name in "abc"]
    assert sum((part.counts for part in merged.parts), Counts()) == single.counts
    assert merged.options == {"store_text": False, "store_docvectors": True, "optimize": True}


def test_merged_indexes_have_one_segment_unless_told_otherwise(home: Path, tmp_path: Path) -> None:
    merge([home / "a", home / "b"], tmp_path / "apart", MergeOptions(optimize=False))
    merge([home / "a", home / "b"], tmp_path / "one")
    assert len(list((tmp_path / "one").glob("*.si"))) == 1
    assert len(list((tmp_path / "apart").glob("*.si"))) == 2
    assert run_of(home, "merged", tmp_path / "1.txt")


def test_a_sharded_index_stands_for_its_shards(home: Path, tmp_path: Path) -> None:
    merge([home / "sharded"], tmp_path / "merged")
    manifest = read_manifest(tmp_path / "merged", IndexManifest)
    assert manifest is not None
    assert len(manifest.parts) == 3
    expected = run_of(home, "single", tmp_path / "1.txt")
    topics = home / "topics.tsv"
    run_stage("search", "--index", tmp_path / "merged", "--topics", topics, "--output", tmp_path / "2.txt")
    assert (tmp_path / "2.txt").read_bytes() == expected


class TestOutputs:
    @pytest.mark.parametrize("options", [MergeOptions(), SHARDED], ids=["merged", "sharded"])
    def test_the_same_command_again_leaves_the_index_as_it_is(
        self, home: Path, tmp_path: Path, options: MergeOptions
    ) -> None:
        merge([home / "a", home / "b"], tmp_path / "out", options)
        before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
        merge([home / "a", home / "b"], tmp_path / "out", options)
        assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before
        with pytest.raises(OutputError, match="already exists; it was made of other indexes"):
            merge([home / "b", home / "a"], tmp_path / "out", options)
        merge([home / "b", home / "c"], tmp_path / "out", options, overwrite=True)
        with ImpactSearcher(tmp_path / "out") as searcher:
            assert searcher.documents == 29

    def test_an_index_that_merge_did_not_make_is_not_replaced(self, home: Path, tmp_path: Path) -> None:
        build(tmp_path, "other", {"x": {"y": 1}})
        with pytest.raises(OutputError, match="merge did not make it"):
            merge([home / "a", home / "b"], tmp_path / "other")
        with pytest.raises(OutputError, match="made with other options or pseudo-documents"):
            index(tmp_path / "other.impacts", merged_copy(home, tmp_path), IndexOptions())

    def test_an_output_is_not_one_of_the_inputs(self, home: Path) -> None:
        with pytest.raises(OutputError, match="same path"):
            merge([home / "a", home / "b"], home / "a")

    def test_a_sharded_index_may_hold_its_shards(self, tmp_path: Path) -> None:
        home = tmp_path / "all"
        build(home, "a", {"d1": {"cat": 1}})
        build(home, "b", {"d2": {"cat": 2}})
        (tmp_path / "moved").mkdir()
        merge([home / "a", home / "b"], home, SHARDED)
        manifest = read_manifest(home, IndexManifest)
        assert manifest is not None
        assert [part.path for part in manifest.parts] == ["a", "b"]
        home.rename(tmp_path / "moved" / "all")
        with ImpactSearcher(tmp_path / "moved" / "all") as searcher:
            assert searcher.rank({"cat": 1}, 10).ids == ["d2", "d1"]

    def test_nothing_is_left_when_counts_differ(
        self, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("splade_anserini.lucene.index_merging.merge_indexes", lambda *_, **__: None)
        with pytest.raises(InputError):
            merge([home / "a", home / "b"], tmp_path / "out")
        assert not list(tmp_path.iterdir())


def merged_copy(home: Path, tmp_path: Path) -> Path:
    merge([home / "a", home / "b"], tmp_path / "merged copy")
    return tmp_path / "merged copy"


class TestRefused:
    @pytest.mark.parametrize("options", [MergeOptions(), SHARDED], ids=["merged", "sharded"])
    def test_a_document_in_two_indexes(self, home: Path, tmp_path: Path, options: MergeOptions) -> None:
        id_ = list(VECTORS)[33]
        build(tmp_path, "again", {"new": {"t1": 1}, id_: {"t2": 3}, "zz": {"t1": 1}})
        with pytest.raises(InputError, match=f"The document '{id_}' is in .*/b and in .*/again"):
            merge([home / "a", home / "b", home / "c", tmp_path / "again"], tmp_path / "out", options)
        assert not (tmp_path / "out").exists()

    def test_an_id_in_more_than_two_indexes(self, tmp_path: Path) -> None:
        indexes = [build(tmp_path, name, {"same": {"t1": 1}, name: {"t1": 1}}) for name in "abc"]
        with pytest.raises(InputError, match=r"The document 'same' is in .*/a and in .*/b"):
            merge(indexes, tmp_path / "out")

    @pytest.mark.parametrize(
        ("encoding", "message"),
        [({"scale": 50.0}, "scale: 100.0 and 50.0"), ({"max_length": 128}, "maximum length: 256 and 128")],
        ids=["scale", "length"],
    )
    def test_documents_that_were_encoded_in_another_way_unless_forced(
        self, home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, encoding: dict[str, object], message: str
    ) -> None:
        other = build(tmp_path, "other", {"x": {"y": 1}}, **encoding)
        with pytest.raises(MismatchError, match=message):
            merge([home / "a", other], tmp_path / "out")
        manifest = merge([home / "a", other], tmp_path / "out", MergeOptions(force=True))
        assert message in caplog.text
        assert manifest.scale == 100

    def test_indexes_with_other_fields(self, home: Path, tmp_path: Path) -> None:
        other = build(tmp_path, "other", {"x": {"y": 1}}, IndexOptions(threads=1))
        with pytest.raises(MismatchError, match="option store_docvectors: True and False"):
            merge([home / "a", other], tmp_path / "out")

    def test_an_index_without_a_manifest_beside_one_with(self, home: Path, tmp_path: Path) -> None:
        write_documents(tmp_path / "plain.jsonl", documents({"x": {"y": 1}}))
        other = tmp_path / "other"
        index(tmp_path / "plain.jsonl", other)
        with pytest.raises(MismatchError, match="encoder"):
            merge([home / "a", other], tmp_path / "out")
        (other / "splade.manifest").unlink()
        with pytest.raises(MismatchError, match="manifest: one and none"):
            merge([home / "a", other], tmp_path / "out")
        assert merge([other], tmp_path / "alone").encoder is None

    def test_an_index_that_is_named_twice(self, home: Path, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="is named twice"):
            merge([home / "a", home / "." / "a"], tmp_path / "out")

    def test_options_that_exclude_one_another(self) -> None:
        with pytest.raises(InputError, match="--no-optimize has no effect with --sharded"):
            MergeOptions(sharded=True, optimize=False)


class TestShards:
    @pytest.fixture
    def sharded(self, tmp_path: Path) -> Path:
        build(tmp_path, "a", {"d1": {"cat": 1}})
        build(tmp_path, "b", {"d2": {"cat": 2}})
        merge([tmp_path / "a", tmp_path / "b"], tmp_path / "sharded", SHARDED)
        return tmp_path / "sharded"

    def test_one_that_is_missing_is_named(self, sharded: Path) -> None:
        (sharded.parent / "b").rename(sharded.parent / "gone")
        with pytest.raises(InputError, match=r"lacks its shard .*/b\."):
            ImpactSearcher(sharded)
        status = run_stage("status", sharded)
        assert status.code == 1
        assert "missing" in status.out

    def test_one_that_was_built_again_is_refused(self, sharded: Path) -> None:
        build(sharded.parent, "b2", {"d2": {"cat": 3}})
        index(sharded.parent / "b2.impacts", sharded.parent / "b", overwrite=True)
        with pytest.raises(MismatchError, match="was changed after the sharded index"):
            ImpactSearcher(sharded)

    def test_status_info_and_verify_know_them(self, home: Path) -> None:
        status = run_stage("status", home / "sharded")
        assert "60 documents" in status.out
        assert "in 3 shards" in status.out
        assert "Its shards are" in run_stage("info", home / "sharded").out
        assert "Merged from" in run_stage("info", home / "merged").out
        for name in ("merged", "sharded"):
            verified = run_stage("verify", home / name, "--against", home / "single.impacts")
            assert verified.code == 0, verified.out

    def test_their_bytes_add_up(self, home: Path) -> None:
        from splade_anserini.lucene.disk_usage import index_parts

        each = [index_parts(home / name) for name in "abc"]
        assert index_parts(home / "sharded")["postings"] == sum(parts["postings"] for parts in each)

    def test_a_copy_holds_its_shards(self, home: Path, tmp_path: Path) -> None:
        from splade_anserini.impact_index import ImpactIndex

        with ImpactIndex.open(home / "sharded") as opened:
            opened.save(tmp_path / "copy")
        with ImpactSearcher(tmp_path / "copy") as searcher:
            assert searcher.documents == 60
        assert (tmp_path / "copy" / "shard-0002").is_dir()
