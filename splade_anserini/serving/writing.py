"""Changes of the documents of a served index, one after the other in a thread of their own."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import orjson

from splade_anserini.errors import InputError

if TYPE_CHECKING:
    from splade_anserini.encoding import Encoder
    from splade_anserini.lucene.index_changes import ChangedIndex

type Change = Callable[[], ChangedIndex]


class IndexWriter:
    """Adds, replaces and deletes documents of one index. Its encoder is opened when it is first needed."""

    def __init__(self, directory: Path) -> None:
        """Raises `InputError` when the index cannot be changed."""
        from splade_anserini.lucene.index_changes import require_changeable

        require_changeable(directory)
        self._directory = directory
        self._encoder: Encoder | None = None

    def put(self, documents: Sequence[Mapping[str, Any]], *, replace: bool) -> "ChangedIndex":
        """Encode and add documents with their fields: `id`, `title` and `text`, which are encoded, and others.

        Raises `InputError` for ids that are there, unless they are to be replaced, and for fields that do not fit.
        """
        from splade_anserini.formats.corpora import open_corpus, with_all_fields
        from splade_anserini.indexing.changing import change_by_texts, encoder_of_index

        if self._encoder is None:
            self._encoder = encoder_of_index(self._directory)
        with TemporaryDirectory(prefix="splade-anserini-") as home:
            path = Path(home) / "documents.jsonl"
            path.write_bytes(b"".join(orjson.dumps(document) + b"\n" for document in documents))
            try:
                # With all fields: no note says that the other ones are not encoded.
                corpus = with_all_fields(open_corpus(str(path)))
                return change_by_texts(self._directory, corpus, self._encoder, replace=replace)
            except InputError as error:
                raise InputError(str(error).replace(str(path), "documents")) from error

    def delete(self, doc_id: str) -> "ChangedIndex":
        """Delete a document; an id that the index does not have is `missing` in the result."""
        from splade_anserini.indexing.changing import delete_documents

        return delete_documents(self._directory, [doc_id])


def change_values(changed: "ChangedIndex") -> dict[str, object]:
    """Return a change as JSON values."""
    change = changed.change
    return {
        "added": change.added,
        "replaced": change.replaced,
        "deleted": change.deleted,
        "empty": changed.empty,
        "documents": changed.manifest.counts.documents,
    }
