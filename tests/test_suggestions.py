from pathlib import Path

import pytest

from splade_anserini.cards.finding import suggest_encoders
from splade_anserini.encoding import EncoderOptions, open_query_encoder
from splade_anserini.encoding.query import open_for_pyserini
from splade_anserini.errors import NOTE, InputError
from splade_anserini.indexing.changing import read_ids
from splade_anserini.suggestions import did_you_mean, nearest
from tests.cli_runner import run_stage

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


def test_a_misspelled_encoder_is_not_looked_for_on_the_network() -> None:
    with pytest.raises(InputError, match=r"no query encoder 'splade-mni'(.|\n)*Did you mean splade-mini"):
        open_for_pyserini("splade-mni")
    assert open_for_pyserini("naver/splade-v3") is None
    assert "splade-v3-distilbert" in suggest_encoders("splade-v3")
    assert " splade-v3," not in suggest_encoders("splade-v3")


def test_text_indexes_and_files_of_ids_that_do_not_exist_are_named(tmp_path: Path) -> None:
    outcome = run_stage("index", "--bm25", "--append", "--input", "x", "--index", tmp_path / "index")
    assert (outcome.code, "Build the text index again" in outcome.err) == (2, True), outcome.err
    with pytest.raises(InputError, match=r"file of ids k1 does not exist(.|\n)*an id on each line"):
        read_ids(Path("k1"))


def test_more_tokens_than_a_model_has_positions_is_a_note(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(NOTE):
        assert open_query_encoder("splade-mini", EncoderOptions(max_length=9999)).max_length == 512
        assert open_query_encoder("splade-mini").max_length == 512
    assert [message for message in caplog.messages if "asked for" in message] == [
        "Of a text 512 tokens are read, not the 9999 that were asked for: splade-mini reads no more."
    ]
