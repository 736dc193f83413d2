"""Commands refuse to replace what they read, and what no command of this kind wrote."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from splade_anserini.artifacts.files import require_disjoint
from splade_anserini.artifacts.manifests import MANIFEST
from splade_anserini.errors import OutputError
from tests.cli_runner import run_stage
from tests.encoder_fixtures import write_dictionary_encoder
from tests.training_fixtures import run_train

RUN = "q1 Q0 d1 1 2.0 x\nq1 Q0 d2 2 1.0 x\n"


def files_of(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and ".lock" not in path.name
    }


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An encoder, a corpus with topics and judgements, documents that were encoded, and two runs."""
    monkeypatch.chdir(tmp_path)
    write_dictionary_encoder(tmp_path / "words", {"cat": {"cat": 1.0}, "dog": {"dog": 2.0}})
    beir = tmp_path / "beir"
    (beir / "qrels").mkdir(parents=True)
    lines = [json.dumps({"_id": f"d{number}", "text": "cat dog"}) + "\n" for number in range(4)]
    (beir / "corpus.jsonl").write_text("".join(lines))
    (beir / "queries.jsonl").write_text('{"_id": "q1", "text": "cat"}\n')
    (beir / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\n")
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(RUN)
    command = ("--corpus", "beir", "--encoder", "./words", "--docs-per-shard", 2)
    assert run_stage("encode", *command, "--output", "impacts").code == 0
    return tmp_path


def refused(home: Path, *command: object, because: str) -> None:
    """Check that a command is refused and leaves all files as they are."""
    before = files_of(home)
    done = run_stage(str(command[0]), *command[1:])
    assert (done.code, because in done.err) == (2, True), done.err
    assert files_of(home) == before


@pytest.mark.parametrize(
    ("inputs", "output"),
    [
        (["--run", "out.txt.partial", "--run", "b.txt"], "out.txt"),
        (["--run", "a.txt", "--run", "b.txt"], "a.txt"),
    ],
)
def test_an_input_with_the_name_of_the_unfinished_output_stays(home: Path, inputs: list[str], output: str) -> None:
    (home / "out.txt.partial").write_text(RUN)
    because = "is written to" if output == "out.txt" else "are the same path"
    refused(home, "fuse", *inputs, "--output", output, "--overwrite", because=because)


@pytest.mark.parametrize("command", [("convert", "--to", "impacts", "--output"), ("index", "--index")])
def test_a_directory_with_the_name_of_the_unfinished_output_stays(home: Path, command: tuple[str, ...]) -> None:
    (home / "impacts").rename(home / "out.partial")
    refused(home, command[0], "--input", "out.partial", *command[1:], "out", because="is written to")


@pytest.mark.parametrize("name", ["beir/qrels/test.tsv", "beir/queries.jsonl", "beir/corpus.jsonl"])
@pytest.mark.parametrize("source", ["beir", "beir@test", "titles:beir/corpus.jsonl"])
def test_files_behind_an_input_are_inputs(home: Path, source: str, name: str) -> None:
    if source.startswith("titles") and "corpus" not in name:
        require_disjoint([Path(name)], [source])
        return
    with pytest.raises(OutputError, match="are the same path"):
        require_disjoint([Path(name)], [source])
    require_disjoint([Path("beir/qrels/new.tsv")], [source])


def test_judgements_are_not_replaced_by_their_evaluation(home: Path) -> None:
    command = ("evaluate", "--run", "a.txt", "--qrels", "beir@test", "--output", "beir/qrels/test.tsv")
    refused(home, *command, "--overwrite", because="are the same path")


@pytest.mark.parametrize("options", [(), ("--overwrite",)])
def test_a_manifest_of_something_else_is_not_that_of_a_run(home: Path, options: tuple[str, ...]) -> None:
    command = ("fuse", "--run", "a.txt", "--run", "b.txt", "--output")
    refused(home, *command, "impacts/splade", *options, because="which is something else")
    (home / "own.txt.manifest").write_text("my own notes")
    refused(home, *command, "own.txt", *options, because="which is something else")


@pytest.mark.slow
def test_an_index_replaces_nothing_but_an_index(home: Path) -> None:
    (home / "words" / "notes.txt").write_text("mine")
    command = ("index", "--input", "impacts", "--index")
    refused(home, *command, "words", "--overwrite", because="is not an index")
    (home / "indexes").mkdir()
    for name in ("a", "b"):
        assert run_stage(*command, f"indexes/{name}").code == 0
        corpus = (home / "beir" / "corpus.jsonl").read_text().replace('"d', '"e')
        (home / "beir" / "corpus.jsonl").write_text(corpus)
        (home / "impacts").rename(home / f"impacts-{name}")
        encoded = ("encode", "--corpus", "beir", "--encoder", "./words", "--output", "impacts")
        assert run_stage(*encoded).code == 0
    merged = ("merge", "--sharded", "--input", "indexes/a", "--input", "indexes/b", "--output", "indexes")
    assert run_stage(*merged).code == 0
    refused(home, *command, "indexes", "--overwrite", because="also holds a, b, which would be removed")


def test_a_directory_of_another_kind_is_not_replaced(home: Path) -> None:
    command = ("convert", "--input", "impacts", "--to", "impacts", "--output")
    refused(
        home, *command, "words", "--overwrite", because="words is an exported encoder, which convert does not replace"
    )
    for options in ((), ("--overwrite",)):
        assert run_stage(*command, "copy", *options).code == 0


@pytest.mark.slow
def test_training_removes_nothing_that_it_did_not_write(training_home: Path, tmp_path: Path) -> None:
    notes = tmp_path / "out.training" / "raw" / "notes.txt"
    notes.parent.mkdir(parents=True)
    notes.write_text("mine")
    done = run_train(training_home, tmp_path / "out")
    assert (done.code, "which holds other files: raw." in done.err) == (2, True), done.err
    assert notes.read_text() == "mine"
    notes.rename(tmp_path / "notes.txt")
    notes.parent.rmdir()
    assert run_train(training_home, tmp_path / "out").code == 0
    notes.parent.mkdir(parents=True)
    notes.write_text("mine")
    again = run_train(training_home, tmp_path / "out")
    assert (again.code, notes.read_text()) == (0, "mine")


@pytest.mark.slow
def test_a_model_is_replaced_only_when_the_new_one_can_be_trained(training_home: Path, tmp_path: Path) -> None:
    assert run_train(training_home, tmp_path / "out").code == 0
    before = (tmp_path / "out" / "model.safetensors").read_bytes()
    done = run_train(training_home, tmp_path / "out", "--backbone", "./gone", "--overwrite")
    assert (done.code, "gone" in done.err) == (2, True), done.err
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == before


def test_repair_removes_no_shard_when_the_corpus_is_shorter(home: Path) -> None:
    with (home / "impacts" / "shard-00000.jsonl.gz").open("ab") as file:
        file.write(b"junk")
    corpus = home / "beir" / "corpus.jsonl"
    corpus.write_text("".join(corpus.read_text().splitlines(keepends=True)[:2]))
    refused(home, "verify", "impacts", "--repair", because="2 were encoded")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sweep.csv", "indexes/mine.txt"])
def test_a_sweep_replaces_nothing_of_others(home: Path, name: str) -> None:
    path = home / "out" / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    data = ("--input", "impacts", "--topics", "beir", "--qrels", "beir", "--samples", 1, "--documents", "top-k=1")
    done = run_stage("sweep", *data, "--output", "out", "--plot", "none")
    if name == "sweep.csv":
        assert (done.code, "already exists" in done.err) == (2, True), done.err
    else:
        done = run_stage("sweep", *data, "--output", "out", "--plot", "none", "--overwrite")
    assert path.read_text() == "mine"


@pytest.mark.slow
def test_a_sweep_does_not_write_into_an_index(home: Path) -> None:
    assert run_stage("index", "--input", "impacts", "--index", "index").code == 0
    data = ("--input", "impacts", "--topics", "beir", "--qrels", "beir", "--samples", 1, "--documents", "top-k=1")
    before = (home / "index" / MANIFEST).read_bytes()
    done = run_stage("sweep", *data, "--output", "index", "--plot", "none", "--overwrite")
    assert (done.code, "is not a valid sweep manifest" in done.err) == (2, True), done.err
    assert (home / "index" / MANIFEST).read_bytes() == before


def write_card(home: Path, source: str) -> Callable[..., object]:
    (home / "mine.toml").write_text(
        f'name = "mine"\ndescription = "A test."\n{source}\nencoder = "./words"\n\n[[evaluation]]\nname = "test"\n'
        'topics = "beir"\nqrels = "beir"\nmeasures = ["nDCG@10"]\n'
    )
    return lambda *options: run_stage("reproduce", "./mine.toml", "--output", "out", *options)


@pytest.mark.slow
def test_documents_of_a_reproduction_are_not_replaced_by_a_link(home: Path) -> None:
    reproduce = write_card(home, 'corpus = "beir"')
    reproduce()
    impacts = next((home / "out").rglob("shard-00000.jsonl.gz"))
    content = impacts.read_bytes()
    relative = impacts.parent.relative_to(home)
    for source in (f'impacts = "{relative}"', 'impacts = "impacts"'):
        reproduce = write_card(home, source)
        reproduce("--overwrite")
        assert impacts.read_bytes() == content
