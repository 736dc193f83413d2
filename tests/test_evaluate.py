import json
import logging
import math
import re
from pathlib import Path

import ir_measures
import pytest
from ir_measures import Qrel, R, ScoredDoc, nDCG
from typer.testing import CliRunner, Result

from splade_anserini.cli.console import application
from splade_anserini.errors import InputError, OutputError, RecordError
from splade_anserini.evaluate import command, evaluate
from splade_anserini.evaluation.measures import PRESETS, Preset, canonical_measure, chosen_measures, parse_measures
from splade_anserini.formats.runs import read_run
from splade_anserini.formats.text_table import text_table

QRELS = [Qrel("q0", "a", 1), Qrel("q0", "b", 2), Qrel("q0", "c", 0), Qrel("q1", "a", 1), Qrel("q2", "d", 0)]
RUN = [
    ScoredDoc("q0", "c", 3.0),
    ScoredDoc("q0", "a", 2.0),
    ScoredDoc("q0", "x", 1.0),
    ScoredDoc("q9", "a", 1.0),
]
# q0: c (0), a (1), x (unjudged) are ranked; b (2), the best, is not.
NDCG = (1 / math.log2(3)) / (2 + 1 / math.log2(3))


def names(*measures: str) -> list[str]:
    return [str(measure) for measure in parse_measures(measures)]


def test_measures_are_means_over_all_judged_queries() -> None:
    evaluation = evaluate(iter(RUN), QRELS, parse_measures(["nDCG@10 RR@10 RR@1 R@100 R@1"]))
    assert evaluation.per_query["q0"] == pytest.approx(
        {"nDCG@10": NDCG, "RR@10": 1 / 2, "RR@1": 0, "R@100": 1 / 2, "R@1": 0}
    )
    assert evaluation.aggregate == pytest.approx(
        {"nDCG@10": NDCG / 3, "RR@10": 1 / 6, "RR@1": 0, "R@100": 1 / 6, "R@1": 0}
    )


def test_a_judged_query_that_the_run_lacks_counts_as_zero() -> None:
    evaluation = evaluate(RUN, QRELS, [nDCG @ 10, R @ 100])
    assert evaluation.missing == ("q1", "q2")
    assert list(evaluation.per_query) == ["q0", "q1", "q2"]
    assert evaluation.per_query["q1"] == evaluation.per_query["q2"] == {"nDCG@10": 0, "R@100": 0}


def test_a_query_without_judgements_is_ignored() -> None:
    judged_part = [doc for doc in RUN if doc.query_id != "q9"]
    assert evaluate(RUN, QRELS, [nDCG @ 10]) == evaluate(judged_part, QRELS, [nDCG @ 10])


def test_measures_that_count_are_summed() -> None:
    assert evaluate(RUN, QRELS, parse_measures(["NumRet", "NumRelRet"])).aggregate == {"NumRet": 3, "NumRet(rel=1)": 1}


def test_queries_and_relevant_documents_are_counted_in_queries_that_the_run_lacks() -> None:
    relevant = sum(qrel.relevance >= 1 for qrel in QRELS)
    assert evaluate(RUN, QRELS, parse_measures(["NumRel", "NumQ"])).aggregate == {"NumRel": relevant, "NumQ": 3}


