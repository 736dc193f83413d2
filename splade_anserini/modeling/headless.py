"""A copy of a masked-language model without its output layer; the model itself is not changed."""

import copy
from contextlib import suppress
from typing import Any

import torch


def shared_copy(model: Any) -> Any:
    """Return a copy of a model, ready for inference, with new modules that share the model's tensors.

    Buffers are on the device of the parameters: where another copy was moved, its parameters, which are shared, moved
    without the buffers of this one.
    """
    tensors = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    shared = copy.deepcopy(model, tensors).eval()
    device = next(shared.parameters()).device
    for module in shared.modules():
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, buffer.to(device))
    return shared


def cut_output_layer(model: Any) -> torch.nn.Linear | None:
    """Remove the output layer of `model`, in place, so that its logits are that layer's inputs; return the layer.

    Returns None, and leaves the model unchanged, when the output layer is not a plain linear one, or something follows
    it.
    """
    layer = model.get_output_embeddings()
    owners = [(parent, name) for parent in model.modules() for name, child in parent.named_children() if child is layer]
    if type(layer) is not torch.nn.Linear or len(owners) != 1:
        return None
    parent, name = owners[0]
    expected = _logits(model)
    setattr(parent, name, torch.nn.Identity())
    # Heads that use the layer's weights themselves, as MobileBERT's, cannot do without it.
    with suppress(Exception):
        inputs = _logits(model)
        if inputs.shape[-1] == layer.in_features and torch.allclose(layer(inputs), expected, rtol=1e-4, atol=1e-4):
            return layer
    setattr(parent, name, layer)
    return None


_PADDING_IS_MASKED = {
    *("albert", "bert", "camembert", "data2vec-text", "deberta", "deberta-v2", "distilbert", "electra", "ernie"),
    *("longformer", "modernbert", "mpnet", "nomic_bert", "rembert", "roberta", "roberta-prelayernorm", "roformer"),
    *("squeezebert", "xlm", "xlm-roberta", "xlm-roberta-xl", "xmod"),
}
"""Types of models in which the attention mask hides padding from all that is computed."""


@torch.no_grad()
def padding_counts(model: Any) -> bool:
    """Return whether the logits of a text depend on padding beside it, as those of models with convolutions do."""
    if model.config.model_type in _PADDING_IS_MASKED:
        return False
    ids = torch.arange(min(12, model.config.vocab_size), device=model.device)
    short = ids[: len(ids) // 2]
    mask = torch.ones(2, len(ids), dtype=torch.long, device=model.device)
    mask[0, len(short) :] = 0
    try:
        alone = model(input_ids=short.unsqueeze(0), attention_mask=mask[1:, : len(short)]).logits[0]
        beside = model(input_ids=torch.stack([ids, ids]), attention_mask=mask).logits[0, : len(short)]
    except (RuntimeError, ValueError):
        # Some models take other lengths only; what is wrong is found when they encode.
        return False
    return not torch.allclose(alone, beside, rtol=1e-3, atol=1e-3 * float(alone.abs().max()))


@torch.no_grad()
def _logits(model: Any) -> torch.Tensor:
    """Return the logits of a short input."""
    ids = torch.arange(min(6, model.config.vocab_size), device=model.device).unsqueeze(0)
    logits: torch.Tensor = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    return logits


def convert(model: Any, device: torch.device, dtype: torch.dtype) -> None:
    """Give `model` tensors of its own on `device`, with the parameters of its body in `dtype`.

    The tensors are always copies: a view of one tensor would keep the whole file of weights in memory.
    """
    body = {id(parameter) for parameter in model.base_model.parameters()}
    converted: dict[int, torch.nn.Parameter] = {}
    for module in model.modules():
        for name, old in list(module.named_parameters(recurse=False)):
            if id(old) not in converted:
                values = old.detach().to(device, dtype if id(old) in body else old.dtype, copy=True)
                converted[id(old)] = torch.nn.Parameter(values, requires_grad=False)
            setattr(module, name, converted[id(old)])
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, buffer.to(device))
