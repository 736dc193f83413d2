"""Making vectors smaller: weak entries are left out, impacts are scaled down.

Whatever leaves out keeps the strongest: of equal entries, those whose token sorts first. What is kept does not depend
on the order in which a vector's entries stand.
"""

from collections.abc import Iterable, Mapping

from splade_anserini.errors import InputError
from splade_anserini.records import ImpactVector


def prune_top_k[Weight: float](vector: Mapping[str, Weight], top_k: int | None) -> Mapping[str, Weight]:
    """Keep the `top_k` greatest entries, weights or impacts; None keeps all.

    Raises `InputError` unless `top_k` is at least 1: a vector does not become empty.
    """
    if top_k is None:
        return vector
    if top_k < 1:
        raise InputError(f"The {top_k} strongest entries are to be kept.", expected="at least 1")
    return vector if len(vector) <= top_k else dict(_by_strength(vector.items())[:top_k])


def prune_below(vector: ImpactVector, min_impact: int) -> ImpactVector:
    """Keep the entries whose impact is at least `min_impact`: perhaps none."""
    return {token: impact for token, impact in vector.items() if impact >= min_impact}


def prune_to_mass(vector: ImpactVector, share: float) -> ImpactVector:
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


def impact_at_quantile(impacts: Mapping[int, int], share: float) -> int:
    """Return the greatest impact such that at most `share` of all entries are below it; 1 when there are no entries.

    `impacts` is how many entries have each impact, of a whole collection. To keep what is from there up is to leave
    out the weakest entries of the collection, wherever they stand. Raises `InputError` unless 0 < share < 1.
    """
    if not 0 < share < 1:
        raise InputError(f"The share of entries to leave out is {share:g}.", expected="a number above 0, below 1")
    total, below, least = sum(impacts.values()), 0, 1
    for impact, entries in sorted(impacts.items()):
        # As in keep_mass: 7 of 100 are 0.07.
        if below / total > share:
            break
        least = impact
        below += entries
    return least


def scaled(impact: int, most: int, greatest: int) -> int:
    """Return impact × most / greatest, rounded, a half upwards: at most `most` for an impact up to `greatest`."""
    return (2 * impact * most + greatest) // (2 * greatest)


def requantize(vector: ImpactVector, bits: int, greatest: int) -> ImpactVector:
    """Scale impacts down such that `greatest` is the greatest number of so many bits; 0 is left out.

    As an encoder with a smaller scale would write them. They stay as they are when `greatest` needs no more bits.
    Raises `InputError` unless there is at least 1 bit.
    """
    if bits < 1:
        raise InputError(f"Impacts are to have {bits} bits.", expected="at least 1")
    most = 2**bits - 1
    if greatest <= most:
        return vector
    lower = {token: scaled(impact, most, greatest) for token, impact in vector.items()}
    return {token: impact for token, impact in lower.items() if impact}


def _by_strength[Weight: float](entries: Iterable[tuple[str, Weight]]) -> list[tuple[str, Weight]]:
    return sorted(entries, key=lambda entry: (-entry[1], entry[0]))
