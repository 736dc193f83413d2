"""An impact score beside BM25's for the same document, word by word."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from splade_anserini.explaining.match import Match
from splade_anserini.explaining.rendering import section_text
from splade_anserini.explaining.sections import bm25_section, shortened

if TYPE_CHECKING:
    import pandas as pd

DEEPEST = 1000
"""The last rank that is looked for."""

_CONTINUES = "##"
"""What word pieces begin with that continue a word."""


@dataclass(frozen=True, slots=True)
class ComparedWord:
    """What a word brings to both scores."""

    tokens: tuple[str, ...]
    """The tokens of the impact score that are this word for BM25, the greatest product first; empty for none."""
    product: int
    """The sum of their products."""
    share: float
    """Of the impact score, from 0 to 1."""
    word: str | None
    """The word as the text index has it; None when BM25 does not count it."""
    bm25: float
    bm25_share: float


@dataclass(frozen=True, slots=True, repr=False)
class Bm25Comparison:
    """The impact score of a document beside its score with BM25."""

    document: str
    score: int
    bm25: float
    """The sum of the terms, rounded to four decimals as in Anserini; in a run a tie is lowered by some millionths."""
    terms: tuple[ComparedWord, ...]
    """The greatest share first."""
    missing: tuple[str, ...]
    """Words of the query, as the text index has them, that the document lacks."""
    rank: int | None = None
    """Of the document with impacts; None from `DEEPEST` + 1 on."""
    bm25_rank: int | None = None

    def values(self) -> dict[str, object]:
        """Return the comparison as JSON values."""
        return {
            "document": self.document,
            "score": self.score,
            "rank": self.rank,
            "bm25": self.bm25,
            "bm25_rank": self.bm25_rank,
            "terms": [
                {
                    "tokens": list(term.tokens),
                    "product": term.product,
                    "share": round(term.share, 6),
                    "word": term.word,
                    "bm25": round(term.bm25, 6),
                    "bm25_share": round(term.bm25_share, 6),
                }
                for term in self.terms
            ],
            "missing": list(self.missing),
        }

    def to_pandas(self) -> "pd.DataFrame":
        """Return a row for each word."""
        from splade_anserini.artifacts.data_frames import data_frame

        columns = ["tokens", "product", "share", "word", "bm25", "bm25_share"]
        rows = [
            (" ".join(term.tokens), term.product, term.share, term.word, term.bm25, term.bm25_share)
            for term in self.terms
        ]
        return data_frame(columns, rows)

    def __repr__(self) -> str:
        return f"<Bm25Comparison of {shortened(self.document)!r}: score {self.score:,}, BM25 {self.bm25:.4f}>"

    def __str__(self) -> str:
        """Return the words as bars."""
        return section_text(bm25_section(self))

    def _repr_html_(self) -> str:
        from splade_anserini.explaining.html import section_html

        return section_html(bm25_section(self))


def compare_bm25(
    match: Match,
    scores: Mapping[str, float],
    word_of: Callable[[str], str | None],
    *,
    tokens: Sequence[str] = (),
    rank: int | None = None,
    bm25_rank: int | None = None,
) -> Bm25Comparison:
    """Return what each word brings to both scores.

    `scores` has BM25's score of each word of the query, 0 for one that the document lacks; `word_of` returns the word
    that a token is in the text index. `tokens` are those of the query, as the encoder read it: word pieces, such as
    aero ##ela ##stic, count as their word.
    """
    whole = whole_words(tokens)
    counted = {word: score for word, score in scores.items() if score}
    products = {term.token: term.product for term in match.terms}
    # Word, or the token itself in a tuple of its own where BM25 does not count it → tokens.
    groups: dict[str | tuple[str], list[str]] = defaultdict(list)
    for token in products:
        text = whole.get(token, token)
        word = None if text.startswith(_CONTINUES) else word_of(text)
        groups[(token,) if word is None or word not in counted else word].append(token)
    for word in counted:
        groups.setdefault(word, [])
    total = sum(counted.values())
    terms = []
    for key, group in groups.items():
        product, word = sum(products[token] for token in group), key if isinstance(key, str) else None
        bm25 = counted[word] if word else 0.0
        share, bm25_share = product / match.score if match.score else 0.0, bm25 / total if total else 0.0
        terms.append(ComparedWord(tuple(group), product, share, word, bm25, bm25_share))
    terms.sort(key=lambda term: (-max(term.share, term.bm25_share), term.tokens, term.word or ""))
    missing = tuple(word for word, score in scores.items() if not score)
    return Bm25Comparison(match.document, match.score, round(total, 4), tuple(terms), missing, rank, bm25_rank)


def whole_words(tokens: Sequence[str]) -> dict[str, str]:
    """Return the word that each word piece of a text is part of, without words that are one token."""
    words: list[list[str]] = []
    for token in tokens:
        if token.startswith(_CONTINUES) and words:
            words[-1].append(token)
        else:
            words.append([token])
    return {
        piece: word[0] + "".join(part.removeprefix(_CONTINUES) for part in word[1:])
        for word in reversed(words)
        if len(word) > 1
        for piece in word
    }
