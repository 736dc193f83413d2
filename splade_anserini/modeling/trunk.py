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


def convert(module: torch.nn.Module, device: torch.device, dtype: torch.dtype | None = None) -> None:
    """Give `module` parameters and buffers on `device`, the parameters in `dtype`; tensors that others hold stay."""
    made: dict[int, torch.nn.Parameter] = {}
    for part in module.modules():
        for name, old in list(part.named_parameters(recurse=False)):
            new = torch.nn.Parameter(old.detach().to(device, dtype), requires_grad=False)
            setattr(part, name, made.setdefault(id(old), new))
        for name, buffer in list(part.named_buffers(recurse=False)):
            setattr(part, name, buffer.to(device))
