"""Pseudo-relevance feedback: Anserini's RM3 and Rocchio, through Pyserini."""

from typing import Any, Literal

from splade_anserini.errors import InputError
from splade_anserini.options import changed_options, option, options
from splade_anserini.records import StrPath

type FeedbackMethod = Literal["rocchio", "rm3"]

_ROCCHIO_ALPHA = 1.0
_GREATEST_COUNT = 2**31 - 1


@options
class Feedback:
    """How a query is expanded with tokens of its best documents, for a second search.

    q and d are impact vectors and D the first `docs` hits of the first search; |·| is the L2 norm for Rocchio and the
    L1 norm for RM3. The vector that comes from D, a mean or a sum, keeps its `terms` strongest tokens and is divided by
    its own norm.

        rocchio    q/|q| + beta · mean of d/|d| − gamma · the same of the last `docs` hits
        rm3        w · q/|q| + (1 − w) · sum of s(q, d) · d/|d|, d cut to its `terms` strongest tokens,
                   where w is `original_query_weight`

    Tokens that more than a tenth of all documents contain, and tokens of 1 or of more than 20 characters, are never
    used for expansion. Only weights above 0 are kept. The defaults are Pyserini's, except `words_only` for impacts.

    With BM25, q and d are term frequencies of words, and s(q, d) is the score of BM25.

    Rocchio (1971); RM3: Abdul-Jaleel et al. (2004). Raises `InputError` for invalid values, and for options of
    another method. Without a `method` there is no feedback.
    """

    method: FeedbackMethod | None = option(
        default=None,
        flags=("--feedback",),
        help="Pseudo-relevance feedback, by Rocchio or RM3. Needs index --store-docvectors.",
    )
    docs: int = option(
        default=10,
        flags=("--feedback-docs",),
        least=1,
        greatest=_GREATEST_COUNT,
        help="With --feedback: number of feedback documents.",
    )
    terms: int = option(
        default=10,
        flags=("--feedback-terms",),
        least=1,
        greatest=_GREATEST_COUNT,
        help="With --feedback: number of feedback tokens, the strongest of the documents.",
    )
    original_query_weight: float = option(
        # If either the query or the feedback terms had no weight, hits of RM3 could have score 0.
        default=0.5,
        least=0.001,
        greatest=0.999,
        help="With --feedback rm3: weight of the original query, of 1 in all.",
    )
    rocchio_beta: float = option(
        default=0.75,
        least=0.001,
        greatest=1000,
        help="With --feedback rocchio: weight of the feedback documents; the query has weight 1.",
    )
    rocchio_gamma: float = option(
        default=0.0,
        least=0,
        greatest=1000,
        help="With --feedback rocchio: weight of the last hits, which are subtracted; Pyserini's is 0.15.",
    )
    words_only: bool | None = option(
        default=None,
        flags=("--feedback-words-only/--no-feedback-words-only",),
        help="With --feedback rm3: only tokens of a–z and 0–9, as in Pyserini; no word pieces such as ##ing.",
        unset="with --bm25 yes, else no",
    )

    def __post_init__(self) -> None:
        changed = set(changed_options(self)) - {"--feedback"}
        used = {
            None: set(),
            "rocchio": {"--feedback-docs", "--feedback-terms", "--rocchio-beta", "--rocchio-gamma"},
            "rm3": {"--feedback-docs", "--feedback-terms", "--original-query-weight", "--feedback-words-only"},
        }[self.method]
        if unused := sorted(changed - used):
            if self.method is None:
                raise InputError(f"{unused[0]} needs --feedback.", expected="--feedback rocchio or rm3")
            raise InputError(f"{unused[0]} has no effect with --feedback {self.method}.", do="Leave it out.")

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
                filter_terms=bool(self.words_only),
            )

    def apply_to_text(self, searcher: Any) -> None:
        """Turn on this feedback in Anserini's SimpleSearcher."""
        if self.method == "rocchio":
            use_negative = self.rocchio_gamma > 0
            weights = (_ROCCHIO_ALPHA, float(self.rocchio_beta), float(self.rocchio_gamma))
            searcher.set_rocchio(None, self.terms, self.docs, self.terms, self.docs, *weights, False, use_negative)
        else:
            words_only = self.words_only is not False
            searcher.set_rm3(None, self.terms, self.docs, float(self.original_query_weight), False, words_only)


def check_document_vectors(index: StrPath, *, records_will_do: bool = True) -> None:
    """Raise `InputError` unless an index stores which tokens its documents contain.

    These are document vectors or, where `records_will_do`, records with vectors, which Anserini's writer and earlier
    versions store.
    """
    from splade_anserini.lucene.index_reader import CONTENTS, RAW, opened_index
    from splade_anserini.lucene.java.java_errors import java_errors
    from splade_anserini.lucene.stored_documents import has_vector

    with opened_index(index) as reader, java_errors(f"reading {index}"):
        if reader.maxDoc() and (
            reader.termVectors().get(0, CONTENTS) is not None
            # Pyserini can read the tokens from stored records, too, but more slowly.
            or (records_will_do and has_vector(reader.storedFields().document(0).get(RAW)))
        ):
            return
    raise InputError(
        f"The index {index} has no document vectors, which feedback needs.",
        expected=f"an index with document vectors{', or with vectors in stored records' if records_will_do else ''}",
        do="Rebuild it with splade-anserini index --store-docvectors.",
    )
