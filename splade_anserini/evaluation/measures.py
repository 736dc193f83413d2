"""Which measures there are: names as ir_measures has them, and sets that are quoted together."""

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING

from splade_anserini.errors import InputError
from splade_anserini.formats.qrels import MOST_RELEVANT

if TYPE_CHECKING:
    from ir_measures import Measure

MEASURES = ("nDCG@10", "RR@10", "R@100", "R@1000")
"""What is measured when nothing is named."""


class Preset(StrEnum):
    """A collection, by the measures that are quoted for it."""

    MSMARCO = "msmarco"
    TREC_DL = "trec-dl"
    BEIR = "beir"


PRESETS = {
    Preset.MSMARCO: ("RR@10", "R@1000"),
    # Of the four grades of TREC's passages, 2 and 3 count as relevant where a measure knows two (Craswell et al. 2020).
    Preset.TREC_DL: ("nDCG@10", "RR(rel=2)@10", "AP(rel=2)@1000", "R(rel=2)@1000"),
    Preset.BEIR: ("nDCG@10", "R@100"),
}


def chosen_measures(preset: Preset | None, names: Iterable[str] | None) -> list["Measure"]:
    """Return the measures of the preset and those that are named, each once; without either, `MEASURES`.

    Raises `InputError` where `parse_measures` does.
    """
    named = [*(PRESETS[preset] if preset else ()), *(names or ())]
    return parse_measures(named or MEASURES)


def parse_measures(names: Iterable[str]) -> list["Measure"]:
    """Return the measures that are named, also several in one string, each once, in order.

    Raises `InputError` for a name that ir_measures does not know or cannot compute here.
    """
    # Separators inside parentheses belong to a measure's parameters: RBP(p=0.8, rel=2)
    separate = [name for text in names for name in re.split(r"[\s,]+(?![^(]*\))", text) if name]
    if not separate:
        raise InputError("No measure is named.", expected=f"for example {' '.join(MEASURES)}")
    return list(dict.fromkeys(_measure(name) for name in separate))


def _measure(name: str) -> "Measure":
    import ir_measures

    try:
        measure = ir_measures.parse_measure(name)
        measure.validate_params()  # type: ignore[no-untyped-call]
    except (NameError, ValueError, TypeError, AssertionError) as error:
        known = sorted(sorted(name for name in ir_measures.measures.registry if name.isascii()), key=str.lower)
        raise InputError(
            f"There is no measure {name!r} ({error}).",
            expected=f"one or more of {', '.join(known)}, with a cutoff as in nDCG@10",
        ) from error
    for parameter, most in (("cutoff", 2**31 - 1), ("rel", MOST_RELEVANT)):
        value = measure.params.get(parameter, 1)
        if not 1 <= value <= most:
            # trec_eval ends the whole process for some of these.
            raise InputError(f"The measure {name!r} has the {parameter} {value}.", expected=f"1 to {most:,}")
    if not ir_measures.DefaultPipeline.supports(measure):  # type: ignore[no-untyped-call]
        raise InputError(
            f"The measure {name!r} cannot be computed: no installed provider of ir_measures has it.",
            do="See https://ir-measur.es for what it needs.",
        )
    return measure


DEPTHS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Where recall is drawn."""


def recall_at_depths(measures: Iterable["Measure"]) -> list["Measure"]:
    """Return R at each of `DEPTHS`, with what counts as relevant from the first recall among the measures, else 1."""
    from ir_measures import R

    grades = (measure["rel"] for measure in measures if measure.NAME == "R")
    return [R(rel=grade) @ depth for grade in [next(grades, 1)] for depth in DEPTHS]
