"""The documents that an index stores."""

import pytest

from splade_anserini.lucene.stored_documents import document_of_record, text_of


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
def test_a_document_is_the_stored_record_without_its_vector(record: str, document: object) -> None:
    assert document_of_record("d1", record) == document


@pytest.mark.parametrize(
    ("document", "text"),
    [(None, None), ({"id": "d"}, None), ({"id": "d", "contents": "a"}, "a"), ({"contents": ["a"]}, None)],
)
def test_the_text_of_a_document_is_its_contents(document: object, text: str | None) -> None:
    assert text_of(document) == text  # type: ignore[arg-type]
