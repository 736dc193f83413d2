import gzip
import json
from pathlib import Path

import pytest

from splade_anserini.errors import InputError, RecordError
from splade_anserini.formats.corpora import CorpusDigest, InMemoryCorpus, check_corpus, open_corpus
from splade_anserini.records import Document
from tests.shared_data import DATA, needs_data

CAT = Document("d0", "", "the cat")


def write(path: Path, content: str | bytes) -> str:
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return str(path)


@pytest.mark.parametrize(
    ("name", "content", "documents"),
    [
        ("c.jsonl", '{"id": "d0", "text": "the cat"}\n', [CAT]),
        ("c.jsonl", '{"_id": "d0", "contents": "the cat"}', [CAT]),
        ("c.jsonl", '\n{"docid": "d0", "text": "the cat"}\r\n\n', [CAT]),
        ("c.jsonl", '{"id": 7, "text": ""}', [Document("7", "", "")]),
        ("c.jsonl", '{"id": "d0", "title": "Cats", "text": "sat"}', [Document("d0", "Cats", "sat")]),
        ("c.jsonl", '{"id": "d0", "title": null, "text": null, "contents": "the cat"}', [CAT]),
        ("c.jsonl", b'\xef\xbb\xbf{"id": "d0", "text": "the cat"}', [CAT]),
        ("c.jsonl", '{"id": "猫", "text": "🐈 – naïve"}', [Document("猫", "", "🐈 – naïve")]),
        ("c.json", '{"id": "d0", "text": "the cat"}\n{"id": "d1", "text": ""}', [CAT, Document("d1", "", "")]),
        ("c.json", '[{"id": "d0",\n "text": "the cat"}\n]', [CAT]),
        ("c.tsv", "d0\tthe cat\n", [CAT]),
        ("c.tsv", "d0\tCats\tsat\r\nd1\t\n", [Document("d0", "Cats", "sat"), Document("d1", "", "")]),
        ("c.tsv", 'd0\t"the\u2028 cat', [Document("d0", "", '"the\u2028 cat')]),
    ],
)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_each_format_is_read_plain_and_compressed(
    tmp_path: Path, name: str, content: str | bytes, documents: list[Document], suffix: str
) -> None:
    corpus = open_corpus(write(tmp_path / (name + suffix), content))
    assert list(corpus) == documents
    assert list(corpus) == documents, "a second time"
    assert check_corpus(corpus) == len(documents)


def test_a_beir_directory_is_its_corpus_file(tmp_path: Path) -> None:
    write(tmp_path / "corpus.jsonl.gz", '{"_id": "d0", "text": "the cat"}')
    write(tmp_path / "queries.jsonl", '{"_id": "q0", "text": "cat"}')
    assert list(open_corpus(str(tmp_path))) == [CAT]


def test_a_directory_is_read_by_name_without_hidden_and_foreign_files(tmp_path: Path) -> None:
    write(tmp_path / "b.tsv.gz", "d1\tdogs")
    write(tmp_path / "a.jsonl", '{"id": "d0", "text": "the cat"}')
    for other in (".c.jsonl", "README.md", "splade.manifest", "d.jsonl.partial"):
        write(tmp_path / other, "nothing that could be read")
    assert list(open_corpus(str(tmp_path))) == [CAT, Document("d1", "", "dogs")]


