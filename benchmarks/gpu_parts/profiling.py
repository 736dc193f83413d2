"""Where the time of encoding goes: the share of the kernels, and the time in which the GPU has nothing to do."""

from typing import Any

from gpu_parts.context import Context
from gpu_parts.devices import timed
from gpu_parts.workload import checkpoint, documents, encoder

KERNELS = 8


def profile(context: Context, size: str, length: int, precision: str) -> dict[str, Any]:
    """Profile the model alone on a few batches; return the kernels that take longest, and how busy the device is."""
    import torch
    from torch.profiler import ProfilerActivity

    text_encoder = encoder(context, checkpoint(context, size), precision=precision, max_length=length)
    batches = text_encoder.prepare(documents(context, length)[: text_encoder.window])[:6]

    def run() -> None:
        for _ in text_encoder.run(batches):
            pass

    run()
    seconds = timed(run, context.device)
    activity = ProfilerActivity.CUDA if context.is_cuda else ProfilerActivity.CPU
    with torch.profiler.profile(activities=[activity]) as profiler:
        timed(run, context.device)
    times: dict[str, float] = {}
    for event in profiler.key_averages():
        time = event.self_device_time_total if context.is_cuda else event.self_cpu_time_total
        if not event.key.startswith(("cuda", "Activity", "aten::" if context.is_cuda else "cuda")):
            times[event.key] = times.get(event.key, 0.0) + time / 1e6
    total = sum(times.values())
    longest = sorted(times, key=lambda name: -times[name])[:KERNELS]
    return {
        "share of time in kernels": total / seconds,
        "detail": "; ".join(f"{name[:60]} {times[name] / total:.0%}" for name in longest),
    }
