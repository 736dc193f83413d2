"""Scoring of examples by teachers: score tables, means of several teachers, files, and the command `score`."""

import gzip
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, pstdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_anserini.errors import InputError
from splade_anserini.formats.example_records import ExampleRecord, Passage, write_examples
from splade_anserini.formats.examples import LineExamples, open_examples
from splade_anserini.formats.texts import open_texts
from splade_anserini.score import score
from splade_anserini.training.teachers.opening import open_teacher
from splade_anserini.training.teachers.scoring import ScoreTable, mean_scores, teacher_scores
from tests.cli_runner import run_stage
from tests.tiny import tiny_bert
from tests.training_fixtures import save_teacher, tiny_cross_encoder

score_rows = st.lists(st.lists(st.integers(-100, 100).map(lambda n: n / 8), min_size=1, max_size=4), min_size=1)


@dataclass(frozen=True)
class LengthTeacher:
    """Scores documents by how much longer they are than their queries."""

    name: str = "length"
    factor: float = 1.0

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        return [self.factor * (len(document) - len(query)) for query, document in pairs]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    words = ["cat", "the dog", "a bird", "fish and horse"]
    (tmp_path / "corpus.tsv").write_text("".join(f"d{n}\t{word}\n" for n, word in enumerate(words)))
    (tmp_path / "topics.tsv").write_text("q0\tcat\nq1\twhat is a dog\n")
    records = [
        {"query_id": "q0", "positive_id": "d0", "negative_ids": ["d1", "d2"], "scores": [9, 9, 9]},
        {"query_id": "q1", "positive_id": "d1", "negative_ids": ["d3"]},
        {"query_id": "q1", "positive_id": "d2"},
    ]
    (tmp_path / "examples.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return tmp_path


def read_examples(home: Path, name: str = "examples.jsonl") -> LineExamples:
    return open_examples(str(home / name), open_texts(str(home / "corpus.tsv"), str(home / "topics.tsv")))


LENGTH_SCORES = [(0.0, 4.0, 3.0), (-6.0, 1.0), (-7.0,)]


class TestScores:
    def test_an_example_gets_the_scores_of_its_documents(self, home: Path) -> None:
        scored = list(score(read_examples(home), [LengthTeacher()]))
        assert [record.scores for record in scored] == LENGTH_SCORES
        assert [record.positive.id for record in scored] == ["d0", "d1", "d2"]

    @pytest.mark.parametrize("window", [1, 2, 1024])
    def test_scores_do_not_depend_on_the_window(self, home: Path, window: int) -> None:
        rows = teacher_scores(read_examples(home), LengthTeacher(), window=window)
        assert list(map(tuple, rows)) == LENGTH_SCORES

    def test_a_score_that_is_not_finite_is_an_error(self, home: Path) -> None:
        with pytest.raises(InputError, match=r"^The teacher length returned the score nan\."):
            list(score(read_examples(home), [LengthTeacher(factor=math.nan)]))

    @given(score_rows)
    def test_a_table_has_the_mean_and_standard_deviation_of_its_scores(self, rows: list[list[float]]) -> None:
        table = ScoreTable("teacher", rows)
        values = [value for row in rows for value in row]
        assert [table[index] for index in range(len(table))] == rows
        assert table.mean == pytest.approx(fmean(values), abs=1e-9)
        assert table.deviation == pytest.approx(pstdev(values), abs=1e-6)

    @given(score_rows)
    def test_the_scores_of_a_single_teacher_stay_as_they_are(self, rows: list[list[float]]) -> None:
        table = ScoreTable("teacher", rows)
        assert [mean_scores([table], index) for index in range(len(rows))] == list(map(tuple, rows))

    @given(score_rows, st.floats(0.5, 8), st.floats(-50, 50))
    def test_the_mean_of_two_teachers_that_agree_has_the_units_of_the_first(
        self, rows: list[list[float]], factor: float, shift: float
    ) -> None:
        scaled = [[value * factor + shift for value in row] for row in rows]
        tables = [ScoreTable("original", rows), ScoreTable("scaled", scaled)]
        for index, row in enumerate(rows):
            assert mean_scores(tables, index) == pytest.approx(row, abs=1e-5)
            assert mean_scores(tables[::-1], index) == pytest.approx(scaled[index], abs=1e-4)

    @pytest.mark.parametrize(
        ("other", "expected"), [([30.0, 10.0], (2.0, 2.0)), ([5.0, 5.0], (1.5, 2.5))], ids=["opposite", "indifferent"]
    )
    def test_the_mean_of_two_teachers_that_disagree_lies_between(
        self, other: list[float], expected: tuple[float, ...]
    ) -> None:
        assert mean_scores([ScoreTable("first", [[1.0, 3.0]]), ScoreTable("other", [other])], 0) == expected


class TestWriting:
    RECORD = ExampleRecord(Passage("q0"), Passage("d0"), (Passage("d1"), Passage("d2")), (1.5, 0.1, -2.0))

    def test_margin_tsv_has_a_line_for_each_negative(self, tmp_path: Path) -> None:
        assert write_examples(tmp_path / "e.tsv.gz", [self.RECORD], "margin-tsv") == 1
        lines = gzip.decompress((tmp_path / "e.tsv.gz").read_bytes()).decode()
        assert lines == "1.5\t0.1\tq0\td0\td1\n1.5\t-2.0\tq0\td0\td2\n"

    @pytest.mark.parametrize(
        ("record", "problem"),
        [
            (ExampleRecord(Passage("q0"), Passage("d0"), (Passage("d1"),)), "no scores"),
            (ExampleRecord(Passage(None, "cat"), Passage("d0"), (), (1.0,)), "no ids"),
        ],
    )
    def test_margin_tsv_needs_scores_and_ids(self, tmp_path: Path, record: ExampleRecord, problem: str) -> None:
        with pytest.raises(InputError, match=f"Example 2 .*{problem}"):
            write_examples(tmp_path / "e.tsv", [self.RECORD, record], "margin-tsv")
        assert list(tmp_path.iterdir()) == []

    def test_without_records_no_file_is_written(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no examples"):
            write_examples(tmp_path / "e.jsonl", [])
        assert list(tmp_path.iterdir()) == []


class TestCommand:
    def score(self, home: Path, *arguments: object, output: str = "scored.jsonl") -> list[list[float]]:
        """Score the examples; return the numbers of each line of the output."""
        lookup = ("--corpus", home / "corpus.tsv", "--topics", home / "topics.tsv")
        files = ("--examples", home / "examples.jsonl", "--output", home / output)
        done = run_stage("score", *files, *lookup, "--overwrite", *arguments)
        assert done.code == 0, done.err
        assert f"{home / output}: 3 examples, scored by" in done.out
        lines = (home / output).read_text().splitlines()
        if output.endswith(".tsv"):
            return [[float(column) for column in line.split("\t")[:2]] for line in lines]
        return [json.loads(line)["scores"] for line in lines]

    def test_scores_are_those_of_the_teacher(self, home: Path) -> None:
        name = save_teacher(home / "cross", tiny_cross_encoder(1))
        rows = self.score(home, "--teacher", name)
        teacher = open_teacher(name)
        for row, example in zip(rows, read_examples(home), strict=True):
            alone = [teacher.score([(example.query, text)])[0] for text in (example.positive, *example.negatives)]
            assert row == pytest.approx(alone, abs=1e-5)
        assert [list(example.scores or ()) for example in read_examples(home, "scored.jsonl")] == rows
        assert self.score(home, "--teacher", name, output="again.jsonl") == rows

    def test_margin_tsv_is_read_back(self, home: Path) -> None:
        name = save_teacher(home / "cross", tiny_cross_encoder(2))
        rows = self.score(home, "--teacher", name)
        margins = self.score(home, "--teacher", name, "--format", "margin-tsv", output="margins.tsv")
        assert margins == [[positive, negative] for positive, *negatives in rows for negative in negatives]
        examples = read_examples(home, "margins.tsv")
        assert [list(example.scores or ()) for example in examples] == margins
        assert examples[0].negatives == ("the dog",)

    def test_the_scores_of_several_teachers_are_averaged(self, home: Path) -> None:
        cross = save_teacher(home / "cross", tiny_cross_encoder(1))
        dense = save_teacher(home / "dense", tiny_bert().bert)
        tables = [ScoreTable(name, self.score(home, "--teacher", name, "--dense-scale", 3)) for name in (cross, dense)]
        rows = self.score(home, "--teacher", cross, "--teacher", dense)
        for index, row in enumerate(rows):
            assert row == pytest.approx(mean_scores(tables, index), abs=1e-4)

    @pytest.mark.parametrize(
        ("lookup", "message"),
        [
            (["--corpus", "corpus.tsv", "--topics", "topics.tsv"], "nothing does not exist"),
            ([], "is unknown without --topics"),
        ],
    )
    def test_a_teacher_or_text_that_is_missing_is_an_error_and_writes_no_file(
        self, home: Path, monkeypatch: pytest.MonkeyPatch, lookup: list[str], message: str
    ) -> None:
        monkeypatch.chdir(home)
        files = ("--examples", "examples.jsonl", "--output", "scored.jsonl")
        done = run_stage("score", *files, *lookup, "--teacher", home / "nothing")
        assert (done.code, message in done.err) == (2, True), done.err
        assert not (home / "scored.jsonl").exists()

    def test_scores_are_computed_once_and_replaced_only_with_overwrite(self, home: Path) -> None:
        name = save_teacher(home / "cross", tiny_cross_encoder(1))
        files = (
            "--examples",
            home / "examples.jsonl",
            "--corpus",
            home / "corpus.tsv",
            "--topics",
            home / "topics.tsv",
        )
        command = ("score", *files, "--output", home / "scored.jsonl", "--teacher", name)
        assert run_stage(*command).code == 0
        written = (home / "scored.jsonl").stat().st_mtime_ns
        again = run_stage(*command, "--batch-size", 2)
        assert (again.code, again.out) == (
            0,
            f"{home / 'scored.jsonl'} is up to date: this command made it before.\n",
        )
        assert (home / "scored.jsonl").stat().st_mtime_ns == written
        other = run_stage(*command, "--format", "margin-tsv")
        assert (other.code, "format was jsonl, is margin-tsv" in other.err) == (2, True)
        (home / "corpus.tsv").write_text((home / "corpus.tsv").read_text().replace("cat", "bat"))
        changed = run_stage(*command)
        assert (changed.code, "corpus was" in changed.err) == (2, True)
        assert run_stage(*command, "--overwrite").code == 0
        assert run_stage(*command).code == 0

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (("--batch-size", 0), "--batch-size must be at least 1, got 0."),
            (("--max-length", 2), "--max-length must be at least 3, got 2."),
            (("--dense-scale", 0), "--dense-scale must be above 0, got 0."),
            (("--corpus", "corpus.tsv"), "--corpus needs --topics."),
        ],
    )
    def test_options_that_cannot_be_used_are_refused(
        self, home: Path, options: tuple[str, object], message: str
    ) -> None:
        files = ("--examples", home / "examples.jsonl", "--output", home / "scored.jsonl")
        done = run_stage("score", *files, "--teacher", "x", *options)
        assert (done.code, done.err.splitlines()[0]) == (2, f"error: {message}")

    def test_an_input_is_not_overwritten(self, home: Path) -> None:
        before = (home / "examples.jsonl").read_bytes()
        files = ("--examples", home / "examples.jsonl", "--output", home / "examples.jsonl")
        done = run_stage("score", *files, "--teacher", "x", "--overwrite")
        assert (done.code, "are the same path" in done.err) == (2, True)
        assert (home / "examples.jsonl").read_bytes() == before
