import itertools
from pathlib import Path

import pytest

from splade_anserini.cards import EncoderCard, IndexCard, find_encoder, known_encoders, read_card, resolve_index
from splade_anserini.errors import InputError
from splade_anserini.resources import encoders_home, indexes_home

CARD = """
name = "mine"
description = "An encoder."
license = "MIT"
source = "somebody/model"
pooling = "sum"
scale = 51.2
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a folder of cards, as a user has it."""
    (tmp_path / "encoders").mkdir()
    (tmp_path / "indexes").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("path", sorted(encoders_home().glob("*.toml")), ids=lambda path: path.stem)
def test_every_encoder_card_that_ships_is_valid_and_bears_its_files_name(path: Path) -> None:
    assert read_card(path, EncoderCard).name == path.stem
    assert path.stem in known_encoders()


def test_every_index_card_that_ships_is_valid_and_bears_its_files_name() -> None:
    for path in indexes_home().glob("*.toml"):
        assert read_card(path, IndexCard).name == path.stem


def test_the_encoder_that_ships_is_found_by_name_from_anywhere(home: Path) -> None:
    source = find_encoder("splade-mini")
    assert source.is_onnx
    assert source.card is not None
    assert source.card.name == "splade-mini"


def test_a_card_is_found_by_name_in_the_working_directorys_encoders(home: Path) -> None:
    (home / "encoders" / "mine.toml").write_text(CARD)
    source = find_encoder("mine")
    assert (source.location, source.is_onnx) == ("somebody/model", False)
    assert source.card is not None
    assert source.card.scale == 51.2
    assert source.card == find_encoder(str(home / "encoders" / "mine.toml")).card


def test_a_cards_source_is_a_directory_beside_it_when_there_is_one(home: Path) -> None:
    (home / "encoders" / "mine.toml").write_text(CARD.replace("somebody/model", "mine"))
    (home / "encoders" / "mine").mkdir()
    (home / "encoders" / "mine" / "model.onnx").touch()
    assert find_encoder("mine").is_onnx


def test_an_exported_directory_needs_no_card(home: Path) -> None:
    (home / "encoders" / "plain").mkdir()
    (home / "encoders" / "plain" / "model.onnx").touch()
    assert find_encoder("plain").is_onnx
    assert find_encoder("encoders/plain").is_onnx


def test_anything_else_is_taken_for_a_hugging_face_id(home: Path) -> None:
    assert find_encoder("naver/some-model").location == "naver/some-model"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("./nowhere", "There is no encoder at ./nowhere"),
        ("/a/b/c", "There is no encoder at /a/b/c"),
        ("a/b/c", "There is no encoder at a/b/c"),
        ("nowhere.toml", "There is no card at nowhere.toml"),
        ("empty", "empty is no encoder"),
        ("broken.toml", "is not a TOML file"),
        ("incomplete.toml", "name: Field required"),
        ("unknown.toml", "colour: Extra inputs are not permitted"),
    ],
)
def test_a_name_that_leads_nowhere_gets_a_sentence(home: Path, name: str, sentence: str) -> None:
    (home / "empty").mkdir()
    (home / "broken.toml").write_text("name = ")
    (home / "incomplete.toml").write_text('description = "?"\nlicense = "MIT"\nsource = "x"')
    (home / "unknown.toml").write_text(CARD + 'colour = "red"')
    with pytest.raises(InputError, match=sentence.replace(".", r"\.")):
        find_encoder(name)


def test_an_index_is_a_directory_or_the_card_of_one_that_was_built(home: Path) -> None:
    (home / "indexes" / "small.toml").write_text(
        'name = "small"\ndescription = "."\ncorpus = "c"\nencoder = "e"\ntopics = "t"\nqrels = "q"\n'
    )
    with pytest.raises(InputError, match="has not been built"):
        resolve_index("small")
    (home / "indexes" / "small").mkdir()
    assert resolve_index("small").samefile(resolve_index("indexes/small"))
    with pytest.raises(InputError, match="There is no index at nothing"):
        resolve_index("nothing")


def test_no_two_cards_share_a_name() -> None:
    for one, other in itertools.combinations([*encoders_home().glob("*.toml")], 2):
        assert read_card(one, EncoderCard).name != read_card(other, EncoderCard).name
