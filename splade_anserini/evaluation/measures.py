"""Effectiveness measures: their names, and the presets that are reported for well-known collections."""

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING

from splade_anserini.errors import InputError
from splade_anserini.formats.qrels import GREATEST_RELEVANCE
from splade_anserini.suggestions import did_you_mean, nearest

if TYPE_CHECKING:
    from ir_measures import Measure

MEASURES = ("nDCG@10", "RR@10", "R@100", "R@1000")
"""The default measures."""


class Preset(StrEnum):
    """A collection whose usual measures are known."""

    MSMARCO = "msmarco"
    TREC_DL = "trec-dl"
    BEIR = "beir"


PRESETS = {
    Preset.MSMARCO: ("RR@10", "R@1000"),
    # Passages have the grades 0 to 3; measures of binary relevance count 2 and 3 as relevant (Craswell et al. 2020).
    Preset.TREC_DL: ("nDCG@10", "RR(rel=2)@10", "AP(rel=2)@1000", "R(rel=2)@1000"),
    Preset.BEIR: ("nDCG@10", "R@100"),
}


def chosen_measures(preset: Preset | None, names: Iterable[str] | None) -> list["Measure"]:
    """Return the measures of the preset, then those of `names`, each once; `MEASURES` if there are none.

    Raises the errors of `parse_measures`.
    """
    return parse_measures([*(PRESETS[preset] if preset else ()), *(names or ())] or MEASURES)


def parse_measures(names: Iterable[str]) -> list["Measure"]:
    """Parse measures; a string may hold several, separated by spaces or commas. Each is returned once, in order.

    Names are those of ir_measures (`nDCG@10`, `P(rel=2)@5`), of trec_eval (`ndcg_cut_10`, `recip_rank`) and of common
    libraries (`mrr@10`, `recall_at_100`), in upper or lower case. Raises `InputError` for a name that is unknown, or
    that ir_measures cannot compute with the installed packages.
    """
    # A separator in parentheses is part of a measure's parameters: RBP(p=0.8, rel=2)
    separate = [name for text in names for name in re.split(r"[\s,]+(?![^(]*\))", text) if name]
    if not separate:
        raise InputError("No measure is given.", expected=f"for example {' '.join(MEASURES)}")
    return list(dict.fromkeys(_parse_measure(name) for name in separate))


_SPELLING = re.compile(
    r"(?P<name>[^\W\d]\w*?)(?P<parameters>\(.*\))?(?:(?:@|_at_|_cut[_.]|[._])(?P<cutoff>[0-9][0-9.]*))?"
)
"""A measure with its cutoff as in nDCG@10, P(rel=2)@5, ndcg_cut_10, ndcg_cut.10, P_10 or recall_at_100."""

_ALIASES = {
    "averageprecision": "AP",
    "hitrate": "Success",
    "iprecatrecall": "IPrec",
    "meanaverageprecision": "AP",
    "meanreciprocalrank": "RR",
    "reciprank": "RR",
    "reciprocalrank": "RR",
    "setmap": "SetAP",
    "setrecall": "SetR",
    "setrelativep": "SetRelP",
}
"""Names that ir_measures lacks, as `_folded` returns them → its names."""


def canonical_measure(name: str) -> str:
    """Return the spelling of a measure that ir_measures parses; one that is not known is returned unchanged.

    `map`, `recall_1000` and `mrr@10` become `AP`, `R@1000` and `RR@10`.
    """
    spelling = _SPELLING.fullmatch(name)
    measure = _measure_names().get(_folded(spelling["name"])) if spelling else None
    return name if spelling is None or measure is None else _with_parameters(measure, spelling)


def _with_parameters(measure: str, spelling: re.Match[str]) -> str:
    """Return a name with the parameters and the cutoff of another spelling."""
    cutoff = f"@{spelling['cutoff']}" if spelling["cutoff"] else ""
    return f"{measure}{spelling['parameters'] or ''}{cutoff}"


def _folded(name: str) -> str:
    return name.replace("_", "").casefold()


