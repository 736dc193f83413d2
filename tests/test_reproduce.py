"""Index cards are read, checked, reproduced, resumed, and compared with their expected scores."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_anserini.cards.finding import available_indexes, find_index_cards, read_card
from splade_anserini.cards.index_card import Expectation, IndexCard
from splade_anserini.cards.shipped import indexes_home
from splade_anserini.errors import InputError
from splade_anserini.reproduction.expectations import checks_of, verdict
from splade_anserini.reproduction.rendering import as_html, as_text, summary
from splade_anserini.reproduction.report import Report, StepResult
from splade_anserini.reproduction.resolved_card import require_inputs, resolve_card
from tests.cli_runner import run_stage
from tests.tiny import tiny_checkpoint

CARDS = sorted(indexes_home().glob("*.toml"))

# SPLADE v2, Table 2: nDCG@10 of DistilSPLADE-max.
BEIR = {
    "msmarco": 0.433, "arguana": 0.479, "climate-fever": 0.235, "dbpedia-entity": 0.435, "fever": 0.786, "fiqa": 0.336,
    "hotpotqa": 0.684, "nfcorpus": 0.334, "nq": 0.521, "quora": 0.838, "scidocs": 0.158, "scifact": 0.693,
    "trec-covid": 0.710, "webis-touche2020": 0.364,
}  # fmt: skip
# MRR@10 and R@1000 on the dev queries of MS MARCO, as Anserini's regressions have them.
ANSERINI = {
    "distilsplade-max": (0.3686, 0.9787),
    "splade-pp-ed": (0.3828, 0.9831),
    "splade-pp-sd": (0.3778, 0.9846),
    "splade-v3": (0.3999, 0.9868),
}

DOCUMENTS = {"d1": "headache is pain", "d2": "the boundary layer of a wing", "d3": "search index", "d4": "cat dog bird"}
QUERIES = {"q1": "headache", "q2": "boundary layer"}


# The cards that ship.

DEEP_LEARNING = {
    "distilsplade-max": [{"nDCG@10": 0.729, "R(rel=2)@1000": 0.865}, {}],
    "splade-v3": [{"nDCG@10": 0.7264, "R(rel=2)@1000": 0.8791}, {"nDCG@10": 0.7522, "R(rel=2)@1000": 0.9039}],
}
"""TREC Deep Learning 2019 and 2020."""

BEIR_OF_SPLADE_V3 = {
    "arguana": 0.4845,
    "bioasq": 0.5142,
    "climate-fever": 0.2625,
    "cqadupstack-android": 0.4109,
    "cqadupstack-english": 0.4255,
    "cqadupstack-gaming": 0.5193,
    "cqadupstack-gis": 0.3236,
    "cqadupstack-mathematica": 0.2445,
    "cqadupstack-physics": 0.3753,
    "cqadupstack-programmers": 0.3387,
    "cqadupstack-stats": 0.3137,
    "cqadupstack-tex": 0.2493,
    "cqadupstack-unix": 0.3196,
    "cqadupstack-webmasters": 0.325,
    "cqadupstack-wordpress": 0.2807,
    "dbpedia-entity": 0.4476,
    "fever": 0.8015,
    "fiqa": 0.3798,
    "hotpotqa": 0.6884,
    "nfcorpus": 0.3629,
    "nq": 0.5842,
    "quora": 0.8141,
    "robust04": 0.4952,
    "scidocs": 0.1567,
    "scifact": 0.714,
    "signal1m": 0.2465,
    "trec-covid": 0.7299,
    "trec-news": 0.4365,
    "webis-touche2020": 0.3086,
}


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.stem)
def test_every_card_has_known_sources_and_possible_scores(path: Path, tmp_path: Path) -> None:
    card = read_card(path, IndexCard)
    for name in re.findall(r"\{data\}/([\w./-]+)", path.read_text(encoding="utf-8")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    resolved = resolve_card(path, tmp_path)
    require_inputs(resolved)
    assert resolved.card.name == path.stem in available_indexes()
    assert all(0 < value <= 1 for expectation in card.evaluation for value in expectation.expected.values())
    assert bool(card.data) == ("{data}" in path.read_text(encoding="utf-8"))


def test_the_beir_cards_expect_the_scores_of_the_papers_table() -> None:
    cards = [read_card(path, IndexCard) for path in find_index_cards("beir.*.distilsplade-max")]
    expected = {card.name: [expectation.expected for expectation in card.evaluation] for card in cards}
    assert expected == {f"beir.{name}.distilsplade-max": [{"nDCG@10": value}] for name, value in BEIR.items()}
    assert round(sum(BEIR.values()) / len(BEIR), 3) == 0.5, "the average that the paper prints"
    assert {expectation.source for card in cards for expectation in card.evaluation} == {"SPLADE v2, Table 2"}
    with_removal = {card.name.split(".")[1] for card in cards if card.search.remove_query}
    assert with_removal == {"arguana", "quora", "scidocs"}


def test_the_beir_cards_of_splade_v3_expect_the_scores_of_anserini() -> None:
    cards = {path.stem.split(".")[1]: read_card(path, IndexCard) for path in find_index_cards("beir.*.splade-v3")}
    expected = {name: card.evaluation[0].expected["nDCG@10"] for name, card in cards.items()}
    assert expected == BEIR_OF_SPLADE_V3
    for card in cards.values():
        (evaluation,) = card.evaluation
        assert evaluation.source.startswith("Anserini, beir-v1.0.0-")
        assert not evaluation.verified
        assert card.search.remove_query
    assert {name for name, card in cards.items() if card.data} == {"bioasq", "robust04", "signal1m", "trec-news"}


def test_there_is_a_card_of_ms_marco_for_each_encoder_with_known_scores() -> None:
    names = {path.stem for path in find_index_cards("msmarco-*")}
    assert names == {f"msmarco-v1-passage.{encoder}" for encoder in ANSERINI}


@pytest.mark.parametrize(("encoder", "scores"), ANSERINI.items())
def test_the_cards_of_ms_marco_expect_the_scores_of_anserini_and_the_paper(
    encoder: str, scores: tuple[float, float]
) -> None:
    (path,) = find_index_cards(f"msmarco-v1-passage.{encoder}")
    dev, *deep_learning = read_card(path, IndexCard).evaluation
    assert (dev.expected, dev.tolerance) == (dict(zip(["RR@10", "R@1000"], scores, strict=True)), 0.001)
    assert [expectation.name for expectation in deep_learning] == ["dl19", "dl20"]
    assert [expectation.expected for expectation in deep_learning] == DEEP_LEARNING.get(encoder, [{}, {}])


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.stem)
def test_a_card_with_unverified_scores_says_that_nobody_has_run_it(path: Path) -> None:
    card = read_card(path, IndexCard)
    if any(expectation.expected and not expectation.verified for expectation in card.evaluation):
        assert "Nobody has run this card yet" in card.description


# Names.


def test_a_card_is_named_by_path_name_or_pattern() -> None:
    (path,) = find_index_cards("nfcorpus.splade-v3")
    assert find_index_cards(str(path)) == [path]
    assert path in find_index_cards("*.splade-v3")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "nothing",
            r"There is no index card 'nothing'\.\n.*\nAvailable cards are the \.toml files in .*indexes and .*",
        ),
        ("nothing.*", r"No index card matches 'nothing\.\*'\.\n"),
        ("nfcorpus.splade-v4", r"There is no index card .*\n.*\nDid you mean nfcorpus\.splade-v3"),
        ("scifact", r"There is no index card .*\n.*\nDid you mean beir\.scifact\.distilsplade-max or beir\.scifact"),
    ],
)
def test_an_unknown_index_card_is_an_error_that_suggests_similar_names(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_index_cards(name)


# Invalid cards.

CARD = """
name = "mine"
description = "Mine."
corpus = "mine"
encoder = "splade-mini"

