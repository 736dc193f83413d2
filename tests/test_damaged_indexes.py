"""A damaged index is refused: flipped bits, counts that differ, memory of what was checked."""

import gc
import json
import logging
import os
import random
import re
import shutil
import struct
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from splade_anserini.artifacts.manifests import (
    MANIFEST,
    IndexManifest,
    OutputManifest,
    manifest_bytes,
    parse_manifest,
    read_manifest,
    write_manifest,
)
from splade_anserini.artifacts.text_index_manifest import TextIndexManifest
from splade_anserini.errors import InputError, IntegrityError, SpladeAnseriniError
from splade_anserini.formats.corpora import InMemoryCorpus
from splade_anserini.formats.topics import write_encoded_topics
from splade_anserini.impact_index import ImpactIndex
from splade_anserini.index import index
from splade_anserini.lucene import (
    FastLuceneImpactSearcher,
    Feedback,
    ImpactSearcher,
    IndexOptions,
    PyseriniImpactSearcher,
    check_index_files,
    count_index,
    index_files,
    index_reader,
    open_bm25_searcher,
)
from splade_anserini.lucene.external_ids import ExternalIds
from splade_anserini.lucene.java import abandoned
from splade_anserini.lucene.statistics import index_statistics
from splade_anserini.records import Document
from splade_anserini.text_index import index_texts
from tests.cli_runner import Outcome, run_stage
from tests.impact_fixtures import ANIMALS, random_vectors, write_encoded

DOCUMENTS = 300
VECTORS = random_vectors(1, DOCUMENTS, vocabulary=200, greatest=300)
QUERIES = {f"q{number}": {f"t{token}": 1 + token % 3 for token in range(number, 200, 7)} for number in range(7)}


@pytest.fixture(scope="module")
def impacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An impact index of 300 documents, with document vectors and records; tests copy it."""
    home = tmp_path_factory.mktemp("impacts")
    write_encoded(home / "impacts", VECTORS, shard_size=100)
    index(home / "impacts", home / "index", IndexOptions(store_docvectors=True, store_text=True, threads=1))
    return home / "index"


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text index of the same documents."""
    output = tmp_path_factory.mktemp("texts") / "index"
    documents = [Document(id_, "", " ".join(vector)) for id_, vector in VECTORS.items()]
    index_texts(InMemoryCorpus("c", documents), output, options=IndexOptions(threads=1))
    return output


