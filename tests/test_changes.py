"""How two outputs differ, in words."""

import pytest

from splade_anserini.artifacts.changes import changed_names, changes, differences

CARD = {"name": "mine", "training": {"steps": 10, "teacher": None, "losses": [{"kind": "kl"}]}}


def test_only_what_differs_in_a_card_is_said() -> None:
    training = {"steps": 20, "teacher": {"model": "theirs"}, "losses": [{"kind": "kl"}]}
    said = changes({"card": CARD, "devices": 1}, {"card": {"name": "mine", "training": training}, "devices": 1})
    assert said == "card.training.steps was 10, is 20; card.training.teacher.model was None, is theirs"


@pytest.mark.parametrize(
    ("before", "now", "names"),
    [
        ({}, {}, []),
        ({"a": {}}, {}, ["a"]),
        ({"a": {}}, {"a": {"b": 1}}, ["a", "a.b"]),
        ({"a": {"b": 1}}, {"a": {"b": 1}}, []),
        ({"a": 1}, {"b": 1}, ["a", "b"]),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}, ["a"]),
    ],
)
def test_whatever_is_not_equal_has_a_name(before: dict[str, object], now: dict[str, object], names: list[str]) -> None:
    assert changed_names(before, now) == names
    assert bool(changes(before, now)) == (before != now)


def test_two_that_should_be_alike() -> None:
    assert differences({"scale": 100, "weights": 64 * "a"}, {"weights": 64 * "b"}) == [
        "scale: 100 and none",
        "weights: aaaaaaaaaaaa… and bbbbbbbbbbbb…",
    ]
