"""Query encoders with the interface of Pyserini's: one text in, token → impact out."""

from pathlib import Path

from splade_anserini.artifacts.manifests import MANIFEST, IndexManifest
from splade_anserini.cards.default_encoder import DEFAULT_ENCODER
from splade_anserini.cards.finding import available_encoders, find_encoder, suggest_encoders
from splade_anserini.encoding.matching import check_match
from splade_anserini.encoding.opening import default_scale, open_query_encoder
from splade_anserini.encoding.options import EncoderOptions
from splade_anserini.encoding.protocol import Encoder
from splade_anserini.errors import InputError
from splade_anserini.records import DEFAULT_SCALE, StrPath
from splade_anserini.vectors.quantization import quantize


class ImpactQueryEncoder:
    """Any `Encoder` as a query encoder of Pyserini's `LuceneImpactSearcher`.

    impact = round(weight × `scale`); `scale` should be that of the index. Safe to share between threads.
    """

    def __init__(self, encoder: Encoder, *, scale: float = DEFAULT_SCALE) -> None:
        self.encoder = encoder
        self.scale = scale

    def check_documents(self, documents: IndexManifest, *, force: bool = False) -> None:
        """Raise `MismatchError` when the queries do not fit the documents of an index, see `check_match`."""
        check_match(documents, self.encoder, self.scale, force=force)

    def encode(self, query: str) -> dict[str, int]:
        """Return token → impact, all at least 1; empty when the query has no active entries."""
        (vector,) = self.encoder.encode([query])
        return dict(quantize(vector, self.scale))


class OnnxQueryEncoder(ImpactQueryEncoder):
    """An exported encoder as a query encoder of Pyserini; it needs onnxruntime and no torch.

    `name` is the name of a card or a directory that `export` wrote. `scale` and `max_length` (in tokens, special tokens
    included) are those of the card or manifest where they are None; `scale` must be that of the index. Raises
    `InputError` when there is no such encoder, or it is a checkpoint that has not been exported.
    """

    def __init__(
        self, name: StrPath = DEFAULT_ENCODER, *, scale: float | None = None, max_length: int | None = None
    ) -> None:
        if not find_encoder(name).is_onnx:
            raise InputError(
                f"{name} is not an exported encoder.",
                do="Export it first (splade-anserini export), or use TorchQueryEncoder.",
            )
        encoder = open_query_encoder(name, EncoderOptions(max_length=max_length, low_latency=True))
        super().__init__(encoder, scale=scale or default_scale(name))


class TorchQueryEncoder(ImpactQueryEncoder):
    """A checkpoint as a query encoder of Pyserini; it needs torch and transformers.

    `name` is the name of a card, or a directory or Hugging Face id of a checkpoint with a masked-language-model head.
    `scale` and `max_length` are as in `OnnxQueryEncoder`; `device` is auto, cpu, cuda, cuda:n or mps. With
    `trust_remote_code`, code that comes with the checkpoint is run. Raises `InputError` when there is no such encoder
    or device.
    """

    def __init__(
        self,
        name: StrPath,
        *,
        scale: float | None = None,
        max_length: int | None = None,
        device: str = "auto",
        trust_remote_code: bool = False,
    ) -> None:
        options = EncoderOptions(max_length=max_length, device=device, trust_remote_code=trust_remote_code)
        encoder = open_query_encoder(name, options)
        super().__init__(encoder, scale=scale or default_scale(name))


def open_for_pyserini(name: str) -> ImpactQueryEncoder | None:
    """Open the query encoder of a card or directory of this package, with its own scale; return None for other names.

    Other names are those of Hugging Face models and of checkpoints without a manifest, which Pyserini opens itself.
    Raises `InputError` for a name that is spelled like that of a card, which Pyserini would look for on the network.
    """
    directory = Path(name)
    has_card = name in available_encoders() or (directory.suffix == ".toml" and directory.is_file())
    if not has_card and not (directory / "model.onnx").is_file() and not (directory / MANIFEST).is_file():
        # Models of Pyserini have an owner in their names, or are files.
        if "/" not in name and not directory.exists() and (advice := suggest_encoders(name)):
            raise InputError(f"There is no query encoder {name!r}.", do=advice)
        return None
    return ImpactQueryEncoder(open_query_encoder(name, EncoderOptions(low_latency=True)), scale=default_scale(name))
