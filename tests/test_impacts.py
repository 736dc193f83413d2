import gzip
import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from splade_anserini.artifacts.manifests import Counts
from splade_anserini.errors import InputError, RecordError
from splade_anserini.formats.impacts import ImpactWriter, count_impacts, impact_files, impact_line, read_impacts
from splade_anserini.formats.tokens import JAVA_WHITESPACE
from splade_anserini.records import ImpactDocument
from tests.shared_data import DATA, needs_data

characters = st.characters(exclude_categories=["Cs"])
tokens = st.text(characters, min_size=1, max_size=8).filter(JAVA_WHITESPACE.isdisjoint)
vectors = st.dictionaries(tokens, st.integers(1, 1_000_000), max_size=6)
ids = st.text(characters, min_size=1, max_size=8).filter(lambda id_: id_.split() == [id_] and "\0" not in id_)
documents = st.builds(ImpactDocument, ids, vectors, st.text(characters, max_size=20))


def write(path: Path, *written: ImpactDocument) -> Path:
    with ImpactWriter(path) as writer:
        for document in written:
            writer.write(document)
    return path


@pytest.mark.parametrize("name", ["i.jsonl", "i.jsonl.gz", "i.json"])
@given(written=st.lists(documents, max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
def test_documents_are_read_back_as_they_were_written(tmp_path: Path, name: str, written: list[ImpactDocument]) -> None:
    assert list(read_impacts(write(tmp_path / name, *written))) == written


def test_a_line_has_the_strongest_token_first_and_equal_ones_by_name() -> None:
    document = ImpactDocument("d0", {"b": 2, "ä": 2, "a": 2, "z": 215}, "text – text")
    assert impact_line(document).decode() == (
        '{"id":"d0","contents":"text – text","vector":{"z":215,"a":2,"b":2,"ä":2}}\n'
    )


def test_the_same_documents_are_the_same_bytes_whatever_the_file_is_called(tmp_path: Path) -> None:
    one = write(tmp_path / "one.jsonl.gz", ImpactDocument("d0", {"a": 1, "b": 2}))
    two = write(tmp_path / "two.jsonl.gz", ImpactDocument("d0", {"b": 2, "a": 1}))
    assert one.read_bytes() == two.read_bytes()
    assert one.read_bytes()[3:8] == bytes(5), "no flags, hence no name, and no time"


def test_a_file_that_fails_does_not_appear(tmp_path: Path) -> None:
    good, bad = ImpactDocument("d0", {"a": 1}), ImpactDocument("d1", {"a b": 1})
    with pytest.raises(RecordError, match=r"i.jsonl.gz, line 2: the token 'a b' contains white space"):
        write(tmp_path / "i.jsonl.gz", good, bad)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("record", "fragments"),
    [
        ("nonsense", ["not valid JSON"]),
        ("[]", ["an array, not an object"]),
        ('{"vector": {}}', ["no id"]),
        ('{"id": "d\\t1", "vector": {}}', ["white space"]),
        ('{"vector": {}, "name": "d1"}', ["no id; the keys are vector, name", "under id", "--id-field"]),
        (
            '{"id": "d1", "contents": "cats"}',
            ["no vector; the keys are id, contents", "encode the texts first", "--vector-field"],
        ),
        ('{"id": "d1", "vector": null}', ["the vector is null"]),
        ('{"id": "d1", "vector": [0.1]}', ["the vector is an array"]),
        ('{"id": "d1", "vector": {}, "contents": 3}', ["the contents is 3"]),
        ('{"id": "d1", "vector": {"": 1}}', ["empty token"]),
        ('{"id": "d1", "vector": {"a b": 1}}', ["'a b' contains white space"]),
        ('{"id": "d1", "vector": {"a\u2003b": 1}}', ["contains white space"]),
        ('{"id": "d1", "vector": {"a\\u001cb": 1}}', ["contains white space"]),
        ('{"id": "d1", "vector": {"%s": 1}}' % ("a" * 256), ["255"]),
        ('{"id": "d1", "vector": {"%s": 1}}' % ("🐈" * 128), ["255"]),
        ('{"id": "d1", "vector": {"cat": -3}}', ["'cat' is -3"]),
        ('{"id": "d1", "vector": {"cat": 2.9}}', ["'cat' is 2.9", "--scale", "Quantize or scale", "truncate it to 2"]),
        ('{"id": "d1", "vector": {"cat": true}}', ["'cat' is true"]),
        ('{"id": "d1", "vector": {"cat": "2"}}', ["'cat' is a string"]),
        ('{"id": "d1", "vector": {"cat": null}}', ["'cat' is null"]),
        ('{"id": "d1", "vector": {"cat": 1000001}}', ["'cat' is 1000001", "smaller scale"]),
        ('{"id": "d1", "vector": {"cat": 1e300}}', ["smaller scale"]),
    ],
)
def test_a_record_that_anserini_would_drop_or_change_is_refused(
    tmp_path: Path, record: str, fragments: list[str]
) -> None:
    (tmp_path / "i.jsonl").write_text(f'{{"id": "d0", "vector": {{"cat": 3}}}}\n{record}\n')
    with pytest.raises(RecordError) as caught:
        count_impacts(tmp_path)
    message = str(caught.value)
    assert "i.jsonl, line 2: " in message
    for fragment in fragments:
        assert fragment in message


def test_tokens_and_impacts_that_lucene_keeps_pass_the_check(tmp_path: Path) -> None:
    vector = {"##ing": 1, "a\u00a0b": 2, "a\u2007b": 3, "x" * 255: 4, "🐈" * 127: 5, "|": 1_000_000}
    written = ImpactDocument("d0", vector)
    assert list(read_impacts(write(tmp_path / "i.jsonl", written))) == [written]


def test_a_float_without_a_fraction_is_an_integer(tmp_path: Path) -> None:
    (tmp_path / "i.jsonl").write_text('{"id": 5, "vector": {"cat": 215.0}}')
    (document,) = read_impacts(tmp_path / "i.jsonl")
    assert document == ImpactDocument("5", {"cat": 215})
    assert type(document.vector["cat"]) is int


def test_the_white_space_of_java_is_unicodes_separators_without_no_break_and_some_controls() -> None:
    separators = {chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) in {"Zs", "Zl", "Zp"}}
    assert separators - set("\u00a0\u2007\u202f") | set("\t\n\v\f\r\x1c\x1d\x1e\x1f") == JAVA_WHITESPACE


