"""Tokens and impacts of a vector: what Lucene can index without changing it, and vectors as texts."""

import math
import re
from collections import Counter
from collections.abc import Mapping
from operator import itemgetter

from splade_anserini.formats.parsing.json_records import json_type
from splade_anserini.formats.parsing.lines import Location
from splade_anserini.records import ImpactVector

JAVA_WHITESPACE = frozenset(
    "\t\n\v\f\r\x1c\x1d\x1e\x1f "
    "\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2008\u2009\u200a\u2028\u2029\u205f\u3000"
)
"""The separators of Lucene's WhitespaceTokenizer (`java.lang.Character.isWhitespace`), without no-break spaces."""

_SEPARATORS = re.compile(f"[{''.join(sorted(JAVA_WHITESPACE))}]+")

LONGEST_TOKEN = 255
"""UTF-16 code units; the WhitespaceTokenizer splits longer tokens."""

GREATEST_IMPACT = 1_000_000
"""An upper bound on the cost of one posting: Anserini repeats a token as often as its impact says."""

_LARGEST_CACHE = 1 << 20


def is_indexable(token: str) -> bool:
    """Return whether Lucene keeps a token as it is: it is not empty, not too long, and contains no white space."""
    return bool(token) and JAVA_WHITESPACE.isdisjoint(token) and len(token.encode("utf-16-le")) <= 2 * LONGEST_TOKEN


class VectorCheck:
    """Checks vectors. It caches the tokens that passed, as vocabularies are small and postings are many."""

    def __init__(self) -> None:
        self._checked: set[str] = set()

    def __call__(self, vector: object, location: Location) -> ImpactVector:
        """Return the vector with its impacts as integers. Raises `RecordError` when Lucene would change it."""
        if not isinstance(vector, dict):
            raise location.error(
                f"the vector is {json_type(vector)}", expected='an object of tokens and impacts, {"token": 12, …}'
            )
        self.check_tokens(vector, location)
        impacts = vector.values()
        if set(map(type, impacts)) <= {int} and (not vector or (min(impacts) >= 1 and max(impacts) <= GREATEST_IMPACT)):
            return vector
        return {token: _checked_impact(token, impact, location) for token, impact in vector.items()}

    def check_tokens(self, vector: Mapping[str, object], location: Location) -> None:
        """Raise `RecordError` for a token that Lucene would split or drop."""
        tokens = vector.keys()
        if tokens <= self._checked:
            return
        if len(self._checked) > _LARGEST_CACHE:
            self._checked.clear()
        for token in tokens - self._checked:
            self._checked.add(_checked_token(token, location))

    @property
    def only_numbers(self) -> bool:
        """Whether all tokens that passed are numbers, as the ids of a vocabulary are."""
        return bool(self._checked) and all(token.isdecimal() for token in self._checked)


def _checked_token(token: str, location: Location) -> str:
    if not token:
        raise location.error("the vector contains an empty token", expected="tokens of at least one character")
    if not JAVA_WHITESPACE.isdisjoint(token):
        raise location.error(
            f"the token {token!r} contains white space",
            expected="tokens that Lucene does not split",
            do="Remove the white space, or drop the token.",
        )
    if len(token.encode("utf-16-le")) > 2 * LONGEST_TOKEN:
        raise location.error(
            f"the token {token[:20]!r}… has {len(token):,} characters",
            expected=f"at most {LONGEST_TOKEN}, as Lucene splits longer tokens",
            do="Drop the token.",
        )
    return token


def _checked_impact(token: str, impact: object, location: Location) -> int:
    """Return the impact; a float without a fraction is accepted as an integer, as Anserini does."""
    expected = f"an integer from 1 to {GREATEST_IMPACT:,}"
    if isinstance(impact, bool) or not isinstance(impact, int | float) or not math.isfinite(impact):
        raise location.error(f"the impact of {token!r} is {json_type(impact)}", expected=expected)
    problem = f"the impact of {token!r} is {impact}"
    if impact != impact // 1:
        raise location.error(
            problem,
            expected=expected,
            do="Quantize or scale the weights, for instance with --scale 100 of index or convert: Anserini would "
            f"truncate it to {int(impact)}.",
        )
    if impact < 1:
        raise location.error(problem, expected=expected, do="Drop the token, as Anserini would.")
    if impact > GREATEST_IMPACT:
        raise location.error(
            problem, expected=expected, do="Use a smaller scale: Anserini would repeat the token that often."
        )
    return int(impact)


def strongest_first(vector: ImpactVector) -> list[tuple[str, int]]:
    """Return the entries of a vector by descending impact, equal impacts by ascending token."""
    # Sorting is stable: entries that are sorted by token stay so among equal impacts.
    return sorted(sorted(vector.items()), key=itemgetter(1), reverse=True)


def repeat_tokens(vector: ImpactVector) -> str:
    """Return the vector as a text that repeats each token as often as its impact says, the strongest first."""
    return " ".join(" ".join([token] * impact) for token, impact in strongest_first(vector))


def count_tokens(text: str) -> dict[str, int]:
    """Return how often each token occurs in a text: the inverse of `repeat_tokens`."""
    tokens = Counter(_SEPARATORS.split(text))
    del tokens[""]
    return dict(tokens)
