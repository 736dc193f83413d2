"""Compression is recognized by content, whatever a file is called."""

import gzip
import io
import os
import tarfile
import threading
from pathlib import Path

import pytest

from splade_anserini.errors import InputError, RecordError
from splade_anserini.formats.corpora import open_corpus
from splade_anserini.formats.parsing.archives import as_directory, files_below
from splade_anserini.formats.parsing.compression import is_plain, open_input, without_compression_suffix
from splade_anserini.formats.parsing.lines import byte_lines
from splade_anserini.formats.parsing.random_lines import IndexedLines
from splade_anserini.formats.qrels import read_qrels
from splade_anserini.formats.topics import read_topics
from tests.compressed import COMPRESSIONS, zip_of

DATA = b"first line\n" + b"another line of the file\n" * 20_000

compressions = pytest.mark.parametrize("compression", COMPRESSIONS)


def lines_of(path: Path) -> list[bytes]:
    return [line for _, line in byte_lines(path)]


@compressions
@pytest.mark.parametrize("name", ["file", "file.gz", "file.tsv.zst"])
def test_a_file_is_decompressed_by_its_content(tmp_path: Path, compression: str, name: str) -> None:
    (tmp_path / name).write_bytes(COMPRESSIONS[compression](DATA))
    assert lines_of(tmp_path / name) == DATA.splitlines()
    lines = IndexedLines.of_file(tmp_path / name, lambda *_: None)
    assert (len(lines), lines[0], lines[20_000]) == (20_001, b"first line", b"another line of the file")


def test_a_plain_file_that_is_called_gz_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "file.gz").write_bytes(DATA)
    assert lines_of(tmp_path / "file.gz") == DATA.splitlines()
    with open_input(tmp_path / "file.gz") as file:
        assert is_plain(file)


