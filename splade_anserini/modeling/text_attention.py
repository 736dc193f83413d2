"""Attention one text at a time, so that neither padding nor the other texts of a batch change a bit of a text's states.

The kernels for linear layers that `packed_linear` uses compute each row in the same way whatever the rows beside it.
Attention does not: its sums run over the padded length. Each text here has a call of its own, without padding.
"""

import threading
from collections.abc import Callable
from typing import Any

import torch

_NAME = "splade_anserini_text_attention"

_batch = threading.local()
"""`lengths`: the tokens of each text of the batch that this thread runs."""

type Hidden = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Ids and mask, [batch, length], to hidden states, [batch, length, width]."""


def attend_by_text(model: Any) -> Hidden | None:
    """Make `model`, in place, attend one text at a time; return how it is called then.

    Returns None, and leaves the model unchanged, when it does not use attention of transformers' common interface, or
    computes something else with this one.
    """
    before = model.config._attn_implementation  # noqa: SLF001  # transformers has no public getter
    if before != "sdpa":
        return None
    _register()

    def run(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        _batch.lengths = mask.sum(dim=1).tolist()
        _batch.called = False
        logits: torch.Tensor = model(input_ids=ids, attention_mask=mask).logits
        return logits

    ids = (torch.arange(24, device=model.device) % model.config.vocab_size).view(2, 12)
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    with torch.inference_mode():
        expected = model(input_ids=ids, attention_mask=mask).logits
        try:
            model.set_attn_implementation(_NAME)
            if _batch_is_equal(run(ids, mask), expected, mask) and _batch.called:
                return run
        except (RuntimeError, ValueError, TypeError, AttributeError):  # a model that refuses another attention
            pass
    model.set_attn_implementation(before)
    return None


def _batch_is_equal(logits: torch.Tensor, expected: torch.Tensor, mask: torch.Tensor) -> bool:
    tokens = mask.bool()
    return bool(torch.allclose(logits[tokens], expected[tokens], rtol=1e-4, atol=1e-4))


def _register() -> None:
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(_NAME, _attention)
    AttentionMaskInterface.register(_NAME, sdpa_mask)


def _attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **arguments: Any,
) -> tuple[torch.Tensor, None]:
    """Attend as `sdpa` of transformers: [batch, heads, length, width] of each to [batch, length, heads, width].

    At padding, the result is 0.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    _batch.called = True
    batch, _, length, _ = query.shape
    result = query.new_zeros(batch, length, query.shape[1], value.shape[3])
    for text, tokens in enumerate(_batch.lengths):
        part = (slice(text, text + 1), slice(None), slice(tokens))
        mask = None if attention_mask is None else attention_mask[text : text + 1, :, :tokens, :tokens]
        result[text : text + 1, :tokens], _ = sdpa_attention_forward(
            module,
            query[part],
            key[part],
            value[part],
            None if mask is None or _allows_all(mask) else mask,
            dropout=dropout,
            scaling=scaling,
            **arguments,
        )
    return result, None


def _allows_all(mask: torch.Tensor) -> bool:
    return bool(mask.all() if mask.dtype == torch.bool else (mask == 0).all())
