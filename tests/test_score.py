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
from splade_anserini.formats.examples import open_examples
from splade_anserini.formats.texts import open_texts
from splade_anserini.score import score
from splade_anserini.training.teachers import scoring
from splade_anserini.training.teachers.opening import open_teacher
from splade_anserini.training.teachers.scoring import ScoreTable, mean_scores
from tests.cli_runner import run_stage
from tests.test_teachers import save, tiny_cross_encoder
from tests.tiny import tiny_bert

some_rows = st.lists(st.lists(st.integers(-100, 100).map(lambda n: n / 8), min_size=1, max_size=4), min_size=1)


@dataclass(frozen=True)
class Lengths:
    """A teacher that likes documents longer than their queries."""

    name: str = "lengths"
    factor: float = 1.0

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        return [self.factor * (len(document) - len(query)) for query, document in pairs]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    words = ["cat", "the dog", "a bird", "fish and horse"]
    (tmp_path / "c.tsv").write_text("".join(f"d{n}\t{word}\n" for n, word in enumerate(words)))
    (tmp_path / "t.tsv").write_text("q0\tcat\nq1\twhat is a dog\n")
    records = [
        {"query_id": "q0", "positive_id": "d0", "negative_ids": ["d1", "d2"], "scores": [9, 9, 9]},
        {"query_id": "q1", "positive_id": "d1", "negative_ids": ["d3"]},
        {"query_id": "q1", "positive_id": "d2"},
    ]
    (tmp_path / "e.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return tmp_path


def test_each_example_gets_the_scores_of_its_documents(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = open_examples(str(place / "e.jsonl"), open_texts(str(place / "c.tsv"), str(place / "t.tsv")))
    scored = list(score(examples, [Lengths()]))
    assert [record.scores for record in scored] == [(0.0, 4.0, 3.0), (-6.0, 1.0), (-7.0,)]
    assert [record.positive.id for record in scored] == ["d0", "d1", "d2"]
    monkeypatch.setattr(scoring, "WINDOW", 1)
    assert list(score(examples, [Lengths()])) == scored


@given(some_rows)
def test_a_table_knows_mean_and_deviation(rows: list[list[float]]) -> None:
    table = ScoreTable("here", rows)
    values = [value for row in rows for value in row]
    assert [table[number] for number in range(len(table))] == rows
    assert table.mean == pytest.approx(fmean(values), abs=1e-9)
    assert table.deviation == pytest.approx(pstdev(values), abs=1e-6)


@given(some_rows, st.floats(0.5, 8), st.floats(-50, 50))
def test_the_mean_over_teachers_does_not_depend_on_their_scales(
    rows: list[list[float]], factor: float, shift: float
) -> None:
    other = [[value * factor + shift for value in row] for row in rows]
    tables = [ScoreTable("a", rows), ScoreTable("b", other)]
    for number, row in enumerate(rows):
        assert mean_scores(tables[:1], number) == tuple(row)
        # Both say the same, each in its own units; the mean says it in those of the first.
        assert mean_scores(tables, number) == pytest.approx(row, abs=1e-5)
        assert mean_scores(tables[::-1], number) == pytest.approx(other[number], abs=1e-4)


def test_teachers_that_disagree_cancel() -> None:
    tables = [ScoreTable("a", [[1.0, 3.0]]), ScoreTable("b", [[30.0, 10.0]])]
    assert mean_scores(tables, 0) == (2.0, 2.0)
    indifferent = ScoreTable("c", [[5.0, 5.0]])
    assert mean_scores([tables[0], indifferent], 0) == (1.5, 2.5)


def test_a_score_that_is_no_number_is_an_error(place: Path) -> None:
    examples = open_examples(str(place / "e.jsonl"), open_texts(str(place / "c.tsv"), str(place / "t.tsv")))
    with pytest.raises(InputError, match="teacher lengths gives a score that is no finite number"):
        list(score(examples, [Lengths(factor=math.nan)]))


class TestWriting:
    RECORD = ExampleRecord(Passage("q0"), Passage("d0"), (Passage("d1"), Passage("d2")), (1.5, 0.1, -2.0))

    def test_margin_tsv_has_a_line_for_each_negative(self, tmp_path: Path) -> None:
        assert write_examples(tmp_path / "e.tsv.gz", [self.RECORD], "margin-tsv") == 1
        lines = gzip.decompress((tmp_path / "e.tsv.gz").read_bytes()).decode()
        assert lines == "1.5\t0.1\tq0\td0\td1\n1.5\t-2.0\tq0\td0\td2\n"

    @pytest.mark.parametrize(
        ("record", "found"),
        [
            (ExampleRecord(Passage("q0"), Passage("d0"), (Passage("d1"),)), "no scores"),
            (ExampleRecord(Passage(None, "cat"), Passage("d0"), (), (1.0,)), "no ids"),
        ],
    )
    def test_margin_tsv_needs_scores_and_ids(self, tmp_path: Path, record: ExampleRecord, found: str) -> None:
        with pytest.raises(InputError, match=f"Example 2 .*{found}"):
            write_examples(tmp_path / "e.tsv", [self.RECORD, record], "margin-tsv")
        assert list(tmp_path.iterdir()) == []

    def test_no_record_is_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no examples"):
            write_examples(tmp_path / "e.jsonl", [])
        assert list(tmp_path.iterdir()) == []


class TestStage:
    def score(self, place: Path, *arguments: object, output: str = "scored.jsonl") -> list[list[float]]:
        known = ("--corpus", place / "c.tsv", "--topics", place / "t.tsv", "--examples", place / "e.jsonl")
        done = run_stage("score", *known, "--output", place / output, *arguments)
        assert done.code == 0, done.err
        assert f"{place / output}: 3 examples, scored by" in done.out
        if output.endswith(".tsv"):
            return [[float(column) for column in line.split("\t")[:2]] for line in (place / output).open()]
        return [json.loads(line)["scores"] for line in (place / output).open()]

    def test_scores_are_the_teachers(self, place: Path) -> None:
        name = save(place / "cross", tiny_cross_encoder(1))
        found = self.score(place, "--teacher", name)
        texts = open_texts(str(place / "c.tsv"), str(place / "t.tsv"))
        teacher = open_teacher(name)
        for row, example in zip(found, open_examples(str(place / "e.jsonl"), texts), strict=True):
            alone = [teacher.score([(example.query, text)])[0] for text in (example.positive, *example.negatives)]
            assert row == pytest.approx(alone, abs=1e-5)
        scored = open_examples(str(place / "scored.jsonl"), texts)
        assert [list(example.scores or ()) for example in scored] == found
        again = self.score(place, "--teacher", name, output="again.jsonl")
        assert again == found

    def test_margin_tsv_is_read_back(self, place: Path) -> None:
        name = save(place / "cross", tiny_cross_encoder(2))
        rows = self.score(place, "--teacher", name)
        margins = self.score(place, "--teacher", name, "--format", "margin-tsv", output="margins.tsv")
        assert margins == [[row[0], other] for row in rows for other in row[1:]]
        texts = open_texts(str(place / "c.tsv"), str(place / "t.tsv"))
        read = open_examples(str(place / "margins.tsv"), texts)
        assert [list(example.scores or ()) for example in read] == margins
        assert read[0].negatives == ("the dog",)

    def test_several_teachers_are_averaged_in_the_units_of_the_first(self, place: Path) -> None:
        cross, dense = save(place / "cross", tiny_cross_encoder(1)), save(place / "dense", tiny_bert().bert)
        tables = [ScoreTable(name, self.score(place, "--teacher", name, "--dense-scale", 3)) for name in (cross, dense)]
        both = self.score(place, "--teacher", cross, "--teacher", dense)
        for number, row in enumerate(both):
            assert row == pytest.approx(mean_scores(tables, number), abs=1e-4)

    def test_an_unknown_teacher_is_refused_before_work_and_leaves_no_file(self, place: Path) -> None:
        files = ("--examples", place / "e.jsonl", "--output", place / "scored.jsonl")
        known = ("--corpus", place / "c.tsv", "--topics", place / "t.tsv")
        done = run_stage("score", *files, *known, "--teacher", place / "nothing")
        assert done.code == 2
        assert "nothing does not exist" in done.err
        done = run_stage("score", *files, "--teacher", place / "nothing")
        assert "is unknown without --topics" in done.err
        assert not (place / "scored.jsonl").exists()