[[evaluation]]
name = "test"
topics = "mine"
qrels = "mine"
expected = { "nDCG@10" = 0.5 }
source = "me"
"""


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('name = "mine"\n', "", "name: Field required"),
        ('corpus = "mine"\n', "", "the card has neither a corpus nor impacts"),
        ('encoder = "splade-mini"\n', "", "needs an encoder"),
        ('source = "me"\n', "", "has expected scores, but no source"),
        ("nDCG@10", "nDGC@10", "evaluation test: There is no measure 'nDGC@10'"),
        ('"nDCG@10" = 0.5', '"MRR@10" = 0.5, "RR@10" = 0.5', "'RR@10' is several measures, or is named twice"),
        ("expected", "colour", "evaluation.0.colour: Extra inputs are not permitted"),
        ('name = "test"', 'name = "a/b"', "evaluation.0.name: String should match pattern"),
        ('topics = "mine"', 'topics = "irds:nowhere"', "ir_datasets has no dataset 'nowhere'"),
        ('qrels = "mine"', 'qrels = "irds:msmarco-passage"', "has no qrels"),
        ('topics = "mine"', 'topics = "{data}/t"', r"needs data that are not in the package: \{data\}/t\."),
        ('encoder = "splade-mini"', 'encoder = "{data}/e"', r"needs data that are not in the package: \{data\}/e\."),
        ('topics = "mine"', 'topics = "gone.tsv"', "Inputs of the card mine are missing: .*gone.tsv"),
        ('encoder = "splade-mini"', 'encoder = "./gone"', "gone does not exist"),
        ('name = "mine"', 'name = "../mine"', "name: String should match pattern"),
        ('qrels = "mine"\n', "", "evaluation.0.qrels: Field required"),
        ("0.5", "nan", "evaluation.0.expected.nDCG@10: Input should be a finite number"),
        ("0.5", "-0.5", "evaluation.0.expected.nDCG@10: Input should be greater than or equal to 0"),
        ("source =", "tolerance = -1\nsource =", "evaluation.0.tolerance: Input should be greater than or equal to 0"),
        ("source =", "tolerance = nan\nsource =", "evaluation.0.tolerance: Input should be a finite number"),
        ("source =", "tolerance = inf\nsource =", "evaluation.0.tolerance: Input should be a finite number"),
        ("[[evaluation]]", "[encode]\nscale = inf\n[[evaluation]]", "encode.scale: Input should be a finite number"),
        ("[[evaluation]]", "[index]\nthreads = 2\n[[evaluation]]", "index.threads: Extra inputs are not permitted"),
        ('corpus = "mine"', 'corpus = "mine"\nimpacts = "mine"', "the card has both a corpus and impacts"),
        ('corpus = "mine"', 'impacts = "irds:msmarco-passage"', "ir_datasets has no impact vectors"),
        ('corpus = "mine"', 'impacts = "mine.toml"', r"mine\.toml is not a file of impact pseudo-documents"),
    ],
)
def test_an_invalid_card_is_refused_with_the_reason(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    (tmp_path / "mine").mkdir()
    card = tmp_path / "mine.toml"
    card.write_text(CARD)
    require_inputs(resolve_card(card))
    card.write_text(CARD.replace(old, new, 1))
    outcome = run_stage("reproduce", card)
    assert outcome.code == 2
    assert re.search(sentence, outcome.err)
    assert not (tmp_path / "mine.reproduction").exists()


def test_all_missing_files_are_named_with_where_to_get_them(tmp_path: Path) -> None:
    outcome = run_stage("reproduce", "nfcorpus.splade-v3", "--data", tmp_path)
    assert outcome.code == 2
    names = "splade-v3.nfcorpus/docs.jsonl.gz", "splade-v3.nfcorpus/topics.test.tsv.gz", "nfcorpus/qrels/test.tsv"
    assert ", ".join(f"{tmp_path}/{name}" for name in names) in outcome.err
    assert "irds:beir/nfcorpus/test" in outcome.err


def test_the_field_words_of_older_cards_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(CARD)
    current = read_card(path, IndexCard)
    path.write_text(CARD.replace("encoder =", "words = 100\nencoder ="))
    assert read_card(path, IndexCard) == current


# Verdicts.


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.1))
def test_a_value_passes_when_it_differs_by_at_most_the_tolerance(
    value: float, expected: float, tolerance: float
) -> None:
    assert verdict(expected, expected, tolerance) == "pass"
    assert verdict(value, expected, tolerance) == verdict(expected, value, tolerance)
    assert verdict(value, expected, abs(value - expected)) == "pass"
    assert verdict(value, None, tolerance) == "open"
    if abs(value - expected) > tolerance + 1e-6:
        assert verdict(value, expected, tolerance) == "fail"


def test_a_decimal_difference_equal_to_the_tolerance_passes() -> None:
    assert 0.4 - 0.3 > 0.1, "in binary fractions"
    assert verdict(0.4, 0.3, 0.1) == "pass"


def report_of(name: str, value: float) -> Report:
    expectation = Expectation(
        name="test", topics="t", qrels="q", expected={"MRR@10": 0.5}, measures=("nDCG@10",), source="<Table 1>"
    )
    checks = checks_of(expectation, {"RR@10": value, "nDCG@10": 0.25}, Path("card.toml"))
    card = IndexCard(name=name, description="<script>", corpus="c", encoder="e", evaluation=(expectation,))
    return Report.of(card, tuple(checks), (StepResult(name="index", result="<b>", seconds=1.0),), Path("index"))


def test_a_report_says_which_checks_fail_and_which_scores_are_unknown() -> None:
    report = report_of("one", 0.4)
    assert not report.passed
    assert re.search(r"RR@10 +0.4000 +0.5000 +-0.1000 +0.001 +fail", as_text(report))
    assert re.search(r"nDCG@10 +0.2500 +– +– +– +no value known", as_text(report))
    assert "not verified here" in as_text(report)
    assert Report.model_validate_json(report.model_dump_json()) == report
    assert report_of("one", 0.5).passed


def test_a_report_has_the_versions_and_the_machine() -> None:
    report = report_of("one", 0.4)
    assert {"splade-anserini", "Python", "numpy"} <= report.versions.keys()
    assert report.machine.keys() == {"system", "cores", "memory"}


def test_a_report_of_an_earlier_version_is_read() -> None:
    report = report_of("one", 0.4)
    text = report.model_dump_json()
    for name, former in [("checks", "lines"), ("result", "what"), ("completed_before", "before")]:
        assert f'"{name}":' in text
        text = text.replace(f'"{name}":', f'"{former}":')
    assert Report.model_validate_json(text) == report


def test_the_text_of_a_card_is_escaped_in_the_web_page() -> None:
    html = as_html(report_of("one", 0.4))
    assert "<script>" not in html
    assert "<b>" not in html
    assert "&lt;Table 1&gt;" in html
    assert not re.search(r"(src|href)=", html)


def test_a_summary_has_the_means_of_measures_that_all_reports_expect() -> None:
    table = summary([report_of("one", 0.4), report_of("two", 0.5)])
    assert re.search(r"mean +RR@10 +0.4500 +0.5000 +-0.0500", table)
    assert not re.search(r"mean +nDCG@10", table)
    assert "mean" not in summary([report_of("one", 0.4)])


# Cards that ship, with all that they name replaced by small files of the same form.


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("small")
    tiny_checkpoint(home / "tiny")
    (home / "set" / "qrels").mkdir(parents=True)
    for name, texts in [("corpus", DOCUMENTS), ("queries", QUERIES)]:
        lines = [json.dumps({"_id": id_, "text": words}) for id_, words in texts.items()]
        (home / "set" / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    (home / "set" / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td2\t1\n")
    (shipped,) = find_index_cards("beir.arguana.distilsplade-max")
    card = shipped.read_text(encoding="utf-8").replace("irds:beir/arguana", "set")
    card = card.replace('"distilsplade-max"', '"./tiny"').replace("0.479", "1.0")
    (home / f"{shipped.name}").write_text(card)
    return home / shipped.name


@pytest.mark.slow
def test_a_card_is_reproduced_resumed_and_compared(small: Path, tmp_path: Path) -> None:
    def run(*options: object) -> tuple[int, str, list[str]]:
        outcome = run_stage("reproduce", small, "--output", tmp_path, *options)
        skipped = re.findall(r"^  (encode|index|search test): .*done before$", outcome.out, re.MULTILINE)
        return outcome.code, outcome.out + outcome.err, skipped

    directory = tmp_path / "beir.arguana.distilsplade-max.reproduction"
    code, output, skipped = run("--plan")
    assert (code, skipped) == (0, [])
    assert re.search(r"encode +4 documents", output)
    assert not list(tmp_path.iterdir()), "a plan writes nothing"

    code, output, skipped = run()
    report = Report.model_validate_json((directory / "report.json").read_text())
    assert (code, skipped) == (int(not report.passed), [])
    assert report.checks[0].value > 0
    run_file = (directory / "run.test.txt.gz").read_bytes()

    # Killed after the index was built.
    (directory / "run.test.txt.gz").unlink()
    assert re.search(r"encode +done +0.0 MB\nindex +done +0.0 MB\nsearch test +2 queries", run("--plan")[1])
    assert run()[2] == ["encode", "index"]
    assert run()[2] == ["encode", "index", "search test"]
    assert (directory / "run.test.txt.gz").read_bytes()[10:] == run_file[10:]

    card = small.read_text()
    try:
        # Another expected score.
        small.write_text(card.replace('"nDCG@10" = 1.0', '"nDCG@10" = 0.0'))
        code, output, skipped = run()
        assert (code, len(skipped)) == (1, 3)
        assert "FAIL" in output
        assert (directory / "report.txt").read_text().count("fail") == 1
        # Other settings need --overwrite, and repeat only the steps that differ.
        small.write_text(card.replace("hits = 1000", "hits = 2"))
        code, output, _ = run()
        assert code == 2
        assert "hits was 1000, is 2" in output
        assert run("--overwrite")[2] == ["encode", "index"]
    finally:
        small.write_text(card)


@pytest.mark.slow
def test_an_index_without_a_record_is_not_replaced(small: Path, tmp_path: Path) -> None:
    index = tmp_path / "beir.arguana.distilsplade-max"
    index.mkdir()
    (index / "segments_1").touch()
    outcome = run_stage("reproduce", small, "--output", tmp_path)
    assert outcome.code == 2
    assert "no record of how it was built" in outcome.err
    assert (index / "segments_1").exists()


@pytest.mark.slow
def test_a_card_of_ms_marco_has_three_evaluations_of_one_index(tmp_path: Path) -> None:
    tiny_checkpoint(tmp_path / "tiny")
    (shipped,) = find_index_cards("msmarco-v1-passage.splade-v3")
    card = shipped.read_text(encoding="utf-8").replace('"splade-v3"', '"./tiny"')
    (tmp_path / "collection.tsv").write_text("".join(f"{id_}\t{words}\n" for id_, words in DOCUMENTS.items()))
    card = card.replace('corpus = "irds:msmarco-passage"', 'corpus = "collection.tsv"')
    for split, name in enumerate(["dev/small", "trec-dl-2019/judged", "trec-dl-2020/judged"]):
        (tmp_path / f"{split}.tsv").write_text("q1\theadache\nq2\tboundary layer\n")
        (tmp_path / f"{split}.qrels").write_text(f"q1 0 d1 {split + 1}\nq2 0 d2 {split + 1}\n")
        card = card.replace(f'topics = "irds:msmarco-passage/{name}"', f'topics = "{split}.tsv"')
        card = card.replace(f'qrels = "irds:msmarco-passage/{name}"', f'qrels = "{split}.qrels"')
    (tmp_path / shipped.name).write_text(re.sub(r"= 0\.\d+", "= 1.0", card))
    assert "irds:" not in (tmp_path / shipped.name).read_text()
    outcome = run_stage("reproduce", tmp_path / shipped.name)
    assert (outcome.code, outcome.complaints) == (0, "")
    assert re.search(r"dev +RR@10 +1.0000 +1.0000 .* pass", outcome.out)
    assert re.search(r"dl19 +nDCG@10 +1.0000 +1.0000 .* pass", outcome.out)
    assert re.search(r"dl20 +R\(rel=2\)@1000 +1.0000 +1.0000 .* pass", outcome.out)
    # The index is found by the card's name, as `search --index` takes it.
    search = run_stage(
        "search", "--index", tmp_path / shipped.name, "--topics", tmp_path / "0.tsv", "--output", tmp_path / "run"
    )
    assert (search.code, search.complaints) == (0, "")
