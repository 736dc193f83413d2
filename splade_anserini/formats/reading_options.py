"""Options of reading vectors that other tools wrote. Importing this module loads nothing heavy."""

from typing import TYPE_CHECKING

from splade_anserini.options import option, options
from splade_anserini.vectors.scale import scale_option

if TYPE_CHECKING:
    from splade_anserini.formats.vectors import VectorOptions


@options
class ReadingOptions:
    """How vectors without a manifest are read."""

    scale: float | None = scale_option(
        help="Quantize weights that are not integers: impact = round(weight × scale).",
        unset="weights are impacts already",
    )
    vocabulary: str | None = option(
        default=None,
        metavar="FILE",
        help="Tokens of vectors of ids (Qdrant, Milvus): vocab.txt, tokenizer.json, or an encoder.",
        unset="vectors have tokens",
    )
    id_field: str | None = option(default=None, help="Field of the id.", unset="id, _id, docid and others")
    vector_field: str | None = option(
        default=None, help="Field of the vector; fields.splade is splade in fields.", unset="vector, sparse_values …"
    )

    def vector_options(self) -> "VectorOptions":
        """Return the options with the vocabulary loaded. Raises `InputError` when it cannot be read."""
        from splade_anserini.formats.vectors import VectorOptions
        from splade_anserini.formats.vocabularies import read_vocabulary

        vocabulary = None if self.vocabulary is None else tuple(read_vocabulary(self.vocabulary))
        return VectorOptions(self.scale, vocabulary, self.id_field, self.vector_field)
