"""A shard that was edited after it was written, with the same counts, is found wherever shards are read."""

import gzip
import json
import logging
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from splade_anserini import Document, InMemoryCorpus
from splade_anserini.artifacts.fingerprints import fingerprint_of_file
from splade_anserini.artifacts.manifests import ImpactManifest, read_manifest, write_manifest
from splade_anserini.convert import ConvertOptions, convert
from splade_anserini.encode import encode
from splade_anserini.encoding import DictionaryEncoder
from splade_anserini.encoding.options import EncodeOptions
from splade_anserini.errors import IntegrityError, MismatchError, RecordError, SpladeAnseriniError
from splade_anserini.index import index
from splade_anserini.lucene import IndexOptions
from splade_anserini.lucene.sources import find_impacts
from tests.cli_runner import run_stage

WORDS = [f"w{number}" for number in range(40)]
ENCODER = DictionaryEncoder({word: {word: 1 + len(word) / 10, f"{word}x": 0.5} for word in WORDS})
OPTIONS = EncodeOptions(docs_per_shard=8)

type Record = dict[str, object]
type Edit = Callable[[list[dict[str, object]], random.Random], None]


def corpus() -> InMemoryCorpus:
    texts = random.Random(1)
    return InMemoryCorpus(
        "words", [Document(f"d{number}", "", " ".join(texts.sample(WORDS, 3))) for number in range(24)]
    )


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("encoded") / "impacts"
    encode(corpus(), ENCODER, output, OPTIONS)
    return output


@pytest.fixture
def impacts(encoded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(encoded, tmp_path / "impacts"))


# Edits that keep the numbers of documents and postings and the sum of the impacts.


def _vector(record: Record) -> dict[str, int]:
    vector = record["vector"]
    assert isinstance(vector, dict)
    return vector


def exchange_vectors(records: list[Record], chance: random.Random) -> None:
    one, other = chance.sample(records, 2)
    one["vector"], other["vector"] = other["vector"], one["vector"]


def exchange_ids(records: list[Record], chance: random.Random) -> None:
    one, other = chance.sample(records, 2)
    one["id"], other["id"] = other["id"], one["id"]


def rename(records: list[Record], chance: random.Random) -> None:
    chance.choice(records)["id"] = "renamed"


def repeat_an_id(records: list[Record], chance: random.Random) -> None:
    one, other = chance.sample(records, 2)
    one["id"] = other["id"]


def exchange_impacts(records: list[Record], chance: random.Random) -> None:
    vector = _vector(chance.choice(records))
    tokens = list(vector)
    vector.update(zip(tokens, [vector[token] for token in reversed(tokens)], strict=True))


def move_weight(records: list[Record], chance: random.Random) -> None:
    vector = _vector(chance.choice(records))
    one, other = chance.sample(sorted(vector), 2)
    vector[one], vector[other] = vector[one] + 1, vector[other] - 1


def replace_a_token(records: list[Record], chance: random.Random) -> None:
    vector = _vector(chance.choice(records))
    vector["other"] = vector.pop(chance.choice(sorted(vector)))


def move_an_entry(records: list[Record], chance: random.Random) -> None:
    one, other = (_vector(record) for record in chance.sample(records, 2))
    other["moved"] = one.pop(chance.choice(sorted(one)))


def reorder(records: list[Record], _: random.Random) -> None:
    records.reverse()


def replace_contents(records: list[Record], chance: random.Random) -> None:
    chance.choice(records)["contents"] = "other words"


EDITS: list[Edit] = [
    exchange_vectors,
    exchange_ids,
    rename,
    repeat_an_id,
    exchange_impacts,
    move_weight,
    replace_a_token,
    move_an_entry,
    reorder,
    replace_contents,
]


def edit_shard(impacts: Path, edit: Edit, seed: int) -> Path:
    """Edit one shard and write it as encode does; return its path."""
    chance = random.Random(seed)
    path = chance.choice(sorted(impacts.glob("*.gz")))
    before = path.read_bytes()
    records = [json.loads(line) for line in gzip.decompress(before).splitlines()]
    edit(records, chance)
    lines = "".join(json.dumps(record, separators=(",", ":"), ensure_ascii=False) + "\n" for record in records)
    path.write_bytes(gzip.compress(lines.encode(), 4, mtime=0))
    assert path.read_bytes() != before
    return path


