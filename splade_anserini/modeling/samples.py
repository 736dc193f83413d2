"""A fixed sample of a corpus, of any length, read once."""

import random
from collections.abc import Iterable

from splade_anserini.records import Document


def sample(documents: Iterable[Document], size: int, *, seed: int = 0) -> list[Document]:
    """Return `size` documents, or all if there are fewer, each with the same chance: reservoir sampling.

    The same documents in the same order give the same sample.
    """
    dice = random.Random(seed)  # noqa: S311 - no secret depends on it
    chosen: list[Document] = []
    for number, document in enumerate(documents):
        if number < size:
            chosen.append(document)
        elif (place := dice.randrange(number + 1)) < size:
            chosen[place] = document
    return chosen
