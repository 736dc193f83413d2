"""Collections that ir_datasets knows by name."""

import os
from collections.abc import Iterator
from typing import Any, Literal

from splade_anserini.errors import InputError
from splade_anserini.records import Document

PREFIX = "irds:"

type Kind = Literal["docs", "queries", "qrels", "docpairs"]


def irds_items(source: str, kind: Kind) -> Iterator[Any]:
    """Return what `irds:<name>` holds of this kind, one by one; ir_datasets may download it first.

    Raises `InputError` when the name is unknown, or has nothing of this kind; on iteration, when it cannot be had.
    """
    name = source.removeprefix(PREFIX)
    found = dataset(name)
    if not _has(found, kind):
        raise InputError(
            f"The dataset {name!r} of ir_datasets has no {kind}.", do="Name another of its parts, for example a split."
        )
    return _downloaded(name, getattr(found, f"{kind}_iter"))


def irds_has(source: str, kind: Kind) -> bool:
    """Say whether `irds:<name>` holds anything of this kind. Raises `InputError` when the name is unknown."""
    return _has(dataset(source.removeprefix(PREFIX)), kind)


def irds_document(item: Any) -> Document:
    """Return a document of ir_datasets as one of ours, with a title where it has one."""
    title, text = getattr(item, "title", None), getattr(item, "text", None)
    if isinstance(title, str) and isinstance(text, str):
        return Document(item.doc_id, title, text)
    return Document(item.doc_id, "", item.default_text())


class IrdsStore:
    """The documents of `irds:<name>` by id, on disk; ir_datasets may download and build its store first."""

    def __init__(self, source: str) -> None:
        irds_items(source, "docs")
        self._name = source.removeprefix(PREFIX)
        self._store: Any = None
        self._process = 0

    def document(self, id_: str) -> Document:
        """Return a document. Raises `InputError` when there is none of this id, or it cannot be had."""
        try:
            if self._process != os.getpid():
                # Files that are open at a fork share their position.
                self._store, self._process = dataset(self._name).docs_store(), os.getpid()
            return irds_document(self._store.get(id_))
        except KeyError as error:
            raise InputError(f"The document {id_!r} is not in {PREFIX}{self._name}.") from error
        except Exception as error:
            raise _unavailable(self._name, error) from error


def dataset(name: str) -> Any:
    """Return what ir_datasets has under this name; nothing is downloaded. Raises `InputError` when it is unknown."""
    import ir_datasets

    try:
        return ir_datasets.load(name)
    except KeyError as error:
        raise InputError(
            f"ir_datasets knows no dataset {name!r}.", expected="a name that https://ir-datasets.com lists"
        ) from error
    except Exception as error:
        raise _unavailable(name, error) from error


def is_irds(source: str) -> bool:
    """Say whether `source` is a name of ir_datasets."""
    return source.startswith(PREFIX)


def require_irds(source: str, kind: Kind) -> None:
    """Raise `InputError` when `irds:<name>` is unknown, or has nothing of this kind."""
    irds_items(source, kind)


def irds_count(source: str, kind: Kind) -> int | None:
    """Return how many items of this kind `irds:<name>` has, as its registry says; None when it does not say."""
    described = dataset(source.removeprefix(PREFIX)).metadata()
    count = (described or {}).get(kind, {}).get("count")
    return None if count is None else int(count)


def _has(found: Any, kind: Kind) -> bool:
    return bool(getattr(found, f"has_{kind}")())


def _downloaded(name: str, items: Any) -> Iterator[Any]:
    try:
        yield from items()
    except Exception as error:
        raise _unavailable(name, error) from error


def _unavailable(name: str, error: Exception) -> InputError:
    return InputError(
        f"The dataset {name!r} of ir_datasets could not be downloaded or read ({type(error).__name__}: {error}).",
        do=f"Check the network and https://ir-datasets.com/{name.partition('/')[0]}.html, or name a file instead.",
    )
