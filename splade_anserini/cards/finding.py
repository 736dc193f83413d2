"""How a name on the command line finds a card, an encoder or an index."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pydantic

from splade_anserini.artifacts.manifests import Model
from splade_anserini.cards.encoder_card import EncoderCard
from splade_anserini.cards.index_card import IndexCard
from splade_anserini.cards.shipped import encoders_home, indexes_home
from splade_anserini.errors import InputError


@dataclass(frozen=True, slots=True)
class EncoderSource:
    """Where an encoder's name led to."""

    name: str
    """As it was given: it finds the encoder again."""
    location: str
    """A directory, or a Hugging Face model id."""
    card: EncoderCard | None = None

    @property
    def is_onnx(self) -> bool:
        """Whether it is an exported encoder, which runs without torch."""
        return (Path(self.location) / "model.onnx").is_file()


def read_card[C: Model](path: Path, kind: type[C], changes: Sequence[str] = ()) -> C:
    """Parse a card, with `changes` made to it: lines of TOML such as "training.seed = 1".

    Raises `InputError` when it is missing, no TOML, or lacks a field.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        for change in changes:
            _merge(content, _line(change))
        return kind.model_validate(content)
    except FileNotFoundError as error:
        raise InputError(f"There is no card at {path}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not a TOML file: {error}.") from error
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        # What our own validators say stands in the context, without a prefix; what they say of the whole has no place.
        what = str(first.get("ctx", {}).get("error", first["msg"]))
        told = ": ".join(filter(None, [str(path), ".".join(map(str, first["loc"])), what]))
        raise InputError(f"{told}.", expected=f"the fields of an {kind.__name__}, see docs/cards.md") from error


def encoder_card(name: str, changes: Sequence[str] = ()) -> EncoderCard:
    """Return the card at a path, or of a name, with `changes` made to it. Raises `InputError` when there is none."""
    paths = [Path(name)] if name.endswith(".toml") else [home / f"{name}.toml" for home in _homes(encoders_home())]
    for path in paths:
        if path.is_file():
            return read_card(path, EncoderCard, changes)
    raise InputError(
        f"There is no encoder card {name}.",
        expected="the path of a .toml file, or the name of a card",
        do=f"Cards at hand: {', '.join(known_encoders())}.",
    )


def _line(change: str) -> dict[str, Any]:
    try:
        return tomllib.loads(change)
    except tomllib.TOMLDecodeError as error:
        raise InputError(
            f"{change!r} is no line of TOML: {error}.", expected="for example training.seed=1 or 'pooling=\"sum\"'"
        ) from error


def _merge(content: dict[str, Any], changes: dict[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(content.get(key), dict):
            _merge(content[key], value)
        else:
            content[key] = value


def find_encoder(name: str) -> EncoderSource:
    """Resolve a card's name, a path to a card or an encoder directory, or a Hugging Face model id, in this order.

    Raises `InputError` when the name looks like a path and nothing is there.
    """
    path = Path(name)
    if path.suffix == ".toml":
        return _from_card(name, path)
    for home in _homes(encoders_home()):
        card = home / f"{name}.toml"
        if card.is_file():
            return _from_card(name, card)
    for directory in [path, *(home / name for home in _homes(encoders_home()))]:
        if (directory / "model.onnx").is_file() or (directory / "config.json").is_file():
            return EncoderSource(name=name, location=str(directory))
    if path.exists():
        raise InputError(
            f"{name} is no encoder.",
            expected="a directory with model.onnx (as export writes it) or config.json (a Hugging Face checkpoint)",
        )
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise InputError(f"There is no encoder at {name}.", do=f"Cards at hand: {', '.join(known_encoders())}.")
    return EncoderSource(name=name, location=name)


def known_encoders() -> list[str]:
    """Names of the cards within reach."""
    return sorted({card.stem for home in _homes(encoders_home()) for card in home.glob("*.toml")})


def resolve_index(name: str) -> Path:
    """Return the directory of an index: a directory as it is, or the one that the card of that name describes."""
    if Path(name).is_dir():
        return Path(name)
    for card in [Path(name)] if name.endswith(".toml") else _index_cards(name):
        if card.is_file():
            found = read_card(card, IndexCard)
            places = [home / found.name for home in index_places(card)]
            if built := next((place for place in places if place.is_dir()), None):
                return built
            raise InputError(
                f"The index {found.name} is described by {card} but has not been built.",
                do=f"Run: splade-anserini reproduce {name}",
            )
    raise InputError(
        f"There is no index at {name}.",
        expected="a directory that `splade-anserini index` wrote, or the name of an index card",
        do=f"Cards at hand: {', '.join(known_indexes()) or 'none'}.",
    )


def find_index_cards(name: str) -> list[Path]:
    """Return the card at a path or of a name, or all cards whose names fit a pattern such as `beir.*`, in order.

    Raises `InputError` when there is none.
    """
    if name.endswith(".toml") and Path(name).is_file():
        return [Path(name)]
    names = [name] if name in known_indexes() else [known for known in known_indexes() if fnmatchcase(known, name)]
    if not names:
        what = "index card fits the pattern" if set(name) & set("*?[") else "index card"
        raise InputError(
            f"There is no {what} {name}." if what == "index card" else f"No {what} {name}.",
            expected="the path of a .toml file, the name of an index card, or a pattern such as 'beir.*'",
            do=f"Cards at hand: {', '.join(known_indexes()) or 'none'}.",
        )
    return [next(card for card in _index_cards(found) if card.is_file()) for found in names]


def known_indexes() -> list[str]:
    """Names of the index cards within reach."""
    return sorted({card.stem for home in _homes(indexes_home()) for card in home.glob("*.toml")})


def index_places(card: Path) -> list[Path]:
    """Return the directories where the index of a card may lie, under its name, the one to build it in last."""
    return _places(card, indexes_home())


def _index_cards(name: str) -> list[Path]:
    return [home / f"{name}.toml" for home in _homes(indexes_home())]


def _homes(package_home: Path) -> list[Path]:
    # The working directory's own encoders/ or indexes/ first: that is where a user's cards and artefacts land.
    return [Path.cwd() / package_home.name, package_home]


def _from_card(name: str, path: Path) -> EncoderSource:
    card = read_card(path, EncoderCard)
    # What a card of the package describes is made in the working directory's encoders/.
    places = [home / card.source for home in _places(path, encoders_home())]
    beside = next((place for place in places if place.is_dir()), None)
    if card.training and "/" not in card.source and not beside:
        raise InputError(
            f"The encoder {card.name} is described by {path} but has not been trained yet.",
            do=f"Run: splade-anserini train --card {name} --data … --output {places[-1]}",
        )
    return EncoderSource(name=name, location=str(beside or card.source), card=card)


def _places(card: Path, package_home: Path) -> list[Path]:
    """Return the directories where what a card describes may lie, the one to make it in last."""
    own, packages = _homes(package_home)
    return [packages, own] if card.parent.absolute() == packages.absolute() else [card.parent]
