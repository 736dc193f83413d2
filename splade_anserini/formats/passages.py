"""Passages of documents: windows of words, with ids `doc#n`."""

import re
from collections.abc import Iterator
from typing import NamedTuple, Self

from splade_anserini.errors import InputError
from splade_anserini.records import Document

SEPARATOR = "#"
"""What precedes the number of a passage in its id; the number is what follows the last one."""

_WORD = re.compile(r"\S+")


class Windows(NamedTuple):
    """How many words a passage has, and how many words after a passage the next one begins."""

    words: int
    stride: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the windows that `WORDS/STRIDE` describes; `WORDS` alone are windows that do not overlap.

        Raises `InputError` for anything else.
        """
        match = re.fullmatch(r"([1-9][0-9]{0,8})(?:/([1-9][0-9]{0,8}))?", text)
        words, stride = (int(match[1]), int(match[2] or match[1])) if match else (0, 1)
        if stride > words:
            raise InputError(
                f"--passages must be WORDS/STRIDE, got {text!r}.",
                expected="two numbers from 1, the second at most the first, so that no word is left out",
                do="For example: --passages 150/75",
            )
        return cls(words, stride)

    def __str__(self) -> str:
        return f"{self.words}/{self.stride}"


def passages_of(document: Document, windows: Windows) -> Iterator[Document]:
    """Yield the passages of a document, at least one; each has its title, which does not count as words.

    The last one ends with the document. Between words, the text keeps what it has.
    """
    ends = [match.span() for match in _WORD.finditer(document.text)]
    number = start = 0
    while True:
        words = ends[start : start + windows.words]
        text = document.text[words[0][0] : words[-1][1]] if words else document.text
        yield Document(f"{document.id}{SEPARATOR}{number}", document.title, text, document.fields)
        if start + windows.words >= len(ends):
            return
        number, start = number + 1, start + windows.stride
