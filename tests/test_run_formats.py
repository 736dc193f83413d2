"""Runs in the forms that people have: read and said how, or refused with what they are."""

import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from splade_anserini.errors import NOTE, InputError, RecordError
from splade_anserini.evaluate import evaluate
from splade_anserini.evaluation.measures import parse_measures
from splade_anserini.formats.qrels import read_qrels
from splade_anserini.formats.runs import contradicts, read_rankings, read_run
from tests.compressed import COMPRESSIONS
from tests.shared_data import CASES, needs_cases

type Scores = dict[str, dict[str, float]]


def scores_of(path: Path) -> Scores:
    scores: Scores = {}
    for doc in read_run(path):
        scores.setdefault(doc.query_id, {})[doc.doc_id] = doc.score
    return scores


def write(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


RANKS = {"q": {"a": -1.0, "b": -2.0}, "r": {"a": -1.0}}
SCORES = {"q": {"a": 2.5, "b": 1.0}, "r": {"a": 7.0}}


@pytest.mark.parametrize(
    ("content", "scores", "taken_for"),
    [
        ("q\ta\t1\nq\tb\t2\nr\ta\t1\n", RANKS, "qid docid rank: the third is 1, 2, 3, … for every query"),
        ("q a 1\nr a 1\nq b 2\n", RANKS, "qid docid rank"),
        ("q\ta\t2.5\nq\tb\t1\nr\ta\t7\n", SCORES, "qid docid score: scores, as the third is not 1, 2, 3, …"),
        ("q\ta\t152\nq\tb\t30\nr\ta\t99\n", {"q": {"a": 152, "b": 30}, "r": {"a": 99}}, "qid docid score"),
        ("q\ta\t1\nq\tb\t2\nr\ta\t3\n", {"q": {"a": 1, "b": 2}, "r": {"a": 3}}, "scores although they ascend"),
        ("q\ta\t0\nq\tb\t1\nr\ta\t0\n", {"q": {"a": 0, "b": 1}, "r": {"a": 0}}, "scores although they ascend"),
        ("q\ta\t2\nq\tb\t1\nr\ta\t1\n", {"q": {"a": 2, "b": 1}, "r": {"a": 1}}, "qid docid score"),
        ("q a 1 x\nq b 2 x\nr a 1 x\n", RANKS, "qid docid rank tag"),
        ("q a 2.5 x\nq b 1 x\nr a 7 x\n", SCORES, "qid docid score tag"),
        ("q\ta\t1\t2.5\nq\tb\t2\t1\nr\ta\t1\t7\n", SCORES, "qid docid rank score"),
        ("q Q0 a 2.5\nq Q0 b 1\nr Q0 a 7\n", SCORES, "qid Q0 docid score"),
        ("q Q0 a 1 2.5\nq Q0 b 2 1\nr Q0 a 1 7\n", SCORES, "qid Q0 docid rank score, without a tag"),
        ("q Q0 a 2.5 x\nq Q0 b 1 x\nr Q0 a 7 x\n", SCORES, "qid Q0 docid score tag: scores, as the fourth is not"),
        ("q Q0 a 1 x\nq Q0 b 2 x\nr Q0 a 1 x\n", RANKS, "qid Q0 docid rank tag: the fourth is 1, 2, 3"),
        ("q Q0 a 1\nq Q0 b 2\nr Q0 a 1\n", RANKS, "qid Q0 docid rank"),
        ("q\ta\t2.5\t1\nq\tb\t1\t2\nr\ta\t7\t1\n", SCORES, "qid docid score rank"),
        ("q a 1 2.5 x\nq b 2 1 x\nr a 1 7 x\n", SCORES, "qid docid rank score tag"),
        ("q Q0 a 1 2.5 my run\nq Q0 b 2 1 my run\nr Q0 a 1 7 my\n", SCORES, ""),
        ("qid,docid,docno,rank,score,query\nq,8,a,0,2.5,x\nq,9,b,1,1,x\nr,8,a,0,7,x\n", SCORES, ""),
        ("query_id;doc_id;rank\nq;a;1\nq;b;2\nr;a;1\n", RANKS, ""),
        ('"qid","docid","score"\n"q","a",2.5\nq, b, 1\nr,a,7\n', SCORES, ""),
        ("query-id\tcorpus-id\tscore\nq\ta\t2.5\nq\tb\t1\nr\ta\t7\n", SCORES, ""),
        ("score qid docid\n2.5 q a\n1 q b\n7 r a\n", SCORES, ""),
        (json.dumps(SCORES), SCORES, ""),
        (json.dumps(SCORES, indent=1), SCORES, ""),
        ("".join(json.dumps({query: docs}) + "\n" for query, docs in SCORES.items()), SCORES, ""),
        ('{"q": ["a", "b"], "r": ["a"]}', RANKS, ""),
        ('{"q": [["a", 2.5], ["b", 1]], "r": [["a", 7]]}', SCORES, ""),
        (
            "".join(
                json.dumps({"query_id": query, "doc_id": doc, "score": score}) + "\n"
                for query, docs in SCORES.items()
                for doc, score in docs.items()
            ),
            SCORES,
            "",
        ),
        ('[{"qid": "q", "docno": "a", "rank": 1}, {"qid": "q", "docno": "b", "rank": 2}, {"qid": "r", "docno": "a", "rank": 1}]', RANKS, ""),  # noqa: E501
        ("q Q0 a 1 +2.5e0 x\nq Q0 b 2 1. x\nr Q0 a 1 7 x\n", SCORES, ""),
    ],
)  # fmt: skip
def test_a_run_is_read_and_a_line_says_how_where_there_is_a_choice(
    tmp_path: Path, content: str, scores: Scores, taken_for: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "run", content)
    with caplog.at_level(NOTE):
        assert scores_of(path) == scores
    assert len(caplog.messages) == bool(taken_for)
    assert taken_for in "".join(caplog.messages)
    ascending = "although they ascend" in taken_for
    assert [record.levelno >= logging.WARNING for record in caplog.records] == [ascending] * len(caplog.records)


@pytest.mark.parametrize("compress", COMPRESSIONS.values(), ids=COMPRESSIONS)
def test_a_compressed_run_is_read_whatever_its_name(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    data = compress(b"q Q0 a 1 2.5 x\nq Q0 b 2 1 x\nr Q0 a 1 7 x\n")
    (tmp_path / "run.txt").write_bytes(data)
    assert scores_of(tmp_path / "run.txt") == SCORES
    (tmp_path / "cut.txt").write_bytes(data[:-12])
    with pytest.raises(InputError, match=r"truncated(,| or) damaged"):
        scores_of(tmp_path / "cut.txt")


def test_a_run_is_read_from_a_pipe(tmp_path: Path) -> None:
    import os

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("q\ta\t1\nq\tb\t2\nr\ta\t1\n",))
    writer.start()
    assert scores_of(pipe) == RANKS
    writer.join()


# Ranks and scores.


@pytest.mark.parametrize(
    ("ranks", "scores", "contradict"),
    [
        ([1, 2, 3], [3, 2, 1], False),
        ([1, 2, 3], [3, 1, 2], True),
        ([3, 1, 2], [1, 3, 2], False),
        ([3, 1, 2], [3, 1, 2], True),
        ([1, 2, 3], [1, 1, 1], False),
        ([0, 0, 0], [1, 3, 2], False),
        ([1, 1, 2], [1, 3, 2], True),
        ([1, 2], [16777217.4, 16777217.5], False),
        ([], [], False),
    ],
)
def test_a_better_rank_with_a_lower_score_is_a_contradiction(
    ranks: list[int], scores: list[float], contradict: bool
) -> None:
    assert contradicts(ranks, scores) == contradict


@pytest.mark.parametrize("read", [lambda path: list(read_run(path)), lambda path: list(read_rankings(path))])
def test_ranks_that_contradict_scores_are_a_warning(
    tmp_path: Path, read: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    lines = [
        f"q{query} Q0 d{rank} {rank} {rank if query % 2 else 9 - rank} t\n" for query in range(8) for rank in (1, 2)
    ]
    read(write(tmp_path / "run", "".join(lines)))
    assert caplog.messages == [
        f"{tmp_path / 'run'}: ranks contradict scores in 4 queries: q1, q3, q5, …. The scores count."
    ]


# Numbers.


@pytest.mark.parametrize("number", ["1_0", "١٢", "1e39", "nan", "inf", "0x10", "1,5", "--1", "1e", "."])
@pytest.mark.parametrize("line", ["q Q0 d 1 {} t\n", "q\td\t{}\n", "qid;docid;score\nq;d;{}\n"])
def test_what_is_not_a_number_is_refused(tmp_path: Path, number: str, line: str) -> None:
    with pytest.raises(RecordError):
        scores_of(write(tmp_path / "run", line.format(number)))


@pytest.mark.parametrize("line", ["q\tQ0\td\t1\t 12 \tt\n", "q\td\t 12 \n", "qid;docid;score\nq;d;12 \n"])
def test_a_number_with_spaces_around_it_is_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(RecordError, match="12"):
        scores_of(write(tmp_path / "run", line))


@pytest.mark.parametrize("number", ["1e39", "NaN", "Infinity", "true", '"1"', "9" * 5000])
def test_what_is_not_a_number_is_refused_in_json(tmp_path: Path, number: str) -> None:
    with pytest.raises(RecordError):
        scores_of(write(tmp_path / "run", f'{{"q": {{"d": {number}}}}}'))


# The given files.


@pytest.mark.parametrize(
    ("name", "measures"),
    [
        ("run-3col-integer-scores.tsv", {"nDCG@10": 1.0, "RR@10": 1.0}),
        ("run-3col-float-scores.tsv", {"RR@10": 0.5}),
        ("run-4col-rank-and-score.tsv", {"RR@10": 0.5}),
        ("run-5col-no-tag.txt", {"RR@10": 0.5}),
        ("run-tag-with-space.txt", {"RR@10": 0.5}),
        ("run-dict.json", {"RR@10": 1.0}),
        ("run.txt.bz2", None),
    ],
)
@needs_cases("qrels.txt")
def test_the_given_runs_are_read(name: str, measures: dict[str, float] | None) -> None:
    run = list(read_run(CASES / name))
    assert run
    if measures:
        assert evaluate(run, read_qrels(CASES / "qrels.txt"), parse_measures(measures)).aggregate == measures