def test_queries_of_only_the_run_or_only_the_qrels_are_warnings(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        evaluate(RUN, QRELS, [nDCG @ 10])
    assert caplog.messages == [
        "Ignored 1 query of the run without judgements: q9",
        "The run lacks 2 judged queries, counted as 0: q1, q2",
    ]


@pytest.mark.parametrize(
    ("run", "qrels", "message"),
    [
        (RUN, [Qrel(str(n), "a", 1) for n in range(1, 5)], "the run has q0, q9, the qrels have 1, 2, 3, …"),
        ([], QRELS, "the run has no queries, the qrels have q0, q1, q2"),
        (RUN, [], "the run has q0, q9, the qrels have no queries"),
    ],
)
def test_a_run_and_qrels_without_common_queries_are_an_error(
    run: list[ScoredDoc], qrels: list[Qrel], message: str
) -> None:
    with pytest.raises(InputError, match=f"No query of the run is judged: {message}\\."):
        evaluate(run, qrels, [nDCG @ 10])


def test_measures_are_separated_by_spaces_or_commas_and_each_is_returned_once() -> None:
    assert names("nDCG@10 RR@10,R@100", "P@5", "MRR@10") == ["nDCG@10", "RR@10", "R@100", "P@5"]
    assert names("P(rel=2, judged_only=True)@5, AP") == ["P(rel=2,judged_only=True)@5", "AP"]


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        # trec_eval
        ("map", "AP"),
        ("map_cut_1000", "AP@1000"),
        ("ndcg", "nDCG"),
        ("ndcg_cut_10", "nDCG@10"),
        ("ndcg_cut.10", "nDCG@10"),
        ("recall_1000", "R@1000"),
        ("recip_rank", "RR"),
        ("P_10", "P@10"),
        ("P.10", "P@10"),
        ("bpref", "Bpref"),
        ("Rprec", "Rprec"),
        ("infAP", "infAP"),
        ("success_1", "Success@1"),
        ("set_P", "SetP"),
        ("set_recall", "SetR"),
        ("set_map", "SetAP"),
        ("set_F", "SetF"),
        ("set_relative_P", "SetP(relative=True)"),
        ("num_q", "NumQ"),
        ("num_rel", "NumRel"),
        ("num_ret", "NumRet"),
        ("num_rel_ret", "NumRet(rel=1)"),
        ("iprec_at_recall_0.10", "IPrec@0.1"),
        # Other libraries, papers, and typing
        ("mrr@10", "RR@10"),
        ("MRR@10", "RR@10"),
        ("mrr(rel=2)@10", "RR(rel=2)@10"),
        ("ndcg@10", "nDCG@10"),
        ("NDCG@10", "nDCG@10"),
        ("ndcg_at_10", "nDCG@10"),
        ("ndcg(dcg='exp-log2')@10", "nDCG(dcg='exp-log2')@10"),
        ("r@1000", "R@1000"),
        ("recall@100", "R@100"),
        ("Recall@100", "R@100"),
        ("recall_at_100", "R@100"),
        ("map@1000", "AP@1000"),
        ("precision@5", "P@5"),
        ("p@5", "P@5"),
        ("judged@10", "Judged@10"),
        ("hit_rate@5", "Success@5"),
        # ir_measures itself
        ("R@1000", "R@1000"),
        ("NERR8@5", "NERR8@5"),
        ("alpha_nDCG@10", "alpha_nDCG@10"),
    ],
)
def test_measures_may_be_spelled_as_in_trec_eval_and_other_libraries(spelling: str, name: str) -> None:
    assert str(ir_measures.parse_measure(canonical_measure(spelling))) == name


@pytest.mark.parametrize("name", [name for name in ir_measures.measures.registry if name.isascii()])
def test_every_measure_of_ir_measures_keeps_its_meaning(name: str) -> None:
    expected = ir_measures.parse_measure(name)
    assert ir_measures.parse_measure(canonical_measure(name)) == expected
    assert ir_measures.parse_measure(canonical_measure(name.lower())) == expected


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("nDGC@10", "Did you mean nDCG@10?"),
        ("ndgc_cut_10", "Did you mean nDCG@10?"),
        ("precison@5", "Did you mean P@5 or AP@5?"),
        ("judgd@10", "Did you mean Judged@10?"),
        ("recal_1000", "Did you mean R@1000?"),
        ("nope", "https://ir-measur.es lists the measures."),
    ],
)
def test_an_unknown_measure_is_an_error_that_suggests_similar_ones(name: str, suggestion: str) -> None:
    with pytest.raises(InputError, match=re.escape(f"There is no measure {name!r}.\n{suggestion}")):
        parse_measures([name])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nDCG@", "'nDCG@' is not a valid measure.\nExpected for example nDCG@10"),
        ("nDCG@ten", "'nDCG@ten' is not a valid measure."),
        ("P(5)", "'P(5)' is not a valid measure."),
        ("1+1", "'1+1' is not a valid measure."),
        ("10", "'10' is not a valid measure."),
        ("nDCG@٢٢", "'nDCG@٢٢' is not a valid measure."),
        ("nDCG(cat=3)@10", "The measure nDCG(cat=3)@10 has no parameter 'cat'."),
        ("recall", "The measure recall needs a cutoff.\nExpected for example R@10."),
        ("nDCG@0.5", "The cutoff of nDCG@0.5 is not valid: 0.5.\nExpected a value of the type int."),
        # trec_eval would end the process for these.
        ("nDCG@0", "The cutoff of nDCG@0 must be between 1 and 2,147,483,647, got 0."),
        ("P@0", "The cutoff of P@0 must be between 1 and 2,147,483,647, got 0."),
        ("Judged@0", "The cutoff of Judged@0 must be between 1 and 2,147,483,647, got 0."),
        ("R(rel=0)@10", "The rel of R(rel=0)@10 must be between 1 and 1,000,000, got 0."),
        ("R(rel=1000001)@10", "The rel of R(rel=1000001)@10 must be between 1 and 1,000,000, got 1,000,001."),
        ("nDCG(gains={1:1000001})@5", "A gain of nDCG(gains={1:1000001})@5 must be an integer up to 1,000,000"),
        ("nDCG(gains={1:0.5})@5", "A gain of nDCG(gains={1:0.5})@5 must be an integer up to 1,000,000, got 0.5."),
        ("IPrec@0.125", "The recall of IPrec@0.125 must be between 0 and 1, with at most two decimals, got 0.125."),
        ("IPrec@5.0", "The recall of IPrec@5.0 must be between 0 and 1, with at most two decimals, got 5.0."),
        ("nDCG@2147483648", "The cutoff of nDCG@2147483648 must be between 1 and 2,147,483,647, got 2,147,483,648."),
    ],
)
def test_an_invalid_measure_is_an_error_that_says_what_is_wrong(name: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        parse_measures([name])


def test_a_measure_whose_program_fails_is_an_error_with_the_runs_label() -> None:
    # Accuracy divides by the number of documents that are not relevant.
    with pytest.raises(InputError, match=r"mine: .*Accuracy.* cannot be computed"):
        evaluate([ScoredDoc("q0", "a", 1.0)], QRELS, parse_measures(["Accuracy@1"]), label="mine")


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        ("q0 Q0 a\0 1 2 t\n", "line 1: a NUL character"),
        (f"q0\ta\t{'9' * 400}\n", "line 1: the score is 99"),
        (f"q0\ta\t{'9' * 5000}\n", "line 1: the score is 99"),
        ("q0 Q0 a b 1 2\n", "line 1: 6 columns"),
        ("q0 Q0 a 1 2 t\nq0 b 3\n", "line 2: 3 columns instead of 6\\."),
    ],
)
def test_a_run_that_trec_eval_would_misread_is_an_error(tmp_path: Path, content: str, fragment: str) -> None:
    (tmp_path / "run").write_text(content)
    with pytest.raises(RecordError, match=fragment):
        list(read_run(tmp_path / "run"))


