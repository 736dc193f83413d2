"""Texts of Cranfield, which ships with the package, and models with random weights."""

import random
from collections.abc import Sequence
from typing import Any

from models import random_checkpoint

from gpu_parts.context import Context


def documents(context: Context, length: int) -> list[str]:
    """Return texts of which half have `length` tokens or more, and the others a quarter of it to all of it.

    They are sequences of words of Cranfield's abstracts, the same each time.
    """

    def make() -> list[str]:
        words, generator = _words(), random.Random(length)
        texts = []
        for index in range(context.sizes.documents):
            # A word has about 1.3 tokens: half of the texts are cut at the maximum length, as long ones are.
            tokens = 1.5 * length if index % 2 else generator.randint(length // 4, length)
            count = max(1, int(tokens / 1.3))
            start = generator.randrange(len(words) - count)
            texts.append(" ".join(words[start : start + count]))
        return texts

    return context.cached(f"documents {length}", make)


def checkpoint(context: Context, size: str) -> Any:
    """Return a `Checkpoint` with random weights on the CPU, biased so that texts have about 170 active entries."""

    def make() -> Any:
        return random_checkpoint(size, documents(context, context.sizes.lengths[0])[:16], context.device)

    return context.cached(f"checkpoint {size}", make)


def saved_checkpoint(context: Context, size: str) -> str:
    """Return the directory of such a checkpoint, for other tools."""
    directory = context.work / f"checkpoint-{size}"

    def make() -> str:
        model = checkpoint(context, size)
        if not (directory / "tokenizer.json").exists():
            model.model.save_pretrained(directory)
            model.tokenizer.save_pretrained(directory)
        return str(directory)

    return context.cached(f"saved {size}", make)


def encoder(context: Context, model: Any, **options: Any) -> Any:
    """Return our encoder on the device; on a CPU, with the path for GPUs."""
    from splade_anserini.encoding import EncoderOptions
    from splade_anserini.encoding.torch_encoder import TorchEncoder

    return TorchEncoder(model, EncoderOptions(device=context.device, **options), asynchronous=True)


def reference(model: Any, **options: Any) -> Any:
    """Return our encoder on the CPU."""
    from splade_anserini.encoding import EncoderOptions
    from splade_anserini.encoding.torch_encoder import TorchEncoder

    return TorchEncoder(model, EncoderOptions(device="cpu", **options))


def lengths_of(text_encoder: Any, texts: Sequence[str]) -> tuple[list[int], float]:
    """Return the tokens of each text, and the share of padding in its batches."""
    batches = text_encoder.prepare(texts)
    lengths = [int(count) for batch in batches for count in batch.mask.sum(axis=1)]
    return lengths, 1 - sum(lengths) / max(1, sum(batch.ids.size for batch in batches))


def _words() -> list[str]:
    from splade_anserini.cards.shipped import cranfield
    from splade_anserini.formats.corpora import open_corpus

    return [word for document in open_corpus(cranfield()) for word in document.contents.split()]
