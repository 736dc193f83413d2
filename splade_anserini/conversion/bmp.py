"""The input of BMP (Mallia et al. 2024, SIGIR): CIFF for documents, `id: token token …` for topics.

BMP stores an impact in 8 bits and silently truncates greater impacts. It scales query weights above 32 down itself.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO

from splade_anserini.artifacts.manifests import EncodeSettings
from splade_anserini.conversion.ciff import Ciff
from splade_anserini.formats.parsing.fields import checked_id
from splade_anserini.formats.parsing.lines import Location, text_lines
from splade_anserini.formats.tokens import VectorCheck, count_tokens, repeat_tokens
from splade_anserini.formats.vectors import VectorReader
from splade_anserini.records import ImpactDocument, ImpactVector

GREATEST_IMPACT = 255


class Bmp(Ciff):
    """CIFF with impacts up to 255, and topics as lines of text."""

    name = "bmp"
    suffixes = (".bmp.ciff",)
    topic_suffixes = (".bmp.txt",)

    def write(self, file: IO[bytes], documents: Iterable[ImpactDocument], settings: EncodeSettings | None) -> None:
        """Write CIFF. Raises `RecordError` for an impact above 255."""
        super().write(file, _limited(documents), settings)

    def topic_rows(self, path: Path, reader: VectorReader) -> Iterator[tuple[Location, str, ImpactVector]]:
        """Yield the position, id and vector of each query."""
        for location, line in text_lines(path):
            query_id, colon, text = line.partition(":")
            if not colon:
                raise location.error("no colon", expected="id: token token …")
            yield location, checked_id(query_id, location), reader(count_tokens(text), location)

    def write_topic_rows(self, file: IO[bytes], topics: Mapping[str, ImpactVector]) -> None:
        """Write one line per query, with each token repeated as often as its weight says."""
        check = VectorCheck()
        for line, (query_id, vector) in enumerate(topics.items(), 1):
            location = Location("the queries", line, "query")
            if ":" in checked_id(query_id, location):
                raise location.error(
                    f"the id {query_id!r} contains a colon",
                    expected="an id without a colon, which BMP reads as the end of the id",
                )
            file.write(f"{query_id}: {repeat_tokens(check(dict(vector), location))}\n".encode())


def _limited(documents: Iterable[ImpactDocument]) -> Iterator[ImpactDocument]:
    for position, document in enumerate(documents, 1):
        for token, impact in document.vector.items():
            if impact > GREATEST_IMPACT:
                raise Location("the collection", position, "document").error(
                    f"the impact of {token!r} is {impact}",
                    expected=f"at most {GREATEST_IMPACT}, because BMP stores impacts in 8 bits",
                    do=f"Pass --max-impact {GREATEST_IMPACT} to scale all impacts down.",
                )
        yield document
