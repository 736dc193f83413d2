"""One batch's gradient: in one pass, or with cached vectors, in the memory of one group of texts."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from splade_anserini.modeling.trainable import Group
from splade_anserini.training.batch import Batch
from splade_anserini.training.objective import Vectors

type Groups = tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class Gradients:
    """Adds gradients to the parameters of a module: groups of queries and of documents → the weights of each."""

    module: Callable[[Groups, Groups], tuple[torch.Tensor, torch.Tensor]]
    backward: Callable[[torch.Tensor], Any]
    no_sync: Callable[[], AbstractContextManager[Any]] = nullcontext
    """Inside it, devices do not exchange gradients; for all backward passes but the last of a step."""

    def plain(self, batch: Batch, loss_of: Callable[[Vectors], torch.Tensor]) -> Vectors:
        """Add the gradient of `loss_of` the batch's vectors; return these."""
        vectors = Vectors(*self.module(batch.queries, batch.documents))
        self.backward(loss_of(vectors))
        return Vectors(vectors.queries.detach(), vectors.documents.detach())

    def cached(self, batch: Batch, loss_of: Callable[[Vectors], torch.Tensor]) -> Vectors:
        """Do the same group by group (gradient caching, Gao et al. 2021).

        The vectors come first, without gradient; then the loss's gradient at the vectors; then every group again, whose
        gradient is that of vectors · gradient. Random numbers, as of dropout, are the same both times.
        """
        parts: list[tuple[Groups, Groups]] = [((group,), ()) for group in batch.queries]
        parts += [((), (group,)) for group in batch.documents]
        states, found = [], []
        with torch.no_grad():
            for part in parts:
                states.append(_random_state())
                found.append(self.module(*part))
        vectors = Vectors(
            _in_order(batch.queries, [queries for queries, _ in found if len(queries)]),
            _in_order(batch.documents, [documents for _, documents in found if len(documents)]),
        )
        loss = loss_of(vectors)
        of_queries, of_documents = torch.autograd.grad(loss, (vectors.queries, vectors.documents), allow_unused=True)
        for number, (part, state) in enumerate(zip(parts, states, strict=True)):
            last = number == len(parts) - 1
            with _random(state), nullcontext() if last else self.no_sync():
                queries, documents = self.module(*part)
                side, full = (queries, of_queries) if part[0] else (documents, of_documents)
                if full is not None and side.requires_grad:
                    places = (part[0] or part[1])[0].positions.sort().values
                    self.backward((side * full[places]).sum())
        return Vectors(vectors.queries.detach(), vectors.documents.detach())


def _in_order(groups: Sequence[Group], parts: Sequence[torch.Tensor]) -> torch.Tensor:
    places = torch.cat([group.positions.sort().values for group in groups]).argsort()
    return torch.cat(list(parts))[places].requires_grad_()


def _random_state() -> tuple[torch.Tensor, list[torch.Tensor]]:
    return torch.get_rng_state(), torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []


@contextmanager
def _random(state: tuple[torch.Tensor, list[torch.Tensor]]) -> Iterator[None]:
    """Take up the random numbers at `state`; afterwards all is as before."""
    before = _random_state()
    _set_random(state)
    try:
        yield
    finally:
        _set_random(before)


def _set_random(state: tuple[torch.Tensor, list[torch.Tensor]]) -> None:
    torch.set_rng_state(state[0])
    if state[1]:
        torch.cuda.set_rng_state_all(state[1])
