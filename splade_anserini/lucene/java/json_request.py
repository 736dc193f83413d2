"""JSON that Python passes to a method handle in Java, as bytes in a buffer."""

from typing import Any

from splade_anserini.lucene.java.method_handles import (
    BYTE_OUTPUT,
    BYTES,
    LIST,
    MAP,
    OBJECT,
    STRING,
    as_callable,
    as_type,
    bind,
    chain,
    java_class,
    virtual_method,
)

_READER, _MAPPER = (f"com.fasterxml.jackson.databind.{name}" for name in ("ObjectReader", "ObjectMapper"))


class JsonRequest:
    """A buffer for one thread: Python overwrites it with JSON before each call, and Java parses it."""

    def __init__(self) -> None:
        from jnius import autoclass

        self._buffer = autoclass(BYTE_OUTPUT)()
        self.mapper = autoclass(_MAPPER)()
        """Jackson's, for writing JSON as well."""

    def write(self, json: bytes) -> None:
        """Replace the content of the buffer."""
        self._buffer.reset()
        self._buffer.writeBytes(json)

    def parse_list(self, kind: str) -> Any:
        """Return a handle that parses the buffer as a list of objects of the class `kind`, () → List."""
        return self._parse(self.mapper.readerForListOf(java_class(kind)), LIST)

    def parse_map(self, kind: str) -> Any:
        """Return a handle that parses the buffer as a map from strings to objects of the class `kind`, () → Map."""
        return self._parse(self.mapper.readerForMapOf(java_class(kind)), MAP)

    def parse_string(self) -> Any:
        """Return a handle that parses the buffer as a string, () → String."""
        return self._parse(self.mapper.readerFor(java_class(STRING)), STRING)

    def list_parser(self, kind: str) -> Any:
        """Return a handle that parses a string as a list of objects of a type such as "Map<K,V>", (String) → List."""
        # return (List) reader.readValue(text);
        list_type = self.mapper.getTypeFactory().constructFromCanonical(f"{LIST}<{kind}>")
        # Called by pyjnius, which would take another method of this name, it fails.
        reader_for = virtual_method(_MAPPER, "readerFor", _READER, "com.fasterxml.jackson.databind.JavaType")
        reader = as_callable(bind(reader_for, self.mapper, list_type)).call()
        return as_type(bind(virtual_method(_READER, "readValue", OBJECT, STRING), reader), LIST, STRING)

    def _parse(self, reader: Any, kind: str) -> Any:
        # return (kind) reader.readValue(buffer.toByteArray());
        json = bind(virtual_method(BYTE_OUTPUT, "toByteArray", BYTES), self._buffer)
        parse = bind(virtual_method(_READER, "readValue", OBJECT, BYTES), reader)
        return chain(json, as_type(parse, kind, BYTES))
