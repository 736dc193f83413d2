"""Exported encoders, run by onnxruntime without torch and transformers."""

import ctypes
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from threading import Lock, Semaphore, get_ident
from typing import Any
from weakref import WeakSet

import numpy as np
import numpy.typing as npt
import onnxruntime

from splade_anserini.artifacts.manifests import Batching, EncoderManifest, read_manifest
from splade_anserini.encoding.batch_bound import BatchBound, bounded, bytes_per_token
from splade_anserini.encoding.exported import read_exported
from splade_anserini.encoding.memory import BatchLimit
from splade_anserini.encoding.onnx_tensors import nodes, with_output
from splade_anserini.encoding.options import DEFAULT_BATCH_SIZE, DEFAULT_MAX_LENGTH, EncoderOptions, unknown_device
from splade_anserini.encoding.protocol import Entries
from splade_anserini.encoding.published_onnx import LogitsOutput, feed, read_published
from splade_anserini.encoding.tokenized import TokenizedEncoder, launched_ahead, no_entries, split_by_text
from splade_anserini.errors import InputError
from splade_anserini.modeling.token_batches import TokenBatch
from splade_anserini.modeling.vocabulary import masked_entries, unindexable_ids, vocabulary
from splade_anserini.parallel import cpu_count
from splade_anserini.records import StrPath

MAX_TOKENS = 512
"""Tokens in a batch. Each thread holds the logits of one batch: 60 MB with BERT's vocabulary."""


class OnnxEncoder(TokenizedEncoder):
    """The encoder in a directory with an ONNX graph.

    A graph that `export` wrote computes weights, as its manifest says. One of another tool computes logits, which are
    activated and pooled here as `options` say, by default by maximum and ReLU.

    Batches run in parallel on `options.threads` threads, one processor each; with `options.low_latency`, one after the
    other on all of them. An int8 encoder runs one text at a time: dynamic quantization takes the range of activations
    from the whole batch, so that the weights of a text would depend on the texts beside it.

    It may be used in forked processes too, on a CPU: where onnxruntime's own threads would be missing, the graph is
    read again there.

    Raises `InputError` when the directory is not an encoder, or onnxruntime cannot run it on `options.device`.
    """

    def __init__(
        self,
        directory: StrPath,
        options: EncoderOptions | None = None,
        *,
        name: str | None = None,
        prompt: str | None = None,
        max_active_dims: int | None = None,
    ) -> None:
        directory, options = Path(directory), options or EncoderOptions()
        threads = options.threads or cpu_count()
        self._parallel_batches, threads_per_batch = (1, threads) if options.low_latency else (threads, 1)
        manifest = read_manifest(directory, EncoderManifest)
        model = read_exported(directory, manifest) if manifest else read_published(directory)
        self._path, self._device = model.path, options.device
        self._open_session = partial(_session, model.path, options.device, threads_per_batch)
        self._has_threads = threads_per_batch > 1
        session = self._session = self._open_session()
        self._input_types = {tensor.name: tensor.type for tensor in session.get_inputs()}
        self._output = model.output(session, options.aggregation)
        tokens = vocabulary(model.tokenizer, self._output.vocabulary_size)
        identity = self._output.identity
        unindexable = unindexable_ids(tokens)
        # Graphs of other tools mask nothing, those of earlier versions not what Lucene cannot hold.
        self._masked = unindexable if manifest else masked_entries(model.tokenizer, len(tokens))
        max_length = min(options.max_length or DEFAULT_MAX_LENGTH, model.max_length)
        bound = self._bound(BatchBound(MAX_TOKENS, self._parallel_batches), max_length)
        self._parallel_batches = bound.parallel
        self._make_locks()
        self._running: set[int] = set()
        self.batch_limit = BatchLimit("this machine", "Use a smaller --max-length, or a machine with more memory.")
        """The size of batches that fit into memory."""
        changes = {
            "name": name or str(directory),
            "unindexable_entries": len(unindexable),
            "prompt": identity.prompt if prompt is None else prompt,
            "max_active_dims": max_active_dims or identity.max_active_dims,
        }
        super().__init__(
            identity.model_copy(update=changes),
            model.tokenizer,
            tokens,
            max_length=max_length,
            batch_size=1 if identity.precision == "int8" else options.batch_size or DEFAULT_BATCH_SIZE,
            max_tokens=bound.tokens,
        )
        _encoders.add(self)

    def _make_locks(self) -> None:
        self._slots, self._alone_lock, self._session_lock = Semaphore(self._parallel_batches), Lock(), Lock()

    @property
    def batching(self) -> Batching | None:
        """The size of batches, where the last bits of weights depend on it; else None: int8 runs one text at a time."""
        return None if self.identity.precision == "int8" else self.batch_limit.applied(super().batching)

    def _bound(self, wanted: BatchBound, max_length: int) -> BatchBound:
        """Return how many batches of which size the free memory allows; a GPU has its own."""
        if self._session and self._session.get_providers()[0] != "CPUExecutionProvider":
            return wanted
        size, copies = self._output.vocabulary_size, self._output.copies
        return bounded(wanted, max_length, bytes_per_token(max_length, size, copies=copies))

    def _run(self, batches: Iterable[TokenBatch]) -> Iterator[list[Entries]]:
        """Yield all entries of each batch's texts, in order; batches run in parallel."""
        if self._parallel_batches == 1:
            yield from super()._run(batches)
            return
        pool = ThreadPoolExecutor(self._parallel_batches)
        try:
            yield from launched_ahead(
                lambda batch: pool.submit(self._entries, batch).result, batches, 2 * self._parallel_batches
            )
        finally:
            pool.shutdown(cancel_futures=True)

    def _entries(self, batch: TokenBatch) -> list[Entries]:
        if not batch.ids.size:
            return no_entries(batch)
        if self._parallel_batches == 1:
            return self._halved(batch, self._computed)
        try:
            return self._halved(batch, self._in_parallel)
        except InputError:  # a text that does not fit beside those of other threads
            return self._halved(batch, self._alone)

    def _halved(self, batch: TokenBatch, run: Callable[[TokenBatch], list[Entries]]) -> list[Entries]:
        return list(chain.from_iterable(self.batch_limit.run(batch, run, _nothing)))

    def _in_parallel(self, batch: TokenBatch) -> list[Entries]:
        with self._slots:
            return self._computed(batch)

    def _alone(self, batch: TokenBatch) -> list[Entries]:
        """Compute a batch while no other is."""
        with ExitStack() as stack:
            stack.enter_context(self._alone_lock)
            for _ in range(self._parallel_batches):
                stack.enter_context(self._slots)
            return self._computed(batch)

    def _computed(self, batch: TokenBatch) -> list[Entries]:
        session, thread = self._opened_session(), get_ident()
        self._running.add(thread)
        try:
            (output,) = session.run([self._output.name], feed(self._input_types, batch.ids, batch.mask))
        finally:
            self._running.discard(thread)
        weights = np.asarray(self._output.weights(output, batch.mask), dtype=np.float32)
        weights[:, self._masked] = 0.0
        return _active_entries(weights)

    def _contributions(self, batch: TokenBatch, entry_ids: npt.NDArray[np.int64]) -> npt.NDArray[Any] | None:
        tensors = self._opened_tensors
        if tensors is None:
            return None
        session, tensor = tensors
        (output,) = session.run([tensor], feed(self._input_types, batch.ids, batch.mask))
        contributions: npt.NDArray[Any] = output[0][:, entry_ids]
        return contributions

    @cached_property
    def _opened_tensors(self) -> tuple[Any, str] | None:
        """A session with an output [batch, length, vocabulary] that is pooled, and its name; None when it has none.

        What is pooled grows with the logit, so that the greatest is that of the token with the greatest share.
        """
        if isinstance(self._output, LogitsOutput):
            return self._opened_session(), self._output.name
        graph = self._path.read_bytes()
        pooled = [node.inputs[0] for node in nodes(graph) if node.operator.startswith("Reduce") and node.inputs]
        for tensor in reversed(pooled):
            session = _session(with_output(graph, tensor), self._device, cpu_count())
            shape = session.get_outputs()[-1].shape
            if len(shape) == 3 and shape[-1] == self._output.vocabulary_size:
                return session, tensor
        return None

    def _opened_session(self) -> Any:
        if self._session is None:
            with self._session_lock:
                self._session = self._session or self._open_session()
        return self._session

    def after_fork(self) -> None:
        """Drop, in a forked process, what waits for threads that are not there: locks, and threads of the session."""
        self._make_locks()
        self.batch_limit.after_fork()
        if self._session and (self._has_threads or self._running):
            # Freeing it would wait for its threads.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._session))
            self._session = None
        self._running.clear()


