"""Leaving out weak entries of a vector. All three keep the strongest: of equal entries, those whose token sorts first.

What is kept does not depend on the order in which a vector's entries stand.
"""

from collections.abc import Iterable, Mapping

from splade_anserini.errors import InputError
from splade_anserini.records import ImpactVector


def keep_strongest[Weight: float](vector: Mapping[str, Weight], top_k: int | None) -> Mapping[str, Weight]:
    """Keep the `top_k` greatest entries, weights or impacts; None keeps all.

    Raises `InputError` unless `top_k` is at least 1: a vector does not become empty.
    """
    if top_k is None:
        return vector
    if top_k < 1:
        raise InputError(f"The {top_k} strongest entries are to be kept.", expected="at least 1")
    return vector if len(vector) <= top_k else dict(_by_strength(vector.items())[:top_k])


def keep_from(vector: ImpactVector, min_impact: int) -> ImpactVector:
    """Keep the entries whose impact is at least `min_impact`: perhaps none."""
    return {token: impact for token, impact in vector.items() if impact >= min_impact}


def keep_mass(vector: ImpactVector, share: float) -> ImpactVector:
    """Keep the fewest entries, strongest first, whose impacts sum up to at least `share` of the vector's sum.

    A share of 1 keeps all. Of what was kept, the same share is less. Raises `InputError` unless 0 < share ≤ 1.
    """
    if not 0 < share <= 1:
        raise InputError(f"The share of impacts to keep is {share:g}.", expected="a number above 0, at most 1")
    total, mass = sum(vector.values()), 0
    kept: dict[str, int] = {}
    for token, impact in _by_strength(vector.items()):
        kept[token] = impact
        mass += impact
        # A quotient is rounded once, to the number that a decimal share is rounded to: 7 of 100 are 0.07.
        if mass / total >= share:
            break
    return kept


def _by_strength[Weight: float](entries: Iterable[tuple[str, Weight]]) -> list[tuple[str, Weight]]:
    return sorted(entries, key=lambda entry: (-entry[1], entry[0]))
