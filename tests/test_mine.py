"""Mining of hard negatives: the draws, the runs they are drawn from, and the command `mine`."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_anserini.errors import InputError, RecordError
from splade_anserini.formats.examples import open_examples
from splade_anserini.formats.rankings import RunScores
from splade_anserini.formats.runs import read_rankings
from splade_anserini.formats.texts import open_texts
from splade_anserini.training.mining import candidates, draw, fill, no_scores
from splade_anserini.training.options import MiningOptions
from splade_anserini.training.teachers.opening import open_teacher
from tests.cli_runner import Outcome, run_stage
from tests.tiny import tiny_bert
from tests.training_fixtures import save_teacher

IDS = [f"d{index}" for index in range(40)]
document_lists = st.lists(st.sampled_from(IDS), unique=True)

type Record = dict[str, Any]


class TestDraws:
    @given(document_lists, st.sets(st.sampled_from(IDS)), st.integers(0, 30), st.integers(1, 30))
    def test_candidates_are_between_two_ranks_and_not_relevant(
        self, ranking: list[str], relevant: set[str], skip: int, count: int
    ) -> None:
        ranks = {document: rank for rank, document in enumerate(ranking, 1)}
        expected = [doc for doc in ranking if skip < ranks[doc] <= skip + count and doc not in relevant]
        assert candidates(ranking, relevant, MiningOptions(depth=skip + count, skip=skip)) == expected

    @given(
        document_lists,
        st.integers(1, 10),
        st.integers(0, 5),
        st.dictionaries(st.sampled_from([*IDS, "+"]), st.integers(-5, 5).map(float)),
        st.floats(-3, 3),
    )
    def test_negatives_are_as_if_all_candidates_were_scored(
        self, documents: list[str], count: int, seed: int, scores: dict[str, float], margin: float
    ) -> None:
        scored: list[str] = []

        def pair_scores(pairs: Sequence[tuple[str, str]]) -> list[float | None]:
            scored.extend(document for _, document in pairs)
            return [scores.get(document) for _, document in pairs]

        one = draw("q", "+", documents, seed)
        order = list(one.candidates)
        fill([one], MiningOptions(negatives=count, seed=seed, margin=margin), pair_scores)
        false = {doc for doc in documents if {doc, "+"} <= scores.keys() and scores[doc] > scores["+"] - margin}
        assert one.negatives == [doc for doc in order if doc not in false][:count]
        assert one.scores == [scores.get(doc) for doc in one.negatives]
        assert one.dropped == len(set(scored) & false)
        assert len(scored) == len(set(scored)), "each pair is scored once"
        assert sorted(order) == sorted(documents)

    def test_a_draw_depends_on_seed_query_and_positive_only(self) -> None:
        options = MiningOptions(negatives=5)

        def negatives(query: str, positive: str, seed: int) -> tuple[str, ...]:
            among_others, alone = (draw(query, positive, IDS, seed) for _ in range(2))
            fill([draw("other", "d1", IDS[:9], seed), among_others], options, no_scores)
            fill([alone], options, no_scores)
            assert among_others == alone
            return tuple(alone.negatives)

        drawn = {negatives("q", "d0", 1), negatives("q", "d0", 2), negatives("q", "d1", 1), negatives("p", "d0", 1)}
        assert len(drawn) == 4

    def test_candidates_are_drawn_with_equal_probability(self) -> None:
        counts = dict.fromkeys(IDS[:10], 0)
        for index in range(2000):
            one = draw(f"q{index}", "+", IDS[:10], 42)
            fill([one], MiningOptions(negatives=3), no_scores)
            for document in one.negatives:
                counts[document] += 1
        assert all(500 < count < 700 for count in counts.values()), counts

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"skip": 5, "depth": 5}, r"^--skip \(5\) is not less than --depth \(5\)\."),
            ({"skip": -1}, r"^--skip must be at least 0, got -1\."),
            ({"negatives": 0}, r"^--negatives must be at least 1, got 0\."),
            ({"seed": -1}, r"^--seed must be at least 0, got -1\."),
        ],
    )
    def test_options_out_of_range_are_refused(self, options: dict[str, int], message: str) -> None:
        with pytest.raises(InputError, match=message):
            MiningOptions(**options)


class TestRankings:
    def test_a_ranking_is_sorted_by_score(self, tmp_path: Path) -> None:
        (tmp_path / "run").write_text("q1 Q0 a 1 1.0 t\nq1 Q0 b 2 3.0 t\nq0 Q0 c 1 2.0 t\n")
        rankings = [
            (query, [(doc.doc_id, doc.score) for doc in ranking]) for query, ranking in read_rankings(tmp_path / "run")
        ]
        assert rankings == [("q1", [("b", 3.0), ("a", 1.0)]), ("q0", [("c", 2.0)])]

    @pytest.mark.parametrize(
        ("lines", "message"),
        [
            ("q0 Q0 a 1 1 t\nq1 Q0 a 1 1 t\nq0 Q0 b 2 1 t\n", "line 3: the lines of the query 'q0' are not contiguous"),
            ("q0 Q0 a 1 1 t\nq0 Q0 a 2 1 t\n", "line 2: duplicate document id 'a' for the query 'q0'"),
            ("q0 Q0 a 1 1 t\nq0 Q0 a\n", "line 2: 3 columns instead of 6"),
        ],
    )
    def test_an_error_names_the_line(self, tmp_path: Path, lines: str, message: str) -> None:
        (tmp_path / "run").write_text(lines)
        with pytest.raises(RecordError, match=message):
            list(read_rankings(tmp_path / "run"))

    def test_scores_are_looked_up_by_query_and_document(self, tmp_path: Path) -> None:
        (tmp_path / "run").write_text("q0 Q0 a 1 1.5 t\nq0 Q0 b 2 -0.1 t\nq1 Q0 a 1 2 t\n")
        scores = RunScores(tmp_path / "run")
        pairs = [("q1", "a"), ("q0", "b"), ("q0", "a"), ("q0", "c"), ("q2", "a")]
        assert scores(pairs) == [2.0, -0.1, 1.5, None, None]


class TestCommand:
    @pytest.fixture
    def home(self, tmp_path: Path) -> Path:
        words = ["cat", "dog", "bird", "fish", "horse", "tree", "river", "city"]
        (tmp_path / "corpus.tsv").write_text("".join(f"d{n}\tthe {word}\n" for n, word in enumerate(words)))
        (tmp_path / "topics.tsv").write_text("q0\tcat\nq1\tdog\nq2\tfish\nq3\ttree\n")
        (tmp_path / "qrels").write_text("q0 0 d0 1\nq0 0 d1 1\nq0 0 d2 0\nq1 0 d1 1\nq2 0 d3 1\n")
        rankings = {"q1": range(8), "q0": range(7, -1, -1), "q3": range(3)}
        lines = [
            f"{query} Q0 d{doc} {rank} {10 - rank} tag\n"
            for query, documents in rankings.items()
            for rank, doc in enumerate(documents, 1)
        ]
        (tmp_path / "run").write_text("".join(lines))
        return tmp_path

    @pytest.fixture
    def lookup(self, home: Path) -> list[object]:
        return ["--corpus", home / "corpus.tsv", "--topics", home / "topics.tsv"]

    def mine(self, home: Path, *arguments: object, output: str = "out.jsonl") -> tuple[Outcome, list[Record]]:
        files = ("--run", home / "run", "--qrels", home / "qrels", "--output", home / output)
        done = run_stage("mine", *files, "--overwrite", *arguments)
        written = (home / output).is_file() and not output.endswith(".gz")
        lines = (home / output).read_text().splitlines() if written else []
        return done, [json.loads(line) for line in lines]

    def test_there_is_an_example_for_each_query_and_positive(
        self, home: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        done, records = self.mine(home, "--negatives", 3, "--depth", 6, "--skip", 1)
        assert done.code == 0, done.err
        pairs = [(record["query_id"], record["positive_id"]) for record in records]
        assert pairs == [("q1", "d1"), ("q0", "d0"), ("q0", "d1")]
        allowed = {"q1": {"d2", "d3", "d4", "d5"}, "q0": {"d6", "d5", "d4", "d3", "d2"}}
        for record in records:
            assert len(set(record["negative_ids"])) == 3
            assert set(record["negative_ids"]) <= allowed[record["query_id"]]
            assert record.keys() == {"query_id", "positive_id", "negative_ids"}
        assert done.out == f"{home / 'out.jsonl'}: 3 examples of 2 queries, 9 negatives\n"
        assert "Queries with relevant documents that are not in the run: 1 of 3" in caplog.text

    def test_the_same_seed_gives_the_same_bytes(self, home: Path) -> None:
        _, records = self.mine(home, "--negatives", 3)
        self.mine(home, "--negatives", 3, output="again.jsonl")
        assert (home / "out.jsonl").read_bytes() == (home / "again.jsonl").read_bytes()
        self.mine(home, "--negatives", 3, output="packed.jsonl.gz")
        assert gzip.decompress((home / "packed.jsonl.gz").read_bytes()) == (home / "out.jsonl").read_bytes()
        _, others = self.mine(home, "--negatives", 3, "--seed", 43)
        assert others != records

    def test_the_order_of_queries_does_not_change_the_negatives(self, home: Path) -> None:
        _, records = self.mine(home, "--negatives", 3)
        lines = (home / "run").read_text().splitlines(keepends=True)
        (home / "run").write_text("".join(sorted(lines)))
        _, reordered = self.mine(home, "--negatives", 3)
        assert reordered != records
        assert sorted(reordered, key=str) == sorted(records, key=str)

    def test_examples_with_too_few_negatives_are_counted(self, home: Path, caplog: pytest.LogCaptureFixture) -> None:
        _, records = self.mine(home, "--depth", 2, "--skip", 0, "--negatives", 2)
        assert [record["negative_ids"] for record in records if record["query_id"] == "q1"] == [["d0"]]
        assert "Examples with fewer than 2 negatives: 1 of 3" in caplog.text

    def test_positives_without_negatives_are_left_out_and_counted(
        self, home: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        _, records = self.mine(home, "--depth", 2, "--skip", 1, "--negatives", 2)
        assert {record["query_id"] for record in records} == {"q0"}
        assert "Positives left out because there is no negative for them: 1" in caplog.text

    @pytest.mark.parametrize(
        ("qrels", "options", "message"),
        [
            ("q9 0 d0 1\n", [], "No example was mined: no query of the run has a relevant document."),
            ("q1 0 d0 1\n", ["--depth", 1], "No example was mined: no document is left for 1 pair of query"),
        ],
    )
    def test_a_run_without_any_example_is_an_error_and_writes_no_file(
        self, home: Path, qrels: str, options: list[object], message: str
    ) -> None:
        (home / "qrels").write_text(qrels)
        done, _ = self.mine(home, *options)
        assert (done.code, message in done.err) == (2, True), done.err
        assert not (home / "out.jsonl").exists()

    def test_false_negatives_are_dropped_by_their_scores(self, home: Path, caplog: pytest.LogCaptureFixture) -> None:
        scores = {"d1": 5.0, "d0": 5.5, "d2": 4.5, "d3": 3.0, "d4": 4.0, "d5": 1.0, "d6": 2.0, "d7": 0.0}
        (home / "scores").write_text("".join(f"q1 Q0 {doc} 0 {score} t\n" for doc, score in scores.items()))
        done, (first, *others) = self.mine(home, "--scores", home / "scores", "--margin", 1.0)
        assert set(first["negative_ids"]) == {"d3", "d4", "d5", "d6", "d7"}, "d4 is exactly at positive − margin"
        assert first["scores"] == [scores[doc] for doc in ("d1", *first["negative_ids"])]
        assert all("scores" not in record for record in others)
        assert "2 false negatives dropped" in done.out
        assert "Examples written without scores because a document has none: 2" in caplog.text

    def test_examples_with_texts_need_no_lookup(self, home: Path, lookup: list[object]) -> None:
        self.mine(home, *lookup)
        texts = open_texts(str(home / "corpus.tsv"), str(home / "topics.tsv"))
        by_ids = list(open_examples(str(home / "out.jsonl"), texts))
        self.mine(home, *lookup, "--texts", output="texts.jsonl")
        assert list(open_examples(str(home / "texts.jsonl"))) == by_ids

    def test_a_teacher_scores_the_examples(self, home: Path, lookup: list[object]) -> None:
        name = save_teacher(home / "teacher", tiny_bert(seed=1).bert)
        options = [*lookup, "--texts", "--teacher", name]
        done, records = self.mine(home, *options, "--margin", -100, "--negatives", 4)
        assert done.code == 0, done.err
        teacher = open_teacher(name)
        for record in records:
            pairs = [(record["query"], text) for text in (record["positive"], *record["negatives"])]
            assert record["scores"] == pytest.approx(teacher.score(pairs), abs=1e-4)
        _, kept = self.mine(home, *options, "--negatives", 8)
        for record in kept:
            assert max(record["scores"][1:]) <= record["scores"][0]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("--texts",), "--texts needs the texts of documents and queries."),
            (("--teacher", "x"), "--teacher needs the texts of documents and queries."),
            (("--corpus", "c.tsv"), "--corpus needs --topics."),
            (("--teacher", "x", "--scores", "y"), "--teacher and --scores exclude each other."),
            (("--skip", "300"), "--skip (300) is not less than --depth (200)."),
            (("--depth", "0"), "--depth must be at least 1, got 0."),
            (("--batch-size", "0"), "--batch-size must be at least 1, got 0."),
        ],
    )
    def test_options_that_do_not_fit_together_are_refused(
        self, home: Path, arguments: tuple[str, ...], message: str
    ) -> None:
        done, _ = self.mine(home, *arguments)
        assert (done.code, message in done.err) == (2, True), done.err

    def test_the_judgements_of_a_beir_directory_are_its_train_split(self, home: Path) -> None:
        (home / "beir" / "qrels").mkdir(parents=True)
        (home / "beir" / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\n")
        (home / "beir" / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq0\td0\t1\n")
        files = ("--run", home / "run", "--output", home / "out.jsonl")
        done = run_stage("mine", *files, "--qrels", home / "beir")
        assert done.code == 0, done.err
        assert [json.loads(line)["query_id"] for line in (home / "out.jsonl").open()] == ["q1"]

    def test_examples_are_mined_once_and_replaced_only_with_overwrite(self, home: Path) -> None:
        files = ("--run", home / "run", "--qrels", home / "qrels", "--output", home / "out.jsonl")
        command = ("mine", *files, "--negatives", 3, "--format", "json")
        first = run_stage(*command)
        assert first.code == 0, first.err
        counts = json.loads(first.out)
        assert counts == {
            "output": str(home / "out.jsonl"),
            "queries": 2,
            "examples": 3,
            "negatives": 9,
            "short": 0,
            "left_out": 0,
            "false_negatives": 0,
            "unscored": 3,
            "up_to_date": False,
        }
        again = run_stage(*command, "--batch-size", 2)
        assert (again.code, json.loads(again.out)) == (0, counts | {"up_to_date": True})
        other = run_stage(*command, "--seed", 7)
        assert (other.code, "seed was 42, is 7" in other.err) == (2, True)
        (home / "qrels").write_text("q1 0 d1 1\n")
        changed = run_stage(*command)
        assert (changed.code, "qrels was" in changed.err) == (2, True)
        assert json.loads(run_stage(*command, "--overwrite").out)["examples"] == 1

    @pytest.mark.parametrize("name", ["run", "qrels"])
    def test_an_input_is_not_overwritten(self, home: Path, name: str) -> None:
        before = (home / name).read_bytes()
        files = ("--run", home / "run", "--qrels", home / "qrels", "--output", home / name)
        done = run_stage("mine", *files, "--overwrite")
        assert (done.code, "are the same path" in done.err) == (2, True)
        assert (home / name).read_bytes() == before
