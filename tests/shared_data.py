"""Collections that are not part of the checkout: where they are, and the mark of a test that needs one."""

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("SPLADE_ANSERINI_DATA") or Path(__file__).parents[2] / "shared" / "data").resolve()
"""The directory of the collections, as in `SPLADE_ANSERINI_DATA`; by default `../shared/data` beside the checkout."""


CASES = DATA.parent / "cases"
"""Small files of kinds that people have."""


def needs_data(*names: str) -> pytest.MarkDecorator:
    """Skip a test where one of these files or directories of `DATA` is missing."""
    missing = [str(DATA / name) for name in names if not (DATA / name).exists()]
    reason = f"{', '.join(missing)} missing; SPLADE_ANSERINI_DATA may name another directory of data"
    return pytest.mark.skipif(bool(missing), reason=reason)


def needs_cases(*names: str) -> pytest.MarkDecorator:
    """Skip a test where one of these files or directories of `CASES` is missing."""
    missing = [str(CASES / name) for name in names if not (CASES / name).exists()]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} missing beside the directory of data")
