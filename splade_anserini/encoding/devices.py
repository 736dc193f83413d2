"""Which device each worker of `encode` uses."""

from splade_anserini.encoding.options import unknown_device
from splade_anserini.errors import InputError, counted

ALL = "cuda:all"
"""Every GPU of this machine."""


def worker_devices(device: str, workers: int | None) -> list[str]:
    """Return the device of each worker: `cuda:0,cuda:1` are two, `cuda:all` all GPUs of this machine.

    By default there is a worker for each device; more workers share them in turn. Raises `InputError` for an empty or
    repeated device, fewer workers than devices, and `cuda:all` without a GPU.
    """
    devices = _gpus() if device == ALL else device.split(",")
    if len(devices) > 1:
        for name in devices:
            if not (name.startswith("cuda:") and name[5:].isdigit()):
                raise InputError(
                    f"--device {device} has {name!r} among several.", expected="each of the form cuda:n, or cuda:all"
                )
        if repeated := [name for name in devices if devices.count(name) > 1]:
            raise InputError(f"--device {device} names {repeated[0]} twice.", do="Use --workers for several on a GPU.")
    workers = workers or len(devices)
    if workers < len(devices):
        raise InputError(f"--workers ({workers}) is less than the {counted(len(devices), 'device')} of --device.")
    return [devices[index % len(devices)] for index in range(workers)]


def _gpus() -> list[str]:
    import torch

    count = torch.cuda.device_count()
    if not count:
        raise InputError(f"--device {ALL} is not available to torch: there is no GPU.", do="Use --device cpu.")
    return [f"cuda:{index}" for index in range(count)]


def require_one(device: str) -> None:
    """Raise `InputError` for several devices, where one process uses one."""
    if device == ALL or "," in device:
        raise unknown_device(device)
