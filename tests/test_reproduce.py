"""An index card is a contract: read, planned, run, resumed, and found kept or broken."""

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
from splade_anserini.reproduction.contract import open_contract
from splade_anserini.reproduction.expectations import compared, verdict
from splade_anserini.reproduction.page import page
from splade_anserini.reproduction.report import Report, StepTime, summary, text
from tests.running import run_stage
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


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.stem)
def test_every_card_names_what_there_is_and_expects_what_can_be(path: Path, tmp_path: Path) -> None:
    card = read_card(path, IndexCard)
    for name in re.findall(r"\{data\}/([\w./-]+)", path.read_text(encoding="utf-8")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    contract = open_contract(path, tmp_path)
    assert contract.card.name == path.stem in available_indexes()
    assert all(0 < value <= 1 for one in card.evaluation for value in one.expected.values())
    assert bool(card.data) == ("{data}" in path.read_text(encoding="utf-8"))


def test_the_beir_cards_promise_the_papers_table() -> None:
    cards = [read_card(path, IndexCard) for path in find_index_cards("beir.*")]
    promised = {card.name: [one.expected for one in card.evaluation] for card in cards}
    assert promised == {f"beir.{name}.distilsplade-max": [{"nDCG@10": value}] for name, value in BEIR.items()}
    assert round(sum(BEIR.values()) / len(BEIR), 3) == 0.5, "the average that the paper prints"
    assert {one.source for card in cards for one in card.evaluation} == {"SPLADE v2, Table 2"}
    with_removal = {card.name.split(".")[1] for card in cards if card.search.remove_query}
    assert with_removal == {"arguana", "quora", "scidocs"}


def test_the_cards_of_ms_marco_promise_what_anserini_and_the_paper_found() -> None:
    cards = {card.stem.partition(".")[2]: read_card(card, IndexCard) for card in find_index_cards("msmarco-*")}
    assert cards.keys() == ANSERINI.keys()
    for name, (reciprocal_rank, recall) in ANSERINI.items():
        dev, *deep_learning = cards[name].evaluation
        assert (dev.expected, dev.tolerance) == ({"RR@10": reciprocal_rank, "R@1000": recall}, 0.001)
        assert [one.name for one in deep_learning] == ["dl19", "dl20"]
        known = [{"nDCG@10": 0.729, "R(rel=2)@1000": 0.865}, {}] if name == "distilsplade-max" else [{}, {}]
        assert [one.expected for one in deep_learning] == known


def test_a_card_that_nobody_has_run_says_so() -> None:
    for path in CARDS:
        card = read_card(path, IndexCard)
        if any(one.expected and not one.verified for one in card.evaluation):
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
        ("scifact", r"There is no index card .*\n.*\nDid you mean beir\.scifact\.distilsplade-max\?$"),
    ],
)
def test_an_unknown_index_card_is_an_error_that_suggests_similar_names(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_index_cards(name)


# What a card may not say.

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
        ('"nDCG@10" = 0.5', '"MRR@10" = 0.5, "RR@10" = 0.5', "'RR@10' is more than one measure, or one named twice"),
        ("expected", "colour", "evaluation.0.colour: Extra inputs are not permitted"),
        ('name = "test"', 'name = "a/b"', "evaluation.0.name: String should match pattern"),
        ('topics = "mine"', 'topics = "irds:nowhere"', "ir_datasets has no dataset 'nowhere'"),
        ('qrels = "mine"', 'qrels = "irds:msmarco-passage"', "has no qrels"),
        ('topics = "mine"', 'topics = "{data}/t"', r"needs data that do not ship: \{data\}/t"),
        ('topics = "mine"', 'topics = "gone.tsv"', "this is missing: .*gone.tsv"),
        ('encoder = "splade-mini"', 'encoder = "./gone"', "gone does not exist"),
        ('name = "mine"', 'name = "../mine"', "name: String should match pattern"),
        ('qrels = "mine"\n', "", "evaluation.0.qrels: Field required"),
        ("0.5", "nan", "evaluation.0.expected.nDCG@10: Input should be a finite number"),
        ("0.5", "-0.5", "evaluation.0.expected.nDCG@10: Input should be greater than or equal to 0"),
        ("source =", "tolerance = -1\nsource =", "evaluation.0.tolerance: Input should be greater than or equal to 0"),
        ("source =", "tolerance = nan\nsource =", "evaluation.0.tolerance: Input should be a finite number"),
        ("source =", "tolerance = inf\nsource =", "evaluation.0.tolerance: Input should be a finite number"),
        ("encoder =", "words = inf\nencoder =", "words: Input should be a finite number"),
        ("[[evaluation]]", "[encode]\nscale = inf\n[[evaluation]]", "encode.scale: Input should be a finite number"),
        ("[[evaluation]]", "[index]\nthreads = 2\n[[evaluation]]", "index.threads: Extra inputs are not permitted"),
        ('corpus = "mine"', 'corpus = "mine"\nimpacts = "mine"', "the card has both a corpus and impacts"),
        ('corpus = "mine"', 'impacts = "irds:msmarco-passage"', "ir_datasets has no impacts"),
        ('corpus = "mine"', 'impacts = "mine.toml"', r"mine\.toml is no file of impact pseudo-documents"),
    ],
)
def test_a_card_that_cannot_be_kept_gets_a_sentence(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    (tmp_path / "mine").mkdir()
    card = tmp_path / "mine.toml"
    card.write_text(CARD)
    open_contract(card)
    card.write_text(CARD.replace(old, new, 1))
    outcome = run_stage("reproduce", card)
    assert outcome.code == 2
    assert re.search(sentence, outcome.err)
    assert not (tmp_path / "mine.reproduction").exists()


def test_missing_data_are_named_with_where_to_get_them(tmp_path: Path) -> None:
    outcome = run_stage("reproduce", "nfcorpus.splade-v3", "--data", tmp_path)
    assert outcome.code == 2
    for part in ["splade-v3.nfcorpus/docs.jsonl.gz", "nfcorpus/qrels/test.tsv", "irds:beir/nfcorpus/test"]:
        assert part in outcome.err


# Verdicts.


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.1))
def test_a_value_passes_when_it_is_no_further_off_than_the_tolerance(value: float, expected: float, off: float) -> None:
    assert verdict(expected, expected, off) == "pass"
    assert verdict(value, expected, off) == verdict(expected, value, off)
    assert verdict(value, expected, abs(value - expected)) == "pass"
    assert verdict(value, None, off) == "open"
    if abs(value - expected) > off + 1e-6:
        assert verdict(value, expected, off) == "fail"


