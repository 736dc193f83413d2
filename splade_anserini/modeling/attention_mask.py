"""The attention mask in the form that makes transformers read nothing back from a GPU."""

from collections.abc import Callable
from typing import Any

import torch

from splade_anserini.modeling.transformers_logging import quiet_transformers

type AttentionMask = Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor | None]
"""Ids [batch, length] and mask [batch, length], or None where there is no padding, to what the model takes."""

_WINDOWS = ("sliding_window", "local_attention", "attention_window")
"""Entries in the configurations of models with local attention."""


def attention_mask_for(model: Any, dtype: torch.dtype) -> AttentionMask:
    """Return how the mask of a batch is passed to `model`, whose body computes in `dtype`.

    transformers looks into a mask [batch, length] to see whether there is any padding, which waits for the GPU. A mask
    that is added to the scores of attention, [batch, 1, 1, length], passes unread, and None allows the fastest kernel.
    Each form is tried with short inputs; a model that computes something else with it gets plain masks.
    """
    if any(getattr(model.config, name, None) for name in _WINDOWS):
        return _plain  # an added mask would replace the windows of local attention
    ids = (torch.arange(12, device=model.device) % model.config.vocab_size).view(2, 6)
    mask = torch.ones_like(ids)
    mask[1, 3:] = 0
    try:
        with quiet_transformers():  # which warns of inputs without a mask
            expected, ignored = _hidden(model, ids, mask), _hidden(model, ids, torch.ones_like(ids))
            differences = (
                _difference(_hidden(model, ids, added_mask(mask, dtype)), expected, mask),
                _difference(_hidden(model, ids, None), ignored, mask),
            )
    except (RuntimeError, ValueError, TypeError, AttributeError):  # the model refuses such a mask
        return _plain
    # Rounding is small beside what the padding of the second text would change. No difference may be NaN.
    if not all(difference <= 0.1 * _difference(ignored, expected, mask) for difference in differences):
        return _plain
    return lambda _, mask: None if mask is None else added_mask(mask, dtype)


def added_mask(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return 0 at tokens and the lowest number at padding, [batch, 1, 1, length]."""
    added = torch.zeros(mask.shape, dtype=dtype, device=mask.device)
    return added.masked_fill_(mask == 0, torch.finfo(dtype).min)[:, None, None, :]


def _plain(ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    return torch.ones_like(ids) if mask is None else mask.long()


@torch.inference_mode()
def _hidden(model: Any, ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    hidden: torch.Tensor = model(input_ids=ids, attention_mask=mask).logits
    return hidden.float()


def _difference(hidden: torch.Tensor, expected: torch.Tensor, mask: torch.Tensor) -> float:
    return float(((hidden - expected).abs() * mask.unsqueeze(-1)).amax())
