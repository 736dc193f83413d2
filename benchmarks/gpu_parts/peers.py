"""sentence-transformers' SparseEncoder and SpladeLoss on a device."""

from importlib.util import find_spec
from typing import Any

from gpu_parts.context import Context


def attention_kernels(context: Context) -> list[str]:
    """Return the attention implementations of transformers that can be used here."""
    has_flash = context.is_cuda and find_spec("flash_attn") is not None
    return ["sdpa", *(["flash_attention_2"] if has_flash else [])]


def sparse_encoder(directory: str, device: str, precision: str, kernel: str, length: int | None = None) -> Any:
    """Return a SparseEncoder with max pooling whose model has weights in this precision."""
    from sentence_transformers import SparseEncoder

    from splade_anserini.modeling.precision import DTYPES

    arguments = {"dtype": DTYPES[precision], "attn_implementation": kernel}
    try:
        from sentence_transformers.base.modules import Transformer
        from sentence_transformers.sparse_encoder.modules import SpladePooling
    except ImportError:  # before version 6
        from sentence_transformers.sparse_encoder.models import MLMTransformer, SpladePooling

        body = MLMTransformer(directory, max_seq_length=length, model_args=arguments)
    else:
        body = Transformer(directory, transformer_task="fill-mask", max_seq_length=length, model_kwargs=arguments)
    return SparseEncoder(modules=[body, SpladePooling("max")], device=device)


def body_of(model: Any) -> Any:
    """Return the model of transformers inside a SparseEncoder."""
    first = model[0]
    return getattr(first, "model", None) or first.auto_model
