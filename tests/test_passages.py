"""Passages of documents, from encoding to a run of documents."""

from pathlib import Path

import pytest

from splade_anserini import Document, InMemoryCorpus
from splade_anserini.encode import encode
from splade_anserini.encoding import DictionaryEncoder
from splade_anserini.encoding.options import EncodeOptions
from splade_anserini.errors import InputError, MismatchError
from splade_anserini.formats.corpora import open_corpus
from splade_anserini.formats.corpus_fields import CorpusOptions
from splade_anserini.formats.impacts import impact_files, read_impacts
from splade_anserini.formats.passages import Windows, passages_of

ENCODER = DictionaryEncoder({"cat": {"cat": 2.0}, "dog": {"dog": 1.5}})


def texts(text: str, windows: str) -> list[str]:
    return [passage.text for passage in passages_of(Document("d0", "T", text), Windows.parse(windows))]


@pytest.mark.parametrize(
    ("text", "windows", "expected"),
    [
        ("a b c d e", "2/2", ["a b", "c d", "e"]),
        ("a b c d e", "2", ["a b", "c d", "e"]),
        ("a b c d e", "3/2", ["a b c", "c d e"]),
        ("a b c d e", "2/1", ["a b", "b c", "c d", "d e"]),
        ("a b c d e", "5/2", ["a b c d e"]),
        ("a b c d e f", "5/2", ["a b c d e", "c d e f"]),
        ("  a\n b   c ", "2/2", ["a\n b", "c"]),
        ("a", "150/75", ["a"]),
        ("", "150/75", [""]),
        (" \n", "150/75", [" \n"]),
    ],
)
def test_passages_are_windows_of_words(text: str, windows: str, expected: list[str]) -> None:
    assert texts(text, windows) == expected


def test_each_passage_has_an_id_of_its_own_and_the_title_of_the_document() -> None:
    passages = list(passages_of(Document("d#0", "T", "a b c"), Windows(2, 1)))
    assert passages == [Document("d#0#0", "T", "a b"), Document("d#0#1", "T", "b c")]


@pytest.mark.parametrize("text", ["", "0/1", "150/", "75/150", "150/0", "a/b", "-1", "1/2/3", "1.5", "\uff11/1"])
def test_windows_that_leave_words_out_or_are_no_numbers_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="--passages must be WORDS/STRIDE"):
        EncodeOptions(passages=text)


def test_passages_are_encoded_and_are_in_the_manifest(tmp_path: Path) -> None:
    corpus = InMemoryCorpus("c", [Document("d0", "", "cat dog cat"), Document("d1", "", "dog")])
    manifest = encode(corpus, ENCODER, tmp_path, EncodeOptions(passages="2"))
    assert manifest.settings.passages == "2/2"
    vectors = {document.id: dict(document.vector) for path in impact_files(tmp_path) for document in read_impacts(path)}
    assert vectors == {"d0#0": {"cat": 200, "dog": 150}, "d0#1": {"cat": 200}, "d1#0": {"dog": 150}}
    assert encode(corpus, ENCODER, tmp_path, EncodeOptions(passages="2/2")) == manifest
    with pytest.raises(MismatchError, match="passages was 2/2, is 3/3"):
        encode(corpus, ENCODER, tmp_path, EncodeOptions(passages="3"))
    with pytest.raises(MismatchError, match="passages was 2/2, is None"):
        encode(corpus, ENCODER, tmp_path)


def test_named_fields_are_in_the_manifest_and_others_do_not_resume(tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text('{"key": "d0", "title": "cat", "body": "dog"}\n')
    options = CorpusOptions(id_field="key", text_fields=("title,body",))
    manifest = encode(open_corpus(tmp_path / "c.jsonl", options), ENCODER, tmp_path / "out")
    assert manifest.settings.fields == {"id": "key", "text": ["title", "body"]}
    assert encode(open_corpus(tmp_path / "c.jsonl", options), ENCODER, tmp_path / "out") == manifest
    with pytest.raises(MismatchError, match=r"fields was .*title.*, is .*body"):
        other = CorpusOptions(id_field="key", text_fields=("body",))
        encode(open_corpus(tmp_path / "c.jsonl", other), ENCODER, tmp_path / "out")


def test_a_manifest_without_named_fields_and_passages_has_the_bytes_of_earlier_versions(tmp_path: Path) -> None:
    encode(InMemoryCorpus("c", [Document("d0", "", "cat")]), ENCODER, tmp_path)
    settings = (tmp_path / "splade.manifest").read_text()
    assert '"fields"' not in settings
    assert '"passages"' not in settings
