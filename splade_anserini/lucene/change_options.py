"""Options of changing an index that exists. Importing this module loads nothing heavy."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from splade_anserini.errors import InputError, MismatchError
from splade_anserini.lucene.index_options import IndexOptions
from splade_anserini.options import option, options

if TYPE_CHECKING:
    from splade_anserini.artifacts.manifests import IndexManifest


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


def options_of_change(manifest: "IndexManifest", options: IndexOptions) -> IndexOptions:
    """Return the options by which documents are added: they are stored as those of the index are.

    Raises `InputError` or `MismatchError` for options that cannot be those of the index.
    """
    stored = {name: bool(manifest.options.get(name, False)) for name in ("store_text", "store_docvectors")}
    if options.writer != "lucene":
        raise InputError(f"--writer {options.writer} cannot change an index.", do="Leave --writer out.")
    if options.document_idf:
        raise MismatchError(
            "--document-idf holds for one collection, which adding documents would change.",
            do="Index all documents again, or search with --query-idf.",
        )
    for name, is_stored in stored.items():
        if getattr(options, name) and not is_stored:
            flag = f"--{name.replace('_', '-')}"
            raise MismatchError(f"The index was built without {flag}.", do=f"Build it again with {flag}.")
    store_fields = manifest.options.get("store_fields")
    fields = {
        "store_fields": None if store_fields is None else str(store_fields),
        "filter_fields": ",".join(f"{name}:{type_}" for name, type_ in (manifest.filter_fields or {}).items()) or None,
    }
    for name, value in fields.items():
        if getattr(options, name) not in (None, value):
            flag = f"--{name.replace('_', '-')}"
            raise MismatchError(
                f"{flag} is {getattr(options, name)!r}, but the index was built with {value!r}.",
                do=f"Leave {flag} out: documents are stored as those of the index are.",
            )
    return replace(
        options,
        store_text=stored["store_text"],
        store_docvectors=stored["store_docvectors"],
        store_fields=fields["store_fields"],
        filter_fields=fields["filter_fields"],
    )
