"""The texts of training examples that consist of ids, for the commands train, mine and score."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from splade_anserini.formats.texts import Texts
    from splade_anserini.training.options import TextLookupOptions


def open_texts_from_options(lookup: "TextLookupOptions") -> "Texts | None":
    """Open --corpus and --topics to look ids up, or return None when they are not given."""
    if lookup.corpus is None or lookup.topics is None:
        return None
    from splade_anserini.formats.texts import open_texts
    from splade_anserini.lucene.pyserini_topics import pyserini_topics

    return open_texts(lookup.corpus, lookup.topics, pyserini_topics, lookup)
