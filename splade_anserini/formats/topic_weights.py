"""The vectors of encoded topics: weights become impacts, zeros are left out and counted."""

import logging

from splade_anserini.errors import counted
from splade_anserini.formats.parsing.json_records import json_type
from splade_anserini.formats.parsing.lines import Location
from splade_anserini.formats.parsing.numbers import number_of
from splade_anserini.formats.tokens import VectorCheck
from splade_anserini.records import ImpactVector
from splade_anserini.vectors.quantization import quantize

_logger = logging.getLogger(__name__)


class WeightReader:
    """Checks vectors; with `scale`, impact = round(weight × scale). Entries with impact 0 are counted and left out."""

    def __init__(self, scale: float | None = None) -> None:
        self._scale = scale
        self._check = VectorCheck()
        self._zeros = 0
        self._first_zero: Location | None = None

    def __call__(self, vector: object, location: Location) -> ImpactVector:
        """Return the impact vector. Raises `RecordError` for what is not one."""
        if not isinstance(vector, dict):
            return self._check(vector, location)
        for token, weight in vector.items():
            if self._scale is not None or type(weight) is float:
                self._check_weight(token, weight, location)
        impacts = vector if self._scale is None else quantize(vector, self._scale)
        kept = {token: impact for token, impact in impacts.items() if impact != 0}
        if len(kept) < len(vector):
            self._zeros += len(vector) - len(kept)
            self._first_zero = self._first_zero or location
        return self._check(kept, location)

    def warn(self) -> None:
        """Log how many entries were left out."""
        if self._first_zero:
            are = "is" if self._zeros == 1 else "are"
            _logger.warning(
                "%s with impact 0 %s left out, first: %s",
                counted(self._zeros, "entry of a query", "entries of queries"),
                are,
                self._first_zero,
            )

    def _check_weight(self, token: str, weight: object, location: Location) -> None:
        """Raise `RecordError` for what is not a weight, or not an integer if there is no scale."""
        number = number_of(weight)
        if number is None or number < 0:
            raise location.error(
                f"the weight of {token!r} is {json_type(weight)}", expected="a number that is not negative"
            )
        if self._scale is None and not number.is_integer():
            raise location.error(
                f"the impact of {token!r} is {weight}",
                expected="an integer",
                do="Add --scale to quantize the weights, with the scale of the documents: "
                "impact = round(weight × scale).",
            )