@compressions
def test_damaged_data_is_an_error_and_no_shorter_file(tmp_path: Path, compression: str) -> None:
    data = bytearray(COMPRESSIONS[compression](os.urandom(5000).hex().encode() * 20))
    if compression != "zip":
        (tmp_path / "cut").write_bytes(data[: len(data) - 12])
        with pytest.raises(RecordError, match="truncated or damaged"):
            lines_of(tmp_path / "cut")
    if compression == "zip":
        data[2000] ^= 255
    else:
        data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    (tmp_path / "changed").write_bytes(data)
    if compression == "zstd":
        # A frame need not have a checksum; the end of this one is missing.
        data = data[: len(data) // 2]
        (tmp_path / "changed").write_bytes(data)
    with pytest.raises(RecordError, match="truncated or damaged"):
        lines_of(tmp_path / "changed")


@compressions
def test_several_compressed_parts_after_one_another_are_one_file(tmp_path: Path, compression: str) -> None:
    if compression == "zip":
        pytest.skip("zip archives cannot be concatenated")
    compress = COMPRESSIONS[compression]
    (tmp_path / "file").write_bytes(compress(DATA) + compress(DATA))
    assert lines_of(tmp_path / "file") == DATA.splitlines() * 2


@pytest.mark.parametrize("compression", ["gzip", "bzip2", "xz", "zstd"])
def test_a_pipe_is_decompressed(tmp_path: Path, compression: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    data = COMPRESSIONS[compression](DATA)
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(data,))
    writer.start()
    assert lines_of(tmp_path / "pipe") == DATA.splitlines()
    writer.join()


def test_what_was_compressed_twice_is_decompressed_twice(tmp_path: Path) -> None:
    (tmp_path / "file.zip").write_bytes(zip_of({"docs.jsonl.gz": gzip.compress(gzip.compress(DATA))}))
    assert lines_of(tmp_path / "file.zip") == DATA.splitlines()


def tar(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("collection.tsv")
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "kind", "do"),
    [
        (b"\x04\x22\x4d\x18rest", "compressed by lz4", "lz4 -d"),
        (b"7z\xbc\xaf\x27\x1crest", "a 7z archive", "7z x"),
        (b"PAR1rest", "a Parquet file", "Convert it"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a pointer of Git LFS", "git lfs pull"),
        (b"%PDF-1.7", "a PDF file", "Convert it"),
        (b"PK\x05\x06" + bytes(18), "an empty zip archive", "Download"),
        (tar(DATA), "a tar archive", "tar -xf"),
        (gzip.compress(tar(DATA)), "a tar archive", "tar -xf"),
    ],
)
def test_what_is_not_text_is_refused_with_what_it_is(tmp_path: Path, content: bytes, kind: str, do: str) -> None:
    (tmp_path / "file.tsv").write_bytes(content)
    with pytest.raises(InputError, match=f"file.tsv is {kind}.\nExpected .*\n.*{do}"):
        lines_of(tmp_path / "file.tsv")


@pytest.mark.parametrize(
    ("name", "stem"), [("a.jsonl.gz", "a.jsonl"), ("a.TSV.ZST", "a.TSV"), ("a.json.gz.zip", "a.json"), ("a", "a")]
)
def test_suffixes_of_compressed_files_are_taken_off_a_name(name: str, stem: str) -> None:
    assert without_compression_suffix(name) == stem


# Zip archives.

BEIR = {
    "scifact/corpus.jsonl": b'{"_id": "d0", "title": "", "text": "the cat"}\n',
    "scifact/queries.jsonl": b'{"_id": "q0", "text": "cat"}\n{"_id": "q1", "text": "dog"}\n',
    "scifact/qrels/test.tsv": b"query-id\tcorpus-id\tscore\nq0\td0\t1\n",
    "scifact/qrels/dev.tsv": b"query-id\tcorpus-id\tscore\nq1\td0\t1\n",
    "__MACOSX/scifact/._corpus.jsonl": b"\0\5\26\7",
}


def test_a_beir_directory_is_read_from_its_zip_archive(tmp_path: Path) -> None:
    (tmp_path / "scifact.zip").write_bytes(zip_of(BEIR))
    archive = tmp_path / "scifact.zip"
    assert [document.text for document in open_corpus(archive)] == ["the cat"]
    assert [query.id for query in read_topics(archive)] == ["q0"]
    assert [query.id for query in read_topics(f"{archive}@dev")] == ["q1"]
    assert [qrel.query_id for qrel in read_qrels(archive)] == ["q0"]
    assert [qrel.query_id for qrel in read_qrels(f"{archive}@dev+test")] == ["q1", "q0"]
    assert [query.id for query in read_topics(archive / "scifact/queries.jsonl")] == ["q0", "q1"]


def test_an_archive_is_a_directory_unless_it_is_a_single_file(tmp_path: Path) -> None:
    (tmp_path / "one.zip").write_bytes(zip_of({"folder/docs.tsv": b"d0\tthe cat\n"}))
    (tmp_path / "two.zip").write_bytes(zip_of({"a/b/x.tsv": b"d0\tx\n", "a/b/c/y.tsv": b"d1\ty\n"}))
    (tmp_path / "top.zip").write_bytes(zip_of({"x.tsv": b"d0\tx\n", "c/y.tsv": b"d1\ty\n"}))
    assert as_directory(tmp_path / "one.zip") is None
    assert as_directory(tmp_path / "two.zip") == tmp_path / "two.zip/a/b"
    assert files_below(tmp_path / "two.zip/a/b") == [tmp_path / "two.zip/a/b" / name for name in ("c/y.tsv", "x.tsv")]
    assert files_below(tmp_path / "top.zip") == [tmp_path / "top.zip" / name for name in ("c/y.tsv", "x.tsv")]


def test_one_of_several_files_in_an_archive_is_named(tmp_path: Path) -> None:
    (tmp_path / "two.zip").write_bytes(zip_of({"x.tsv": b"q0\tx\n", "y.tsv": b"q1\ty\n"}))
    with pytest.raises(InputError, match=r"zip archive of 2 files: x.tsv, y.tsv.\nExpected .*\nName .*two.zip/x.tsv"):
        lines_of(tmp_path / "two.zip")
    assert [query.id for query in read_topics(tmp_path / "two.zip/y.tsv")] == ["q1"]
    with pytest.raises(InputError, match=r"has no file z.tsv"):
        lines_of(tmp_path / "two.zip/z.tsv")


def test_a_directory_is_listed_without_hidden_files_and_circles(tmp_path: Path) -> None:
    for name in ("b/y.tsv", "a.tsv", ".hidden.tsv", ".git/x.tsv", "b/c/z.tsv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "b/circle").symlink_to(tmp_path)
    assert files_below(tmp_path) == [tmp_path / name for name in ("a.tsv", "b/c/z.tsv", "b/y.tsv")]