@pytest.fixture(autouse=True)
def nothing_was_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test start as a new process of a new user does."""
    monkeypatch.setenv("SPLADE_ANSERINI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(index_files, "_checked", set())
    monkeypatch.setattr(index_reader, "_unchecked", set())


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[[Path], Path]:
    return lambda index: Path(shutil.copytree(index, tmp_path / "copy"))


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def parts_of(index: Path, suffix: str) -> list[Path]:
    return [path for path in index.iterdir() if path.suffix == suffix]


def with_footer(content: bytes) -> bytes:
    """End a file as Lucene does."""
    content += struct.pack(">II", 0xC02893E8, 0)
    return content + struct.pack(">Q", zlib.crc32(content))


# Flipped bits.


class Flips:
    """Flips one bit after another in copies of indexes, and searches."""

    def __init__(self, home: Path, seed: int, *indexes: Path) -> None:
        self._home, self._chance = home, random.Random(seed)
        self._copies = [Path(shutil.copytree(index, home / f"flips-{number}")) for number, index in enumerate(indexes)]
        write_encoded_topics(home / "impacts.tsv", QUERIES)
        topics = ((id_, " ".join(vector)) for id_, vector in QUERIES.items())
        (home / "texts.tsv").write_text("".join(f"{id_}\t{text}\n" for id_, text in topics))
        self._right = {copy: self._search(copy)[1] for copy in self._copies}
        assert all(self._right.values())

    def outcomes(self, flips: int) -> Iterator[tuple[str, str]]:
        """Yield what came of each flip: where it was, and "refused", "right", "wrong" or "traceback"."""
        for number in range(flips):
            copy = self._copies[number % len(self._copies)]
            files = sorted(path for path in copy.iterdir() if path.stat().st_size)
            # Each file is as likely as any other, and so is each bit.
            weights = [path.stat().st_size for path in files] if number // 2 % 2 else None
            (path,) = self._chance.choices(files, weights)
            content, bit = path.read_bytes(), self._chance.randrange(8 * path.stat().st_size)
            flip(path, bit)
            yield f"{path.name}, bit {bit}", self._outcome(copy)
            path.write_bytes(content)

    def _outcome(self, copy: Path) -> str:
        try:
            outcome, run = self._search(copy)
        except Exception as error:  # what users would see as a traceback
            return f"traceback: {type(error).__name__}"
        if outcome.code:
            assert outcome.err.startswith("error: ")
            return "refused"
        return "right" if run == self._right[copy] else "wrong"

    def _search(self, copy: Path) -> tuple[Outcome, bytes]:
        run = self._home / "run.txt"
        run.unlink(missing_ok=True)
        is_text = b"text-inde" in (copy / MANIFEST).read_bytes() if (copy / MANIFEST).exists() else False
        options = (
            ["--bm25", "--topics", self._home / "texts.tsv"]
            if is_text
            else ["--topics", self._home / "impacts.tsv", "--pre-encoded"]
        )
        outcome = run_stage("search", "--index", copy, *options, "--output", run, "--overwrite", "--hits", 100)
        return outcome, run.read_bytes() if run.exists() else b""


def without_manifest(index: Path, home: Path) -> Path:
    copy = Path(shutil.copytree(index, home / "foreign"))
    (copy / MANIFEST).unlink()
    return copy


@pytest.mark.parametrize(
    "flips", [pytest.param(60, marks=pytest.mark.slow), pytest.param(1000, marks=pytest.mark.full)]
)
def test_no_flipped_bit_changes_a_run(tmp_path: Path, impacts: Path, texts: Path, flips: int) -> None:
    indexes = impacts, texts, without_manifest(impacts, tmp_path)
    outcomes = list(Flips(tmp_path, 17, *indexes).outcomes(flips))
    silent = [(place, outcome) for place, outcome in outcomes if outcome not in {"refused", "right"}]
    assert not silent, Counter(outcome for _, outcome in outcomes)


def test_without_the_check_a_document_that_does_not_exist_is_an_error() -> None:
    ids = ExternalIds(3)
    ids._cache = np.array(["a", "b", "c"], dtype=object)
    with pytest.raises(IntegrityError, match=r"The index is damaged: a search returned document 7 of 3\."):
        ids.of(np.array([0, 7], dtype=np.int32), cast("Any", None))


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".doc", ".fdt", ".si"])
def test_a_flip_is_refused_with_the_name_of_the_file(copy_of: Any, impacts: Path, suffix: str) -> None:
    index = copy_of(impacts)
    (path,) = parts_of(index, suffix)
    flip(path, 4 * path.stat().st_size)
    with pytest.raises(IntegrityError) as error:
        ImpactSearcher(index)
    message = str(error.value)
    if suffix == ".si":
        # Lucene finds it, when it is asked which files it reads.
        assert re.search(r"is a damaged Lucene index, CorruptIndexException: .*\.si", message)
    else:
        pattern = rf"{re.escape(str(path))} is damaged: it has the checksum \w{{8}}\.\nExpected \w{{8}}, which is rec"
        assert re.match(pattern, message)
        assert message.endswith(
            "Copy the index again from a whole one, or rebuild it with splade-anserini index --overwrite."
        )


@pytest.mark.slow
def test_a_cut_file_is_refused(copy_of: Any, impacts: Path) -> None:
    index = copy_of(impacts)
    (path,) = parts_of(index, ".doc")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(IntegrityError, match=r"\.doc is damaged: it does not end with a checksum\.\nExpected one, as"):
        count_index(index)


OPEN: dict[str, Callable[[Path], object]] = {
    "ImpactSearcher": ImpactSearcher,
    "PyseriniImpactSearcher": PyseriniImpactSearcher,
    "FastLuceneImpactSearcher": lambda path: FastLuceneImpactSearcher(path, None),
    "ImpactIndex": ImpactIndex.open,
    "statistics": index_statistics,
    "counts": count_index,
    "feedback": lambda path: PyseriniImpactSearcher(path, feedback=Feedback(method="rm3")),
}


@pytest.mark.slow
@pytest.mark.parametrize("open_index", OPEN.values(), ids=OPEN)
def test_whatever_opens_an_index_checks_it(copy_of: Any, impacts: Path, open_index: Callable[[Path], object]) -> None:
    index = copy_of(impacts)
    (path,) = parts_of(index, ".doc")
    flip(path, 4 * path.stat().st_size)
    with pytest.raises(IntegrityError, match=r"\.doc is damaged"):
        open_index(index)


@pytest.mark.slow
def test_a_text_index_is_checked(copy_of: Any, texts: Path) -> None:
    index = copy_of(texts)
    (path,) = parts_of(index, ".doc")
    flip(path, 4 * path.stat().st_size)
    with pytest.raises(IntegrityError, match=r"\.doc is damaged"):
        open_bm25_searcher(index)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["search", "rescore", "profile", "index"])
def test_commands_exit_with_1(tmp_path: Path, copy_of: Any, impacts: Path, command: str) -> None:
    index = copy_of(impacts)
    (path,) = parts_of(index, ".doc")
    flip(path, 4 * path.stat().st_size)
    write_encoded_topics(tmp_path / "topics.tsv", QUERIES)
    (tmp_path / "qrels.txt").write_text("q1 0 d 1\n")
    queries = ["--topics", tmp_path / "topics.tsv", "--pre-encoded", "--output", tmp_path / "out"]
    arguments = {
        "search": queries,
        "rescore": [*queries, "--qrels", tmp_path / "qrels.txt"],
        "profile": queries,
        # The index is up to date, but for the damage.
        "index": ["--input", impacts.parent / "impacts", "--store-docvectors", "--store-text"],
    }[command]
    outcome = run_stage(command, "--index", index, *arguments)
    assert (outcome.code, outcome.out) == (1, "")
    assert f"error: {path} is damaged: it has the checksum" in outcome.err


# What Lucene does not read.


@pytest.mark.slow
@pytest.mark.parametrize("name", ["_9.cfs", "segments_0", "_0_Lucene90FieldsIndex-doc_ids_0.tmp"])
def test_files_that_a_writer_has_not_finished_are_not_damage(copy_of: Any, impacts: Path, name: str) -> None:
    index = copy_of(impacts)
    (index / name).write_bytes(b"half of")
    assert count_index(index).documents == DOCUMENTS


# Counts.


@pytest.mark.slow
@pytest.mark.parametrize("name", ["documents", "postings", "impacts"])
def test_counts_of_the_manifest_are_compared(copy_of: Any, impacts: Path, name: str) -> None:
    index = copy_of(impacts)
    manifest = read_manifest(index, IndexManifest)
    assert manifest
    count = getattr(manifest.counts, name)
    counts = manifest.counts.model_copy(update={name: count + 1})
    write_manifest(index, manifest.model_copy(update={"counts": counts}))
    with pytest.raises(IntegrityError, match=f"does not hold what its manifest says: {name}: {count:,} instead of"):
        ImpactSearcher(index)


@pytest.mark.slow
def test_counts_of_a_text_index_are_compared(copy_of: Any, texts: Path) -> None:
    index = copy_of(texts)
    manifest = read_manifest(index, TextIndexManifest)
    assert manifest
    counts = manifest.counts.model_copy(update={"words": manifest.counts.words - 1})
    write_manifest(index, manifest.model_copy(update={"counts": counts}))
    with pytest.raises(IntegrityError, match="does not hold what its manifest says: words: "):
        open_bm25_searcher(index)


@pytest.mark.slow
def test_an_index_with_the_manifest_of_something_else_is_refused(copy_of: Any, impacts: Path) -> None:
    index = copy_of(impacts)
    (index / MANIFEST).write_text('{"kind": "soup"}')
    with pytest.raises(InputError, match="is not a valid index manifest"):
        ImpactSearcher(index)


# Manifests.


MANIFESTS = OutputManifest(command="search", settings={"k": 1.5, "name": "naïve"}, counts={"a": 1}, sha256="0" * 64)


def test_a_manifest_ends_with_its_checksum(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(manifest_bytes(MANIFESTS))
    record = json.loads((tmp_path / "m").read_bytes())
    assert re.fullmatch(r"[0-9a-f]{64}", record.pop("checksum"))
    assert record == json.loads(MANIFESTS.model_dump_json())
    assert parse_manifest(tmp_path / "m", OutputManifest) == MANIFESTS


def test_no_flipped_bit_of_a_manifest_is_taken_for_a_value(tmp_path: Path) -> None:
    path, content = tmp_path / "m", manifest_bytes(MANIFESTS)
    for position, bit in product(range(len(content)), range(8)):
        path.write_bytes(content[:position] + bytes([content[position] ^ 1 << bit]) + content[position + 1 :])
        try:
            manifest = parse_manifest(path, OutputManifest)
        except (InputError, IntegrityError):
            manifest = MANIFESTS
        assert manifest == MANIFESTS


def test_a_manifest_that_was_edited_is_refused_and_says_how_to_keep_it(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(manifest_bytes(MANIFESTS).replace(b'"search"', b'"rescore"'))
    with pytest.raises(
        IntegrityError, match=r"(?s)m was changed after it was written.*\nExpected .*remove its line \"chec"
    ):
        parse_manifest(path, OutputManifest)
    record = json.loads(path.read_bytes())
    del record["checksum"]
    path.write_text(json.dumps(record))
    manifest = parse_manifest(path, OutputManifest)
    assert manifest
    assert manifest.command == "rescore"


def test_the_order_of_keys_and_white_space_of_a_manifest_do_not_count(tmp_path: Path) -> None:
    record = json.loads(manifest_bytes(MANIFESTS))
    (tmp_path / "m").write_text(json.dumps(dict(reversed(record.items())), indent=4))
    assert parse_manifest(tmp_path / "m", OutputManifest) == MANIFESTS


# What is remembered.


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read for their checksums."""
    names: list[str] = []
    damage = index_files._damage

    def read(path: Path) -> index_files.Damage | None:
        names.append(path.name)
        return damage(path)

    monkeypatch.setattr(index_files, "_damage", read)
    return names


