"""Compute the gradient of one batch, in one pass or with gradient caching."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from splade_anserini.modeling.trainable import Group
from splade_anserini.training.batch import Batch
from splade_anserini.training.objective import Vectors

type Groups = tuple[Group, ...]
type RandomState = tuple[torch.Tensor, list[torch.Tensor]]
"""The state of the generators of the CPU and of each GPU."""


@dataclass(frozen=True, slots=True)
class Gradients:
    """Adds the gradient of a loss over a batch to the parameters of a module."""

    module: Callable[[Groups, Groups], tuple[torch.Tensor, torch.Tensor]]
    """Groups of queries and of documents → the weights of each, [texts, vocabulary]."""
    backward: Callable[[torch.Tensor], Any]
    no_sync: Callable[[], AbstractContextManager[Any]] = nullcontext
    """A context in which devices do not exchange gradients: for all backward passes of a step except the last."""

    def plain(self, batch: Batch, loss_of: Callable[[Vectors], torch.Tensor]) -> Vectors:
        """Add the gradient of `loss_of` the batch's vectors in one pass; return the vectors, detached."""
        vectors = _of_every_document(batch, Vectors(*self.module(batch.queries, batch.documents)))
        self.backward(loss_of(vectors))
        return Vectors(vectors.queries.detach(), vectors.documents.detach())

    def cached(self, batch: Batch, loss_of: Callable[[Vectors], torch.Tensor]) -> Vectors:
        """Do the same as `plain` in the memory of one group (gradient caching, Gao et al. 2021).

        First all vectors are computed without gradients, then the gradient of the loss with respect to the vectors;
        then each group is computed again and the gradient of vectors · gradient is added. The second pass uses the same
        random numbers as the first, so that dropout is the same.
        """
        passes: list[tuple[Groups, Groups]] = [((group,), ()) for group in batch.queries]
        passes += [((), (group,)) for group in batch.documents]
        states, outputs = [], []
        with torch.no_grad():
            for groups in passes:
                states.append(_random_state())
                outputs.append(self.module(*groups))
        vectors = Vectors(
            _in_batch_order(batch.queries, [queries for queries, _ in outputs if len(queries)]),
            _in_batch_order(batch.documents, [documents for _, documents in outputs if len(documents)]),
        )
        gradients = torch.autograd.grad(
            loss_of(_of_every_document(batch, vectors)), (vectors.queries, vectors.documents), allow_unused=True
        )
        for index, (groups, state) in enumerate(zip(passes, states, strict=True)):
            is_last = index == len(passes) - 1
            with _random_state_restored(state), nullcontext() if is_last else self.no_sync():
                queries, documents = self.module(*groups)
                side, gradient = (queries, gradients[0]) if groups[0] else (documents, gradients[1])
                if gradient is not None and side.requires_grad:
                    rows = (groups[0] or groups[1])[0].positions.sort().values
                    self.backward((side * gradient[rows]).sum())
        return _of_every_document(batch, Vectors(vectors.queries.detach(), vectors.documents.detach()))


def _of_every_document(batch: Batch, vectors: Vectors) -> Vectors:
    """Return a vector for each document of the batch, also where several have the same text."""
    return Vectors(vectors.queries, vectors.documents[batch.document_rows])


def _in_batch_order(groups: Sequence[Group], outputs: Sequence[torch.Tensor]) -> torch.Tensor:
    # The module returns the texts of a group in the order of their positions.
    order = torch.cat([group.positions.sort().values for group in groups]).argsort()
    return torch.cat(list(outputs))[order].requires_grad_()


def _random_state() -> RandomState:
    return torch.get_rng_state(), torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []


@contextmanager
def _random_state_restored(state: RandomState) -> Iterator[None]:
    """Use the random numbers from `state` on inside the block, and the present ones again after it."""
    present = _random_state()
    _set_random_state(state)
    try:
        yield
    finally:
        _set_random_state(present)


def _set_random_state(state: RandomState) -> None:
    torch.set_rng_state(state[0])
    if state[1]:
        torch.cuda.set_rng_state_all(state[1])
