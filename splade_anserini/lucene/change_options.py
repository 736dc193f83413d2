"""Options of changing an index that exists. Importing this module loads nothing heavy."""

from pathlib import Path

from splade_anserini.errors import InputError
from splade_anserini.options import option, options


@options
class ChangeOptions:
    """How the index that is there is changed. Raises `InputError` for options that exclude each other."""

    append: bool = option(
        default=False, help="Add the documents to the index that is there; ids that it has already are an error."
    )
    update: bool = option(
        default=False, help="As --append, but documents with ids that the index has replace the documents there."
    )
    delete: Path | None = option(
        default=None, metavar="FILE", help="Delete the documents with the ids in FILE, one on a line."
    )
    force: bool = option(
        default=False, help="With --append and --update: add documents that were made with other settings all the same."
    )

    def __post_init__(self) -> None:
        if self.append and self.update:
            raise InputError("--append and --update exclude each other.", do="Leave one of them out.")
        if self.force and not (self.append or self.update):
            raise InputError("--force has no effect without --append or --update.", do="Leave --force out.")

    @property
    def is_change(self) -> bool:
        """Whether an index is changed, and not built."""
        return self.append or self.update or self.delete is not None

    @property
    def is_deletion(self) -> bool:
        """Whether documents are deleted, and none is added."""
        return self.delete is not None and not (self.append or self.update)
