import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_anserini.errors import InputError, RecordError
from splade_anserini.formats.examples import open_examples
from splade_anserini.formats.rankings import RunScores
from splade_anserini.formats.runs import read_rankings
from splade_anserini.formats.texts import open_texts
from splade_anserini.training.mining import MiningOptions, candidates, draw, fill, no_scores
from tests.cli_runner import Outcome, run_stage
from tests.test_teachers import save
from tests.tiny import tiny_bert

IDS = [f"d{number}" for number in range(40)]
ids = st.lists(st.sampled_from(IDS), unique=True)


@given(ids, st.sets(st.sampled_from(IDS)), st.integers(0, 30), st.integers(1, 30))
def test_candidates_are_the_ranks_between_and_nothing_relevant(
    ranking: list[str], relevant: set[str], skip: int, more: int
) -> None:
    found = candidates(ranking, relevant, MiningOptions(depth=skip + more, skip=skip))
    ranks = {document: rank for rank, document in enumerate(ranking, 1)}
    assert found == [doc for doc in ranking if skip < ranks[doc] <= skip + more and doc not in relevant]


@given(
    ids,
    st.integers(1, 10),
    st.integers(0, 5),
    st.dictionaries(st.sampled_from([*IDS, "+"]), st.integers(-5, 5).map(float)),
    st.floats(-3, 3),
)
def test_as_if_all_were_scored_and_false_negatives_left_out(
    documents: list[str], count: int, seed: int, scores: dict[str, float], margin: float
) -> None:
    options = MiningOptions(negatives=count, seed=seed, margin=margin)
    asked: list[str] = []

    def score(pairs):
        asked.extend(document for _, document in pairs)
        return [scores.get(document) for _, document in pairs]

    found = draw("q", "+", documents, seed)
    order = list(found.candidates)
    fill([found], options, score)
    false = {doc for doc in documents if {doc, "+"} <= scores.keys() and scores[doc] > scores["+"] - margin}
    assert found.negatives == [doc for doc in order if doc not in false][:count]
    assert found.scores == [scores.get(doc) for doc in found.negatives]
    assert found.dropped == len(set(asked) & false)
    assert len(asked) == len(set(asked)), "each pair once"
    assert sorted(order) == sorted(documents)


def test_a_draw_depends_on_seed_query_and_positive_alone() -> None:
    options = MiningOptions(negatives=5)

    def negatives(query: str, positive: str, seed: int) -> tuple[str, ...]:
        one = draw(query, positive, IDS, seed)
        fill([draw("other", "d1", IDS[:9], seed), one], options, no_scores)
        alone = draw(query, positive, IDS, seed)
        fill([alone], options, no_scores)
        assert one == alone
        return tuple(one.negatives)

    drawn = {negatives(*what) for what in (("q", "d0", 1), ("q", "d0", 2), ("q", "d1", 1), ("p", "d0", 1))}
    assert len(drawn) == 4


def test_every_candidate_has_the_same_chance() -> None:
    counts = dict.fromkeys(IDS[:10], 0)
    for number in range(2000):
        one = draw(f"q{number}", "+", IDS[:10], 42)
        fill([one], MiningOptions(negatives=3), no_scores)
        for document in one.negatives:
            counts[document] += 1
    assert all(500 < count < 700 for count in counts.values()), counts


@pytest.mark.parametrize("wrong", [{"skip": 5, "depth": 5}, {"skip": -1}, {"negatives": 0}, {"seed": -1}])
def test_options_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InputError, match="--skip"):
        MiningOptions(**wrong)


