import gzip
import json
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_anserini.errors import InputError
from splade_anserini.formats.impacts import impact_line
from splade_anserini.lucene.frequency_text import (
    SEPARATOR,
    Entry,
    entry,
    entry_of_line,
    id_of_entry,
    trusted_entries,
    verbatim_entry,
)
from splade_anserini.records import ImpactDocument

SYNTAX = '":,{}\\'
tokens = st.text(
    st.one_of(st.sampled_from(SYNTAX), st.characters(exclude_categories=["Z", "C"], exclude_characters=SEPARATOR)),
    min_size=1,
    max_size=6,
)
documents = st.builds(
    ImpactDocument,
    id=st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1, max_size=8),
    vector=st.dictionaries(tokens, st.integers(1, 1_000_000), min_size=1, max_size=12),
    contents=st.text(st.one_of(st.sampled_from('"vector":{},'), st.characters(exclude_categories=["Cs"])), max_size=20),
)


def parse(entry_: Entry) -> tuple[str, dict[str, int]]:
    """Parse an entry as Java does: as JSON strings, split at white space and at the separator."""
    id_, text = (orjson.loads(b'"' + part + b'"') for part in entry_)
    pairs = [token.split(SEPARATOR) for token in text.split(" ")]
    return id_, {token: int(impact) for token, impact in pairs}


@given(documents)
def test_an_entry_contains_the_id_and_every_impact(document: ImpactDocument) -> None:
    assert parse(entry(document)) == (document.id, document.vector)


@given(documents)
def test_a_line_gives_the_right_entry_or_none(document: ImpactDocument) -> None:
    line_entry = entry_of_line(impact_line(document).rstrip(b"\n"))
    assert line_entry is None or parse(line_entry) == (document.id, document.vector)


@pytest.mark.parametrize("token", ["cat", "##ing", "1,000", "日本", "a'b", "|", *'":,\\'])
def test_lines_of_common_tokens_need_no_parsing(token: str) -> None:
    document = ImpactDocument("d1", {"x": 9, token: 7, "y": 5}, 'says "vector":{"cat":1}}')
    line_entry = entry_of_line(impact_line(document).rstrip(b"\n"))
    assert line_entry is not None
    assert parse(line_entry) == ("d1", document.vector)


@pytest.mark.parametrize(
    "line",
    [
        b'{"id": "d1", "contents": "", "vector": {"cat": 1}}',
        b'{"contents":"","id":"d1","vector":{"cat":1}}',
        b'{"id":"d1","contents":"","vector":{"cat":1},"more":{"vector":{"dog":1}}}',
        b'{"id":"d\\"1","contents":"","vector":{"cat":1}}',
        b"",
    ],
)
def test_a_line_in_another_format_must_be_parsed(line: bytes) -> None:
    assert entry_of_line(line) is None


def test_documents_without_a_vector_have_an_entry_without_text(tmp_path: Path) -> None:
    lines = [ImpactDocument("full", {"cat": 1}), ImpactDocument("empty", {}), ImpactDocument("}", {"}": 2})]
    path = tmp_path / "impacts.jsonl.gz"
    path.write_bytes(gzip.compress(b"".join(map(impact_line, lines))))
    full, empty, brace = [entry_ for entry_, _ in trusted_entries(path)]
    assert [parse(full), parse(brace)] == [("full", {"cat": 1}), ("}", {"}": 2})]
    assert empty == (b"empty", b"")


@pytest.mark.parametrize("id_", ["d1", 'a"b\\c', "naïve", "文書"])
def test_the_id_of_an_entry_is_that_of_the_document(id_: str, tmp_path: Path) -> None:
    path = tmp_path / "impacts.jsonl"
    path.write_bytes(impact_line(ImpactDocument(id_, {"cat": 1})))
    assert [id_of_entry(entry_) for entry_, _ in trusted_entries(path)] == [id_]


def test_the_separator_in_a_token_is_refused() -> None:
    with pytest.raises(InputError, match=r"contains U\+FFFE"):
        entry(ImpactDocument("d1", {f"a{SEPARATOR}b": 1}))


def pairs_of(text: str) -> list[tuple[str, object]]:
    """Return the entries of the vector in a record, repeated tokens included."""
    pairs: list[tuple[str, object]] = []

    def keep(entries: list[tuple[str, object]]) -> dict[str, object]:
        pairs[:], before = entries, list(pairs)
        if any(name == "vector" for name, _ in entries):
            pairs[:] = before
        return dict(entries)

    json.loads(text, object_pairs_hook=keep)
    return pairs