def test_an_empty_list_of_measures_is_an_error() -> None:
    with pytest.raises(InputError, match=r"No measure is given\.\nExpected for example nDCG@10"):
        parse_measures([" , "])


@pytest.mark.parametrize("preset", Preset)
def test_the_measures_of_a_preset_have_the_names_of_ir_measures(preset: Preset) -> None:
    assert [str(measure) for measure in chosen_measures(preset, None)] == list(PRESETS[preset])


def test_measures_are_added_to_those_of_a_preset() -> None:
    assert [str(measure) for measure in chosen_measures(Preset.BEIR, ["RR@10 R@100", "P@5"])] == [
        *("nDCG@10", "R@100", "RR@10", "P@5")
    ]


def test_the_trec_preset_counts_grades_of_at_least_two_as_relevant() -> None:
    values = evaluate(RUN, QRELS[:3], chosen_measures(Preset.TREC_DL, None)).aggregate
    assert values == pytest.approx({"nDCG@10": NDCG, "RR(rel=2)@10": 0, "AP(rel=2)@1000": 0, "R(rel=2)@1000": 0})
    better = [*RUN, ScoredDoc("q0", "b", 2.5)]
    values = evaluate(better, QRELS[:3], chosen_measures(Preset.TREC_DL, None)).aggregate
    assert [*values.values()][1:] == [0.5, 0.5, 1]


def test_judged_is_the_share_of_judged_documents() -> None:
    evaluation = evaluate(RUN, QRELS, parse_measures(["Judged@10 Judged@2"]))
    assert evaluation.per_query["q0"] == pytest.approx({"Judged@10": 2 / 3, "Judged@2": 1})
    assert evaluation.per_query["q1"] == {"Judged@10": 0, "Judged@2": 0}


def test_the_depth_of_an_evaluation_is_that_of_the_longest_judged_ranking() -> None:
    more = [ScoredDoc("q9", str(n), float(n)) for n in range(9)]
    assert evaluate([*RUN[:3], *more], QRELS, [nDCG @ 10]).depth == 3


# Run and judgements of different collections.


def rankings(depth: int, queries: int, answered: int) -> list[ScoredDoc]:
    """Return rankings of `depth` documents; those of the first `answered` queries end with a judged document."""
    return [
        ScoredDoc(f"q{query}", "a" if rank == depth and query < answered else f"doc{rank}", -float(rank))
        for query in range(queries)
        for rank in range(1, depth + 1)
    ]


def warnings_of(caplog: pytest.LogCaptureFixture, run: list[ScoredDoc], label: str = "") -> list[str]:
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        evaluate(run, [Qrel(f"q{query}", id_, 1) for query in range(10) for id_ in "ab"], [R @ 10], label=label)
    return caplog.messages


def test_a_run_without_judged_documents_is_a_warning_with_examples(caplog: pytest.LogCaptureFixture) -> None:
    assert warnings_of(caplog, rankings(3, 10, 0), "mine") == [
        (
            "mine: No document of the run is judged (10 judged queries). "
            "Are run and qrels of the same collection, with ids of the same form? "
            "For query q0 the run has doc1, doc2, the qrels have a, b."
        )
    ]


