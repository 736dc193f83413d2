"""Changes of the documents of a served index, one after the other in a thread of their own."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from splade_anserini.records import Document

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

    def put(self, documents: Sequence[Document], *, replace: bool) -> "ChangedIndex":
        """Encode and add documents. Raises `InputError` for ids that are there, unless they are to be replaced."""
        from splade_anserini.indexing.changing import change_by_texts, encoder_of_index

        if self._encoder is None:
            self._encoder = encoder_of_index(self._directory)
        return change_by_texts(self._directory, documents, self._encoder, replace=replace)

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
