import gzip
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ir_measures import ScoredDoc

from splade_anserini.errors import InputError, RecordError
from splade_anserini.formats.runs import decimals, read_rankings, read_run, strictly_decreasing, without_ties, write_run

floats = st.floats(-(2.0**100), 2.0**100, width=32) | st.integers(-3, 3).map(float)
ranked = st.lists(floats, max_size=30).map(lambda scores: sorted(scores, reverse=True))


class Hit(NamedTuple):
    doc_id: str
    score: float


def slowly_decreasing(scores: list[float]) -> list[float]:
    """The definition of `strictly_decreasing`, score by score."""
    decreasing: list[np.float32] = []
    for score in map(np.float32, scores):
        below = np.nextafter(decreasing[-1], np.float32(-np.inf)) if decreasing else score
        decreasing.append(min(score, below))
    return [float(score) for score in decreasing]


@given(ranked)
def test_each_score_is_the_greatest_that_is_below_the_one_before(scores: list[float]) -> None:
    assert strictly_decreasing(scores) == slowly_decreasing(scores)


@given(ranked)
def test_scores_decrease_in_float32(scores: list[float]) -> None:
    decreasing = np.asarray(strictly_decreasing(scores), dtype=np.float32)
    assert (decreasing[1:] < decreasing[:-1]).all()
    assert len(decreasing) == len(scores)


@given(ranked)
def test_what_decreases_already_stays(scores: list[float]) -> None:
    once = strictly_decreasing(scores)
    assert strictly_decreasing(once) == once


def test_ties_go_down_by_one_step_and_what_is_below_stays() -> None:
    step = np.float32(5000) - np.nextafter(np.float32(5000), np.float32(0))
    assert strictly_decreasing([5000, 5000, 5000, 4999, 4999.5 - 0.5 - 1e-7]) == pytest.approx(
        [5000, 5000 - step, 5000 - 2 * step, 4999, 4999 - step], abs=1e-9
    )
    assert strictly_decreasing([0.0, -0.0]) == [0.0, float(-np.float32(1e-45))]
    assert strictly_decreasing([]) == []


@pytest.mark.parametrize("scores", [[1, 2], [1, float("nan")], [float("inf"), 1]])
def test_scores_that_are_not_finite_and_descending_are_refused(scores: list[float]) -> None:
    with pytest.raises(ValueError, match="finite and in descending order"):
        strictly_decreasing(scores)


@given(ranked)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
def test_scores_are_read_back_to_the_last_bit(tmp_path: Path, scores: list[float]) -> None:
    hits = [Hit(f"d{n}", score) for n, score in enumerate(scores)]
    write_run(tmp_path / "run", [("q", hits)])
    read = list(read_run(tmp_path / "run"))
    assert [doc.doc_id for doc in read] == [hit.doc_id for hit in hits]
    assert [np.float32(doc.score) for doc in read] == list(map(np.float32, strictly_decreasing(scores)))
    assert "e" not in "".join(line.split()[4] for line in (tmp_path / "run").read_text().splitlines())


def test_a_trec_run_has_six_columns(tmp_path: Path) -> None:
    rankings = [("q2", [Hit("d1", 12.5), Hit("猫", 12.5)]), ("q1", [ScoredDoc("q1", "d1", 3)]), ("q3", [])]
    write_run(tmp_path / "run.txt", iter(rankings), tag="mine")
    lines = ["q2 Q0 d1 1 12.5 mine", "q2 Q0 猫 2 12.499999 mine", "q1 Q0 d1 1 3.0 mine"]
    assert (tmp_path / "run.txt").read_text().splitlines() == lines


def test_an_ms_marco_run_has_three_columns(tmp_path: Path) -> None:
    write_run(tmp_path / "run.tsv", [("q2", [Hit("d1", 1), Hit("d0", 1)])], "msmarco")
    assert (tmp_path / "run.tsv").read_text() == "q2\td1\t1\nq2\td0\t2\n"
    assert list(read_run(tmp_path / "run.tsv")) == [ScoredDoc("q2", "d1", -1.0), ScoredDoc("q2", "d0", -2.0)]


def test_the_same_run_compressed_is_the_same_bytes_and_reads_the_same(tmp_path: Path) -> None:
    rankings = [("q", [Hit("d", 1)])]
    for name in ("a.gz", "b.gz", "c"):
        write_run(tmp_path / name, rankings)
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    assert gzip.decompress((tmp_path / "a.gz").read_bytes()) == (tmp_path / "c").read_bytes()
    assert list(read_run(tmp_path / "a.gz")) == list(read_run(tmp_path / "c"))


def test_a_run_that_fails_in_the_middle_does_not_appear(tmp_path: Path) -> None:
    def rankings():
        yield "q0", [Hit("d0", 1)]
        raise KeyError

    with pytest.raises(KeyError):
        write_run(tmp_path / "run", rankings())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("tag", ["my run", "", "tag\n", "a\u200bb"])
