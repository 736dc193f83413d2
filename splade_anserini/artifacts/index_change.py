"""What a change of an index did, as its manifest records it."""

from typing import Literal

from splade_anserini.artifacts.model import Count, GrowingModel
from splade_anserini.errors import counted


class IndexChange(GrowingModel):
    """What the last change of an index did."""

    kind: Literal["append", "update", "delete"]
    added: Count = 0
    replaced: Count = 0
    deleted: Count = 0
    source: str | None = None
    """Fingerprint of the pseudo-documents; None: nothing was added."""
    deletions: str | None = None
    """Fingerprint of the ids to delete; None: there were none."""

    later_fields = frozenset({"added", "replaced", "deleted", "source", "deletions"})

    @property
    def words(self) -> str:
        """What was done, such as "10 documents added, 1 document deleted"; "" for nothing."""
        numbers = ((self.added, "added"), (self.replaced, "replaced"), (self.deleted, "deleted"))
        return ", ".join(f"{counted(number, 'document')} {verb}" for number, verb in numbers if number)
