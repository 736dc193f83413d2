import gzip
from pathlib import Path

import pytest
from ir_measures import Qrel

from splade_anserini.errors import InputError, RecordError
from splade_anserini.formats.qrels import read_qrels

NFCORPUS = Path(__file__).parents[2] / "shared" / "data" / "nfcorpus"


@pytest.mark.parametrize(
    "content",
    ["1 0 d0 2\n猫 0 d1 -1\n", "1\t0\td0\t2\r\n\n猫\t0\td1\t-1", "query-id\tcorpus-id\tscore\n1\td0\t2\n猫\td1\t-1\n"],
)
def test_trec_and_beir_files_are_read_plain_and_compressed(tmp_path: Path, content: str) -> None:
    (tmp_path / "qrels").write_bytes(content.encode())
    (tmp_path / "qrels.gz").write_bytes(gzip.compress(content.encode()))
    for name in ("qrels", "qrels.gz"):
        assert read_qrels(str(tmp_path / name)) == [Qrel("1", "d0", 2), Qrel("猫", "d1", -1)]


def test_a_beir_directory_has_a_test_split(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no qrels/test\.tsv"):
        read_qrels(str(tmp_path))
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n1\td0\t2\n")
    assert read_qrels(str(tmp_path)) == [Qrel("1", "d0", 2)]


@pytest.mark.parametrize(
    ("content", "line", "fragment"),
    [
        ("1 0 d0 2\n1 d1\n", 2, "2 columns"),
        ("1 0 d0 2 x\n", 1, "5 columns"),
        ("\t\n", 1, "0 columns"),
        ("1 0 d0 high\n", 1, "the relevance is high"),
        ("1 0 d0 1.5\n", 1, "the relevance is 1.5"),
        ("query-id\tcorpus-id\tscore\n1\td0\t1\nquery-id\tcorpus-id\tscore\n", 3, "the relevance is score"),
        ("1 0 d0 1\n2 0 d0 1\n1 0 d0 0\n", 3, "'d0' is judged again for the query '1'"),
        (b"1 0 \xff 1\n", 1, "no UTF-8"),
        ("1 0 d\0 1\n", 1, "a character NUL"),
        ("1 0 d0 1000000\n1 0 d1 1000001\n", 2, "the relevance is 1000001"),
        (f"1 0 d0 {-(10**30)}\n", 1, "an integer up to 1,000,000"),
    ],
)
def test_a_line_that_is_no_judgement_is_named(tmp_path: Path, content: str | bytes, line: int, fragment: str) -> None:
    (tmp_path / "bad.qrels").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RecordError) as caught:
        read_qrels(str(tmp_path / "bad.qrels"))
    assert f"bad.qrels, line {line}: " in str(caught.value)
    assert fragment in str(caught.value)


def test_missing_and_empty_qrels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
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


@pytest.mark.skipif(not NFCORPUS.exists(), reason="../shared/data/nfcorpus is not here")
def test_nfcorpus_has_12334_judgements_for_testing() -> None:
    assert len(read_qrels(str(NFCORPUS))) == 12334
