"""What can be known of a dataset of ir_datasets without downloading it."""

from splade_anserini.formats._irds import PREFIX, Kind, dataset, irds_items

__all__ = ["PREFIX", "Kind", "irds_count", "is_irds", "require_irds"]


def is_irds(source: str) -> bool:
    """Say whether `source` is a name of ir_datasets."""
    return source.startswith(PREFIX)


def require_irds(source: str, kind: Kind) -> None:
    """Raise `InputError` when `irds:<name>` is unknown, or has nothing of this kind."""
    irds_items(source, kind)


def irds_count(source: str, kind: Kind) -> int | None:
    """Return how many items of this kind `irds:<name>` has, as its registry says; None when it does not say."""
    described = dataset(source.removeprefix(PREFIX)).metadata()
    count = (described or {}).get(kind, {}).get("count")
    return None if count is None else int(count)
