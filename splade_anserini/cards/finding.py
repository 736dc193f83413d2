"""Find the card, the encoder or the index that a name stands for."""

import os
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pydantic

from splade_anserini.artifacts.model import Model
from splade_anserini.cards.encoder_card import EncoderCard
from splade_anserini.cards.index_card import IndexCard
from splade_anserini.cards.shipped import encoders_home, indexes_home
from splade_anserini.errors import InputError
from splade_anserini.records import StrPath
from splade_anserini.suggestions import did_you_mean, nearest

_DEEPEST = 16
"""How deeply the values of a card may be nested; cards have three levels."""


@dataclass(frozen=True, slots=True)
class EncoderSource:
    """Where an encoder was found."""

    name: str
    """The name that was looked up; looking it up again finds the same encoder."""
    location: str
    """A directory, or a Hugging Face model id."""
    card: EncoderCard | None = None

    @property
    def is_onnx(self) -> bool:
        """Whether it is an ONNX graph, which runs without torch."""
        return find_graph(self.location) is not None


def find_graph(directory: StrPath) -> Path | None:
    """Return the ONNX graph in a directory: model.onnx, or onnx/model.onnx unless there are weights for torch too."""
    directory = Path(directory)
    if (directory / "model.onnx").is_file():
        return directory / "model.onnx"
    graph = directory / "onnx" / "model.onnx"
    has_weights = any(directory.glob("*.safetensors")) or any(directory.glob("pytorch_model*.bin"))
    return graph if graph.is_file() and not has_weights else None


# Reading a card.


def read_card[C: Model](path: StrPath, kind: type[C], overrides: Sequence[str] = ()) -> C:
    """Parse a card, with fields replaced by `overrides`: lines of TOML such as "training.seed = 1".

    Raises `InputError` when the card is missing, is not valid TOML, or has a missing, unknown or invalid field.
    """
    path = Path(path)
    try:
        content = _parse_toml(path.read_text(encoding="utf-8"))
        for override in overrides:
            _merge(content, _parse_override(override))
        return kind.model_validate(content)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist.", expected=f"an {kind.__name__}") from error
    except pydantic.ValidationError as error:
        raise InputError(
            f"{path}: {_first_problem(error)}.", expected=f"the fields of an {kind.__name__}; see docs/cards.md"
        ) from error
    except ValueError as error:
        raise InputError(f"{path} is not a valid TOML file: {error}.") from error


def _first_problem(error: pydantic.ValidationError) -> str:
    first = error.errors()[0]
    # The message of a validator of ours is in the context, without pydantic's prefix.
    message = str(first.get("ctx", {}).get("error", first["msg"]))
    field = ".".join(map(str, first["loc"]))
    return f"{field}: {message}" if field else message


def _parse_override(override: str) -> dict[str, Any]:
    try:
        return _parse_toml(override)
    except ValueError as error:
        raise InputError(
            f"{override[:200]!r} is not a valid line of TOML: {error}.",
            expected="for example training.seed=1 or 'pooling=\"sum\"'",
        ) from error


def _parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML. Raises `ValueError` for what is not valid, nested too deeply, or an integer of more than 64 bits."""
    too_deep = ValueError(f"values are nested more than {_DEEPEST} levels deep")
    too_large = ValueError("an integer has more than 64 bits")
    try:
        content = tomllib.loads(text)
    except RecursionError as error:
        raise too_deep from error
    except tomllib.TOMLDecodeError:
        raise
    except ValueError as error:  # Python's `int` refuses more than 4,300 digits
        raise too_large from error
    values: list[Any] = [content]
    for _ in range(_DEEPEST + 1):
        collections = [value for value in values if isinstance(value, dict | list)]
        values = [item for value in collections for item in (value.values() if isinstance(value, dict) else value)]
        if any(isinstance(value, int) and value.bit_length() > 63 for value in values):
            raise too_large
    if values:
        raise too_deep
    return content


def _merge(content: dict[str, Any], overrides: dict[str, Any]) -> None:
    for key, value in overrides.items():
        if isinstance(value, dict) and isinstance(content.get(key), dict):
            _merge(content[key], value)
        else:
            content[key] = value


# Encoders.


def find_encoder_card(name: StrPath, overrides: Sequence[str] = ()) -> EncoderCard:
    """Read the encoder card at a path ending in .toml, or of a name; see `read_card` for `overrides`.

    Raises `InputError` when there is none.
    """
    name = os.fspath(name)
    if name.endswith(".toml"):
        return read_card(name, EncoderCard, overrides)
    card = _named_card(name, encoders_home())
    if card is None:
        raise InputError(
            f"There is no encoder card {name!r}.",
            expected="the path of a .toml file, or the name of a card",
            do=suggest_encoders(name) or _directories_of_cards(encoders_home()),
        )
    return read_card(card, EncoderCard, overrides)


def find_encoder(name: StrPath) -> EncoderSource:
    """Resolve the name or path of a card, an encoder directory, or a Hugging Face model id, in this order.

    Raises `InputError` when the name looks like a path and nothing is there.
    """
    name = os.fspath(name)
    path = Path(name)
    card = path if path.suffix == ".toml" else _named_card(name, encoders_home())
    if card is not None:
        return _described_encoder(name, card)
    for directory in [path, *(home / name for home in _homes(encoders_home()))]:
        if find_graph(directory) or any((directory / file).is_file() for file in ("config.json", "modules.json")):
            return EncoderSource(name=name, location=str(directory))
    if path.exists():
        raise InputError(
            f"{name} is not an encoder.",
            expected="a directory with model.onnx (written by `splade-anserini export`), config.json (a Hugging Face "
            "checkpoint) or modules.json (sentence-transformers)",
        )
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise InputError(
            f"{name} does not exist.",
            expected="an encoder directory, the name of an encoder card, or a Hugging Face model id",
            do=suggest_encoders(path.name),
        )
    return EncoderSource(name=name, location=name)


def available_encoders() -> list[str]:
    """Return the names of the encoder cards in the working directory's encoders/ and in the package."""
    return _names_of_cards(encoders_home())


