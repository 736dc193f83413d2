"""Small files beside a model, in a directory or on Hugging Face."""

import json
from pathlib import Path
from typing import Any

from splade_anserini.errors import InputError


def json_beside(place: str, name: str) -> Any:
    """Return what a JSON file of a Hugging Face id or directory holds, None when it is not there."""
    from transformers.utils.hub import cached_file

    found = cached_file(
        place, name, _raise_exceptions_for_missing_entries=False, _raise_exceptions_for_connection_errors=False
    )
    if found is None:
        return None
    try:
        return json.loads(Path(found).read_bytes())
    except ValueError as error:
        raise InputError(f"{found} is not JSON ({error}).", do="Fetch or save the model again.") from error
