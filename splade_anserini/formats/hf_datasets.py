"""Datasets of Hugging Face: directories that `save_to_disk` wrote, and names of the Hub, `hf:OWNER/NAME`."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from splade_anserini.errors import DependencyError, InputError
from splade_anserini.formats.parsing.json_records import Record

PREFIX = "hf:"
SPLIT_SEPARATOR = "@"
_STATE, _SPLITS, _CORPUS = "state.json", "dataset_dict.json", "corpus"
_ROWS = 1000
_SHARD = re.compile(r"(?P<split>.+?)-[0-9]{5}-of-[0-9]{5}(-[0-9a-f]{16})?\.\w+")


def is_hub_name(source: str) -> bool:
    """Return whether `source` names a dataset of the Hub."""
    return source.startswith(PREFIX)


def saved_files(directory: Path, split: str = "") -> list[Path] | None:
    """Return the files of a dataset that `save_to_disk` wrote, in their order; None for any other directory.

    Raises `InputError` when it has several splits and none of them is named, or when a file is missing.
    """
    if (directory / _SPLITS).is_file():
        splits = _load(directory / _SPLITS).get("splits", [])
        directory, split = directory / choose_split(str(directory), splits, split), ""
    if not (directory / _STATE).is_file():
        return None
    if split:
        raise InputError(f"The dataset {directory} has no splits.", do=f"Leave {SPLIT_SEPARATOR}{split} out.")
    files = [directory / entry["filename"] for entry in _load(directory / _STATE).get("_data_files", [])]
    if missing := [file.name for file in files if not file.is_file()]:
        raise InputError(f"{directory} lacks {', '.join(missing)}, which {_STATE} lists.", do="Save or copy it again.")
    return files


def split_of(name: str) -> str:
    """Return the split of a shard that is named as the Hub does, `train-00000-of-00002.parquet`, else ""."""
    match = _SHARD.fullmatch(name)
    return match["split"] if match else ""


def choose_split(name: str, splits: Sequence[str], split: str) -> str:
    """Return the split that is named, else the only one, else `corpus`. Raises `InputError` for any other choice."""
    if split in splits:
        return split
    if not split and (len(splits) == 1 or _CORPUS in splits):
        return splits[0] if len(splits) == 1 else _CORPUS
    problem = f"has no split {split!r}" if split else f"has {len(splits)} splits"
    raise InputError(
        f"The dataset {name} {problem}.",
        expected=f"one of its splits: {', '.join(splits)}",
        do=f"Name one, for example {name}{SPLIT_SEPARATOR}{splits[0]}" if splits else "",
    )


def hub_rows(source: str) -> Iterator[Record]:
    """Yield the rows of `hf:OWNER/NAME`, `hf:OWNER/NAME:CONFIG` or either with `@SPLIT`; they may be downloaded first.

    Raises `InputError` when the dataset cannot be loaded or its configuration or split is not clear.
    """
    dataset = _load_hub(source)
    for table in dataset.with_format("arrow").iter(batch_size=_ROWS):
        yield from table.to_pylist()


def _load_hub(source: str) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise DependencyError.missing("datasets", "datasets") from error
    name, _, split = source.removeprefix(PREFIX).partition(SPLIT_SEPARATOR)
    path, _, config = name.rpartition(":") if ":" in name else (name, "", "")
    try:
        config = config or _config(datasets.get_dataset_config_names(path))
        splits = datasets.get_dataset_split_names(path, config or None)
        chosen = choose_split(source.partition(SPLIT_SEPARATOR)[0], splits, split)
        return datasets.load_dataset(path, config or None, split=chosen)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"The dataset {name!r} cannot be loaded from Hugging Face ({type(error).__name__}: "
            f"{(str(error).splitlines() or [''])[0]}).",
            expected="hf:OWNER/NAME, hf:OWNER/NAME:CONFIG, either perhaps with @SPLIT",
            do="Check the name and the network, or download it and name its directory.",
        ) from error


def _config(names: Sequence[str]) -> str:
    """Return the configuration to load when none is named: `corpus`, the only one, or the library's default."""
    if _CORPUS in names:
        return _CORPUS
    if len(names) > 1 and "default" not in names:
        raise InputError(
            f"The dataset has {len(names)} configurations.",
            expected=f"one of them: {', '.join(names[:20])}",
            do=f"Name one, as in hf:OWNER/NAME:{names[0]}",
        )
    return names[0] if len(names) == 1 else ""


def _load(path: Path) -> dict[str, Any]:
    try:
        content = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}).", expected="what datasets.save_to_disk wrote") from error
    return content if isinstance(content, dict) else {}
