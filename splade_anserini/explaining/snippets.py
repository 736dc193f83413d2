"""The passage of a document that shows best why it was found, with the words that bring its score."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from splade_anserini.encoding.origins import TokenSpan
from splade_anserini.records import JsonDocument

type SpansOf = Callable[[str], Iterable[TokenSpan]]
"""Returns the tokens of a text with their places."""

WIDTH = 240
"""Characters of a snippet."""

MARK, MARK_END = "\x01", "\x02"
"""May stand around marked words until a text is broken into lines or escaped: snippets do not contain them."""

_REPEATED = 0.1
"""What a token counts when it occurs again in a passage: first of all, a passage should have many of them."""

_WORD = re.compile(r"[^\W_\u0e00-\u0eff\u1000-\u109f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]+")
"""A word of a script that separates words, and so is marked as a whole."""

_SENTENCE = re.compile(r"(?<=[.!?…])\s+(?=\S)|\n+(?=\S)")
_CONTINUATION = "##"
_WORD_STARTS = "Ġ▁"
"""What byte-level and SentencePiece vocabularies write for the space before a word."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A word of a snippet that matches: `text[start:stop]`."""

    start: int
    stop: int
    tokens: tuple[str, ...]
    """The tokens of the query that it is made of."""
    product: float
    """What these contribute to the score of the document, wherever they are in it."""


@dataclass(frozen=True, slots=True)
class Snippet:
    """A passage of a text on one line, as long as the passage: white space and control characters are spaces."""

    text: str
    marks: tuple[Mark, ...]
    """The words that match, in their order; they do not overlap."""
    start: int
    """Where the passage begins in the text."""
    cut_before: bool
    """Whether there is more text before the passage."""
    cut_after: bool

    def parts(self) -> Iterator[tuple[str, Mark | None]]:
        """Yield the passage piece by piece; each has its mark, or None where nothing matches."""
        position = 0
        for mark in self.marks:
            if mark.start > position:
                yield self.text[position : mark.start], None
            yield self.text[mark.start : mark.stop], mark
            position = mark.stop
        if position < len(self.text):
            yield self.text[position:], None

    def marked(self, before: str = "*", after: str = "*") -> str:
        """Return the passage with something around each word that matches, and "…" where text is left out."""
        parts = (part if mark is None else f"{before}{part}{after}" for part, mark in self.parts())
        text = re.sub(" +", " ", "".join(parts)).strip()
        return f"{'… ' if self.cut_before else ''}{text}{' …' if self.cut_after else ''}"

    def __str__(self) -> str:
        return self.marked()


def snippet(text: str, products: Mapping[str, float], spans_of: SpansOf | None = None, width: int = WIDTH) -> Snippet:
    """Return the passage of at most `width` characters whose words bring most of a score.

    `products` is token → what it contributes to the score. `spans_of` finds the tokens of the text; without it they are
    compared with the words of the text. A passage without one of the tokens is the beginning of the text.
    """
    spans = spans_by_words(text, products) if spans_of is None else spans_of(text)
    marks = _marked_words(text, [span for span in spans if span.token in products], products)
    start, stop = _bounds(text, marks, products, width)
    inside = [
        Mark(mark.start - start, mark.stop - start, mark.tokens, mark.product)
        for mark in marks
        if start <= mark.start and mark.stop <= stop
    ]
    passage = "".join(
        " " if char.isspace() or unicodedata.category(char) == "Cc" else char for char in text[start:stop]
    )
    return Snippet(passage, tuple(inside), start, bool(text[:start].strip()), bool(text[stop:].strip()))


def on_one_line(text: str) -> str:
    """Return a text with spaces for white space and for control characters, which a terminal would obey."""
    return "".join(" " if char.isspace() or unicodedata.category(char) == "Cc" else char for char in text)


def title_and_text(document: JsonDocument) -> tuple[str, str]:
    """Return the title of a stored document, "" without one, and the text that follows it."""
    title, text = (_string(document, *names) for names in (("title",), ("contents", "text", "body")))
    if not title:
        return "", text
    rest = _after(title, text)
    if rest is not None and isinstance(document.get("contents"), str):
        # Contents are the title, a space and the text.
        text = rest.lstrip()
    return title, _without_title(title, text)


def _without_title(title: str, text: str) -> str:
    """Return a text without the title that many corpora repeat before it.

    A sentence that only begins with the words of the title keeps them.
    """
    rest = _after(title, text)
    if rest is None:
        return text
    follows = rest.lstrip()
    is_line = not follows or "\n" in rest[: -len(follows)]
    # After "Apple Inc." a sentence goes on in lower case; titles of some corpora are in lower case themselves.
    is_sentence = title[-1] in ".!?:…" and (title.islower() or not follows[:1].islower())
    return follows if is_line or is_sentence else text


