"""What the stages of training share at the edge: where the ids of examples are looked up."""

from typing import TYPE_CHECKING

from splade_anserini.errors import InputError

if TYPE_CHECKING:
    from splade_anserini.formats.texts import Texts


def open_texts_from_options(corpus: str | None, topics: str | None) -> "Texts | None":
    """Open --corpus and --topics; None when neither is given. Raises `InputError` when one is given alone."""
    if corpus is None and topics is None:
        return None
    if corpus is None or topics is None:
        given, other = ("--topics", "--corpus") if corpus is None else ("--corpus", "--topics")
        raise InputError(f"{given} is given without {other}.", expected="both, to look ids up, or neither")
    from splade_anserini.formats.texts import open_texts
    from splade_anserini.lucene.pyserini_topics import pyserini_topics

    return open_texts(corpus, topics, pyserini_topics)
