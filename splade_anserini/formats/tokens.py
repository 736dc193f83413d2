"""What Lucene can hold as a token with an impact, and what it would silently change."""

import math
import re
from collections import Counter
from typing import cast

from splade_anserini.formats.parsing.json_records import kind
from splade_anserini.formats.parsing.lines import Place
from splade_anserini.records import ImpactVector

JAVA_WHITESPACE = frozenset(
    "\t\n\v\f\r\x1c\x1d\x1e\x1f "
    "\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2008\u2009\u200a\u2028\u2029\u205f\u3000"
)
"""Where Lucene's WhitespaceTokenizer cuts: `java.lang.Character.isWhitespace`. The no-break spaces are not in it."""

_GAPS = re.compile(f"[{''.join(sorted(JAVA_WHITESPACE))}]+")

LONGEST_TOKEN = 255
"""UTF-16 units; the WhitespaceTokenizer cuts longer ones to pieces."""

GREATEST_IMPACT = 1_000_000
"""Anserini writes a token as many times as its impact says: a bound on what one entry may cost."""

_REMEMBERED = 1 << 20


class VectorCheck:
    """Makes sure of vectors, one after the other. Remembers good tokens: vocabularies are small, postings are many."""

    def __init__(self) -> None:
        self._good: set[str] = set()

    def __call__(self, vector: object, place: Place) -> ImpactVector:
        """Return the vector with its impacts as int. Raises `RecordError` when Lucene could not hold it as it is."""
        if not isinstance(vector, dict):
            raise place.error(
                f"the vector is {kind(vector)}", expected='an object of tokens and impacts, {"token": 12, …}'
            )
        if not vector.keys() <= self._good:
            self._learn(vector.keys(), place)
        impacts = vector.values()
        if set(map(type, impacts)) <= {int} and (not vector or (min(impacts) >= 1 and max(impacts) <= GREATEST_IMPACT)):
            return vector
        return {token: _checked_impact(token, impact, place) for token, impact in vector.items()}

    def _learn(self, tokens: object, place: Place) -> None:
        if len(self._good) > _REMEMBERED:
            self._good.clear()
        for token in cast("set[str]", tokens) - self._good:
            self._good.add(_checked_token(token, place))


def _checked_token(token: str, place: Place) -> str:
    if not token:
        raise place.error("the vector holds an empty token", expected="tokens of at least one character")
    if not JAVA_WHITESPACE.isdisjoint(token):
        raise place.error(
            f"the token {token!r} holds white space",
            expected="tokens that Lucene does not cut to pieces",
            do="Take the white space out, or drop the token.",
        )
    if len(token.encode("utf-16-le")) > 2 * LONGEST_TOKEN:
        raise place.error(
            f"the token {token[:20]!r}… has {len(token):,} characters",
            expected=f"at most {LONGEST_TOKEN}, or Lucene cuts it to pieces",
            do="Drop the token.",
        )
    return token


def _checked_impact(token: str, impact: object, place: Place) -> int:
    """Return the impact; a float without a fraction counts as an integer, which is how Anserini reads it."""
    expected = f"an integer from 1 to {GREATEST_IMPACT:,}"
    if isinstance(impact, bool) or not isinstance(impact, int | float) or not math.isfinite(impact):
        raise place.error(f"the impact of {token!r} is {kind(impact)}", expected=expected)
    found = f"the impact of {token!r} is {impact}"
    if impact != impact // 1:
        raise place.error(
            found, expected=expected, do=f"Quantize first, or scale up: Anserini would cut it to {int(impact)}."
        )
    if impact < 1:
        raise place.error(found, expected=expected, do="Leave the token out: Anserini would.")
    if impact > GREATEST_IMPACT:
        raise place.error(
            found, expected=expected, do="Choose a smaller scale: Anserini would write the token that often."
        )
    return int(impact)


def repeated(vector: ImpactVector) -> str:
    """Return each token as often as its impact says, the strongest first, equal ones by name."""
    strongest_first = sorted(vector.items(), key=lambda entry: (-entry[1], entry[0]))
    return " ".join(" ".join([token] * impact) for token, impact in strongest_first)


def counted(text: str) -> dict[str, int]:
    """Return how often each token stands in a text: what `repeated` writes, read."""
    tokens = Counter(_GAPS.split(text))
    del tokens[""]
    return dict(tokens)
