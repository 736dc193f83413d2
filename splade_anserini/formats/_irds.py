"""Collections that ir_datasets knows by name."""

from collections.abc import Iterator
from typing import Any, Literal

from splade_anserini.errors import InputError

PREFIX = "irds:"


def irds_items(source: str, kind: Literal["docs", "queries", "qrels"]) -> Iterator[Any]:
    """Return what `irds:<name>` holds of this kind, one by one; ir_datasets may download it first.

    Raises `InputError` when the name is unknown, or has nothing of this kind; on iteration, when it cannot be had.
    """
    import ir_datasets

    name = source.removeprefix(PREFIX)
    try:
        dataset = ir_datasets.load(name)
    except KeyError as error:
        raise InputError(
            f"ir_datasets knows no dataset {name!r}.", expected="a name that https://ir-datasets.com lists"
        ) from error
    except Exception as error:
        raise _unavailable(name, error) from error
    if not getattr(dataset, f"has_{kind}")():
        raise InputError(
            f"The dataset {name!r} of ir_datasets has no {kind}.", do="Name another of its parts, for example a split."
        )
    return _downloaded(name, getattr(dataset, f"{kind}_iter"))


def _downloaded(name: str, items: Any) -> Iterator[Any]:
    try:
        yield from items()
    except Exception as error:
        raise _unavailable(name, error) from error


def _unavailable(name: str, error: Exception) -> InputError:
    return InputError(
        f"The dataset {name!r} of ir_datasets could not be downloaded or read ({type(error).__name__}: {error}).",
        do=f"Check the network and https://ir-datasets.com/{name.partition('/')[0]}.html, or name a file instead.",
    )