def suggest_encoders(name: str) -> str:
    """Return "Did you mean …?" with the cards whose names are similar; an empty text without any."""
    return did_you_mean(nearest(name, [other for other in available_encoders() if other != name]))


def _described_encoder(name: str, path: Path) -> EncoderSource:
    """Return the encoder that the card at `path` describes."""
    card = read_card(path, EncoderCard)
    directories = [home / card.source for home in _homes_of(path, encoders_home())]
    directory = next((directory for directory in directories if directory.is_dir()), None)
    if card.training and "/" not in card.source and directory is None:
        raise InputError(
            f"The encoder {card.name}, described by {path}, has not been trained yet.",
            do=f"Run: splade-anserini train --card {name} --data … --output {directories[-1]}",
        )
    return EncoderSource(name=name, location=str(directory or card.source), card=card)


# Indexes.


def resolve_index(name: StrPath) -> Path:
    """Return the directory of an index: `name` itself if it is a directory, else the one that a card describes.

    Raises `InputError` when there is neither, or when the index that a card describes has not been built.
    """
    name = os.fspath(name)
    if Path(name).is_dir():
        return Path(name)
    path = Path(name) if name.endswith(".toml") else _named_card(name, indexes_home())
    if path is None or not path.is_file():
        raise InputError(
            f"There is no index {name!r}.",
            expected="a directory written by `splade-anserini index`, or the name of an index card",
            do=suggest_indexes(name),
        )
    card = read_card(path, IndexCard)
    directories = [home / card.name for home in index_homes(path)]
    directory = next((directory for directory in directories if directory.is_dir()), None)
    if directory is None:
        raise InputError(
            f"The index {card.name}, described by {path}, has not been built yet.",
            do=f"Run: splade-anserini reproduce {name}",
        )
    return directory


def find_index_cards(name: StrPath) -> list[Path]:
    """Return the card at a path, the card of a name, or all cards whose names match a pattern, in order.

    A pattern is one of `fnmatch`, such as `beir.*`. Raises `InputError` when there is no card.
    """
    name = os.fspath(name)
    if name.endswith(".toml") and Path(name).is_file():
        return [Path(name)]
    available = available_indexes()
    names = [name] if name in available else [candidate for candidate in available if fnmatchcase(candidate, name)]
    if not names:
        is_pattern = not set(name).isdisjoint("*?[")
        raise InputError(
            f"No index card matches {name!r}." if is_pattern else f"There is no index card {name!r}.",
            expected="the path of a .toml file, the name of an index card, or a pattern such as 'beir.*'",
            do=suggest_indexes(name) or _directories_of_cards(indexes_home()),
        )
    cards = [_named_card(card_name, indexes_home()) for card_name in names]
    return [card for card in cards if card is not None]


def available_indexes() -> list[str]:
    """Return the names of the index cards in the working directory's indexes/ and in the package."""
    return _names_of_cards(indexes_home())


def suggest_indexes(name: str) -> str:
    """Return "Did you mean …?" with the cards whose names are similar; an empty text without any."""
    return did_you_mean(nearest(name, available_indexes()))


def index_homes(card: Path) -> list[Path]:
    """Return the directories that may hold the index of a card, under its name; a new one is built in the last."""
    return _homes_of(card, indexes_home())


# Directories of cards. A user's own cards and artifacts are in encoders/ and indexes/ of the working directory.


def _homes(package_home: Path) -> list[Path]:
    """Return the directories of cards, the user's own first."""
    return [Path.cwd() / package_home.name, package_home]


def _homes_of(card: Path, package_home: Path) -> list[Path]:
    """Return the directories that may hold what a card describes; it is created in the last."""
    own, package = _homes(package_home)
    return [package, own] if card.parent.absolute() == package.absolute() else [card.parent]


def _named_card(name: str, package_home: Path) -> Path | None:
    paths = [home / f"{name}.toml" for home in _homes(package_home)]
    return next((path for path in paths if path.is_file()), None)


def _names_of_cards(package_home: Path) -> list[str]:
    return sorted({card.stem for home in _homes(package_home) for card in home.glob("*.toml")})


def _directories_of_cards(package_home: Path) -> str:
    own, package = _homes(package_home)
    return f"Available cards are the .toml files in {own} and {package}."