class TestRankings:
    def test_a_ranking_is_sorted_by_score(self, tmp_path: Path) -> None:
        path = tmp_path / "run"
        path.write_text("q1 Q0 a 1 1.0 t\nq1 Q0 b 2 3.0 t\nq0 Q0 c 1 2.0 t\n")
        rankings = [(query, [(doc.doc_id, doc.score) for doc in ranking]) for query, ranking in read_rankings(path)]
        assert rankings == [("q1", [("b", 3.0), ("a", 1.0)]), ("q0", [("c", 2.0)])]

    @pytest.mark.parametrize(
        ("lines", "found"),
        [
            ("q0 Q0 a 1 1 t\nq1 Q0 a 1 1 t\nq0 Q0 b 2 1 t\n", "line 3: the lines of the query 'q0' are not contiguous"),
            ("q0 Q0 a 1 1 t\nq0 Q0 a 2 1 t\n", "line 2: duplicate document id 'a' for the query 'q0'"),
            ("q0 Q0 a 1 1 t\nq0 Q0 a\n", "line 2: 3 columns instead of 6"),
        ],
    )
    def test_bad_lines_are_named(self, tmp_path: Path, lines: str, found: str) -> None:
        (tmp_path / "run").write_text(lines)
        with pytest.raises(RecordError, match=found):
            list(read_rankings(tmp_path / "run"))

    def test_scores_are_looked_up(self, tmp_path: Path) -> None:
        (tmp_path / "run").write_text("q0 Q0 a 1 1.5 t\nq0 Q0 b 2 -0.1 t\nq1 Q0 a 1 2 t\n")
        scores = RunScores(tmp_path / "run")
        pairs = [("q1", "a"), ("q0", "b"), ("q0", "a"), ("q0", "c"), ("q2", "a")]
        assert scores(pairs) == [2.0, -0.1, 1.5, None, None]


