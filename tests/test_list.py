"""The command `list`: encoders, index cards, measures and formats."""

import json
from pathlib import Path
from typing import Any

import pytest

from splade_anserini.cards.finding import available_encoders, available_indexes, find_encoder_card
from splade_anserini.conversion import FORMATS
from splade_anserini.evaluation.measures import MEASURES, PRESETS, parse_measures
from tests.cli_runner import run_stage


def listed(kind: str) -> dict[str, Any]:
    outcome = run_stage("list", kind, "--format", "json")
    assert outcome.code == 0, outcome.err
    rows = json.loads(outcome.out)
    return {row["name"]: row for row in rows} if kind != "formats" else {"rows": rows}


def test_all_encoder_cards_with_what_matters_when_one_chooses() -> None:
    encoders = listed("encoders")
    assert list(encoders) == available_encoders()
    mini = encoders["splade-mini"]
    assert (mini["from"], mini["query_idf"], mini["max_length"], mini["query_max_length"]) == (
        *("the package", 0.75),
        *(256, 512),
    )
    assert 20e6 < mini["size"] < 30e6
    assert (encoders["splade-v3"]["from"], encoders["splade-v3"]["size"]) == ("Hugging Face", None)
    assert (encoders["splade-v2-doc"]["from"], encoders["splade-v2-doc"]["query_side"]) == ("to be trained", "doc")
    # Where a card leaves it to the encoder, no number is shown.
    assert encoders["opensearch-v2-distill"]["max_length"] is None


def test_cards_and_artefacts_of_the_working_directory_are_listed_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "encoders" / "mine").mkdir(parents=True)
    (tmp_path / "encoders" / "mine" / "config.json").write_text("{}")
    card = 'name = "mine"\ndescription = "A test."\nlicense = "MIT"\nsource = "mine"\n'
    (tmp_path / "encoders" / "mine.toml").write_text(card)
    (tmp_path / "indexes" / "cranfield.splade-mini").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert (listed("encoders")["mine"]["from"], listed("encoders")["mine"]["size"]) == ("here", 2)
    assert listed("indexes")["cranfield.splade-mini"]["built"] is True


def test_an_encoder_in_the_cache_of_hugging_face_has_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = find_encoder_card("splade-v3").source
    snapshot = tmp_path / "hub" / f"models--{source.replace('/', '--')}" / "snapshots" / "0a1b"
    snapshot.mkdir(parents=True)
    (tmp_path / "blob").write_bytes(b"12345")
    (snapshot / "model.safetensors").symlink_to(tmp_path / "blob")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    encoder = listed("encoders")["splade-v3"]
    assert (encoder["from"], encoder["downloaded"], encoder["size"]) == ("Hugging Face, downloaded", True, 5)


def test_all_index_cards_with_the_scores_to_expect() -> None:
    indexes = listed("indexes")
    assert list(indexes) == available_indexes()
    card = indexes["cranfield.splade-mini"]
    assert (card["encoder"], card["built"], bool(card["expected"][card["evaluations"][0]])) == (
        *("splade-mini", False),
        True,
    )


@pytest.mark.slow
def test_measures_are_those_that_evaluate_takes() -> None:
    measures = listed("measures")
    for name, row in measures.items():
        for spelling in (name, *row["aliases"]):
            assert parse_measures([spelling if not row["cutoff"] else f"{spelling}@10"])
    assert {measure for row in measures.values() for measure in row["default"]} == set(MEASURES)
    assert {preset for row in measures.values() for preset in row["presets"]} == {str(preset) for preset in PRESETS}
    assert measures["RR"]["aliases"] == ["MRR"]


def test_formats_are_those_of_the_registries() -> None:
    rows = listed("formats")["rows"]
    assert {row["format"] for row in rows if row["of"] == "impact vectors of documents"} == set(FORMATS)
    assert {row["format"] for row in rows if row["of"] == "impact vectors of topics"} == {
        name for name, format_ in FORMATS.items() if format_.topic_suffixes
    }
    (corpora,) = (row for row in rows if row["of"] == "corpora")
    assert {".jsonl", ".csv", ".parquet"} <= set(corpora["suffixes"])


@pytest.mark.parametrize("kind", ["encoders", "indexes", "formats"])
def test_a_table_has_a_line_for_each_and_says_what_columns_mean(kind: str) -> None:
    outcome = run_stage("list", kind)
    rows = listed(kind)
    table, _, words = outcome.out.partition("\n\n")
    assert len(table.splitlines()) == 1 + len(rows["rows"] if kind == "formats" else rows)
    assert words


def test_a_list_that_is_not_there_is_refused() -> None:
    outcome = run_stage("list", "encoder")
    assert outcome.code == 2
    assert "There is no list of 'encoder'." in outcome.err
    assert "Did you mean 'encoders'?" in outcome.err or "encoders" in outcome.err
