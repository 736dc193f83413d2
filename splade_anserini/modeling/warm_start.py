"""A masked-language-model head for a sentence encoder, without any training.

The last hidden states of a sentence encoder, layer-normalized, are close to the input embeddings of their tokens and of
similar tokens. With the embeddings E they give the logits s · (LayerNorm(h) · E_j − θ), which a `BertForMaskedLM` can
represent exactly: the dense layer of its head only adds a constant, large enough for GELU to be the identity, and its
LayerNorm removes the constant again. In bf16 or int8 the constant would cost the precision of the hidden states, so
this layer must compute in float32.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from splade_anserini.errors import InputError
from splade_anserini.modeling.options import SHIFT, CalibrationOptions
from splade_anserini.modeling.vocabulary import masked_entries, unused_ids, vocabulary
from splade_anserini.progress import Progress, silent

OFF = -1e4
"""The bias of masked entries: low enough that none becomes active, and finite in every precision."""

DEVIATIONS = 20.0
"""The constant of the dense layer is `SHIFT`, or this many standard deviations of the hidden states if that is more."""


@dataclass(frozen=True, slots=True)
class WarmStart:
    """The parameters of a head: logit = scale · (LayerNorm(h) · E_j − threshold)."""

    threshold: float
    scale: float
    shift: float = SHIFT
    """The bias of the dense layer."""


def calibrate(
    model: Any,
    tokenizer: Any,
    texts: Sequence[str],
    options: CalibrationOptions | None = None,
    progress: Progress = silent,
) -> WarmStart:
    """Choose the parameters of a head from the greatest logit of each entry in each text.

    The share `options.share_off` of all entries, over all texts, gets a logit below 0; the greatest logit of a text is
    `options.peak` in the median. Raises `InputError` when there are no texts.
    """
    options = options or CalibrationOptions()
    if not texts:
        raise InputError("There are no texts to calibrate the head with.", expected="some hundred texts")
    live = torch.tensor(_live_ids(model, tokenizer))
    table = model.get_input_embeddings().weight.detach()[live]
    deviations, maxima = [], []
    with torch.inference_mode():
        for text in texts:
            inputs = tokenizer(text, truncation=True, max_length=options.max_length, padding=False, return_tensors="pt")
            hidden = model(**inputs).last_hidden_state[0]
            deviations.append(float(hidden.std()))
            maxima.append((normalized(hidden, model.config.layer_norm_eps) @ table.T).amax(dim=0).numpy())
            progress(1)
    values = np.stack(maxima)
    threshold = float(np.quantile(values, options.share_off))
    greatest = float(np.median(values.max(axis=1)))
    shift = max(SHIFT, DEVIATIONS * float(np.median(deviations)))
    return WarmStart(threshold, options.peak / (greatest - threshold), shift)


def normalized(hidden: torch.Tensor, epsilon: float) -> torch.Tensor:
    """Return LayerNorm(hidden) over the last dimension, without weight and bias."""
    return torch.nn.functional.layer_norm(hidden, hidden.shape[-1:], eps=epsilon)


def warm_start(model: Any, tokenizer: Any, parameters: WarmStart) -> Any:
    """Return a `BertForMaskedLM` with the body of `model`, a BertModel, and a head with `parameters`.

    Special and unused entries are masked. Raises `InputError` when the model is not a BertModel with GELU.
    """
    from transformers import BertForMaskedLM

    _require_bert(model)
    # The output layer of the head is the table of embeddings, whatever the body's own configuration says.
    config = copy.deepcopy(model.config)
    config.tie_word_embeddings = True
    result: Any = BertForMaskedLM(config)
    state = {name: value for name, value in model.state_dict().items() if not name.startswith("pooler.")}
    result.bert.load_state_dict(state)
    head = result.cls.predictions
    masked = sorted(set(range(model.config.vocab_size)) - set(_live_ids(model, tokenizer)))
    with torch.no_grad():
        head.transform.dense.weight.copy_(torch.eye(model.config.hidden_size))
        head.transform.dense.bias.fill_(parameters.shift)
        head.transform.LayerNorm.weight.fill_(parameters.scale)
        head.transform.LayerNorm.bias.zero_()
        head.bias.fill_(-parameters.scale * parameters.threshold)
        head.bias[masked] = OFF
    result.tie_weights()
    return result.eval()


def _live_ids(model: Any, tokenizer: Any) -> list[int]:
    size = model.config.vocab_size
    masked = {*masked_entries(tokenizer, size), *unused_ids(vocabulary(tokenizer, size))}
    return [token_id for token_id in range(size) if token_id not in masked]


def _require_bert(model: Any) -> None:
    from transformers import BertModel

    if not isinstance(model, BertModel):
        raise InputError(
            f"The backbone is a {type(model).__name__}; a warm start needs a BertModel.",
            do="Choose another --backbone: most small sentence encoders are BertModels.",
        )
    if not model.config.hidden_act.startswith("gelu"):
        raise InputError(f"The backbone's activation is {model.config.hidden_act}; a warm start needs GELU.")