def _after(title: str, text: str) -> str | None:
    """Return what follows the title at the beginning of a text; None if it is not there."""
    found = re.match(rf"\s*{re.escape(title)}(?=\s|$)", text)
    return text[found.end() :] if found else None


def _string(document: JsonDocument, *names: str) -> str:
    values = (document.get(name) for name in names)
    return next((value for value in values if isinstance(value, str)), "")


def spans_by_words(text: str, tokens: Iterable[str]) -> Iterator[TokenSpan]:
    """Yield the tokens that words of a text are made of, as far as `tokens` alone show it.

    Words are compared in lower case and without accents. One that consists of several tokens is found when all of them
    are in `tokens`.
    """
    starts = {_folded(token.lstrip(_WORD_STARTS)): token for token in tokens if not token.startswith(_CONTINUATION)}
    rests = {token.removeprefix(_CONTINUATION): token for token in tokens if token.startswith(_CONTINUATION)}
    for word in _WORD.finditer(text):
        for token in _pieces(_folded(word.group()), starts, rests):
            yield TokenSpan(token, word.start(), word.end())


def _pieces(word: str, starts: Mapping[str, str], rests: Mapping[str, str]) -> list[str]:
    """Split a word into tokens, the longest first, as word pieces are; return none if that leaves something."""
    pieces, known = [], starts
    while word:
        stop = next((stop for stop in range(len(word), 0, -1) if word[:stop] in known), 0)
        if not stop:
            return []
        pieces.append(known[word[:stop]])
        word, known = word[stop:], rests
    return pieces


def _folded(word: str) -> str:
    decomposed = unicodedata.normalize("NFD", word.casefold())
    return "".join(char for char in decomposed if unicodedata.category(char) != "Mn")


def _marked_words(text: str, spans: Sequence[TokenSpan], products: Mapping[str, float]) -> list[Mark]:
    """Return the words in which tokens were found, in their order."""
    words = [match.span() for match in _WORD.finditer(text)] if spans else []
    tokens: dict[tuple[int, int], list[str]] = {}
    position = 0
    for span in sorted(spans, key=lambda span: span.start):
        # Byte-level tokens include the space before them.
        start = span.start + len(text[span.start : span.stop]) - len(text[span.start : span.stop].lstrip())
        while position < len(words) and words[position][1] <= start:
            position += 1
        inside = position < len(words) and words[position][0] <= start
        place = words[position] if inside else (start, span.stop)
        tokens.setdefault(place, []).append(span.token)
    places = [place for place in tokens if text[place[0] : place[1]].strip()]
    kept = [second for first, second in pairwise([(-1, 0), *places]) if second[0] >= first[1]]
    return [
        Mark(start, stop, distinct, sum(products[token] for token in distinct))
        for start, stop in kept
        for distinct in [tuple(dict.fromkeys(tokens[start, stop]))]
    ]


def _bounds(text: str, marks: Sequence[Mark], products: Mapping[str, float], width: int) -> tuple[int, int]:
    """Return where the best passage begins and ends."""
    if len(text) <= width:
        return 0, len(text)
    if not marks:
        return _whole_words(text, 0, width)
    first, last = _best_window(marks, products, width)
    start, stop = marks[first].start, marks[last].stop
    room = max(0, width - (stop - start))
    # The beginning of a sentence, if it is near; else as much before the words as after them.
    sentences = [0, *(match.end() for match in _SENTENCE.finditer(text, max(0, start - room), start))]
    begin = sentences[-1] if start - sentences[-1] <= room else max(0, start - room // 2)
    return _whole_words(text, min(begin, max(0, len(text) - width)), min(len(text), max(stop, begin + width)))


def _best_window(marks: Sequence[Mark], products: Mapping[str, float], width: int) -> tuple[int, int]:
    """Return the first and the last mark of the passage that is worth most; of equal ones the first."""
    best, chosen = -1.0, (0, 0)
    counts: Counter[str] = Counter()
    first = 0
    for last, mark in enumerate(marks):
        counts.update(mark.tokens)
        while first < last and mark.stop - marks[first].start > width:
            counts.subtract(marks[first].tokens)
            first += 1
        worth = sum(products[token] * (1 + _REPEATED * (count - 1)) for token, count in counts.items() if count > 0)
        if worth > best:
            best, chosen = worth, (first, last)
    return chosen


def _whole_words(text: str, start: int, stop: int) -> tuple[int, int]:
    """Return the bounds of a passage without words that are cut."""
    while 0 < start < stop and _joined(text, start):
        start += 1
    while start < stop < len(text) and _joined(text, stop):
        stop -= 1
    return start, stop


def _joined(text: str, position: int) -> bool:
    """Return whether the characters before and after a position belong to one word."""
    return bool(_WORD.fullmatch(text[position - 1 : position + 1]))
