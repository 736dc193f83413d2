from pathlib import Path

import pytest

from splade_anserini.errors import InputError
from splade_anserini.formats.beir import BeirDirectory


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "scifact@v2" / "qrels").mkdir(parents=True)
    for name in ("train.tsv", "dev.tsv.gz", "test.tsv", "readme.md"):
        (tmp_path / "scifact@v2" / "qrels" / name).write_text("")
    return tmp_path / "scifact@v2"


def parsed(source: object) -> BeirDirectory:
    directory = BeirDirectory.parse(str(source))
    assert directory is not None
    return directory


@pytest.mark.parametrize(
    ("suffix", "splits", "files"),
    [
        ("", (), ["test.tsv"]),
        ("/", (), ["test.tsv"]),
        ("@dev", ("dev",), ["dev.tsv.gz"]),
        ("@dev+train", ("dev", "train"), ["dev.tsv.gz", "train.tsv"]),
        ("@dev+dev", ("dev",), ["dev.tsv.gz"]),
    ],
)
def test_a_directory_and_its_splits_are_parsed(
    directory: Path, suffix: str, splits: tuple[str, ...], files: list[str]
) -> None:
    assert parsed(f"{directory}{suffix}") == BeirDirectory(directory, splits)
    assert [path.name for path in parsed(f"{directory}{suffix}").qrels_files("test")] == files


@pytest.mark.parametrize("source", ["missing", "missing@dev", "@dev", "irds:beir/scifact/test", "queries.jsonl"])
def test_what_does_not_name_a_directory_is_not_parsed(
    tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("queries.jsonl").write_text("")
    assert BeirDirectory.parse(source) is None


def test_a_file_whose_name_looks_like_a_split_is_a_file(directory: Path) -> None:
    path = directory.with_name(f"{directory.name}@dev")
    path.write_text("")
    assert BeirDirectory.parse(path) is None


@pytest.mark.parametrize(
    ("suffix", "split", "advice"),
    [
        ("@tset", "tset", "Did you mean DIR@test?"),
        ("@dev+trian", "trian", "Did you mean DIR@train?"),
        ("@validation", "validation", "Name one or more, for example DIR@dev+test."),
        ("@", "", "Name one or more, for example DIR@dev+test."),
        ("@readme", "readme", "Name one or more, for example DIR@dev+test."),
    ],
)
def test_for_an_unknown_split_the_message_lists_the_splits_and_the_nearest(
    directory: Path, suffix: str, split: str, advice: str
) -> None:
    with pytest.raises(InputError) as caught:
        BeirDirectory.parse(f"{directory}{suffix}")
    assert str(caught.value).replace(str(directory), "DIR").splitlines() == [
        f"The directory DIR has no split {split!r}: there is no qrels/{split}.tsv.",
        "Expected one or more of its splits: dev, test, train.",
        advice,
    ]


def test_a_directory_without_judgements_has_no_splits(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no split 'test'.*\nExpected a BEIR directory with judgements"):
        parsed(tmp_path).qrels_files("test")


def test_a_plain_file_of_judgements_comes_before_a_compressed_one(directory: Path) -> None:
    (directory / "qrels" / "dev.tsv").write_text("")
    assert [path.name for path in parsed(f"{directory}@dev").qrels_files("test")] == ["dev.tsv"]


def test_corpus_and_queries_are_found_plain_and_compressed(directory: Path) -> None:
    assert parsed(directory).corpus_file is None
    assert parsed(directory).queries_file is None
    for name in ("corpus.jsonl.gz", "queries.jsonl"):
        (directory / name).write_text("")
    assert parsed(directory).corpus_file == directory / "corpus.jsonl.gz"
    assert parsed(directory).queries_file == directory / "queries.jsonl"
