"""Options of text indexes and of BM25. Importing this module loads nothing heavy."""

from splade_anserini.errors import InputError
from splade_anserini.formats.passages import Windows
from splade_anserini.options import changed_options, option, options
from splade_anserini.records import LANGUAGES, Language

SPLIT_AT_WHITE_SPACE = frozenset({"ha", "so", "sw", "yo"})
"""Languages whose texts are only split at white space, as in Anserini."""

DEFAULT_LANGUAGE: Language = "en"


@options
class TextIndexOptions:
    """Whether texts are indexed instead of impacts, and how."""

    bm25: bool = option(
        default=False, help="Index the texts of a corpus for BM25, not impacts: --input is what encode --corpus takes."
    )
    language: Language = option(
        default=DEFAULT_LANGUAGE,
        metavar="<code>",
        help=f"With --bm25: language of the texts, whose analyzer Anserini takes: {', '.join(LANGUAGES)}.",
    )

    passages: str | None = option(
        default=None,
        metavar="WORDS/STRIDE",
        help="With --bm25: index passages of so many words, as 150/75, with ids doc#n.",
    )

    def __post_init__(self) -> None:
        if self.passages is not None:
            Windows.parse(self.passages)
        if not self.bm25 and (names := changed_options(self)):
            raise InputError(f"{names[0]} needs --bm25.", do=f"Add --bm25, or leave {names[0]} out.")


@options
class Bm25Options:
    """How BM25 scores the documents of a text index. The defaults are Anserini's."""

    k1: float = option(default=0.9, least=0, greatest=1000, help="BM25: saturation of term frequencies.")
    b: float = option(default=0.4, least=0, greatest=1, help="BM25: normalization by length.")
    language: Language | None = option(
        default=None,
        metavar="<code>",
        help="BM25: language of the topics, see index --language.",
        unset="the text index's, or en",
    )
