import gzip
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_anserini.errors import InputError
from splade_anserini.formats.impacts import impact_line
from splade_anserini.lucene.frequency_text import SEPARATOR, Entry, entry, entry_of_line, trusted_entries
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


def test_documents_without_a_vector_have_no_entry(tmp_path: Path) -> None:
    lines = [ImpactDocument("full", {"cat": 1}), ImpactDocument("empty", {}), ImpactDocument("}", {"}": 2})]
    path = tmp_path / "impacts.jsonl.gz"
    path.write_bytes(gzip.compress(b"".join(map(impact_line, lines))))
    assert [parse(entry_) for entry_, _ in trusted_entries(path)] == [("full", {"cat": 1}), ("}", {"}": 2})]


def test_the_separator_in_a_token_is_refused() -> None:
    with pytest.raises(InputError, match=r"contains U\+FFFE"):
        entry(ImpactDocument("d1", {f"a{SEPARATOR}b": 1}))
