import json
from pathlib import Path

import pytest

from splade_anserini.errors import InputError
from splade_anserini.formats.beir import BeirDirectory, collections_in
from tests.cli_runner import run_stage
from tests.shared_data import CASES, needs_cases


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


# Directories of several collections, such as CQADupStack.


@pytest.fixture
def cqadupstack(tmp_path: Path) -> Path:
    for name in ("english", "android", "mathematica"):
        (tmp_path / "cqa" / name / "qrels").mkdir(parents=True)
        (tmp_path / "cqa" / name / "qrels" / "test.tsv").write_text("1 0 d 1\n2 0 d 1\n")
    (tmp_path / "cqa" / "english" / "qrels" / "test.tsv").write_text("1 0 d 1\n")
    (tmp_path / "cqa" / "readme").mkdir()
    return tmp_path / "cqa"


def test_a_directory_of_collections_has_each_with_its_splits(cqadupstack: Path) -> None:
    names = ["android", "english", "mathematica"]
    assert collections_in(cqadupstack) == {name: f"{cqadupstack}/{name}" for name in names}
    assert collections_in(f"{cqadupstack}@dev") == {name: f"{cqadupstack}/{name}@dev" for name in names}
    assert collections_in(cqadupstack / "android") == collections_in(cqadupstack / "nope") == {}


def test_for_a_directory_of_collections_the_message_lists_them(cqadupstack: Path) -> None:
    with pytest.raises(InputError, match=r"no split 'test'.*\nExpected one of the collections.*: android, english, "):
        parsed(cqadupstack).qrels_files("test")


def evaluated(qrels: object, *runs: object, options: tuple[str, ...] = ()) -> str:
    arguments = [text for run in runs for text in ("--run", str(run))]
    outcome = run_stage("evaluate", *arguments, "--qrels", qrels, "--measures", "RR@10 NumRet", *options)
    assert outcome.code == 0, outcome.err
    return outcome.out


def test_each_collection_and_the_mean_of_their_means_are_evaluated(cqadupstack: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    (runs / "run.cqadupstack-android.splade.txt").write_text("1 Q0 d 1 9 t\n2 Q0 d 1 9 t\n")
    (runs / "english.tsv").write_text("1\te\t1\n1\td\t2\n")
    (runs / "mathematica.txt").write_text("1 Q0 e 1 9 t\n")
    (runs / "mathematica.txt.manifest").write_text("{}")
    assert evaluated(cqadupstack, runs).splitlines() == [
        "collection    RR@10  NumRet",
        "android      1.0000  2.0000",
        "english      0.5000  2.0000",
        "mathematica  0.0000  1.0000",
        "mean         0.5000  5.0000",
    ]
    assert json.loads(evaluated(cqadupstack, runs, options=("--format", "json")))["collections"]["english"] == {
        "RR@10": 0.5, "NumRet": 2
    }  # fmt: skip
    compared = evaluated(cqadupstack, f"a={runs}", f"b={runs}", options=("--baseline", "a"))
    assert ["b", "mean", "0.5000", "5.0000"] in [line.split() for line in compared.splitlines()]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["android.txt", "english.txt"], "has no run of mathematica"),
        (["android.txt", "english.txt", "mathematica.txt", "x-english.txt"], "several runs of english: english.txt, x"),
    ],
)
def test_a_collection_needs_one_run(cqadupstack: Path, tmp_path: Path, files: list[str], message: str) -> None:
    for name in files:
        (tmp_path / name).write_text("1 Q0 d 1 9 t\n")
    outcome = run_stage("evaluate", "--run", tmp_path, "--qrels", cqadupstack)
    assert (outcome.code, message in outcome.err) == (2, True)
    outcome = run_stage("evaluate", "--run", tmp_path / files[0], "--qrels", cqadupstack)
    assert (outcome.code, "is not a directory" in outcome.err) == (2, True)


@needs_cases("cqadupstack")
def test_the_given_collections_are_evaluated(tmp_path: Path) -> None:
    for name in ("android", "english"):
        (tmp_path / f"{name}.txt").write_text("q1 Q0 d3 1 2 t\n")
    assert evaluated(CASES / "cqadupstack", tmp_path).splitlines()[-1].split() == ["mean", "0.5000", "2.0000"]
