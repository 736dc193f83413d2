"""BMP's input (Mallia et al. 2024, SIGIR): CIFF for documents, `id: token token …` for queries.

BMP holds an impact in 8 bits, and cuts greater ones without a word. Weights of a query above 32 it scales down itself.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO

from splade_anserini.artifacts.manifests import EncodeSettings
from splade_anserini.conversion.ciff import ciff_settings, read_ciff, write_ciff
from splade_anserini.conversion.format import Format
from splade_anserini.formats.parsing.fields import checked_id
from splade_anserini.formats.parsing.lines import Place, text_lines
from splade_anserini.formats.tokens import VectorCheck, counted, repeated
from splade_anserini.records import ImpactDocument, ImpactVector

GREATEST_IMPACT = 255
GREATEST_QUERY_WEIGHT = 32


def write_bmp(file: IO[bytes], documents: Iterable[ImpactDocument], settings: EncodeSettings | None) -> None:
    """Write CIFF, as `write_ciff` does. Raises `RecordError` for an impact that does not fit into 8 bits."""
    write_ciff(file, _bounded(documents), settings)


def _bounded(documents: Iterable[ImpactDocument]) -> Iterator[ImpactDocument]:
    for number, document in enumerate(documents, 1):
        for token, impact in document.vector.items():
            if impact > GREATEST_IMPACT:
                raise Place("the collection", number, "document").error(
                    f"the impact of {token!r} is {impact}",
                    expected=f"at most {GREATEST_IMPACT}: BMP holds 8 bits, and cuts what is greater without a word",
                    do=f"Use --max-impact {GREATEST_IMPACT}, which scales all impacts down.",
                )
        yield document


def write_bmp_queries(file: IO[bytes], topics: Mapping[str, ImpactVector]) -> None:
    """Write a line a query, each token as often as its weight says."""
    check = VectorCheck()
    for number, (id_, vector) in enumerate(topics.items(), 1):
        place = Place("the queries", number, "query")
        if ":" in checked_id(id_, place):
            raise place.error(f"the id {id_!r} holds a colon", expected="none, for BMP ends an id there")
        file.write(f"{id_}: {repeated(check(dict(vector), place))}\n".encode())


def read_bmp_queries(path: Path) -> Iterator[tuple[Place, str, ImpactVector]]:
    """Yield the place, id and vector of each query."""
    check = VectorCheck()
    for place, line in text_lines(path):
        id_, colon, text = line.partition(":")
        if not colon:
            raise place.error("no colon", expected="id: token token …")
        yield place, checked_id(id_, place), check(counted(text), place)


BMP = Format("bmp", (".bmp.ciff",), read_ciff, write_bmp, ciff_settings, greatest_impact=GREATEST_IMPACT)
