import gzip
from pathlib import Path

import pytest
from ir_measures import Qrel

from splade_anserini.errors import NOTE, InputError, RecordError
from splade_anserini.formats.qrels import read_qrels
from tests.shared_data import CASES, DATA, needs_cases, needs_data


@pytest.mark.parametrize(
    "content",
    ["1 0 d0 2\n猫 0 d1 -1\n", "1\t0\td0\t2\r\n\n猫\t0\td1\t-1", "query-id\tcorpus-id\tscore\n1\td0\t2\n猫\td1\t-1\n"],
)
@pytest.mark.parametrize("name", ["qrels", "qrels.gz"])
def test_trec_and_beir_files_are_read_plain_and_compressed(tmp_path: Path, content: str, name: str) -> None:
    data = content.encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    assert read_qrels(tmp_path / name) == [Qrel("1", "d0", 2), Qrel("猫", "d1", -1)]


JUDGED = [Qrel("1", "d0", 2), Qrel("猫", "d1", -1)]


@pytest.mark.parametrize(
    "content",
    [
        "query_id\tdoc_id\trelevance\n1\td0\t2\n猫\td1\t-1\n",
        "qid iter docno rel\n1 0 d0 2\n猫 0 d1 -1\n",
        "topic iteration document judgment\n1 4.5 d0 2\n猫 4.5 d1 -1\n",
        "Topic ID,Document ID,Relevance Score\n1,d0,2\n猫,d1,-1\n",
        "Query ID\tDoc ID\tScore\n1\td0\t2\n猫\td1\t-1\n",
        "qid,docid,rel\n1,d0,2\n猫,d1,-1\n",
        "qid;docid;label\n1;d0;2\n猫;d1;-1\n",
        '"query-id","corpus-id","score"\n"1","d0","2"\n"猫","d1","-1"\n',
        "1,d0,2\n猫,d1,-1\n",
        "1, 0, d0, 2\n猫, 0, d1, -1\n",
        "relevance\tqueryId\tdocId\n2\t1\td0\n-1\t猫\td1\n",
        "1 0 d0 2.0\n猫 0 d1 -1.0\n",
        "1\td0\t2\n猫\td1\t-1\n",
        "1 0 d0 2e0\n猫 0 d1 -1\n",
        '{"1": {"d0": 2}, "猫": {"d1": -1}}',
        '{"query-id": 1, "corpus-id": "d0", "score": 2}\n{"query-id": "猫", "corpus-id": "d1", "score": -1.0}\n',
        '[{"qid": "1", "pid": "d0", "label": 2}, {"qid": "猫", "pid": "d1", "label": -1}]',
        "\ufeffquery-id\tcorpus-id\tscore\r\n1\td0\t2\r\n猫\td1\t-1\r\n",
    ],
)
def test_judgements_are_read_with_any_usual_header_and_separator(
    tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "qrels").write_text(content)
    assert read_qrels(tmp_path / "qrels") == JUDGED
    assert not caplog.messages


@pytest.mark.parametrize("content", ["1 d0\n2 d1\n", "qid,docid\n1,d0\n2,d1\n", '{"1": ["d0"], "2": ["d1"]}'])
def test_pairs_are_relevant_documents(tmp_path: Path, content: str) -> None:
    (tmp_path / "qrels").write_text(content)
    assert read_qrels(tmp_path / "qrels") == [Qrel("1", "d0", 1), Qrel("2", "d1", 1)]


def test_a_note_says_how_pairs_are_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "qrels").write_text("1 d0\n2 d1\n")
    with caplog.at_level(NOTE):
        read_qrels(tmp_path / "qrels")
    assert caplog.messages == [f"{tmp_path / 'qrels'} has two columns: each line is taken for a relevant document."]


