"""The documents that an index stores."""

import json

import pytest

from splade_anserini.lucene.stored_documents import document_of_record, is_document, text_of


@pytest.mark.parametrize(
    ("record", "document"),
    [
        (None, None),
        ('{"id": "d1", "contents": "a", "vector": {"a": 1}}', {"id": "d1", "contents": "a"}),
        ('{"id": "d1", "title": "T", "year": [1999], "vector": "north"}',
         {"id": "d1", "title": "T", "year": [1999], "vector": "north"}),
        ('{"contents": "a"}', {"id": "d1", "contents": "a"}),
        ('{"id":"d1","contents":"a","vector":{"a":1}}', {"id": "d1", "contents": "a"}),
        ('{"contents":"a","vector":{"a":1}}', {"id": "d1", "contents": "a"}),
        ('{"id":"d1","vector":{"a":1},"b":{"c":1}}', {"id": "d1", "b": {"c": 1}}),
        ('{"id":"d1","vector":{"a}":1},"b":{"c":1}}', {"id": "d1", "b": {"c": 1}}),
        ('{"id":"d1","b":{"c":2,"vector":{"a":1}}}', {"id": "d1", "b": {"c": 2, "vector": {"a": 1}}}),
        ('{"id":"d1","contents":",\\"vector\\":{","vector":{"}},":1}}', {"id": "d1", "contents": ',"vector":{'}),
        ('{"id":"d1","contents":"{}","vector":{"a":1,"b":2}}', {"id": "d1", "contents": "{}"}),
        ("<DOC>a</DOC>", {"id": "d1", "contents": "<DOC>a</DOC>"}),
        ('["a"]', {"id": "d1", "contents": '["a"]'}),
    ],
)  # fmt: skip
def test_a_document_is_the_stored_record_without_its_vector(record: str | None, document: object) -> None:
    assert document_of_record("d1", record) == document
    if record is not None:
        assert document_of_record("d1", record.encode()) == document
        assert not is_document(record.encode()) or json.loads(record) == document


@pytest.mark.parametrize("record", [b'{"id":"d1"}', b'{"id":"d1","title":"vectors","year":[1999]}'])
def test_a_record_without_a_vector_is_the_document(record: bytes) -> None:
    assert is_document(record)


@pytest.mark.parametrize(
    ("document", "text"),
    [(None, None), ({"id": "d"}, None), ({"id": "d", "contents": "a"}, "a"), ({"contents": ["a"]}, None)],
)
def test_the_text_of_a_document_is_its_contents(document: object, text: str | None) -> None:
    assert text_of(document) == text  # type: ignore[arg-type]