@pytest.mark.parametrize(
    ("name", "content", "line", "fragments"),
    [
        ("c.jsonl", '{"id": "d0", "text": "x"}\n{"id": ', 2, ["not valid JSON"]),
        ("c.jsonl", '{"id": "d0", "text": NaN}', 1, ["the text is NaN"]),
        ("c.jsonl", '{"id": "d0", "text": "x"}\n[1]', 2, ["an array, not an object"]),
        ("c.jsonl", "\n[1]", 2, ["1, not an object"]),
        ("c.jsonl", '{"text": "x"}', 1, ["no id", "id, _id or docid"]),
        ("c.jsonl", '{"id": null, "text": "x"}', 1, ["no id"]),
        ("c.jsonl", '{"id": 1.5, "text": "x"}', 1, ["the id is 1.5"]),
        ("c.jsonl", '{"id": true, "text": "x"}', 1, ["the id is true"]),
        ("c.jsonl", '{"id": "", "text": "x"}', 1, ["the id is empty"]),
        ("c.jsonl", '{"id": "a\\tb", "text": "x"}', 1, ["contains white space"]),
        ("c.jsonl", '{"id": "a\\u0000b", "text": "x"}', 1, ["contains NUL"]),
        ("c.jsonl", '{"id": "d0"}', 1, ["no text", "text or contents"]),
        ("c.jsonl", '{"id": "d0", "text": null}', 1, ["no text"]),
        ("c.jsonl", '{"id": "d0", "text": ["x"]}', 1, ["the text is an array"]),
        ("c.jsonl", '{"id": "d0", "text": "x", "title": 3}', 1, ["the title is 3"]),
        ("c.jsonl", b'{"id": "d0", "text": "\xff"}', 1, ["byte 23 is not valid UTF-8"]),
        ("c.tsv", "d0\tx\nd1", 2, ["1 column", "id<TAB>text"]),
        ("c.tsv", "d0\tx\ty\tz", 1, ["4 columns"]),
        ("c.tsv", "\t", 1, ["the id is empty"]),
        ("c.tsv", b"d0\tx\nd1\t\xff", 2, ["not valid UTF-8"]),
        ("c.json", '[{"id": "d0", "text": "x"},\n{"id": "d1"}]', 2, ["no text"]),
        ("c.json", '[{"id": "d0", "text": "x"}\n{"id": "d1"}]', 2, ["neither continued nor closed"]),
        ("c.json", '[{"id": "d0", "text": "x"},]', 1, ["not valid JSON"]),
        ("c.json", '[{"id": "d0", "text": "x"}]\n\n[]', 3, ["after the array"]),
        ("c.json", '{"id": "d0", "text": "x"}\n\n{"id": \n"d1', 3, ["not valid JSON", "line 4"]),
        ("c.json", b'{"id": "d0", "text": "\xff"}', 1, ["UTF-8"]),
        ("c.json", b'{"id": "d0", "text": "\xc3', 1, ["UTF-8"]),
        ("c.json", "[" * 100_000, 1, ["nested too deeply"]),
    ],
)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_bad_record_is_named_by_file_and_line(
    tmp_path: Path, name: str, content: str | bytes, line: int, fragments: list[str], suffix: str
) -> None:
    corpus = open_corpus(write(tmp_path / (name + suffix), content))
    with pytest.raises(RecordError) as caught:
        check_corpus(corpus)
    message = str(caught.value)
    assert f"{name}{suffix}, line {line}: " in message
    for fragment in fragments:
        assert fragment in message


@pytest.mark.parametrize("name", ["c.jsonl.gz", "c.json.gz", "c.tsv.gz"])
def test_a_truncated_gzip_file_is_an_error_and_no_shorter_corpus(tmp_path: Path, name: str) -> None:
    line = b"d0\tthe cat\n" if "tsv" in name else b'{"id": "d0", "text": "the cat"}\n'
    whole = gzip.compress(line * 100, mtime=0)
    (tmp_path / name).write_bytes(whole[:-12])
    with pytest.raises(RecordError, match=rf"{name}, line \d+: .*truncated or damaged"):
        list(open_corpus(str(tmp_path / name)))


def test_a_duplicate_id_is_named_with_both_locations(tmp_path: Path) -> None:
    write(tmp_path / "a.tsv", "d0\tx\nd1\ty")
    write(tmp_path / "b.jsonl", '\n{"id": "d1", "text": "z"}')
    with pytest.raises(RecordError) as caught:
        check_corpus(open_corpus(str(tmp_path)))
    assert f"{tmp_path}/b.jsonl, line 2: duplicate document id 'd1' (first seen at {tmp_path}/a.tsv, line 2)" in str(
        caught.value
    )


