"""The collection that ships has a name, `cranfield`, which needs no checkout."""

import json
from pathlib import Path

import pytest

from splade_anserini.cards.shipped import cranfield
from splade_anserini.errors import InputError
from splade_anserini.formats.corpora import open_corpus
from splade_anserini.formats.examples import open_examples
from splade_anserini.formats.qrels import read_qrels
from splade_anserini.formats.topics import read_topics
from tests.cli_runner import run_stage


@pytest.fixture(autouse=True)
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write_collection(directory: Path) -> None:
    (directory / "qrels").mkdir(parents=True)
    (directory / "corpus.jsonl").write_text(json.dumps({"_id": "mine", "text": "a text"}))
    (directory / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": "a query"}))
    (directory / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\tmine\t1\n")


@pytest.mark.parametrize("split", ["", "@test"])
def test_it_is_topics_and_judgements(split: str) -> None:
    assert read_topics(f"cranfield{split}") == read_topics(cranfield())
    assert read_qrels(f"cranfield{split}") == read_qrels(cranfield())
    assert len(read_topics(f"cranfield{split}")) == 225


def test_it_is_a_corpus_and_examples() -> None:
    assert list(open_corpus("cranfield")) == list(open_corpus(cranfield()))
    assert open_corpus("cranfield").name == "cranfield"
    assert len(open_examples("titles:cranfield")) > 1000
    assert len(open_examples("cranfield@test")) > 1000


@pytest.mark.parametrize("name", ["cranfield", Path("cranfield")])
def test_a_directory_of_that_name_wins(name: str | Path) -> None:
    write_collection(Path("cranfield"))
    assert [document.id for document in open_corpus(name)] == ["mine"]
    assert [topic.id for topic in read_topics(name)] == ["q"]
    assert [qrel.doc_id for qrel in read_qrels(name)] == ["mine"]


def test_a_file_of_that_name_wins() -> None:
    Path("cranfield").write_text("q 0 mine 1\n")
    assert [qrel.doc_id for qrel in read_qrels("cranfield")] == ["mine"]


def test_a_link_of_that_name_that_leads_nowhere_is_not_taken_for_it() -> None:
    Path("cranfield").symlink_to("nowhere")
    with pytest.raises(InputError, match="do not exist"):
        read_qrels("cranfield")


def test_only_the_name_itself_is_taken_for_it() -> None:
    with pytest.raises(InputError, match=r"The corpus \./cranfield does not exist"):
        open_corpus("./cranfield")
    with pytest.raises(InputError, match="The qrels Cranfield do not exist"):
        read_qrels("Cranfield")


@pytest.mark.parametrize("read", [open_corpus, read_topics, read_qrels])
def test_messages_name_it(read) -> None:
    with pytest.raises(InputError, match="or cranfield"):
        read("nowhere.tsv")


def test_an_unknown_split_names_those_that_are_there() -> None:
    with pytest.raises(InputError, match="one or more of its splits: test"):
        read_qrels("cranfield@dev")


def test_evaluate_takes_it() -> None:
    qrel = next(qrel for qrel in read_qrels("cranfield") if qrel.relevance > 0)
    Path("run.txt").write_text(f"{qrel.query_id} Q0 {qrel.doc_id} 1 2.0 x\n")
    done = run_stage("evaluate", "--run", "run.txt", "--qrels", "cranfield", "--measures", "P@1", "--format", "json")
    assert done.code == 0, done.err
    assert "0.00444" in done.out


@pytest.mark.parametrize("command", ["encode", "search", "evaluate"])
def test_the_help_names_it(command: str) -> None:
    assert "cranfield" in run_stage(command, "--help").out
