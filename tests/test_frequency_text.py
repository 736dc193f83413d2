import gzip
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_anserini.errors import InputError
from splade_anserini.formats.impacts import impact_line
from splade_anserini.lucene.frequency_text import SEPARATOR, Entry, entries, entry, entry_of_line
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


def read(found: Entry) -> tuple[str, dict[str, int]]:
    """Read an entry as Java does: as JSON strings, split at white space and at the separator."""
    id_, text = (orjson.loads(b'"' + part + b'"') for part in found)
    pairs = [token.split(SEPARATOR) for token in text.split(" ")]
    return id_, {token: int(impact) for token, impact in pairs}


@given(documents)
def test_an_entry_holds_the_id_and_every_impact(document: ImpactDocument) -> None:
    assert read(entry(document)) == (document.id, document.vector)


@given(documents)
def test_a_line_is_read_without_parsing_it_or_not_at_all(document: ImpactDocument) -> None:
    found = entry_of_line(impact_line(document).rstrip(b"\n"))
    assert found is None or read(found) == (document.id, document.vector)


@pytest.mark.parametrize("token", ["cat", "##ing", "1,000", "日本", "a'b", "|", *'":,\\'])
def test_usual_tokens_need_no_parsing(token: str) -> None:
    document = ImpactDocument("d1", {"x": 9, token: 7, "y": 5}, 'says "vector":{"cat":1}}')
    found = entry_of_line(impact_line(document).rstrip(b"\n"))
    assert found is not None
    assert read(found) == ("d1", document.vector)


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
def test_a_line_that_is_written_otherwise_is_left_alone(line: bytes) -> None:
    assert entry_of_line(line) is None


def test_documents_without_a_vector_have_no_entry(tmp_path: Path) -> None:
    some = [ImpactDocument("full", {"cat": 1}), ImpactDocument("empty", {}), ImpactDocument("}", {"}": 2})]
    path = tmp_path / "some.jsonl.gz"
    path.write_bytes(gzip.compress(b"".join(map(impact_line, some))))
    for ours in [True, False]:
        assert [read(found) for found, _ in entries(path, ours=ours)] == [("full", {"cat": 1}), ("}", {"}": 2})]


def test_the_separator_in_a_token_is_refused() -> None:
    with pytest.raises(InputError, match=r"holds U\+FFFE"):
        entry(ImpactDocument("d1", {f"a{SEPARATOR}b": 1}))