STYLES = [(", ", ": "), (",", ":"), (",", ": "), (" , ", " : ")]


@given(documents, st.sampled_from(STYLES), st.booleans(), st.booleans())
def test_a_record_in_any_style_gives_the_right_entry_or_none(
    document: ImpactDocument, separators: tuple[str, str], ascii_only: bool, with_contents: bool
) -> None:
    record = {"id": document.id} | ({"contents": document.contents} if with_contents else {})
    line = json.dumps(record | {"vector": document.vector}, separators=separators, ensure_ascii=ascii_only).encode()
    verbatim = verbatim_entry(line)
    assert verbatim is None or (verbatim.id, parse(verbatim.entry)) == (document.id, (document.id, document.vector))


TOKENS = ["cat", "##s", ",", ":", "2015", "1,000", "a:b", "x y", "é", '"', "{"]
INSERTED = [b"", *(bytes([byte]) for byte in b' ,:"{}0-.\\\t\xff\x7f'), b'"cat":1,', b', "dog": 1']


@given(
    st.dictionaries(st.sampled_from(TOKENS), st.just(7)),
    st.integers(0, 200),
    st.sampled_from(INSERTED),
    st.booleans(),
)
def test_a_line_that_is_not_parsed_is_valid_and_has_what_is_indexed(
    vector: dict[str, int], position: int, inserted: bytes, compact: bool
) -> None:
    text = json.dumps({"id": "d1", "vector": vector}, separators=(",", ":") if compact else None, ensure_ascii=False)
    line = text.encode()
    line = line[:position] + inserted + line[position + (position % 2) :]
    verbatim = verbatim_entry(line)
    if verbatim is None:
        return
    record = json.loads(line)
    id_, text = (orjson.loads(b'"' + part + b'"') for part in verbatim.entry)
    pairs = [(token, int(impact)) for token, impact in (token.split(SEPARATOR) for token in text.split(" "))]
    assert (id_, verbatim.id, dict(pairs)) == (record["id"], record["id"], record["vector"])
    assert pairs == pairs_of(line.decode())
    assert len(pairs) == verbatim.postings
    assert all(type(impact) is int and 0 < impact < 1_000_000 for impact in record["vector"].values())
    assert all(token and not set(token) & set(" \t\n") for token in record["vector"])


@pytest.mark.parametrize(
    "line",
    [
        b'{"id": "d1", "contents": "", "vector": {"cat": 183, "##s": 25}}',
        b'{"id":"d1","contents":"","vector":{"cat":183,"##s":25}}',
        b'{"id": "d1", "vector": {",": 183, ":": 25}}',
        b'{"docid": 1, "id": "d1", "vector": {"2015": 183, "cat": 25}}',
    ],
)
def test_lines_as_others_write_them_need_no_parsing(line: bytes) -> None:
    verbatim = verbatim_entry(line)
    assert verbatim
    assert parse(verbatim.entry) == ("d1", json.loads(line)["vector"])


@pytest.mark.parametrize(
    "line",
    [
        b'{"id": "d1", "vector": {"cat": 0}}',
        b'{"id": "d1", "vector": {"cat": 1.5}}',
        b'{"id": "d1", "vector": {"cat": -1}}',
        b'{"id": "d1", "vector": {"cat": 1000001}}',
        b'{"id": "d1", "vector": {"c t": 1}}',
        b'{"id": "d1", "vector": {"": 1}}',
        b'{"id": "d1", "vector": {}}',
        b'{"id": "d1", "vector": {"cat": 1,}}',
        b'{"id": "d1", "vector": {"cat": 1}, "vectors": {"dog": 1}}',
        b'{"id": "d 1", "vector": {"cat": 1}}',
        b'{"id": 1, "vector": {"cat": 1}}',
        b'{"id": "d1", "contents": 7, "vector": {"cat": 1}}',
        b'{"id": "d1", "x": {"vector": {"cat": 1}}}',
        b'[{"id": "d1", "vector": {"cat": 1}}',
        b'{"id": "d1", "vector": {"cat": 01}}',
        b'{"id": "d1", "id": "d2", "vector": {"cat": 1}}',
        b'{"id": "d1", "vector": {"dog": 1}, "vector": {"cat": 1}}',
    ],
)
def test_other_lines_are_parsed(line: bytes) -> None:
    assert verbatim_entry(line) is None
