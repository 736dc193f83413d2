"""A masked-language model without its output layer, in a copy that leaves the model itself as it is."""

import copy
from typing import Any

import torch


def shared_copy(model: Any) -> Any:
    """Return a copy, ready for inference, of whose modules every one is new and every tensor is the model's own."""
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    return copy.deepcopy(model, shared).eval()


def cut_output_layer(model: Any) -> torch.nn.Linear | None:
    """Take the output layer out of `model`, so that its logits are what that layer would read; return the layer.

    None, and the model is as before, when the output layer is no plain linear one, or something follows it.
    """
    layer = model.get_output_embeddings()
    places = [(parent, name) for parent in model.modules() for name, child in parent.named_children() if child is layer]
    if type(layer) is not torch.nn.Linear or len(places) != 1:
        return None
    parent, name = places[0]
    expected = _logits(model)
    setattr(parent, name, torch.nn.Identity())
    found = _logits(model)
    if found.shape[-1] == layer.in_features and torch.allclose(layer(found), expected, rtol=1e-4, atol=1e-4):
        return layer
    setattr(parent, name, layer)
    return None


@torch.no_grad()
def _logits(model: Any) -> torch.Tensor:
    """Return what the model makes of a short input."""
    ids = torch.arange(min(6, model.config.vocab_size), device=model.device).unsqueeze(0)
    logits: torch.Tensor = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    return logits


def convert(model: Any, device: torch.device, dtype: torch.dtype) -> None:
    """Give `model` tensors of its own on `device`, the parameters of its body in `dtype`; those it shared stay.

    Copies, even where nothing changes: a view of one tensor would keep the whole file of weights in memory.
    """
    body = {id(parameter) for parameter in model.base_model.parameters()}
    made: dict[int, torch.nn.Parameter] = {}
    for part in model.modules():
        for name, old in list(part.named_parameters(recurse=False)):
            if id(old) not in made:
                values = old.detach().to(device, dtype if id(old) in body else old.dtype, copy=True)
                made[id(old)] = torch.nn.Parameter(values, requires_grad=False)
            setattr(part, name, made[id(old)])
        for name, buffer in list(part.named_buffers(recurse=False)):
            setattr(part, name, buffer.to(device))
