"""JSON on its way to Java: bytes that Python writes, and the handle that parses them there."""

from typing import Any

from splade_anserini.lucene.java import method_handles as h

BUFFER = "java.io.ByteArrayOutputStream"
_READER = "com.fasterxml.jackson.databind.ObjectReader"


class JsonRequest:
    """A buffer for one thread, written anew for each request."""

    def __init__(self) -> None:
        from jnius import autoclass

        self._buffer = autoclass(BUFFER)()
        self.mapper = autoclass("com.fasterxml.jackson.databind.ObjectMapper")()
        """Jackson's, which makes the readers that `parsed` takes."""

    def write(self, json: bytes) -> None:
        """Put JSON in place of what was there."""
        self._buffer.reset()
        self._buffer.writeBytes(json)

    def parsed(self, reader: Any, kind: str) -> Any:
        """Return a handle that parses what was written last, with a reader of `mapper`: () → kind."""
        take = h.bound(h.virtual(BUFFER, "toByteArray", h.BYTES), self._buffer)
        parse = h.bound(h.virtual(_READER, "readValue", h.OBJECT, h.BYTES), reader)
        return h.chain(take, h.typed(parse, kind, h.BYTES))
