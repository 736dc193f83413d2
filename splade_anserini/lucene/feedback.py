"""Pseudo-relevance feedback: the best documents of a first search extend the query of a second, in Anserini."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from splade_anserini.errors import InputError
from splade_anserini.lucene.counting import opened_index
from splade_anserini.lucene.java.java_errors import java_errors
from splade_anserini.lucene.schema import CONTENTS, RAW

type FeedbackMethod = Literal["rocchio", "rm3"]

_WEIGHTS = {"rocchio": 0.75, "rm3": 0.5}
"""Pyserini's own: Rocchio's beta, where alpha is 1, and what RM3's weight of the original query leaves."""

_LEAST_WEIGHT = 0.001
_GREATEST_WEIGHTS = {"rocchio": 1000, "rm3": 0.999}
_GREATEST_COUNT = 2**31 - 1


@dataclass(frozen=True)
class Feedback:
    """How a query is extended by the tokens of its best documents.

    q and d are impact vectors, D the best `documents`; |·| is the L2 norm for Rocchio, the L1 norm for RM3. What comes
    of D, a mean or a sum, keeps its `terms` strongest tokens and is divided by its own norm.

        rocchio    q/|q| + weight · mean of d/|d| − negative · the same of the last hits
        rm3        (1 − weight) · q/|q| + weight · sum of s(q, d) · d/|d|, d cut to its `terms` strongest tokens

    A token that more than a tenth of all documents have, or of 1 or more than 20 characters, is never fed back. Only
    weights above 0 are kept. Rocchio (1971); RM3: Abdul-Jaleel et al. (2004). Raises `InputError` for numbers that
    make no sense.
    """

    method: FeedbackMethod
    documents: int = 10
    terms: int = 10
    weight: float | None = None
    """Of what is fed back; the query's is 1 for Rocchio, the rest of 1 for RM3. None: Pyserini's, 0.75 and 0.5."""
    negative: float = 0
    """Rocchio: what the last `documents` of the hits take away. Pyserini's is 0.15, where it is asked for."""
    words_only: bool = False
    """RM3: feed back only tokens of a–z and 0–9, as Pyserini does unless told. It drops SPLADE's word pieces: ##ing."""

    def __post_init__(self) -> None:
        if self.method not in _WEIGHTS:
            raise InputError(f"There is no feedback called {self.method!r}.", expected="rocchio or rm3")
        for number, of in ((self.documents, "documents"), (self.terms, "terms")):
            if not 1 <= number <= _GREATEST_COUNT:
                raise InputError(f"Feedback is to take {number:,} {of}.", expected="at least 1, and less than 2³¹")
        self._check_weights()

    @property
    def share(self) -> float:
        """The weight, or Pyserini's."""
        return _WEIGHTS[self.method] if self.weight is None else self.weight

    def set_on(self, searcher: Any) -> None:
        """Let Pyserini's LuceneImpactSearcher search so."""
        if self.method == "rocchio":
            searcher.set_rocchio(
                top_fb_terms=self.terms,
                top_fb_docs=self.documents,
                bottom_fb_terms=self.terms,
                bottom_fb_docs=self.documents,
                alpha=1.0,
                beta=self.share,
                gamma=float(self.negative),
                use_negative=self.negative > 0,
            )
        else:
            searcher.set_rm3(
                fb_terms=self.terms,
                fb_docs=self.documents,
                original_query_weight=1 - self.share,
                filter_terms=self.words_only,
            )

    def _check_weights(self) -> None:
        # With nothing of the query, or of what is fed back, RM3's hits could have score 0.
        greatest = _GREATEST_WEIGHTS[self.method]
        if not _LEAST_WEIGHT <= self.share <= greatest:
            raise InputError(
                f"The weight of {self.method}'s feedback is {self.share:g}.",
                expected=f"a number from {_LEAST_WEIGHT} to {greatest}",
            )
        if not 0 <= self.negative <= greatest:
            raise InputError(
                f"The weight of negative feedback is {self.negative:g}.", expected=f"a number from 0 to {greatest}"
            )
        if self.negative and self.method != "rocchio":
            raise InputError("RM3 has no negative feedback.", expected="rocchio")
        if self.words_only and self.method != "rm3":
            raise InputError("Rocchio takes all tokens, not words only.", expected="rm3")


def check_document_vectors(index: Path) -> None:
    """Raise `InputError` unless a Lucene index can say which tokens its documents have."""
    with opened_index(index) as reader, java_errors(f"reading {index}"):
        if reader.maxDoc() and (
            reader.termVectors().get(0, CONTENTS) is not None
            # Pyserini reads the tokens from there, too, only slower.
            or reader.storedFields().document(0).getField(RAW) is not None
        ):
            return
    raise InputError(
        f"The index {index} holds no document vectors, which feedback reads.",
        expected="an index with document vectors, or with stored records",
        do="Build it again, with splade-anserini index --store-docvectors.",
    )