def test_what_is_printed_as_within_the_tolerance_is_within_it() -> None:
    assert 0.4 - 0.3 > 0.1, "so binary fractions have it"
    assert verdict(0.4, 0.3, 0.1) == "pass"


def report_of(name: str, value: float) -> Report:
    asked = Expectation(
        name="test", topics="t", qrels="q", expected={"MRR@10": 0.5}, measures=("nDCG@10",), source="<Table 1>"
    )
    lines = compared(asked, {"RR@10": value, "nDCG@10": 0.25}, Path("card.toml"))
    card = IndexCard(name=name, description="<script>", corpus="c", encoder="e", evaluation=(asked,))
    return Report.of(card, tuple(lines), (StepTime(name="index", what="<b>", seconds=1.0),), {"a": "1"}, {"b": "2"})


def test_a_report_names_what_fails_and_what_is_not_known() -> None:
    broken = report_of("one", 0.4)
    assert not broken.passed
    assert re.search(r"RR@10 +0.4000 +0.5000 +-0.1000 +0.001 +fail", text(broken))
    assert re.search(r"nDCG@10 +0.2500 +– +– +– +no value known", text(broken))
    assert "not verified here" in text(broken)
    assert Report.model_validate_json(broken.model_dump_json()) == broken
    assert report_of("one", 0.5).passed


def test_what_stands_in_a_card_is_only_text_in_the_page() -> None:
    shown = page(report_of("one", 0.4))
    assert "<script>" not in shown
    assert "<b>" not in shown
    assert "&lt;Table 1&gt;" in shown
    assert not re.search(r"(src|href)=", shown)


def test_several_reports_have_a_mean_of_what_all_of_them_expect() -> None:
    lines = summary([report_of("one", 0.4), report_of("two", 0.5)])
    assert re.search(r"mean +RR@10 +0.4500 +0.5000 +-0.0500", lines)
    assert "mean" not in summary([report_of("one", 0.4)])