_encoders: WeakSet[OnnxEncoder] = WeakSet()


def _after_fork() -> None:
    _exit_without_destructors()
    for encoder in list(_encoders):
        encoder.after_fork()


def _exit_without_destructors() -> None:
    """Let this forked process end after Python has, and not wait for a thread of onnxruntime that is not there.

    onnxruntime starts a thread when it is imported, and its destructors wait for it when a process exits.
    """
    c = ctypes.CDLL(None)
    if hasattr(c, "on_exit") and hasattr(c, "__cxa_atexit"):  # glibc; what is registered last is called first
        c.on_exit(c._exit, None)  # noqa: SLF001  # the function of C: _exit(status)
        getattr(c, "__cxa_atexit")(c.fflush, None, None)  # Python would mangle the name


os.register_at_fork(after_in_child=_after_fork)


def _nothing() -> None:
    """Free nothing: onnxruntime keeps the memory that it has."""


def _active_entries(weights: npt.NDArray[np.float32]) -> list[Entries]:
    """Return the entries of each row of [batch, vocabulary] that are above 0."""
    rows, ids = np.nonzero(weights > 0)
    return split_by_text(len(weights), rows, ids, weights[rows, ids])


def _session(path: Path | bytes, device: str, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Waiting threads that spin for long halve the speed as soon as another program needs a processor.
    options.add_session_config_entry("session.intra_op.spin_duration_us", "20")
    options.log_severity_level = 3
    # Lengths vary from call to call, and a memory plan would be kept for each.
    options.enable_mem_pattern = False
    providers = _providers(device)
    try:
        return onnxruntime.InferenceSession(path, options, providers=providers)
    except Exception as error:  # onnxruntime's exceptions share no public base
        name = path if isinstance(path, Path) else "the graph"
        raise InputError(f"onnxruntime cannot load {name}: {error}", do="Export the encoder again.") from error


def _providers(device: str) -> list[str | tuple[str, dict[str, int]]]:
    """Return the execution providers of onnxruntime for a device named as in torch."""
    kind, _, index = device.partition(":")
    has_cuda = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    if kind == "cuda" and not has_cuda:
        raise InputError(
            f"--device {device} is not available: this onnxruntime has no CUDA.",
            do="Run pip install onnxruntime-gpu, or use --device cpu.",
        )
    if kind == "mps":
        raise InputError("--device mps is not available for exported encoders.", do="Use --device cpu.")
    if kind not in {"auto", "cpu", "cuda"} or (index and not index.isdigit()):
        raise unknown_device(device)
    if kind == "cuda" or (kind == "auto" and has_cuda):
        return [("CUDAExecutionProvider", {"device_id": int(index or 0)}), "CPUExecutionProvider"]
    return ["CPUExecutionProvider"]