def forget_checksums(impacts: Path) -> None:
    """Make a manifest one of an earlier version."""
    manifest = read_manifest(impacts, ImpactManifest)
    assert manifest
    shards = tuple(shard.model_copy(update={"sha256": None}) for shard in manifest.shards)
    write_manifest(impacts, manifest.model_copy(update={"shards": shards}))


def check_that_an_edit_is_found(impacts: Path, edit: Edit, seed: int, tmp_path: Path) -> None:
    shard = edit_shard(impacts, edit, seed)
    for threads in (1, 4):
        with pytest.raises(IntegrityError, match=rf"{shard} was changed after it was written: its SHA-256 is"):
            index(impacts, tmp_path / "index", IndexOptions(threads=threads))
        assert not (tmp_path / "index").exists()
    with pytest.raises(IntegrityError, match=rf"{shard} was changed"):
        encode(corpus(), ENCODER, impacts, OPTIONS)
    with pytest.raises(IntegrityError, match=rf"{shard} was changed"):
        convert(impacts, tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_that_keeps_the_counts_is_found(edit: Edit, seed: int, impacts: Path, tmp_path: Path) -> None:
    check_that_an_edit_is_found(impacts, edit, seed, tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(100, 120))
@pytest.mark.parametrize("edit", EDITS)
def test_two_hundred_edits_that_keep_the_counts_are_found(edit: Edit, seed: int, impacts: Path, tmp_path: Path) -> None:
    check_that_an_edit_is_found(impacts, edit, seed, tmp_path)


def test_the_manifest_records_the_checksum_of_every_shard(encoded: Path) -> None:
    manifest = read_manifest(encoded, ImpactManifest)
    assert manifest
    assert len(manifest.shards) == 3
    assert all(shard.sha256 == fingerprint_of_file(encoded / shard.file) for shard in manifest.shards)


def test_pseudo_documents_that_convert_writes_have_checksums_too(encoded: Path, tmp_path: Path) -> None:
    convert(encoded, tmp_path / "copy", ConvertOptions(docs_per_shard=5))
    manifest = read_manifest(tmp_path / "copy", ImpactManifest)
    assert manifest
    assert [shard.sha256 for shard in manifest.shards] == [
        fingerprint_of_file(tmp_path / "copy" / shard.file) for shard in manifest.shards
    ]


def test_a_shard_that_was_compressed_again_is_another_file(impacts: Path, tmp_path: Path) -> None:
    shard = sorted(impacts.glob("*.gz"))[1]
    shard.write_bytes(gzip.compress(gzip.decompress(shard.read_bytes()), 9, mtime=0))
    with pytest.raises(IntegrityError, match=f"{shard} was changed"):
        index(impacts, tmp_path / "index")


@pytest.mark.slow
def test_an_edited_shard_that_is_removed_is_encoded_again_with_the_same_bytes(encoded: Path, impacts: Path) -> None:
    edit_shard(impacts, exchange_ids, 1).unlink()
    encode(corpus(), ENCODER, impacts, OPTIONS)
    assert {path.name: path.read_bytes() for path in impacts.iterdir()} == {
        path.name: path.read_bytes() for path in encoded.iterdir()
    }


@pytest.mark.slow
def test_a_single_shard_is_compared_too(impacts: Path, tmp_path: Path) -> None:
    shard = edit_shard(impacts, exchange_ids, 1)
    with pytest.raises(IntegrityError, match=f"{shard} was changed"):
        index(shard, tmp_path / "index")


@pytest.mark.slow
def test_the_command_says_what_was_changed_and_what_to_do(impacts: Path, tmp_path: Path) -> None:
    shard = edit_shard(impacts, exchange_ids, 1)
    done = run_stage("index", "--input", impacts, "--index", tmp_path / "index")
    assert done.code == 1
    assert f"error: {shard} was changed after it was written: its SHA-256 is" in done.err
    assert "Remove it and run the command that wrote it again" in done.err
    assert "To use the file as it is, move splade.manifest elsewhere." in done.err


# Manifests of earlier versions.


@pytest.mark.slow
@pytest.mark.parametrize("writer", ["lucene", "anserini"])
def test_shards_without_checksums_are_indexed_and_the_log_says_so(
    writer: str, impacts: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    forget_checksums(impacts)
    with caplog.at_level(logging.INFO, logger="splade_anserini"):
        index(impacts, tmp_path / "index", _with(writer))
    assert "3 files are recorded without a checksum, by an earlier version: only counts and ids are checked" in (
        caplog.text
    )


def _with(writer: str) -> IndexOptions:
    return IndexOptions(writer="anserini" if writer == "anserini" else "lucene")


@pytest.mark.slow
@pytest.mark.parametrize("writer", ["lucene", "anserini"])
@pytest.mark.parametrize("seed", range(2))
def test_a_duplicate_id_is_found_without_checksums_too(writer: str, seed: int, impacts: Path, tmp_path: Path) -> None:
    forget_checksums(impacts)
    edit_shard(impacts, repeat_an_id, seed)
    with pytest.raises(RecordError, match="duplicate document id 'd"):
        index(impacts, tmp_path / "index", _with(writer))
    assert not (tmp_path / "index").exists()


@pytest.mark.slow
def test_an_id_of_a_document_with_a_vector_and_one_without_is_a_duplicate(tmp_path: Path) -> None:
    documents = [Document("d0", "", "w1"), Document("d1", "", "unknown")]
    encode(InMemoryCorpus("words", documents), ENCODER, tmp_path / "impacts", OPTIONS)
    forget_checksums(tmp_path / "impacts")
    (shard,) = (tmp_path / "impacts").glob("*.gz")
    shard.write_bytes(gzip.compress(gzip.decompress(shard.read_bytes()).replace(b'"d1"', b'"d0"')))
    with pytest.raises(RecordError, match="duplicate document id 'd0'"):
        index(tmp_path / "impacts", tmp_path / "index")


def test_encoding_is_resumed_without_checksums(impacts: Path) -> None:
    forget_checksums(impacts)
    manifest = encode(corpus(), ENCODER, impacts, OPTIONS)
    assert [shard.sha256 for shard in manifest.shards] == [None, None, None]


# Files of other formats.

FORMATS = ["out.ciff", "out.jsonl", "out.parquet", "out.npz", "out.bmp.ciff"]


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_a_converted_file_that_was_edited_is_found(name: str, encoded: Path, tmp_path: Path) -> None:
    output = tmp_path / name
    assert run_stage("convert", "--input", encoded, "--output", output).code == 0
    content = bytearray(output.read_bytes())
    content[len(content) // 2] ^= 1
    output.write_bytes(content)
    with pytest.raises(IntegrityError, match=f"{output} was changed after it was written"):
        index(output, tmp_path / "index")
    with pytest.raises(IntegrityError, match=f"{output} was changed after it was written"):
        convert(output, tmp_path / "back")


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_a_converted_file_is_read_with_its_checksum_and_without(name: str, encoded: Path, tmp_path: Path) -> None:
    output = tmp_path / name
    assert run_stage("convert", "--input", encoded, "--output", output).code == 0
    assert find_impacts(encoded).counts == index(output, tmp_path / "index").counts
    output.with_name(f"{name}.manifest").unlink()
    assert find_impacts(encoded).counts == convert(output, tmp_path / "back").counts


def test_another_manifest_beside_a_file_is_an_error(encoded: Path, tmp_path: Path) -> None:
    convert(encoded, tmp_path / "out.parquet")
    (tmp_path / "out.parquet.manifest").write_text("{}")
    with pytest.raises(SpladeAnseriniError, match=r"out\.parquet\.manifest is not a valid output manifest"):
        convert(tmp_path / "out.parquet", tmp_path / "back")


def test_a_changed_corpus_is_still_told_from_a_changed_shard(impacts: Path) -> None:
    documents = [Document(f"d{number}", "", "w1") for number in range(24)]
    with pytest.raises(MismatchError, match="The corpus words has changed"):
        encode(InMemoryCorpus("words", documents), ENCODER, impacts, OPTIONS)
