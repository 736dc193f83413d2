"""Texts of a program as documents."""

from collections.abc import Iterable

from splade_anserini.errors import InputError, counted
from splade_anserini.records import Document


def documents_of_texts(texts: Iterable[str | Document], ids: Iterable[str] | None) -> list[Document]:
    """Return texts with their ids as documents, or documents as they are, which have ids.

    Raises `InputError` when a text or an id is missing or not a string.
    """
    if isinstance(texts, str) or isinstance(ids, str):
        name = "texts" if isinstance(texts, str) else "ids"
        raise InputError(f"{name} is a single string.", expected="a list of strings", do="Put it into a list.")
    text_list = list(texts)
    documents = [text for text in text_list if isinstance(text, Document)]
    if documents and len(documents) == len(text_list) and ids is None:
        return documents
    id_list = [str(position) for position in range(len(text_list))] if ids is None else list(ids)
    if len(id_list) != len(text_list):
        texts_and_ids = f"{counted(len(text_list), 'text')} and {counted(len(id_list), 'id')}"
        raise InputError(f"There are {texts_and_ids}.", expected="one id for each text")
    if not text_list:
        raise InputError("There are no texts to index.")
    strings = _strings("texts", text_list)
    return [Document(id_, "", text) for id_, text in zip(_strings("ids", id_list), strings, strict=True)]


def _strings(name: str, values: Iterable[object]) -> list[str]:
    """Return the values. Raises `InputError` for the first that is not a string."""
    strings = []
    for position, value in enumerate(values):
        if not isinstance(value, str):
            raise InputError(f"{name}[{position}] is {value!r}.", expected="a string")
        strings.append(value)
    return strings


def documents_to_add(texts: Iterable[str | Document], ids: Iterable[str] | None) -> list[Document]:
    """Return texts with their ids, or documents as they are, which have ids.

    Raises `InputError` as `documents_of_texts` does, and for texts without ids.
    """
    texts = texts if isinstance(texts, str) else list(texts)
    given = ids is not None
    if any(isinstance(text, Document) is given for text in texts) or not (texts or given):
        raise InputError("There are texts without ids.", expected="documents with ids, or texts and as many ids")
    return documents_of_texts(texts, ids)
