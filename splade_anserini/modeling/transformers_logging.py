"""Turning off the output of transformers and torch: this package reports through exceptions and `logging`."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Turn off the warnings, log lines and progress bars of torch and transformers inside the block."""
    from transformers.utils import logging as transformers_logging

    host: Any = transformers_logging
    verbosity, bars = host.get_verbosity(), host.is_progress_bar_enabled()
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    host.set_verbosity_error()
    host.disable_progress_bar()
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        host.set_verbosity(verbosity)
        if bars:
            host.enable_progress_bar()


@contextmanager
def no_safetensors_conversion() -> Iterator[None]:
    """Keep transformers from converting a checkpoint in a background thread, which prints its failures."""
    name = "DISABLE_SAFETENSORS_CONVERSION"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