# The whole path: a card that ships, with everything it names replaced by something small of the same form.


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
def test_a_card_is_run_resumed_and_held_to_its_word(small: Path, tmp_path: Path) -> None:
    def run(*options: object) -> tuple[int, str, list[str]]:
        outcome = run_stage("reproduce", small, "--output", tmp_path, *options)
        found = re.findall(r"^  (encode|index|search test): .*done before$", outcome.out, re.MULTILINE)
        return outcome.code, outcome.out + outcome.err, found

    work = tmp_path / "beir.arguana.distilsplade-max.reproduction"
    code, said, before = run("--plan")
    assert (code, before) == (0, [])
    assert "4 documents" in said
    assert "measured on 4 of its documents" in said
    assert not list(tmp_path.iterdir()), "a plan leaves nothing behind"

    code, said, before = run()
    report = Report.model_validate_json((work / "report.json").read_text())
    assert (code, before) == (int(not report.passed), [])
    assert report.lines[0].value > 0
    run_file = (work / "run.test.txt.gz").read_bytes()

    # Killed after the index was built.
    (work / "run.test.txt.gz").unlink()
    assert run()[2] == ["encode", "index"]
    assert run()[2] == ["encode", "index", "search test"]
    assert (work / "run.test.txt.gz").read_bytes()[10:] == run_file[10:]

    card = small.read_text()
    try:
        # A promise that cannot be kept.
        small.write_text(card.replace('"nDCG@10" = 1.0', '"nDCG@10" = 0.0'))
        code, said, before = run()
        assert (code, len(before)) == (1, 3)
        assert "FAIL" in said
        assert (work / "report.txt").read_text().count("fail") == 1
        # Other settings: not without being told to, and then only what differs.
        small.write_text(card.replace("hits = 1000", "hits = 2"))
        code, said, _ = run()
        assert code == 2
        assert "hits was 1000, is 2" in said
        assert run("--force")[2] == ["encode", "index"]
    finally:
        small.write_text(card)


@pytest.mark.slow
def test_an_index_that_somebody_else_built_is_left_alone(small: Path, tmp_path: Path) -> None:
    index = tmp_path / "beir.arguana.distilsplade-max"
    index.mkdir()
    (index / "segments_1").touch()
    outcome = run_stage("reproduce", small, "--output", tmp_path)
    assert outcome.code == 2
    assert "no record of how it was made" in outcome.err
    assert (index / "segments_1").exists()


@pytest.mark.slow
def test_a_card_of_ms_marco_has_three_evaluations_of_one_index(tmp_path: Path) -> None:
    tiny_checkpoint(tmp_path / "tiny")
    (shipped,) = find_index_cards("msmarco-v1-passage.splade-v3")
    card = shipped.read_text(encoding="utf-8").replace('"splade-v3"', '"./tiny"')
    (tmp_path / "collection.tsv").write_text("".join(f"{id_}\t{words}\n" for id_, words in DOCUMENTS.items()))
    card = card.replace('corpus = "irds:msmarco-passage"', 'corpus = "collection.tsv"')
    for number, name in enumerate(["dev/small", "trec-dl-2019/judged", "trec-dl-2020/judged"]):
        (tmp_path / f"{number}.tsv").write_text("q1\theadache\nq2\tboundary layer\n")
        (tmp_path / f"{number}.qrels").write_text(f"q1 0 d1 {number + 1}\nq2 0 d2 {number + 1}\n")
        card = card.replace(f'topics = "irds:msmarco-passage/{name}"', f'topics = "{number}.tsv"')
        card = card.replace(f'qrels = "irds:msmarco-passage/{name}"', f'qrels = "{number}.qrels"')
    (tmp_path / shipped.name).write_text(card.replace("0.3999", "1.0").replace("0.9868", "1.0"))
    assert "irds:" not in (tmp_path / shipped.name).read_text()
    outcome = run_stage("reproduce", tmp_path / shipped.name)
    assert (outcome.code, outcome.err) == (0, "")
    assert re.search(r"dev +RR@10 +1.0000 +1.0000 .* pass", outcome.out)
    assert re.search(r"dl19 +nDCG@10 +1.0000 .*no value known", outcome.out)
    assert re.search(r"dl20 +R\(rel=2\)@1000 +1.0000 .*no value known", outcome.out)
    # The index is found by the card's name, as `search --index` takes it.
    found = run_stage(
        "search", "--index", tmp_path / shipped.name, "--topics", tmp_path / "0.tsv", "--output", tmp_path / "run"
    )
    assert (found.code, found.err) == (0, "")