class TestStage:
    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        words = ["cat", "dog", "bird", "fish", "horse", "tree", "river", "city"]
        (tmp_path / "c.tsv").write_text("".join(f"d{n}\tthe {word}\n" for n, word in enumerate(words)))
        (tmp_path / "t.tsv").write_text("q0\tcat\nq1\tdog\nq2\tfish\nq3\ttree\n")
        (tmp_path / "qrels").write_text("q0 0 d0 1\nq0 0 d1 1\nq0 0 d2 0\nq1 0 d1 1\nq2 0 d3 1\n")
        ranked = {"q1": range(8), "q0": range(7, -1, -1), "q3": range(3)}
        lines = [
            f"{query} Q0 d{doc} {rank} {10 - rank} tag\n"
            for query, documents in ranked.items()
            for rank, doc in enumerate(documents, 1)
        ]
        (tmp_path / "run").write_text("".join(lines))
        return tmp_path

    def mine(
        self, place: Path, *arguments: object, output: str = "out.jsonl"
    ) -> tuple[Outcome, list[dict[str, object]]]:
        files = ("--run", place / "run", "--qrels", place / "qrels", "--output", place / output)
        done = run_stage("mine", *files, *arguments)
        lines = (place / output).read_text().splitlines() if output.endswith("l") and (place / output).is_file() else []
        return done, [json.loads(line) for line in lines]

    def test_one_example_for_each_query_and_positive(self, place: Path, caplog) -> None:
        done, found = self.mine(place, "--negatives", 3, "--depth", 6, "--skip", 1)
        assert done.code == 0, done.err
        assert [(one["query_id"], one["positive_id"]) for one in found] == [("q1", "d1"), ("q0", "d0"), ("q0", "d1")]
        allowed = {"q1": {"d2", "d3", "d4", "d5"}, "q0": {"d6", "d5", "d4", "d3", "d2"}}
        for one in found:
            assert len(set(one["negative_ids"])) == 3
            assert set(one["negative_ids"]) <= allowed[one["query_id"]]
            assert one.keys() == {"query_id", "positive_id", "negative_ids"}
        assert done.out == f"{place / 'out.jsonl'}: 3 examples of 2 queries, 9 negatives\n"
        assert "Queries with relevant documents that are not in the run: 1 of 3" in caplog.text

    def test_the_same_seed_gives_the_same_bytes_and_the_order_of_queries_no_other_negatives(self, place: Path) -> None:
        _, first = self.mine(place, "--negatives", 3)
        self.mine(place, "--negatives", 3, output="again.jsonl")
        assert (place / "out.jsonl").read_bytes() == (place / "again.jsonl").read_bytes()
        self.mine(place, "--negatives", 3, output="packed.jsonl.gz")
        assert gzip.decompress((place / "packed.jsonl.gz").read_bytes()) == (place / "out.jsonl").read_bytes()
        _, other = self.mine(place, "--negatives", 3, "--seed", 43)
        assert other != first
        lines = (place / "run").read_text().splitlines(keepends=True)
        (place / "run").write_text("".join(sorted(lines)))
        _, turned = self.mine(place, "--negatives", 3)
        assert sorted(turned, key=str) == sorted(first, key=str)

    def test_what_is_missing_is_counted(self, place: Path, caplog) -> None:
        _, found = self.mine(place, "--depth", 2, "--skip", 0, "--negatives", 2)
        assert [one["negative_ids"] for one in found if one["query_id"] == "q1"] == [["d0"]]
        assert "Examples with fewer than 2 negatives: 1 of 3" in caplog.text
        _, found = self.mine(place, "--depth", 2, "--skip", 1, "--negatives", 2)
        assert {one["query_id"] for one in found} == {"q0"}
        assert "Positives left out, for there are no negatives for them: 1" in caplog.text

    def test_nothing_at_all_is_an_error_and_no_file(self, place: Path) -> None:
        (place / "qrels").write_text("q9 0 d0 1\n")
        done, _ = self.mine(place)
        assert done.code == 2
        assert "no query of the run is judged" in done.err
        assert not (place / "out.jsonl").exists()

    def test_false_negatives_are_dropped_by_scores(self, place: Path, caplog) -> None:
        scores = {"d1": 5.0, "d0": 5.5, "d2": 4.5, "d3": 3.0, "d4": 4.0, "d5": 1.0, "d6": 2.0, "d7": 0.0}
        (place / "scores").write_text("".join(f"q1 Q0 {doc} 0 {score} t\n" for doc, score in scores.items()))
        done, found = self.mine(place, "--scores", place / "scores", "--margin", 1.0)
        one = found[0]
        assert set(one["negative_ids"]) == {"d3", "d4", "d5", "d6", "d7"}, "d4 is exactly at positive − margin"
        assert one["scores"] == [scores[doc] for doc in ("d1", *one["negative_ids"])]
        assert all("scores" not in other for other in found[1:])
        assert "2 false negatives dropped" in done.out
        assert "written without scores: 2" in caplog.text

    def test_texts_are_written_so_that_nothing_else_is_needed(self, place: Path) -> None:
        known = ("--corpus", place / "c.tsv", "--topics", place / "t.tsv")
        self.mine(place, *known)
        texts = open_texts(str(place / "c.tsv"), str(place / "t.tsv"))
        by_ids = list(open_examples(str(place / "out.jsonl"), texts))
        self.mine(place, *known, "--texts", output="texts.jsonl")
        assert list(open_examples(str(place / "texts.jsonl"))) == by_ids

    def test_a_teacher_scores_what_is_written(self, place: Path) -> None:
        name = save(place / "teacher", tiny_bert(seed=1).bert)
        known = ("--corpus", place / "c.tsv", "--topics", place / "t.tsv", "--texts")
        done, found = self.mine(place, *known, "--teacher", name, "--margin", -100, "--negatives", 4)
        assert done.code == 0, done.err
        from splade_anserini.training.teachers.opening import open_teacher

        teacher = open_teacher(name)
        for one in found:
            pairs = [(one["query"], text) for text in (one["positive"], *one["negatives"])]
            assert one["scores"] == pytest.approx(teacher.score(pairs), abs=1e-4)
        _, kept = self.mine(place, *known, "--teacher", name, "--negatives", 8)
        for one in kept:
            assert max(one["scores"][1:]) <= one["scores"][0]

    @pytest.mark.parametrize(
        ("arguments", "found"),
        [
            (("--texts",), "--texts needs texts"),
            (("--teacher", "x"), "--teacher needs texts"),
            (("--corpus", "c.tsv"), "--corpus is given without --topics"),
            (("--teacher", "x", "--scores", "y"), "Both --teacher and --scores"),
            (("--skip", "300"), "0 ≤ --skip < --depth"),
        ],
    )
    def test_options_that_do_not_fit_are_refused(self, place: Path, arguments: tuple[str, ...], found: str) -> None:
        done, _ = self.mine(place, *arguments)
        assert done.code == 2
        assert found in done.err

    def test_of_a_beir_directory_the_train_split_is_mined(self, place: Path) -> None:
        (place / "beir" / "qrels").mkdir(parents=True)
        (place / "beir" / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\n")
        (place / "beir" / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq0\td0\t1\n")
        files = ("--run", place / "run", "--output", place / "out.jsonl")
        done = run_stage("mine", *files, "--qrels", place / "beir")
        assert done.code == 0, done.err
        assert [json.loads(line)["query_id"] for line in (place / "out.jsonl").open()] == ["q1"]
