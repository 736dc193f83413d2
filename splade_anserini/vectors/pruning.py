"""Making vectors smaller: pruning weak entries, and requantizing impacts to fewer bits.

Pruning keeps the strongest entries; of equal ones, those whose token sorts first. The result does not depend on the
order of a vector's entries.
"""

from collections.abc import Iterable, Mapping

from splade_anserini.errors import InputError
from splade_anserini.records import ImpactVector


def prune_top_k[Weight: float](vector: Mapping[str, Weight], top_k: int | None) -> Mapping[str, Weight]:
    """Keep the `top_k` greatest entries, weights or impacts; None keeps all.

    Raises `InputError` unless `top_k` is at least 1, so that a vector does not become empty.
    """
    if top_k is None:
        return vector
    if top_k < 1:
        raise InputError(f"top_k must be at least 1, got {top_k}.")
    return vector if len(vector) <= top_k else dict(by_strength(vector.items())[:top_k])


def prune_below(vector: ImpactVector, min_impact: int) -> ImpactVector:
    """Keep the entries whose impact is at least `min_impact`; the result may be empty."""
    return {token: impact for token, impact in vector.items() if impact >= min_impact}


def prune_to_mass(vector: ImpactVector, share: float) -> ImpactVector:
    """Keep the fewest entries, strongest first, whose impacts sum to at least `share` of the vector's sum.

    A share of 1 keeps all. Pruning a pruned vector by the same share removes more. Raises `InputError` unless
    0 < share ≤ 1.
    """
    if not 0 < share <= 1:
        raise InputError(f"The share of impacts to keep must be above 0 and at most 1, got {share:g}.")
    total, mass = sum(vector.values()), 0
    kept: dict[str, int] = {}
    for token, impact in by_strength(vector.items()):
        kept[token] = impact
        mass += impact
        # The quotient is rounded once, to the same number as a decimal share: 7 of 100 is 0.07.
        if mass / total >= share:
            break
    return kept


def impact_at_quantile(impacts: Mapping[int, int], share: float) -> int:
    """Return the greatest impact such that at most `share` of all entries are below it; 1 when there are no entries.

    `impacts` maps each impact to the number of entries of the collection that have it. Pruning with this impact as the
    minimum removes the weakest entries of the whole collection. Raises `InputError` unless 0 < share < 1.
    """
    if not 0 < share < 1:
        raise InputError(f"The share of entries to prune must be above 0 and below 1, got {share:g}.")
    total, below, minimum = sum(impacts.values()), 0, 1
    for impact, entries in sorted(impacts.items()):
        # As in prune_to_mass: 7 of 100 is 0.07.
        if below / total > share:
            break
        minimum = impact
        below += entries
    return minimum


def scaled(impact: int, maximum: int, greatest: int) -> int:
    """Return impact × maximum / greatest, rounded half up: at most `maximum` for an impact of at most `greatest`."""
    return (2 * impact * maximum + greatest) // (2 * greatest)


def requantize(vector: ImpactVector, bits: int, greatest: int) -> ImpactVector:
    """Scale impacts so that `greatest` becomes the greatest integer of `bits` bits; impacts of 0 are removed.

    The result is as from an encoder with a smaller scale. Impacts stay unchanged when `greatest` fits into `bits` bits.
    Raises `InputError` unless `bits` is at least 1.
    """
    if bits < 1:
        raise InputError(f"--bits must be at least 1, got {bits}.")
    maximum = 2**bits - 1
    if greatest <= maximum:
        return vector
    requantized = {token: scaled(impact, maximum, greatest) for token, impact in vector.items()}
    return {token: impact for token, impact in requantized.items() if impact}


def by_strength[Weight: float](entries: Iterable[tuple[str, Weight]]) -> list[tuple[str, Weight]]:
    """Return entries by descending weight, equal ones by token."""
    return sorted(entries, key=lambda entry: (-entry[1], entry[0]))
