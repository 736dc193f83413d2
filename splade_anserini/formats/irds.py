"""Collections of ir_datasets, named `irds:<name>`."""

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

from splade_anserini.errors import InputError
from splade_anserini.records import Document

PREFIX = "irds:"

type IrdsKind = Literal["docs", "queries", "qrels", "docpairs"]


def is_irds(source: str) -> bool:
    """Return whether `source` names a dataset of ir_datasets."""
    return source.startswith(PREFIX)


def require_irds(source: str, kind: IrdsKind) -> None:
    """Raise `InputError` when ir_datasets has no dataset `irds:<name>`, or the dataset has no items of this kind."""
    if not irds_has(source, kind):
        raise InputError(
            f"The dataset {_name(source)!r} of ir_datasets has no {kind}.",
            do="Name another of its parts, for example a split.",
        )


def irds_has(source: str, kind: IrdsKind) -> bool:
    """Return whether `irds:<name>` has items of this kind. Raises `InputError` when the name is unknown."""
    return bool(getattr(load_dataset(source), f"has_{kind}")())


def irds_count(source: str, kind: IrdsKind) -> int | None:
    """Return how many items of this kind `irds:<name>` has, according to its registry, or None if it does not say."""
    metadata = load_dataset(source).metadata() or {}
    count = metadata.get(kind, {}).get("count")
    return None if count is None else int(count)


def irds_items(source: str, kind: IrdsKind) -> Iterator[Any]:
    """Return an iterator over the items of this kind; ir_datasets may download them first.

    Raises `InputError` when the name is unknown or has no such items; on iteration, when they cannot be downloaded.
    """
    require_irds(source, kind)
    return _iterate(source, kind)


def irds_document(item: Any) -> Document:
    """Return a document of ir_datasets as a `Document`, with its title if it has one."""
    title, text = getattr(item, "title", None), getattr(item, "text", None)
    if isinstance(title, str) and isinstance(text, str):
        return Document(item.doc_id, title, text)
    return Document(item.doc_id, "", item.default_text())


def whole_irds_document(item: Any) -> Document:
    """Return a document of ir_datasets with all its other fields."""
    document = irds_document(item)
    read = {"doc_id", "title" if document.title else "", "text"}
    fields = item._asdict() if hasattr(item, "_asdict") else {}
    return replace(document, fields={name: value for name, value in fields.items() if name not in read})


class IrdsStore:
    """The documents of `irds:<name>` by id, on disk; ir_datasets may download them and build the store first."""

    def __init__(self, source: str) -> None:
        require_irds(source, "docs")
        self._source = source
        self._store: Any = None
        self._process = 0

    def document(self, id_: str) -> Document:
        """Return a document. Raises `InputError` when the id is unknown or the documents cannot be downloaded."""
        try:
            if self._process != os.getpid():
                # Files that are open during a fork share their position with the child.
                self._store, self._process = load_dataset(self._source).docs_store(), os.getpid()
            return irds_document(self._store.get(id_))
        except KeyError as error:
            raise InputError(f"The document {id_!r} is not in {self._source}.") from error
        except Exception as error:
            raise _unavailable(self._source, error) from error


def load_dataset(source: str) -> Any:
    """Return the dataset object of `irds:<name>`; nothing is downloaded. Raises `InputError` for an unknown name."""
    import ir_datasets

    try:
        return ir_datasets.load(_name(source))
    except KeyError as error:
        raise InputError(
            f"ir_datasets has no dataset {_name(source)!r}.", expected="a name that https://ir-datasets.com lists"
        ) from error
    except Exception as error:
        raise _unavailable(source, error) from error


def _name(source: str) -> str:
    return source.removeprefix(PREFIX)


def _iterate(source: str, kind: IrdsKind) -> Iterator[Any]:
    try:
        yield from getattr(load_dataset(source), f"{kind}_iter")()
    except Exception as error:
        raise _unavailable(source, error) from error


def _unavailable(source: str, error: Exception) -> InputError:
    name = _name(source)
    return InputError(
        f"The dataset {name!r} of ir_datasets could not be downloaded or read ({type(error).__name__}: {error}).",
        do=f"Check the network and https://ir-datasets.com/{name.partition('/')[0]}.html, or name a file instead.",
    )
