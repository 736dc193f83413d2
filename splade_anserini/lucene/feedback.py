"""Pseudo-relevance feedback: Anserini's RM3 and Rocchio, through Pyserini."""

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from splade_anserini.errors import InputError
from splade_anserini.lucene.index_reader import CONTENTS, RAW, opened_index
from splade_anserini.lucene.java.java_errors import java_errors
from splade_anserini.records import StrPath

type FeedbackMethod = Literal["rocchio", "rm3"]

_ROCCHIO_ALPHA = 1.0
_DEFAULT_ORIGINAL_QUERY_WEIGHT, _DEFAULT_ROCCHIO_BETA = 0.5, 0.75
_LEAST_WEIGHT, _GREATEST_RM3_WEIGHT, _GREATEST_ROCCHIO_WEIGHT = 0.001, 0.999, 1000
_GREATEST_COUNT = 2**31 - 1


@dataclass(frozen=True)
class Feedback:
    """How a query is expanded with tokens of its best documents, for a second search.

    q and d are impact vectors and D the first `docs` hits of the first search; |·| is the L2 norm for Rocchio and the
    L1 norm for RM3. The vector that comes from D, a mean or a sum, keeps its `terms` strongest tokens and is divided by
    its own norm.

        rocchio    q/|q| + beta · mean of d/|d| − gamma · the same of the last `docs` hits
        rm3        w · q/|q| + (1 − w) · sum of s(q, d) · d/|d|, d cut to its `terms` strongest tokens,
                   where w is `original_query_weight`

    Tokens that more than a tenth of all documents contain, and tokens of 1 or of more than 20 characters, are never
    used for expansion. Only weights above 0 are kept. The defaults are Pyserini's, except `words_only`.

    Rocchio (1971); RM3: Abdul-Jaleel et al. (2004). Raises `InputError` for invalid values, and for options of the
    other method.
    """

    method: FeedbackMethod
    docs: int = 10
    """Feedback documents."""
    terms: int = 10
    """Feedback terms, the strongest tokens of the documents."""
    original_query_weight: float = _DEFAULT_ORIGINAL_QUERY_WEIGHT
    """RM3: weight of the original query, from 0.001 to 0.999; the feedback terms have the rest of 1."""
    rocchio_beta: float = _DEFAULT_ROCCHIO_BETA
    """Rocchio: weight of the feedback terms, from 0.001 to 1,000; alpha, the weight of the original query, is 1."""
    rocchio_gamma: float = 0
    """Rocchio: weight of the terms of the last hits, which are subtracted; Pyserini's is 0.15 when it is enabled."""
    words_only: bool = False
    """RM3: use only tokens of a–z and 0–9, as Pyserini does by default. It excludes word pieces such as ##ing."""

    def __post_init__(self) -> None:
        if self.method not in get_args(FeedbackMethod.__value__):
            raise InputError(f"--feedback must be rocchio or rm3, got {self.method!r}.")
        for option, count in (("--feedback-docs", self.docs), ("--feedback-terms", self.terms)):
            if not 1 <= count <= _GREATEST_COUNT:
                raise InputError(f"{option} must be from 1 to {_GREATEST_COUNT:,}, got {count:,}.")
        # If either the query or the feedback terms had no weight, hits of RM3 could have score 0.
        _check_weight("--original-query-weight", self.original_query_weight, _LEAST_WEIGHT, _GREATEST_RM3_WEIGHT)
        _check_weight("--rocchio-beta", self.rocchio_beta, _LEAST_WEIGHT, _GREATEST_ROCCHIO_WEIGHT)
        _check_weight("--rocchio-gamma", self.rocchio_gamma, 0, _GREATEST_ROCCHIO_WEIGHT)
        self._check_method()

    def apply_to(self, searcher: Any) -> None:
        """Turn on this feedback in Pyserini's LuceneImpactSearcher."""
        if self.method == "rocchio":
            searcher.set_rocchio(
                top_fb_terms=self.terms,
                top_fb_docs=self.docs,
                bottom_fb_terms=self.terms,
                bottom_fb_docs=self.docs,
                alpha=_ROCCHIO_ALPHA,
                beta=self.rocchio_beta,
                gamma=float(self.rocchio_gamma),
                use_negative=self.rocchio_gamma > 0,
            )
        else:
            searcher.set_rm3(
                fb_terms=self.terms,
                fb_docs=self.docs,
                original_query_weight=self.original_query_weight,
                filter_terms=self.words_only,
            )

    def _check_method(self) -> None:
        """Raise `InputError` for an option that the method does not use."""
        if self.method == "rocchio":
            unused = {
                "--original-query-weight": self.original_query_weight != _DEFAULT_ORIGINAL_QUERY_WEIGHT,
                "--feedback-words-only": self.words_only,
            }
        else:
            unused = {
                "--rocchio-beta": self.rocchio_beta != _DEFAULT_ROCCHIO_BETA,
                "--rocchio-gamma": self.rocchio_gamma != 0,
            }
        for option, is_set in unused.items():
            if is_set:
                raise InputError(f"{option} has no effect with --feedback {self.method}.", do="Leave it out.")


def _check_weight(option: str, weight: float, least: float, greatest: float) -> None:
    if math.isnan(weight) or not least <= weight <= greatest:
        raise InputError(f"{option} must be from {least:g} to {greatest:,g}, got {weight:g}.")


def check_document_vectors(index: StrPath) -> None:
    """Raise `InputError` unless an index stores which tokens its documents contain: document vectors or records."""
    with opened_index(index) as reader, java_errors(f"reading {index}"):
        if reader.maxDoc() and (
            reader.termVectors().get(0, CONTENTS) is not None
            # Pyserini can read the tokens from stored records, too, but more slowly.
            or reader.storedFields().document(0).getField(RAW) is not None
        ):
            return
    raise InputError(
        f"The index {index} has no document vectors, which feedback needs.",
        expected="an index with document vectors or stored records",
        do="Rebuild it with splade-anserini index --store-docvectors.",
    )
