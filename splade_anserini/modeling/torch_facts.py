"""What torch can use on this machine."""

from typing import NamedTuple

import torch

from splade_anserini.modeling.precision import has_native_bf16


class TorchFacts(NamedTuple):
    """The version of torch and the devices that it sees."""

    version: str
    gpus: tuple[tuple[str, int], ...]
    """Name and bytes of memory of each."""
    has_mps: bool
    has_native_bf16: bool


def torch_facts() -> TorchFacts:
    """Look at the devices; a GPU that is there and broken raises what torch raises."""
    properties = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    gpus = tuple((str(gpu.name), int(gpu.total_memory)) for gpu in properties)
    return TorchFacts(str(torch.__version__), gpus, torch.backends.mps.is_available(), has_native_bf16())
