"""Open a teacher by its name; SPLADE encoders as teachers."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from splade_anserini.artifacts.truncation import Truncation
from splade_anserini.encoding.truncation import TruncationCounts
from splade_anserini.errors import InputError
from splade_anserini.formats.sentence_transformers import MODULES
from splade_anserini.modeling.backbone import PACKAGE
from splade_anserini.modeling.checkpoint import require_model
from splade_anserini.records import SparseVector
from splade_anserini.training.options import TeacherOptions
from splade_anserini.training.teachers.dense import DenseTeacher, Teacher
from splade_anserini.training.teachers.inputs import Pair
from splade_anserini.training.teachers.sentence_pooling import module_names, read_json
from splade_anserini.vectors.dot_product import dot_product

if TYPE_CHECKING:
    from splade_anserini.encoding import Encoder

CROSS, DENSE, SPLADE = "cross:", "dense:", "splade:"
"""Prefixes of names that say of which kind a teacher is."""


def open_teacher(name: str, options: TeacherOptions | None = None) -> Teacher:
    """Open a cross-encoder or sentence encoder by its Hugging Face id, directory or `package:<module>`.

    The kind follows from the architecture in config.json, and that of a sparse encoder of sentence-transformers from
    its modules, unless the name starts with `cross:` or `dense:`. A name after `splade:` is opened as `open_encoder`
    does. Raises `InputError` when there is no such model, or when its kind is not clear.
    """
    options = options or TeacherOptions()
    for prefix, load in ((CROSS, _load_cross_encoder), (DENSE, DenseTeacher.load), (SPLADE, _load_splade)):
        if name.startswith(prefix):
            return load(name.removeprefix(prefix), options)
    if not name.startswith(PACKAGE) and _is_sparse_encoder(name):
        return _load_splade(name, options)
    if name.startswith(PACKAGE) or _is_sentence_encoder(name):
        return DenseTeacher.load(name, options)
    return _load_cross_encoder(name, options)


class SpladeTeacher:
    """An encoder of sparse vectors; the score is the dot product of query and document, before quantization."""

    def __init__(self, name: str, queries: "Encoder", documents: "Encoder") -> None:
        self.name = name
        self._queries = queries
        self._documents = documents
        self._counts = TruncationCounts()

    @property
    def truncation(self) -> Truncation:
        """The texts so far that were too long, each as often as it was encoded."""
        return self._counts.record()

    def score(self, pairs: Sequence[Pair]) -> list[float]:
        """Return the score of each pair; a text that occurs in several pairs is encoded once."""
        queries = self._encode_distinct(self._queries, (query for query, _ in pairs))
        documents = self._encode_distinct(self._documents, (document for _, document in pairs))
        return [dot_product(queries[query], documents[document]) for query, document in pairs]

    def _encode_distinct(self, encoder: "Encoder", texts: Iterable[str]) -> dict[str, SparseVector]:
        from splade_anserini.encoding.tokenized import TokenizedEncoder

        distinct = list(dict.fromkeys(texts))
        if isinstance(encoder, TokenizedEncoder):
            return dict(zip(distinct, encoder.encode(distinct, self._counts), strict=True))
        return dict(zip(distinct, encoder.encode(distinct), strict=True))


def _is_sparse_encoder(name: str) -> bool:
    """Return whether the files of sentence-transformers name a module of sparse encoders."""
    if not (Path(name) / MODULES).is_file():
        require_model(name)
    return not {"SpladePooling", "Router", "Asym"}.isdisjoint(module_names(name))


def _is_sentence_encoder(name: str) -> bool:
    """Return whether the model is a sentence encoder, not a cross-encoder."""
    require_model(name)
    architectures = (read_json(name, "config.json") or {}).get("architectures") or [""]
    architecture = str(architectures[0])
    if architecture.endswith("ForSequenceClassification"):
        return False
    if architecture.endswith("Model") or read_json(name, MODULES) is not None:
        return True
    raise InputError(
        f"Cannot tell which kind of teacher {name} is: "
        + (f"its architecture is {architecture}." if architecture else "its config.json names no architecture."),
        expected="a cross-encoder (…ForSequenceClassification) or a sentence encoder (…Model)",
        do=f"Name its kind: {CROSS}{name}, {DENSE}{name} or {SPLADE}{name}.",
    )


def _load_cross_encoder(name: str, options: TeacherOptions) -> Teacher:
    from splade_anserini.training.teachers.cross_encoder import CrossEncoderTeacher

    return CrossEncoderTeacher.load(name, options)


def _load_splade(name: str, options: TeacherOptions) -> Teacher:
    from splade_anserini.encoding import EncoderOptions, open_encoder, open_query_encoder

    encoder_options = EncoderOptions(
        max_length=options.max_length,
        precision="bf16" if options.precision == "bf16" else "auto",
        device=options.device,
        batch_size=options.batch_size,
        trust_remote_code=options.trust_remote_code,
    )
    return SpladeTeacher(name, open_query_encoder(name, encoder_options), open_encoder(name, encoder_options))