def test_a_warning_needs_most_of_the_deep_rankings_to_lack_judged_documents(caplog: pytest.LogCaptureFixture) -> None:
    assert warnings_of(caplog, rankings(100, 10, 4)) == [
        (
            "6 of 10 rankings of at least 100 documents contain no judged document. "
            "Are run and qrels of the same collection, with ids of the same form? "
            "For query q4 the run has doc1, doc2, the qrels have a, b."
        )
    ]
    assert warnings_of(caplog, rankings(100, 10, 5)) == []


def test_shallow_rankings_without_judged_documents_are_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert warnings_of(caplog, rankings(99, 10, 1)) == []


def test_columns_are_aligned() -> None:
    assert text_table([["query", "R@1"], ["q", "0.1234"]]) == "query     R@1\nq      0.1234\n"


class TestCommand:
    @pytest.fixture(autouse=True)
    def _files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        Path("run").write_text("".join(f"{d.query_id} Q0 {d.doc_id} 1 {d.score} t\n" for d in RUN))
        Path("qrels").write_text("".join(f"{q.query_id} 0 {q.doc_id} {q.relevance}\n" for q in QRELS))

    def evaluate(self, *options: str) -> Result:
        arguments = ["--run", "run", "--qrels", "qrels", *options]
        return CliRunner().invoke(application(command), arguments, catch_exceptions=False)

    def test_a_table_of_the_default_measures_is_printed(self) -> None:
        assert self.evaluate().stdout == (
            "query  nDCG@10   RR@10   R@100  R@1000\n"
            "all     0.0799  0.1667  0.1667  0.1667\n"
        )  # fmt: skip

    def test_the_table_shows_each_query_on_request(self) -> None:
        assert self.evaluate("--per-query", "--measures", "RR@10,R@1").stdout == (
            "query   RR@10     R@1\n"
            "q0     0.5000  0.0000\n"
            "q1     0.0000  0.0000\n"
            "q2     0.0000  0.0000\n"
            "all    0.1667  0.0000\n"
        )  # fmt: skip

    def test_the_table_has_the_names_of_ir_measures(self) -> None:
        assert self.evaluate("--measures", "recip_rank ndcg_cut_10").stdout == (
            "query      RR  nDCG@10\n"
            "all    0.1667   0.0799\n"
        )  # fmt: skip

    def test_json_has_all_digits(self) -> None:
        printed = json.loads(self.evaluate("--format", "json", "--measures", "RR@10", "--per-query").stdout)
        assert printed == {
            "queries": 3,
            "missing": 2,
            "measures": {"RR@10": 1 / 6},
            "per_query": {"q0": {"RR@10": 0.5}, "q1": {"RR@10": 0.0}, "q2": {"RR@10": 0.0}},
        }

    def test_csv_has_a_row_for_each_query(self) -> None:
        printed = self.evaluate("--format", "csv", "--measures", "RR@10", "--measures", "R@1", "--per-query").stdout
        assert printed == f"query,RR@10,R@1\nq0,0.5,0.0\nq1,0.0,0.0\nq2,0.0,0.0\nall,{1 / 6},0.0\n"

    def test_the_result_is_written_to_the_output(self) -> None:
        assert self.evaluate("--output", "deep/result.txt", "--measures", "RR@10").stdout == ""
        assert Path("deep/result.txt").read_text() == "query   RR@10\nall    0.1667\n"

    @pytest.mark.parametrize("option", ["--output", "--plot"])
    @pytest.mark.parametrize("path", ["run", "./qrels", "link.png"])
    def test_an_input_is_not_overwritten(self, option: str, path: str) -> None:
        Path("link.png").symlink_to("run")
        before = Path(path).read_bytes()
        with pytest.raises(OutputError, match="are the same path"):
            self.evaluate(option, path)
        assert Path(path).read_bytes() == before

    @pytest.mark.parametrize(("option", "path"), [("--output", "result.txt"), ("--plot", "plot.svg")])
    def test_a_file_is_replaced_only_with_overwrite(self, option: str, path: str) -> None:
        Path(path).write_text("before")
        with pytest.raises(OutputError, match=f"Output {path} already exists"):
            self.evaluate(option, path)
        assert Path(path).read_text() == "before"
        self.evaluate(option, path, "--overwrite")
        assert Path(path).read_text() != "before"

    @pytest.mark.parametrize("options", [("--measures", "nope"), ("--run", "missing"), ("--qrels", "missing")])
    def test_bad_input_has_the_exit_code_2(self, options: tuple[str, str]) -> None:
        with pytest.raises(InputError) as caught:
            self.evaluate(*options)
        assert caught.value.exit_code == 2
