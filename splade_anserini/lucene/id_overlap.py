"""Whether two indexes are of the same collection."""

from pathlib import Path
from typing import Any

from splade_anserini.lucene.counting import opened_index
from splade_anserini.lucene.java.java_errors import java_errors
from splade_anserini.lucene.schema import ID

_LOOKED_AT = 1000
"""Documents of each index, spread evenly."""


def share_ids(one: Path, other: Path) -> bool:
    """Say whether some document is in both indexes, as far as a thousand of each can show.

    Raises `InputError` where `open_reader` does.
    """
    with opened_index(one) as first, opened_index(other) as second, java_errors(f"comparing {one} and {other}"):
        return _some_in(first, second) or _some_in(second, first)


def _some_in(reader: Any, other: Any) -> bool:
    from jnius import autoclass

    term, stored = autoclass("org.apache.lucene.index.Term"), reader.storedFields()
    documents = reader.maxDoc()
    for place in range(0, documents, max(1, documents // _LOOKED_AT)):
        id_ = stored.document(place).get(ID)
        if id_ is not None and other.docFreq(term(ID, id_)) > 0:
            return True
    return False
