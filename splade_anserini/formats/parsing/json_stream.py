"""The values of one JSON document, an array or a sequence, without holding the document."""

import gzip
import json
import zlib
from codecs import BOM_UTF8, getincrementaldecoder
from collections.abc import Iterator
from pathlib import Path

from splade_anserini.formats.parsing.lines import Place, damaged, open_bytes

CHUNK = 1 << 16
LARGEST_RECORD = 1 << 26
"""Characters. What is longer and still not a whole value is malformed."""

_WHITESPACE = " \t\r\n"
_DECODER = json.JSONDecoder()


def json_values(path: Path) -> Iterator[tuple[Place, bytes]]:
    """Yield the source of each value of a top-level array, or of a sequence of values.

    Raises `RecordError` where the document is not JSON.
    """
    with open_bytes(path) as file:
        text = _Window(path, iter(lambda: file.read(CHUNK), b""))
        if not text.skip_one("["):
            while text.peek():
                yield text.value()
            return
        more = not text.skip_one("]")
        while more:
            yield text.value()
            more = text.skip_one(",")
            if not more and not text.skip_one("]"):
                raise text.place().error("the array is neither continued nor closed", expected="a comma or ]")
        if text.peek():
            raise text.place().error("more text after the array", expected="one JSON array of records")


class _Window:
    """The part of a text that was read and not yet parsed; it knows its line."""

    def __init__(self, path: Path, chunks: Iterator[bytes]) -> None:
        self._path = path
        self._chunks = chunks
        self._decoder = getincrementaldecoder("utf-8")()
        self._text = ""
        self._position = 0
        self._line = 1
        self._begun = False

    def place(self) -> Place:
        return Place(self._path, self._line)

    def peek(self) -> str:
        """Return the next character that is not white space, "" at the end."""
        while True:
            rest = len(self._text)
            while self._position < rest and self._text[self._position] in _WHITESPACE:
                self._line += self._text[self._position] == "\n"
                self._position += 1
            if self._position < rest:
                return self._text[self._position]
            if not self._read(CHUNK):
                return ""

    def skip_one(self, character: str) -> bool:
        """Step over the next character that is not white space, if it is this one."""
        found = self.peek() == character
        self._position += found
        return found

    def value(self) -> tuple[Place, bytes]:
        """Step over one value and return its source."""
        self.peek()
        while True:
            try:
                _, end = _DECODER.raw_decode(self._text, self._position)
            except RecursionError as error:
                raise self.place().error("nested too deeply", expected="JSON objects") from error
            except json.JSONDecodeError as error:
                # Perhaps it goes on in what was not read yet: read as much again as there is.
                held = len(self._text) - self._position
                if held < LARGEST_RECORD and self._read(max(held, CHUNK)):
                    continue
                line = self._line + self._text.count("\n", self._position, error.pos)
                raise self.place().error(
                    f"not JSON ({error.msg}, line {line}, column {error.colno})", expected="JSON objects"
                ) from error
            source, place = self._text[self._position : end], self.place()
            self._line += source.count("\n")
            self._position = end
            return place, source.encode(errors="surrogatepass")

    def _read(self, size: int) -> bool:
        """Drop what was parsed and read about `size` bytes more; say whether there were any."""
        parts: list[str] = [self._text[self._position :]]
        self._position = 0
        done = 0
        try:
            while done < size and (chunk := next(self._chunks, None)) is not None:
                if not self._begun:
                    chunk, self._begun = chunk.removeprefix(BOM_UTF8), True
                parts.append(self._decoder.decode(chunk))
                done += len(chunk)
            if done < size:
                self._decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            line = self._line + sum(part.count("\n") for part in parts)
            raise Place(self._path, line).error("not UTF-8 from about here", expected="text in UTF-8") from error
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise damaged(Place(self._path, self._line), error) from error
        self._text = "".join(parts)
        return done > 0
