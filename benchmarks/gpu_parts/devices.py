"""Time and memory on a device: synchronized clocks, peaks, the rate of a matrix product."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from contestant import peak_rss


def synchronize(device: str) -> None:
    """Wait until the device has done everything that was launched."""
    import torch

    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def timed(work: Callable[[], object], device: str) -> float:
    """Return the seconds that some work takes, with nothing left to do on the device before and after it."""
    synchronize(device)
    begin = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - begin


def rate[T](
    work: Callable[[Sequence[T]], object],
    items: Sequence[T],
    device: str,
    *,
    trial: int,
    seconds: float,
    rounds: int,
) -> float:
    """Return the median of items/s over some rounds; a round takes about `seconds`, if there are enough items."""
    trial = min(trial, len(items))
    timed(lambda: work(items[:trial]), device)
    estimate = timed(lambda: work(items[:trial]), device)
    count = max(trial, min(len(items), int(trial * seconds / estimate)))
    return statistics.median(count / timed(lambda: work(items[:count]), device) for _ in range(rounds))


def matmul_rate(size: int, dtype: Any, device: str, rounds: int = 10) -> float:
    """Return the median FLOP/s of a product of two square random matrices."""
    import torch

    a, b = (torch.rand(size, size, device=device).to(dtype) for _ in range(2))
    for _ in range(3):
        a @ b
    return statistics.median(2 * size**3 / timed(lambda: a @ b, device) for _ in range(rounds))


def reset_peak(device: str) -> None:
    """Forget the peak of the memory so far, and free what is cached. A CPU's peak cannot be forgotten."""
    import gc

    import torch

    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def peak_megabytes(device: str) -> float | None:
    """Return the peak of the tensors' memory on a GPU, of the resident set on a CPU, in MB."""
    import torch

    return torch.cuda.max_memory_allocated(device) / 1e6 if device.startswith("cuda") else peak_rss()


def describe(device: str) -> dict[str, Any]:
    """Return the facts about the machine that figures depend on."""
    import torch

    from splade_anserini.artifacts.environment import package_versions

    names = ("torch", "transformers", "sentence-transformers", "triton", "accelerate")
    facts: dict[str, Any] = {"device": device, **package_versions(names)}
    if device.startswith("cuda"):
        properties = torch.cuda.get_device_properties(device)
        facts |= {
            "card": properties.name,
            "memory": f"{properties.total_memory / 2**30:.0f} GiB",
            "multiprocessors": properties.multi_processor_count,
            "L2": f"{getattr(properties, 'L2_cache_size', 0) / 2**20:.0f} MiB",
            "CUDA": torch.version.cuda,
        }
    return facts
