"""Results as DataFrames of pandas, which is loaded when one is made."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from splade_anserini.errors import DependencyError

if TYPE_CHECKING:
    import pandas as pd


def data_frame(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> "pd.DataFrame":
    """Return rows as a DataFrame. Raises `DependencyError` when pandas is not installed."""
    try:
        import pandas as pd
    except ImportError as error:
        raise DependencyError.missing("pandas", "pandas") from error
    return pd.DataFrame(list(rows), columns=list(columns))