def _measure_names() -> dict[str, str]:
    """Return the names of all measures in ir_measures by all their names and aliases, as `_folded` returns them."""
    from ir_measures import measures

    registered = {
        _folded(name): name if measure.params else str(measure) for name, measure in measures.registry.items()
    }
    return _ALIASES | registered


def _parse_measure(name: str) -> "Measure":
    import ir_measures

    try:
        measure = ir_measures.parse_measure(canonical_measure(name))
    except NameError as error:
        raise InputError(f"There is no measure {name!r}.", do=_suggestion(name)) from error
    except (ValueError, TypeError) as error:
        raise InputError(f"{name!r} is not a valid measure.", expected="for example nDCG@10 or P(rel=2)@5") from error
    _check_parameters(name, measure)
    if not ir_measures.DefaultPipeline.supports(measure):  # type: ignore[no-untyped-call]
        raise InputError(
            f"The measure {name} cannot be computed: it needs a package that is not installed.",
            do="https://ir-measur.es lists the packages that compute each measure.",
        )
    return measure


def _suggestion(name: str) -> str:
    spelling, names = _SPELLING.fullmatch(name), _measure_names()
    similar = nearest(_folded(spelling["name"]), names) if spelling else []
    suggestions = dict.fromkeys(_with_parameters(names[folded], spelling) for folded in similar if spelling)
    return did_you_mean([*filter(_is_valid, suggestions)]) or "https://ir-measur.es lists the measures."


def _is_valid(name: str) -> bool:
    try:
        _parse_measure(name)
    except InputError:
        return False
    return True


def _check_parameters(name: str, measure: "Measure") -> None:
    """Raise `InputError` for a parameter that is unknown, invalid or missing."""
    do = "https://ir-measur.es lists the parameters of each measure."
    for parameter, value in measure.params.items():
        info = measure.SUPPORTED_PARAMS.get(parameter)
        if info is None:
            raise InputError(f"The measure {name} has no parameter {parameter!r}.", do=do)
        if not info.validate(value):  # type: ignore[no-untyped-call]
            expected = f"a value of the type {info.dtype.__name__}" if info.dtype else ""
            raise InputError(f"The {parameter} of {name} is not valid: {value!r}.", expected=expected, do=do)
    for parameter, info in measure.SUPPORTED_PARAMS.items():
        if info.required and parameter not in measure.params:
            raise InputError(f"The measure {name} needs a {parameter}.", expected=f"for example {measure.NAME}@10")
    for parameter, most in (("cutoff", 2**31 - 1), ("rel", GREATEST_RELEVANCE)):
        value = measure.params.get(parameter, 1)
        # For some values outside this range, trec_eval ends the whole process.
        if not 1 <= value <= most:
            raise InputError(f"The {parameter} of {name} must be between 1 and {most:,}, got {value:,}.")
    _check_gains_and_recall(name, measure)


def _check_gains_and_recall(name: str, measure: "Measure") -> None:
    gains = measure.params.get("gains")
    for gain in gains.values() if isinstance(gains, dict) else ():
        if type(gain) is not int or abs(gain) > GREATEST_RELEVANCE:
            raise InputError(f"A gain of {name} must be an integer up to {GREATEST_RELEVANCE:,}, got {gain}.")
    if measure.NAME == "IPrec" and not 0 <= round(recall := measure["recall"], 2) == recall <= 1:
        # trec_eval tells levels of recall apart by two decimals.
        raise InputError(f"The recall of {name} must be between 0 and 1, with at most two decimals, got {recall}.")


DEPTHS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
"""The cutoffs at which recall is plotted."""


def recall_at_depths(measures: Iterable["Measure"]) -> list["Measure"]:
    """Return R at each of `DEPTHS`; its `rel` is that of the first R among `measures`, else 1."""
    from ir_measures import R

    grades = (measure["rel"] for measure in measures if measure.NAME == "R")
    return [R(rel=grade) @ depth for grade in [next(grades, 1)] for depth in DEPTHS]
