"""A masked-language-model head for a sentence encoder, without any training.

A sentence encoder's last hidden states, layer-normalized, lie near the input embeddings of the tokens they stand for
and of those tokens' neighbours. Against the embeddings E they give logits, s · (LayerNorm(h) · E_j − θ), that a
`BertForMaskedLM` can hold exactly: the head's dense layer only adds a constant, so large that GELU becomes the
identity, and its LayerNorm takes the constant away again. In bf16 or int8 the constant would eat the precision of what
it is added to: this one layer wants float32.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from splade_anserini.errors import InputError
from splade_anserini.modeling.vocabulary import masked_entries, unused_ids, vocabulary

OFF = -1e4
"""The bias of entries that are off for good: out of reach of any logit, and finite in every precision."""

SHIFT = 6.0
DEVIATIONS = 20.0
"""The constant of the dense layer: 6, or 20 standard deviations of the hidden states where these are wide.

GELU(x) = x to 2e-5 for x ≥ 4.5.
"""


@dataclass(frozen=True, slots=True)
class WarmStart:
    """The numbers of a head: logit = scale · (LayerNorm(h) · E_j − threshold)."""

    threshold: float
    scale: float
    shift: float = SHIFT
    """The bias of the dense layer."""


def calibrate(
    model: Any,
    tokenizer: Any,
    texts: Sequence[str],
    *,
    share_off: float = 0.985,
    peak: float = 8.0,
    max_length: int = 256,
) -> WarmStart:
    """Read the numbers of a head off the entries' maxima over each text.

    `share_off` of all entries, over all texts, get a logit below 0; a text's strongest has logit `peak` in the median.
    """
    if not texts:
        raise InputError("There is no text to read the threshold off.", expected="some hundred texts")
    live = torch.tensor(_live_ids(model, tokenizer))
    table = model.get_input_embeddings().weight.detach()[live]
    deviations, maxima = [], []
    with torch.inference_mode():
        for text in texts:
            inputs = tokenizer(text, truncation=True, max_length=max_length, padding=False, return_tensors="pt")
            hidden = model(**inputs).last_hidden_state[0]
            deviations.append(float(hidden.std()))
            maxima.append((normalized(hidden, model.config.layer_norm_eps) @ table.T).amax(dim=0).numpy())
    values = np.stack(maxima)
    threshold = float(np.quantile(values, share_off))
    strongest = float(np.median(values.max(axis=1)))
    return WarmStart(threshold, peak / (strongest - threshold), max(SHIFT, DEVIATIONS * float(np.median(deviations))))


def normalized(hidden: torch.Tensor, epsilon: float) -> torch.Tensor:
    """Return LayerNorm(hidden) over the last dimension, without weight and bias."""
    return torch.nn.functional.layer_norm(hidden, hidden.shape[-1:], eps=epsilon)


def warm_start(model: Any, tokenizer: Any, numbers: WarmStart) -> Any:
    """Return a `BertForMaskedLM` with the trunk of `model`, a BertModel, and a head that holds `numbers`.

    Special and unused entries are off for good. Raises `InputError` when the model is no BERT.
    """
    from transformers import BertForMaskedLM

    _require_bert(model)
    result: Any = BertForMaskedLM(model.config)
    state = {name: value for name, value in model.state_dict().items() if not name.startswith("pooler.")}
    result.bert.load_state_dict(state)
    head = result.cls.predictions
    off = sorted(set(range(model.config.vocab_size)) - set(_live_ids(model, tokenizer)))
    with torch.no_grad():
        head.transform.dense.weight.copy_(torch.eye(model.config.hidden_size))
        head.transform.dense.bias.fill_(numbers.shift)
        head.transform.LayerNorm.weight.fill_(numbers.scale)
        head.transform.LayerNorm.bias.zero_()
        head.bias.fill_(-numbers.scale * numbers.threshold)
        head.bias[off] = OFF
    result.tie_weights()
    return result.eval()


def _live_ids(model: Any, tokenizer: Any) -> list[int]:
    size = model.config.vocab_size
    off = {*masked_entries(tokenizer, size), *unused_ids(vocabulary(tokenizer, size))}
    return [number for number in range(size) if number not in off]


def _require_bert(model: Any) -> None:
    from transformers import BertModel

    if not isinstance(model, BertModel):
        raise InputError(
            f"The backbone is a {type(model).__name__}.",
            expected="a BertModel, such as most small sentence encoders are",
        )
    if not model.config.hidden_act.startswith("gelu"):
        raise InputError(f"The backbone's activation is {model.config.hidden_act}.", expected="a kind of GELU")
