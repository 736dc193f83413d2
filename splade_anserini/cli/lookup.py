"""The texts of training examples that consist of ids, for the commands train, mine and score."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from splade_anserini.formats.corpus_fields import CorpusOptions
    from splade_anserini.formats.texts import Texts


def open_texts_from_options(corpus: str | None, topics: str | None, fields: "CorpusOptions") -> "Texts | None":
    """Open --corpus and --topics to look ids up, or return None when they are not given."""
    if corpus is None or topics is None:
        return None
    from splade_anserini.formats.texts import open_texts
    from splade_anserini.lucene.pyserini_topics import pyserini_topics

    return open_texts(corpus, topics, pyserini_topics, fields)