@pytest.mark.parametrize(
    ("name", "judged"),
    [
        ("qrels-hdr2.tsv", [Qrel("q1", "d1", 1)]),
        ("qrels.csv", [Qrel("q1", "d1", 1)]),
        ("qrels-2col.txt", [Qrel("q1", "d1", 1), Qrel("q2", "d3", 1)]),
        ("beirdev@dev", None),
    ],
)
@needs_cases("qrels-hdr2.tsv", "qrels.csv", "qrels-2col.txt", "beirdev")
def test_the_given_judgements_are_read(name: str, judged: list[Qrel] | None) -> None:
    assert read_qrels(CASES / name) == judged or (judged is None and read_qrels(CASES / name))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("qrels-dup.txt", "line 2: the document 'd1' is judged twice"),
        ("qrels-float.txt", r"line 2: the relevance is 0\.5"),
        ("beirdev", r"has no split 'test'.*\nExpected one or more of its splits: dev"),
    ],
)
@needs_cases("qrels-dup.txt", "qrels-float.txt", "beirdev")
def test_the_given_judgements_that_cannot_be_read_are_refused_with_the_reason(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_qrels(CASES / name)


class TestBeirDirectory:
    @pytest.fixture
    def directory(self, tmp_path: Path) -> Path:
        (tmp_path / "qrels").mkdir()
        for index, split in enumerate(("dev", "test", "train")):
            lines = f"query-id\tcorpus-id\tscore\n{index}\td0\t1\n"
            (tmp_path / "qrels" / f"{split}.tsv").write_text(lines)
        return tmp_path

    @pytest.mark.parametrize(
        ("suffix", "default_split", "query_ids"),
        [
            ("", "test", ["1"]),
            ("", "train", ["2"]),
            ("@dev", "test", ["0"]),
            ("@train+dev", "test", ["2", "0"]),
        ],
    )
    def test_it_has_the_judgements_of_its_splits(
        self, directory: Path, suffix: str, default_split: str, query_ids: list[str]
    ) -> None:
        qrels = read_qrels(f"{directory}{suffix}", default_split)
        assert [qrel.query_id for qrel in qrels] == query_ids

    def test_without_a_name_the_split_is_test(self, directory: Path) -> None:
        assert read_qrels(directory) == [Qrel("1", "d0", 1)]

    def test_an_unknown_split_is_refused_with_the_nearest(self, directory: Path) -> None:
        with pytest.raises(
            InputError, match=r"has no split 'devv'.*\nExpected .*: dev, test, train\.\nDid you mean .*@dev\?"
        ):
            read_qrels(f"{directory}@devv")

    def test_without_a_default_split_it_is_refused(self, directory: Path) -> None:
        (directory / "qrels" / "test.tsv").unlink()
        with pytest.raises(InputError, match=r"has no split 'test': there is no qrels/test\.tsv"):
            read_qrels(directory)

    def test_a_document_that_two_splits_judge_for_a_query_is_refused(self, directory: Path) -> None:
        (directory / "qrels" / "dev.tsv").write_text("1 0 d1 1\n1 0 d0 1\n")
        with pytest.raises(RecordError, match=r"dev\.tsv, line 2: the document 'd0' is judged twice for the query '1'"):
            read_qrels(f"{directory}@test+dev")


@pytest.mark.parametrize(
    ("content", "line", "fragment"),
    [
        ("1 0 d0 2\n1 d1\n", 2, "2 columns instead of 4"),
        ("1 0 d0 2 x\n", 1, "5 columns"),
        ("1 d0\n1\n", 2, "1 columns instead of 2"),
        ("1\n", 1, "1 columns"),
        ("\t\n", 1, "0 columns"),
        ("1 0 d0 0.5\n", 1, "the relevance is 0.5"),
        ("1 0 d0 1_0\n", 1, "the relevance is 1_0"),
        ("1 0 d0 ١٢\n", 1, "the relevance is ١٢"),
        ("1 0 d0 nan\n", 1, "the relevance is nan"),
        ("1 0 d0 1e39\n", 1, "the relevance is 1e39"),
        ("1\td0\t 12 \n", 1, "the number ' 12 ' has spaces around it"),
        ("qid;docid;rel\n1;d0;12 \n", 2, "the relevance is 12 "),
        ("qid,docid,rel\n1,a ,1\n", 2, "the id 'a ' contains white space"),
        ('{"1": {"d0": 0.5}}', 1, "the relevance is 0.5"),
        ('{"1": {"d0": NaN}}', 1, "a number is NaN"),
        ('{"1": {"d0": true}}', 1, "the relevance is true"),
        ('{"1": 2}', 1, "the value of '1' is 2"),
        ("1 0 d0 high\n", 1, "the relevance is high"),
        ("1 0 d0 1.5\n", 1, "the relevance is 1.5"),
        ("query-id\tcorpus-id\tscore\n1\td0\t1\nquery-id\tcorpus-id\tscore\n", 3, "the relevance is score"),
        ("1 0 d0 1\n2 0 d0 1\n1 0 d0 0\n", 3, "'d0' is judged twice for the query '1'"),
        (b"1 0 \xff 1\n", 1, "not valid UTF-8"),
        ("1 0 d\0 1\n", 1, "a NUL character"),
        ("1 0 d0 1000000\n1 0 d1 1000001\n", 2, "the relevance is 1000001"),
        (f"1 0 d0 {-(10**30)}\n", 1, "an integer up to 1,000,000"),
    ],
)
def test_a_malformed_judgement_is_named_by_file_and_line(
    tmp_path: Path, content: str | bytes, line: int, fragment: str
) -> None:
    (tmp_path / "bad.qrels").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RecordError) as caught:
        read_qrels(str(tmp_path / "bad.qrels"))
    assert f"bad.qrels, line {line}: " in str(caught.value)
    assert fragment in str(caught.value)


def test_missing_and_empty_qrels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="missing do not exist"):
        read_qrels(str(tmp_path / "missing"))
    (tmp_path / "empty").write_text("query-id\tcorpus-id\tscore\n")
    with pytest.raises(InputError, match="are empty"):
        read_qrels(str(tmp_path / "empty"))


def test_qrels_of_ir_datasets_come_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    import ir_datasets
    from ir_datasets.formats import BaseQrels, TrecQrel

    class Qrels(BaseQrels):
        def qrels_iter(self):
            return iter([TrecQrel("1", "d0", 2, "0")])

    monkeypatch.setitem(ir_datasets.registry._registered, "made-up", ir_datasets.datasets.base.Dataset(Qrels()))
    assert read_qrels("irds:made-up") == [Qrel("1", "d0", 2)]


@needs_data("nfcorpus")
def test_nfcorpus_has_12334_judgements_for_testing() -> None:
    assert len(read_qrels(DATA / "nfcorpus")) == 12334
