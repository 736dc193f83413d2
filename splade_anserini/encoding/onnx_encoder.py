"""Exported encoders, run by onnxruntime: no torch, no transformers."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from splade_anserini.encoding.batches import Batch
from splade_anserini.encoding.entries import NONE, active
from splade_anserini.encoding.exported import check_file, exported_manifest, exported_tokenizer
from splade_anserini.encoding.options import LONGEST, EncoderOptions
from splade_anserini.encoding.protocol import Entries
from splade_anserini.encoding.tokenized import TokenizedEncoder
from splade_anserini.errors import InputError
from splade_anserini.modeling.vocabulary import vocabulary
from splade_anserini.parallel import cpu_count

TOKENS = 512
"""Tokens in a batch. Each thread has one, and logits for all of it: 60 MB for the vocabulary of BERT."""


class OnnxEncoder(TokenizedEncoder):
    """The encoder in a directory that `export` wrote.

    Batches run side by side on `options.threads` threads, one core each; with `options.soonest`, one after the other on
    all of them. An int8 encoder takes one text at a time: dynamic quantization reads the range of its activations off
    the whole batch, so texts would change their neighbours.

    Raises `InputError` when the directory is no encoder, or onnxruntime cannot run it on `options.device`.
    """

    def __init__(self, directory: Path, options: EncoderOptions | None = None, *, name: str | None = None) -> None:
        options = options or EncoderOptions()
        manifest = exported_manifest(directory)
        check_file(directory / "model.onnx", manifest.identity.weights)
        identity = manifest.identity
        tokenizer = exported_tokenizer(directory, identity.tokenizer)
        threads = options.threads or cpu_count()
        self._side_by_side, each = (1, threads) if options.low_latency else (threads, 1)
        self._session = _session(directory / "model.onnx", options.device, each)
        self._inputs = [tensor.name for tensor in self._session.get_inputs()]
        size = self._session.get_outputs()[0].shape[-1]
        super().__init__(
            identity.model_copy(update={"name": name or str(directory)}),
            tokenizer,
            vocabulary(tokenizer, size),
            max_length=min(options.max_length or LONGEST, manifest.max_length),
            batch_size=1 if identity.precision == "int8" else options.batch_size,
            tokens=TOKENS,
        )

    def run(self, batches: Iterable[Batch]) -> Iterator[list[Entries]]:
        """Yield the entries of each batch's texts, in order; batches run side by side."""
        if self._side_by_side == 1:
            yield from super().run(batches)
            return
        pool = ThreadPoolExecutor(self._side_by_side)
        running: deque[Future[list[Entries]]] = deque()
        try:
            for batch in batches:
                running.append(pool.submit(self._entries, batch))
                if len(running) > 2 * self._side_by_side:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _entries(self, batch: Batch) -> list[Entries]:
        if not batch.ids.size:
            return [NONE for _ in batch.positions]
        feed = {"input_ids": batch.ids, "attention_mask": batch.mask, "token_type_ids": np.zeros_like(batch.ids)}
        (weights,) = self._session.run(["weights"], {name: feed[name] for name in self._inputs})
        return active(np.asarray(weights, dtype=np.float32))


def _session(path: Path, device: str, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that spin long while they wait halve the speed as soon as anything else wants a core.
    options.add_session_config_entry("session.intra_op.spin_duration_us", "20")
    options.log_severity_level = 3
    # Lengths vary from call to call: remembering a memory plan for each of them only grows.
    options.enable_mem_pattern = False
    providers = _providers(device)
    try:
        return onnxruntime.InferenceSession(path, options, providers=providers)
    except Exception as error:  # onnxruntime's exceptions share no public base
        raise InputError(f"onnxruntime cannot load {path}: {error}", do="Export the encoder again.") from error


def _providers(device: str) -> list[str | tuple[str, dict[str, int]]]:
    """Map a torch-like device name to what onnxruntime really offers."""
    kind, _, number = device.partition(":")
    has_cuda = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    if kind == "cuda" and not has_cuda:
        raise InputError(
            f"--device {device}: this onnxruntime has no CUDA.", do="pip install onnxruntime-gpu, or use --device cpu."
        )
    if kind == "mps":
        raise InputError("--device mps: exported encoders do not run on mps.", do="Use --device cpu.")
    if kind not in {"auto", "cpu", "cuda"} or (number and not number.isdigit()):
        raise InputError(f"There is no device {device!r}.", expected="auto, cpu, cuda, cuda:n or mps")
    if kind == "cuda" or (kind == "auto" and has_cuda):
        return [("CUDAExecutionProvider", {"device_id": int(number or 0)}), "CPUExecutionProvider"]
    return ["CPUExecutionProvider"]