@pytest.mark.parametrize("separators", [(",", ":"), (", \n", ": ")])
def test_an_array_larger_than_a_chunk_is_read_whole(tmp_path: Path, separators: tuple[str, str]) -> None:
    records = [{"id": str(n), "text": "ä" * (n * 997 % 200_000)} for n in range(60)]
    source = write(tmp_path / "c.json", json.dumps(records, ensure_ascii=False, separators=separators))
    assert [(doc.id, doc.text) for doc in open_corpus(source)] == [(r["id"], r["text"]) for r in records]


@pytest.mark.parametrize(
    ("name", "message"),
    [("missing.jsonl", "does not exist"), ("notes.pdf", "unknown format"), ("empty", "contains no corpus")],
)
def test_what_is_not_a_corpus_is_refused_with_the_formats_of_one(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "notes.pdf").write_text("")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=message) as caught:
        open_corpus(str(tmp_path / name))
    assert "irds:<name>" in str(caught.value)


def test_an_empty_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is empty"):
        check_corpus(open_corpus(write(tmp_path / "c.jsonl", "\n\n")))


def test_documents_in_memory_are_a_corpus_and_are_checked_like_others() -> None:
    assert check_corpus(InMemoryCorpus("mine", [CAT])) == 1
    with pytest.raises(RecordError, match="mine, document 2: duplicate document id 'd0'"):
        check_corpus(InMemoryCorpus("mine", [CAT, CAT]))
    with pytest.raises(RecordError, match="white space"):
        check_corpus(InMemoryCorpus("mine", [Document("a\nb", "", "")]))


def test_every_document_counts_as_progress() -> None:
    progress: list[int] = []
    check_corpus(InMemoryCorpus("mine", [CAT, Document("d1", "", "")]), progress.append)
    assert sum(progress) == 2


def test_the_digest_depends_on_fields_order_and_documents() -> None:
    def digest_of(documents: list[Document]) -> str:
        digest = CorpusDigest()
        for document in documents:
            digest.update(document)
        return digest.hexdigest()

    corpora = [
        [],
        [Document("a", "b", "c")],
        [Document("a", "", "bc")],
        [Document("a", "bc", "")],
        [Document("ab", "", "c")],
        [CAT, Document("d1", "", "")],
        [Document("d1", "", ""), CAT],
    ]
    assert len({digest_of(documents) for documents in corpora}) == len(corpora)


class TestIrDatasets:
    @pytest.fixture
    def register(self, monkeypatch: pytest.MonkeyPatch):
        import ir_datasets

        def register(name: str, *parts: object) -> None:
            monkeypatch.setitem(ir_datasets.registry._registered, name, ir_datasets.datasets.base.Dataset(*parts))

        return register

    def test_a_title_is_taken_where_there_is_one(self, register) -> None:
        from typing import NamedTuple

        from ir_datasets.formats import BaseDocs, GenericDoc

        class Titled(NamedTuple):
            doc_id: str
            title: str
            text: str

        class Docs(BaseDocs):
            def docs_iter(self):
                return iter([GenericDoc("d0", "the cat"), Titled("d1", "Dogs", "bark")])

        register("made-up", Docs())
        corpus = open_corpus("irds:made-up")
        assert corpus.name == "irds:made-up"
        assert list(corpus) == list(corpus) == [CAT, Document("d1", "Dogs", "bark")]

    def test_an_unknown_name_is_refused(self) -> None:
        with pytest.raises(InputError, match="has no dataset 'no/such'"):
            open_corpus("irds:no/such")

    def test_a_dataset_without_documents_is_refused(self, register) -> None:
        register("bare")
        with pytest.raises(InputError, match="has no docs"):
            open_corpus("irds:bare")

    def test_a_failed_download_is_an_input_error(self, register) -> None:
        from ir_datasets.formats import BaseDocs

        class Docs(BaseDocs):
            def docs_iter(self):
                raise RuntimeError("All download sources failed")

        register("far", Docs())
        with pytest.raises(InputError, match=r"could not be downloaded or read .*All download sources failed"):
            check_corpus(open_corpus("irds:far"))


@needs_data("nfcorpus")
def test_nfcorpus_has_3633_documents() -> None:
    assert check_corpus(open_corpus(DATA / "nfcorpus")) == 3633
