import pytest

from splade_anserini.suggestions import did_you_mean, nearest

CARDS = ["beir.nfcorpus.distilsplade-max", "beir.scifact.distilsplade-max", "cranfield.splade-mini", "splade-v3"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("splade-v2", ["splade-v3"]),
        ("SPLADE-V3", ["splade-v3"]),
        ("cranfeild.splade-mini", ["cranfield.splade-mini"]),
        ("nfcorpus", ["beir.nfcorpus.distilsplade-max"]),
        ("beir", ["beir.nfcorpus.distilsplade-max", "beir.scifact.distilsplade-max"]),
        ("s", []),
        ("", []),
        ("something else", []),
    ],
)
def test_names_that_contain_the_typed_one_or_are_spelled_similarly_are_near(name: str, expected: list[str]) -> None:
    assert nearest(name, CARDS) == expected


def test_no_more_than_three_names_are_near() -> None:
    assert nearest("run", [f"run{number}" for number in range(9)]) == ["run0", "run1", "run2"]


@pytest.mark.parametrize(
    ("names", "question"),
    [
        ([], ""),
        (["a"], "Did you mean a?"),
        (["a", "b"], "Did you mean a or b?"),
        (["a", "b", "c"], "Did you mean a, b or c?"),
    ],
)
def test_the_question_names_the_suggestions(names: list[str], question: str) -> None:
    assert did_you_mean(names) == question