def test_the_files_are_those_that_anserini_reads(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for name in ("b.jsonl", "a.json", "deep/c.gz", "deep/er/d.jsonl.gz", "splade.manifest", "e.jsonl.gz.partial"):
        (tmp_path / name).write_text("")
    (tmp_path / "other").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "er")
    names = [str(path.relative_to(tmp_path)) for path in impact_files(tmp_path)]
    assert names == ["a.json", "b.jsonl", "deep/c.gz", "deep/er/d.jsonl.gz", "link/d.jsonl.gz"]


def test_counts_are_of_all_files_and_forms(tmp_path: Path) -> None:
    records = [{"id": "d1", "vector": {"a": 1, "b": 2}}, {"id": "d2", "contents": None, "vector": {}}]
    (tmp_path / "a.json").write_text(json.dumps(records))
    (tmp_path / "b.json").write_text(json.dumps({"id": "d3", "vector": {"c": 4}}, indent=4))
    (tmp_path / "c.gz").write_bytes(gzip.compress(b'{"id": "d4", "vector": {"a": 10}}'))
    progress: list[int] = []
    assert count_impacts(tmp_path, progress.append) == (Counts(documents=3, postings=4, impacts=17), 1)
    assert sum(progress) == 4


def test_a_duplicate_id_is_named_with_both_locations(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl.gz", ImpactDocument("d0", {}), ImpactDocument("猫", {}))
    write(tmp_path / "b.jsonl.gz", ImpactDocument("猫", {"a": 1}))
    with pytest.raises(
        RecordError, match=r"b.jsonl.gz, line 1: duplicate document id '猫' \(first seen at .*a.jsonl.gz, line 2\)"
    ):
        count_impacts(tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [("missing", "does not exist"), ("other", "contains no impact pseudo-documents"), ("empty", "are empty")],
)
def test_a_directory_without_records_is_refused(tmp_path: Path, name: str, message: str) -> None:
    for path in ("other/README.md", "empty/a.jsonl"):
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).write_text("")
    with pytest.raises(InputError, match=message):
        count_impacts(tmp_path / name)


@needs_data("splade-v3.nfcorpus")
def test_nfcorpus_as_splade_v3_sees_it_passes_the_check(tmp_path: Path) -> None:
    (tmp_path / "docs.jsonl.gz").symlink_to(DATA / "splade-v3.nfcorpus" / "docs.jsonl.gz")
    counts, empty = count_impacts(tmp_path)
    assert (counts.documents, empty) == (3633, 0)