def lucene_index(directory: Path) -> Path:
    """Files that look like an index to what does not start Java."""
    directory.mkdir()
    for name in ("segments_1", "_0.cfs", "_0.si"):
        (directory / name).write_bytes(with_footer(name.encode()))
    (directory / "write.lock").touch()
    return directory


def test_files_that_were_checked_are_not_read_again(tmp_path: Path, reads: list[str]) -> None:
    index = lucene_index(tmp_path / "index")
    check_index_files(index)
    assert reads == ["_0.cfs", "_0.si", "segments_1"]
    check_index_files(index)
    assert len(reads) == 3
    check_index_files(index, again=True)
    assert len(reads) == 6


def test_a_file_that_was_written_after_the_check_is_read_again(tmp_path: Path, reads: list[str]) -> None:
    index = lucene_index(tmp_path / "index")
    check_index_files(index)
    content, stat = (index / "_0.cfs").read_bytes(), (index / "_0.cfs").stat()
    (index / "_0.cfs").write_bytes(content)
    os.utime(index / "_0.cfs", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    check_index_files(index)
    assert reads[3:] == ["_0.cfs"]


@pytest.mark.parametrize(("least", "reads_again"), [(0, False), (1 << 40, True)])
def test_another_process_reads_only_small_indexes_again(
    tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch, least: int, reads_again: bool
) -> None:
    monkeypatch.setattr(index_files, "_REMEMBERED_BYTES", least)
    index = lucene_index(tmp_path / "index")
    check_index_files(index)
    monkeypatch.setattr(index_files, "_checked", set())
    monkeypatch.setattr(index_files, "_whole_files", set())
    check_index_files(index)
    assert (len(reads) == 6) is reads_again
    # Nothing is written into the index.
    assert len(list(index.iterdir())) == 4


def test_a_cache_that_cannot_be_written_is_no_error(
    tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_files, "_REMEMBERED_BYTES", 0)
    (tmp_path / "cache").write_text("a file")
    check_index_files(lucene_index(tmp_path / "index"))
    assert len(reads) == 3


def test_the_cache_is_that_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert index_files.cache_directory() == tmp_path / "cache"
    monkeypatch.delenv("SPLADE_ANSERINI_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert index_files.cache_directory() == Path("/x/splade-anserini")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/u")
    assert index_files.cache_directory() == Path("/home/u/.cache/splade-anserini")


def test_a_large_index_is_checked_once_on_demand(
    tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(index_reader, "CHECKED_BYTES", 10)
    caplog.set_level(logging.INFO)
    index = lucene_index(tmp_path / "index")
    for _ in range(2):
        check_index_files(index)
    assert reads == []
    assert [record.getMessage() for record in caplog.records] == [
        f"The files of {index} (0.0 GB) are not checked for damage; add --verify to do it once."
    ]
    check_index_files(index, any_size=True)
    check_index_files(index, any_size=True)
    assert len(reads) == 3


@pytest.mark.slow
@pytest.mark.parametrize("verify", [True, False])
def test_verify_checks_large_indexes(
    tmp_path: Path,
    impacts: Path,
    monkeypatch: pytest.MonkeyPatch,
    reads: list[str],
    caplog: pytest.LogCaptureFixture,
    verify: bool,
) -> None:
    monkeypatch.setattr(index_reader, "CHECKED_BYTES", 10)
    write_encoded_topics(tmp_path / "topics.tsv", QUERIES)
    options = ["--verify"] if verify else []
    arguments = ["--topics", tmp_path / "topics.tsv", "--pre-encoded", "--output", tmp_path / "run.txt"]
    outcome = run_stage("search", "--index", impacts, *arguments, *options)
    assert outcome.code == 0
    assert ("add --verify" in caplog.text) is not verify
    assert bool(reads) is verify


# Searchers that nobody closes.


def maps_of(index: Path) -> int:
    return Path("/proc/self/maps").read_text().count(str(index))


SEARCHERS: dict[str, Callable[[Path], object]] = {
    "ImpactSearcher": ImpactSearcher,
    "PyseriniImpactSearcher": PyseriniImpactSearcher,
    "FastLuceneImpactSearcher": lambda path: FastLuceneImpactSearcher(path, None),
    "ImpactIndex": ImpactIndex.open,
}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="counts memory maps as Linux lists them")
@pytest.mark.parametrize("open_searcher", SEARCHERS.values(), ids=SEARCHERS)
def test_searchers_that_are_never_closed_leave_no_memory_maps(
    copy_of: Any, impacts: Path, open_searcher: Callable[[Path], object]
) -> None:
    index = copy_of(impacts)
    for _ in range(100):
        open_searcher(index)
    gc.collect()
    abandoned.close_abandoned()
    assert maps_of(index) == 0


@pytest.mark.slow
def test_a_searcher_in_use_stays_open_when_another_is_freed(copy_of: Any, impacts: Path) -> None:
    index = copy_of(impacts)
    searcher = ImpactSearcher(index)
    results = searcher.search(QUERIES, 5)
    del searcher
    gc.collect()
    with ImpactSearcher(index) as other:
        assert list(results) == list(other.search(QUERIES, 5))


def test_a_forked_process_keeps_away_from_what_its_parent_left(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []

    class Resource:
        def close(self) -> None:
            closed.append("closed")

    class Owner:
        pass

    monkeypatch.setattr(abandoned, "_abandoned", deque())
    monkeypatch.setattr(abandoned, "has_own_java", lambda: False)
    owner = Owner()
    abandoned.close_when_freed(owner, Resource())
    del owner
    abandoned.close_abandoned()
    assert closed == []
    monkeypatch.setattr(abandoned, "has_own_java", lambda: True)
    abandoned.close_abandoned()
    assert closed == ["closed"]


def test_errors_that_lucene_finds_in_a_search_say_that_the_index_is_damaged() -> None:
    from splade_anserini.lucene.java.java_errors import java_error

    error: SpladeAnseriniError = java_error("searching x", "org.apache.lucene.index.CorruptIndexException: vInt")
    assert isinstance(error, IntegrityError)
    assert "The index is damaged, which Lucene found while searching x" in str(error)


def test_animals_are_a_whole_index(shared_index: Any) -> None:
    check_index_files(shared_index(ANIMALS))
