"""The values of one JSON document, an array or a sequence, parsed without loading the document."""

import json
from codecs import BOM_UTF8, getincrementaldecoder
from collections.abc import Iterator
from pathlib import Path

from splade_anserini.formats.parsing.compression import DAMAGED_DATA, open_input
from splade_anserini.formats.parsing.lines import LARGEST_RECORD, Location, damaged_data_error

CHUNK = 1 << 16

_WHITESPACE = " \t\r\n"
# Only the end of a value matters here. Python's `int` refuses more than 4,300 digits.
_DECODER = json.JSONDecoder(parse_int=len)


def json_values(path: Path) -> Iterator[tuple[Location, bytes]]:
    """Yield the source text of each value of a top-level array, or of a sequence of values.

    Raises `RecordError` where the document is not valid JSON.
    """
    with open_input(path) as file:
        window = _Window(path, iter(lambda: file.read(CHUNK), b""))
        if not window.skip("["):
            while window.peek():
                yield window.value()
            return
        more = not window.skip("]")
        while more:
            yield window.value()
            more = window.skip(",")
            if not more and not window.skip("]"):
                raise window.location().error("the array is neither continued nor closed", expected="a comma or ]")
        if window.peek():
            raise window.location().error("more text after the array", expected="one JSON array of records")


def json_entries(path: Path) -> Iterator[tuple[Location, str, bytes]]:
    """Yield the key and the source text of the value of each entry of a top-level object.

    Raises `RecordError` where the document is not valid JSON, or not a single object.
    """
    with open_input(path) as file:
        window = _Window(path, iter(lambda: file.read(CHUNK), b""))
        if not window.skip("{"):
            raise window.location().error("no object", expected="one JSON object")
        more = not window.skip("}")
        while more:
            location, key = window.value()
            if key[:1] != b'"' or not window.skip(":"):
                raise location.error("no key", expected='"key": value')
            _, value = window.value()
            yield location, str(_DECODER.decode(key.decode(errors="surrogatepass"))), value
            more = window.skip(",")
            if not more and not window.skip("}"):
                raise window.location().error("the object is neither continued nor closed", expected="a comma or }")
        if window.peek():
            raise window.location().error("more text after the object", expected="one JSON object of records")


class _Window:
    """The part of a text that is read and not yet parsed, with its line number."""

    def __init__(self, path: Path, chunks: Iterator[bytes]) -> None:
        self._path = path
        self._chunks = chunks
        self._decoder = getincrementaldecoder("utf-8")()
        self._text = ""
        self._position = 0
        self._line = 1
        self._at_start = True

    def location(self) -> Location:
        return Location(self._path, self._line)

    def peek(self) -> str:
        """Return the next character that is not white space, "" at the end."""
        while True:
            end = len(self._text)
            while self._position < end and self._text[self._position] in _WHITESPACE:
                self._line += self._text[self._position] == "\n"
                self._position += 1
            if self._position < end:
                return self._text[self._position]
            if not self._read(CHUNK):
                return ""

    def skip(self, character: str) -> bool:
        """Skip the next character that is not white space if it is `character`, and return whether it was."""
        is_next = self.peek() == character
        self._position += is_next
        return is_next

    def value(self) -> tuple[Location, bytes]:
        """Skip one value and return its location and source text."""
        self.peek()
        while True:
            try:
                _, end = _DECODER.raw_decode(self._text, self._position)
            except RecursionError as error:
                raise self.location().error("nested too deeply", expected="JSON objects") from error
            except json.JSONDecodeError as error:
                # The value may continue beyond the window: double the window and try again.
                unparsed = len(self._text) - self._position
                if unparsed >= LARGEST_RECORD:
                    raise self.location().error(
                        f"a value of more than {LARGEST_RECORD:,} characters, or one that does not end",
                        expected=f"records of at most {LARGEST_RECORD:,} characters",
                    ) from error
                if self._read(max(unparsed, CHUNK)):
                    continue
                line = self._line + self._text.count("\n", self._position, error.pos)
                raise self.location().error(
                    f"not valid JSON ({error.msg}, line {line}, column {error.colno})", expected="JSON objects"
                ) from error
            source, location = self._text[self._position : end], self.location()
            self._line += source.count("\n")
            self._position = end
            return location, source.encode(errors="surrogatepass")

    def _read(self, size: int) -> bool:
        """Drop the parsed text, read about `size` more bytes, and return whether there were any."""
        parts: list[str] = [self._text[self._position :]]
        self._position = 0
        bytes_read = 0
        try:
            while bytes_read < size and (chunk := next(self._chunks, None)) is not None:
                if self._at_start:
                    chunk, self._at_start = chunk.removeprefix(BOM_UTF8), False
                parts.append(self._decoder.decode(chunk))
                bytes_read += len(chunk)
            if bytes_read < size:
                self._decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            line = self._line + sum(part.count("\n") for part in parts)
            raise Location(self._path, line).error("invalid UTF-8 near here", expected="text in UTF-8") from error
        except DAMAGED_DATA as error:
            raise damaged_data_error(self.location(), error) from error
        self._text = "".join(parts)
        return bytes_read > 0