def test_a_tag_that_is_not_one_word_is_refused(tmp_path: Path, tag: str) -> None:
    with pytest.raises(InputError, match="cannot be used in a run"):
        write_run(tmp_path / "run", [], tag=tag)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("query_id", "doc_ids", "message"),
    [
        ("q", ["d0", "d 1"], "run, line 3: the id 'd 1' contains white space"),
        ("q 1", ["d0"], "run, line 2: the id 'q 1' contains white space"),
        ("q", [""], "run, line 2: the id is empty"),
    ],
)
def test_an_id_that_would_add_columns_is_refused(
    tmp_path: Path, query_id: str, doc_ids: list[str], message: str
) -> None:
    rankings = [("q0", [Hit("d", 1)]), (query_id, [Hit(doc_id, -rank) for rank, doc_id in enumerate(doc_ids)])]
    with pytest.raises(RecordError, match=message):
        write_run(tmp_path / "run", rankings)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "line", "fragment"),
    [
        ("q Q0\n", 1, "2 columns"),
        ("q\n", 1, "1 columns"),
        ("q 0 d 1\n", 1, "4 columns, as judgements have"),
        ("q Q0 d a b\n", 1, "5 columns"),
        ("q Q0 d 1 2.5\nq Q0 e 2 2.4 t\n", 2, "6 columns instead of 5"),
        ("q Q0 my d 1 2.5 t\n", 1, "7 columns"),
        ("q Q0 d 1 2 t\nq Q0 my e 2 1 t\n", 2, "7 columns instead of 6"),
        ("q Q0 d 1 1 2.5 t\n", 1, "7 columns instead of 6"),
        ("my q Q0 d 1 2.5 t\n", 1, "7 columns"),
        ("q\td\t1\nq Q0 e 2 2.4 t\n", 2, "6 columns instead of 3"),
        ("q Q0 d 1 high t\n", 1, "the score is high"),
        ("q Q0 d 1 nan t\n", 1, "the score is nan"),
        ("q\td\thigh\n", 1, "the score is high"),
        ("qid,docid,rank\nq,d,0\n", 2, "the rank is 0"),
        ("qid,docid,rank\nq,d,1.5\n", 2, "the rank is 1.5"),
        ("qid,docid\nq,d\n", 1, "the header names neither a score nor a rank"),
        ("qid,docid,rank\nq, a ,1\n", 2, "the id 'a ' contains white space"),
        ('q,"d,1\n', 1, "not valid CSV"),
        ('{"q": {"d": "1"}}', 1, "the score of 'd' is a string"),
        ('{"q": {"d": 1, "d": 2}}', 1, "the key 'd' occurs twice"),
        ('{"q": {"d": 1}}\n{"q": 3}', 2, "the value of 'q' is 3"),
        ('{"qid": "q", "docid": "d"}', 1, "'d' has no score"),
        ('{"q": {"d": 1}', 1, "not valid JSON"),
        ('{"q": {"d e": 1}}', 1, "the id 'd e' contains white space"),
        ("[" * 100_000, 1, "nested too deeply"),
        ("q Q0 d 1 2 t\nr Q0 d 1 2 t\nq Q0 d 2 1 t\n", 3, "duplicate document id 'd' for the query 'q'"),
        (b"q Q0 \xff 1 2 t\n", 1, "not valid UTF-8"),
    ],
)
def test_a_malformed_line_is_named_by_file_and_line(
    tmp_path: Path, content: str | bytes, line: int, fragment: str
) -> None:
    (tmp_path / "bad.run").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RecordError) as caught:
        list(read_run(tmp_path / "bad.run"))
    assert f"bad.run, line {line}: " in str(caught.value)
    assert fragment in str(caught.value)


def test_a_missing_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        list(read_run(tmp_path / "missing"))


def test_rankings_without_ties_are_what_a_run_of_them_holds(tmp_path: Path) -> None:
    ties = [Hit(f"d{index}", score) for index, score in enumerate([70.0, 30.0, 30.0, 30.0, 29.0, 0.5, 0.5])]
    rankings = [("q1", ties), ("q2", []), ("q3", ties[:2])]
    write_run(tmp_path / "run", rankings)
    read, direct = list(read_run(tmp_path / "run")), list(without_ties(rankings))
    assert [(doc.query_id, doc.doc_id) for doc in direct] == [(doc.query_id, doc.doc_id) for doc in read]
    assert [np.float32(doc.score) for doc in direct] == [np.float32(doc.score) for doc in read]
    assert len({doc.score for doc in direct[:7]}) == 7


@pytest.mark.parametrize(
    ("content", "ids"),
    [
        ("q Q0 a 1 1 t\nq Q0 b 2 3 t\nq Q0 c 3 2 t\n", "bca"),
        ("q Q0 b 1 2 t\nq Q0 c 2 2 t\nq Q0 a 3 2 t\n", "bca"),
        ("q\tb\t1\nq\ta\t2\nq\tc\t3\n", "bac"),
        ("q\tb\t1\nq\ta\t3\nq\tc\t2\n", "acb"),
    ],
)
def test_a_ranking_is_read_by_descending_score_and_equal_scores_in_their_order(
    tmp_path: Path, content: str, ids: str
) -> None:
    (tmp_path / "run").write_text(content)
    ((query_id, docs),) = read_rankings(tmp_path / "run")
    assert (query_id, "".join(doc.doc_id for doc in docs)) == ("q", ids)


some_scores = st.floats(width=32, allow_nan=False, allow_infinity=False)
integers = st.integers(-(2**25), 2**25).map(float)


@given(st.lists(st.one_of(some_scores, integers, st.sampled_from([0.0, -0.0, 2.0**24, 2.0**24 - 1])), max_size=30))
def test_a_decimal_is_the_shortest_without_an_exponent_that_reads_back(scores: list[float]) -> None:
    expected = [np.format_float_positional(np.float32(score), unique=True, trim="0") for score in scores]
    assert decimals(scores) == expected
    assert [np.float32(text) for text in decimals(scores)] == [np.float32(score) for score in scores]
