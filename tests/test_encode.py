"""encode: the bytes it writes, resuming, splitting over machines, and what it refuses."""

import gzip
import hashlib
import json
import math
import re
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from splade_anserini import Document, InMemoryCorpus
from splade_anserini.artifacts.manifests import MANIFEST, ImpactManifest, read_manifest, write_manifest
from splade_anserini.encode import encode
from splade_anserini.encoding import DictionaryEncoder, SpladeDocumentEncoder
from splade_anserini.encoding.options import EncodeOptions, EncoderOptions
from splade_anserini.encoding.shards import encode_shards
from splade_anserini.errors import InputError, MismatchError, OutputError, RecordError
from splade_anserini.formats.impacts import count_impacts, impact_files, read_impacts
from splade_anserini.records import ImpactDocument, SparseVector
from tests.cli_runner import heeding_interrupts, run_stage
from tests.encoder_fixtures import write_dictionary_encoder
from tests.shared_models import SharedModels

ENCODER = DictionaryEncoder({"cat": {"cat": 2.0, "pet": 0.5}, "dog": {"dog": 1.5, "pet": 0.75}, "été": {"été": 1.0}})


def corpus(number: int = 25, name: str = "animals") -> InMemoryCorpus:
    words = ["cat", "dog", "cat dog", "été", "nothing known"]
    return InMemoryCorpus(name, [Document(f"d{i}", "", words[i % len(words)]) for i in range(number)])


def bytes_of(directory: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.iterdir()
        if not path.name.startswith(".")
    }


def documents_in(directory: Path) -> list[ImpactDocument]:
    return [document for file in impact_files(directory) for document in read_impacts(file)]


class InterruptedEncoder(DictionaryEncoder):
    """Is interrupted after a number of texts, which may be in the middle of a shard."""

    def __init__(self, texts: int) -> None:
        super().__init__(ENCODER._expansions)
        self.left = texts

    def encode(self, texts: Sequence[str]) -> list[SparseVector]:
        self.left -= len(texts)
        if self.left < 0:
            raise KeyboardInterrupt
        return super().encode(texts)


def test_every_document_becomes_one_line_of_anserinis_json(tmp_path: Path) -> None:
    encode(corpus(5), ENCODER, tmp_path / "out", EncodeOptions(scale=100))
    with gzip.open(tmp_path / "out" / "shard-00000.jsonl.gz", "rt", encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    assert records[2] == {"id": "d2", "contents": "cat dog", "vector": {"cat": 200, "dog": 150, "pet": 75}}
    assert [record["id"] for record in records] == ["d0", "d1", "d2", "d3", "d4"]
    assert records[4]["vector"] == {}


def test_the_manifest_counts_what_the_shards_hold(tmp_path: Path) -> None:
    manifest = encode(corpus(), ENCODER, tmp_path / "out", EncodeOptions(docs_per_shard=7))
    assert manifest == read_manifest(tmp_path / "out", ImpactManifest)
    assert manifest.complete
    assert [shard.file for shard in manifest.shards] == [f"shard-{i:05d}.jsonl.gz" for i in range(4)]
    assert (manifest.counts, manifest.empty) == count_impacts(tmp_path / "out")
    assert [id_ for shard in manifest.shards for id_ in shard.empty] == ["d4", "d9", "d14", "d19", "d24"]
    assert manifest.settings.encoder == ENCODER.identity


def test_scale_and_top_k_of_the_impacts_are_those_of_the_manifest(tmp_path: Path) -> None:
    manifest = encode_shards(corpus(3), ENCODER, tmp_path / "out", EncodeOptions(scale=51.2, top_k=1))
    assert (manifest.settings.scale, manifest.settings.top_k) == (51.2, 1)
    assert [document.vector for document in documents_in(tmp_path / "out")] == [{"cat": 102}, {"dog": 77}, {"cat": 102}]


def test_running_again_after_the_end_encodes_and_changes_nothing(tmp_path: Path) -> None:
    encode(corpus(), ENCODER, tmp_path / "out")
    before = bytes_of(tmp_path / "out")
    encode(corpus(), InterruptedEncoder(0), tmp_path / "out")
    assert bytes_of(tmp_path / "out") == before


@pytest.mark.parametrize("texts", [0, 3, 7, 10, 21, 24])
def test_an_interrupted_run_resumes_and_ends_with_the_same_bytes(tmp_path: Path, texts: int) -> None:
    options = EncodeOptions(docs_per_shard=3)
    encode(corpus(), ENCODER, tmp_path / "uninterrupted", options)
    with pytest.raises(KeyboardInterrupt):
        encode(corpus(), InterruptedEncoder(texts), tmp_path / "interrupted", options)
    encode(corpus(), ENCODER, tmp_path / "interrupted", options)
    assert bytes_of(tmp_path / "interrupted") == bytes_of(tmp_path / "uninterrupted")


def test_the_manifest_of_an_interrupted_run_is_not_complete(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        encode(corpus(), InterruptedEncoder(7), tmp_path / "out", EncodeOptions(docs_per_shard=3))
    manifest = read_manifest(tmp_path / "out", ImpactManifest)
    assert manifest is not None
    assert not manifest.complete
    assert len(manifest.shards) == 2


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        (EncodeOptions(scale=51.2), "scale was 100.0, is 51.2"),
        (EncodeOptions(top_k=1), "top_k was None, is 1"),
        (EncodeOptions(docs_per_shard=3), "docs_per_shard was 10000, is 3"),
        (EncodeOptions(contents=False), "contents was True, is False"),
        (EncodeOptions(shard_num=2), "shard_num was 1, is 2"),
    ],
)
def test_other_settings_for_the_same_directory_are_refused_and_named(
    tmp_path: Path, options: EncodeOptions, difference: str
) -> None:
    encode(corpus(), ENCODER, tmp_path / "out")
    before = bytes_of(tmp_path / "out")
    with pytest.raises(MismatchError, match=difference):
        encode(corpus(), ENCODER, tmp_path / "out", options)
    assert bytes_of(tmp_path / "out") == before


def test_another_encoder_for_the_same_directory_is_refused(tmp_path: Path) -> None:
    encode(corpus(), ENCODER, tmp_path / "out")
    with pytest.raises(MismatchError, match="encoder weights was"):
        encode(corpus(), DictionaryEncoder({"cat": {"cat": 1.0}}), tmp_path / "out")


def test_a_lost_shard_is_encoded_again(tmp_path: Path) -> None:
    options = EncodeOptions(docs_per_shard=10)
    encode(corpus(), ENCODER, tmp_path / "out", options)
    before = bytes_of(tmp_path / "out")
    (tmp_path / "out" / "shard-00001.jsonl.gz").unlink()
    encode(corpus(), ENCODER, tmp_path / "out", options)
    assert bytes_of(tmp_path / "out") == before


def test_overwrite_starts_over_with_other_settings(tmp_path: Path) -> None:
    encode(corpus(), ENCODER, tmp_path / "out", EncodeOptions(docs_per_shard=5, shard_num=2))
    options = EncodeOptions(docs_per_shard=20)
    encode(corpus(), ENCODER, tmp_path / "out", options, overwrite=True)
    encode(corpus(), ENCODER, tmp_path / "new", options)
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "new")


def test_overwrite_removes_a_shard_that_was_finished_but_not_yet_listed(tmp_path: Path) -> None:
    encode(corpus(), ENCODER, tmp_path / "out", EncodeOptions(docs_per_shard=5))
    manifest = read_manifest(tmp_path / "out", ImpactManifest)
    assert manifest is not None
    write_manifest(tmp_path / "out", manifest.model_copy(update={"shards": manifest.shards[:-1], "complete": False}))
    encode(corpus(), ENCODER, tmp_path / "out", EncodeOptions(), overwrite=True)
    assert [path.name for path in impact_files(tmp_path / "out")] == ["shard-00000.jsonl.gz"]


def test_overwrite_keeps_impact_files_that_no_manifest_lists(tmp_path: Path) -> None:
    encode(corpus(), ENCODER, tmp_path / "out")
    (tmp_path / "out" / "theirs.jsonl").write_text("{}")
    with pytest.raises(OutputError, match=r"already holds theirs\.jsonl"):
        encode(corpus(), ENCODER, tmp_path / "out", overwrite=True)
    assert (tmp_path / "out" / "theirs.jsonl").read_text() == "{}"


@pytest.mark.parametrize("machines", [1, 2, 3, 7])
def test_parts_of_a_corpus_add_up_to_the_whole(tmp_path: Path, machines: int) -> None:
    encode(corpus(), ENCODER, tmp_path / "whole")
    for machine in range(machines):
        options = EncodeOptions(docs_per_shard=2, shard_id=machine, shard_num=machines)
        encode(corpus(), ENCODER, tmp_path / "parts" / f"{machine}", options)
    assert documents_in(tmp_path / "parts") == documents_in(tmp_path / "whole")


def test_pruning_keeps_the_greatest_weights(tmp_path: Path) -> None:
    encode(corpus(3), ENCODER, tmp_path / "out", EncodeOptions(top_k=2))
    assert documents_in(tmp_path / "out")[2].vector == {"cat": 200, "dog": 150}


def test_contents_can_be_left_out(tmp_path: Path) -> None:
    encode(corpus(3), ENCODER, tmp_path / "out", EncodeOptions(contents=False))
    assert {document.contents for document in documents_in(tmp_path / "out")} == {""}


def test_a_directory_with_impact_files_that_no_manifest_lists_is_refused(tmp_path: Path) -> None:
    (tmp_path / "theirs.jsonl").write_text("{}")
    with pytest.raises(OutputError, match=r"already holds theirs.jsonl"):
        encode(corpus(), ENCODER, tmp_path)


@pytest.mark.parametrize(
    ("documents", "error", "sentence"),
    [
        ([], InputError, "is empty"),
        ([Document("a", "", "x"), Document("a", "", "y")], RecordError, "duplicate document id 'a'"),
        ([Document("a\tb", "", "x")], RecordError, "white space"),
    ],
)
def test_an_invalid_corpus_is_refused_before_anything_is_written(
    tmp_path: Path, documents: list[Document], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        encode(InMemoryCorpus("bad", documents), ENCODER, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 0}, "--scale must be above 0, got 0."),
        ({"scale": -1}, "--scale must be above 0, got -1."),
        ({"scale": math.nan}, "--scale must be above 0, got nan."),
        ({"top_k": 0}, "--top-k must be at least 1, got 0."),
        ({"docs_per_shard": 0}, "--docs-per-shard must be at least 1, got 0."),
        ({"shard_num": 0}, "--shard-num must be at least 1, got 0."),
        ({"shard_id": -1}, "--shard-id must be at least 0, got -1."),
        ({"shard_id": 3, "shard_num": 2}, "--shard-id must be less than --shard-num, got 3 of 2."),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        EncodeOptions(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": 2}, "--max-length must be at least 3, got 2."),
        ({"batch_size": 0}, "--batch-size must be at least 1, got 0."),
        ({"threads": -1}, "--threads must be at least 0, got -1."),
        ({"pooling": "median"}, "--pooling must be max, sum or norm, got 'median'."),
        ({"precision": "fp7"}, "--precision must be auto, fp32, bf16, fp16 or int8, got 'fp7'."),
    ],
)
def test_encoder_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        EncoderOptions(**options)


def test_a_document_encoder_refuses_what_the_options_refuse() -> None:
    with pytest.raises(InputError, match="--scale must be above 0, got 0"):
        SpladeDocumentEncoder(ENCODER, scale=0)
    with pytest.raises(InputError, match="--top-k must be at least 1, got 0"):
        SpladeDocumentEncoder(ENCODER, top_k=0)


def test_more_machines_than_documents_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Part 0 of 3 is empty: the corpus has 1 document\."):
        encode(corpus(1), ENCODER, tmp_path / "out", EncodeOptions(shard_num=3))


def test_documents_stream_through_the_encoder() -> None:
    seen = 0

    def endless() -> Iterator[Document]:
        nonlocal seen
        while True:
            seen += 1
            yield Document(f"d{seen}", "a title", "cat")

    pseudo = SpladeDocumentEncoder(ENCODER).encode(endless())
    assert next(pseudo) == ImpactDocument("d1", {"cat": 200, "pet": 50}, "a title cat")
    assert seen < 2000


@pytest.mark.slow
def test_memory_does_not_grow_with_the_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # With a small buffer the check for duplicates writes to disk after thousands of documents.
    monkeypatch.setattr("splade_anserini.formats.parsing.duplicates.BUFFER_SIZE", 256)

    class LongCorpus:
        name = "long"

        def __init__(self, size: int) -> None:
            self.size = size

        def __iter__(self) -> Iterator[Document]:
            return (Document(f"document-{i}", "", "cat dog") for i in range(self.size))

    def peak(size: int) -> int:
        tracemalloc.start()
        encode(LongCorpus(size), ENCODER, tmp_path / f"{size}", EncodeOptions(docs_per_shard=20_000))
        (_, maximum) = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return maximum

    peak(10)
    small, large = peak(4_000), peak(16_000)
    # Keeping the 12,000 further ids would alone take more than ten times this.
    assert large - small < 60_000


# The command, as a process.


def command(*arguments: str | Path, interval: str = "math.inf") -> list[str]:
    """Return the command line of `encode`, which writes a line of progress after each `interval` of seconds."""
    code = (
        "import math; from splade_anserini.cli import console; from splade_anserini.encode import command\n"
        f"console.INTERVAL = {interval}; console.main_of(command)"
    )
    return [sys.executable, "-c", code, *map(str, arguments)]


@pytest.fixture(scope="module")
def corpus_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "corpus.jsonl"
    lines = (
        json.dumps(
            {"_id": f"d{i}", "title": "cat", "text": " ".join(f"w{(7 * i + 3 * k) % 110}" for k in range(i % 20))}
        )
        for i in range(6000)
    )
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def small_shards(tmp_path_factory: pytest.TempPathFactory, corpus_file: Path) -> list[str | Path]:
    """Options for 120 shards, encoded by an encoder without torch."""
    expansions = {f"w{n}": {f"w{n}": 1.0, f"w{n + 1}": 0.5} for n in range(100)}
    encoder = write_dictionary_encoder(tmp_path_factory.mktemp("encoder") / "words", expansions)
    return ["--corpus", corpus_file, "--encoder", encoder, "--docs-per-shard", "50", "--threads", "1"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, small_shards: list[str | Path]) -> Path:
    """What the command writes that is not interrupted."""
    output = tmp_path_factory.mktemp("undisturbed") / "out"
    done = run_stage("encode", *small_shards, "--output", output)
    assert (done.code, done.err) == (0, "")
    return output


def interrupt(process: "subprocess.Popen[str]", output: Path, number: int) -> tuple[int, str]:
    """Send a signal to `encode` after its third shard; return its exit code and what it wrote to stderr."""
    while len(list(output.glob("shard-*.gz"))) < 3:
        assert process.poll() is None, "the process ended before it could be interrupted"
        time.sleep(0.001)
    process.send_signal(number)
    _, err = process.communicate(timeout=600)
    left = read_manifest(output, ImpactManifest)
    assert left is not None
    assert not left.complete
    return process.returncode, err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "message"),
    [
        (signal.SIGKILL, -signal.SIGKILL, []),
        (signal.SIGINT, 130, ["Interrupted. Run the same command again to resume."]),
    ],
    ids=["SIGKILL", "Ctrl-C"],
)
def test_a_command_that_was_interrupted_resumes_and_writes_the_same_bytes(
    tmp_path: Path, small_shards: list[str | Path], undisturbed: Path, number: int, code: int, message: list[str]
) -> None:
    arguments = [*small_shards, "--output", tmp_path / "out"]
    with heeding_interrupts():
        victim = subprocess.Popen(command(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    returned, err = interrupt(victim, tmp_path / "out", number)
    assert (returned, err.split("\n")) == (code, ["", *message, ""] if message else [""]), err
    done = run_stage("encode", *arguments)
    assert (done.code, done.err) == (0, "")
    assert "5,619 documents in 120 shards" in done.out
    assert "381 with an empty vector" in done.out
    assert bytes_of(tmp_path / "out") == bytes_of(undisturbed)


@pytest.mark.slow
def test_without_a_terminal_progress_is_lines_on_stderr(tmp_path: Path, small_shards: list[str | Path]) -> None:
    arguments = [*small_shards, "--output", tmp_path / "out"]
    done = subprocess.run(command(*arguments, interval="0"), capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") == 1
    steps = re.compile(r"Checking: ([\d,]+) documents|Encoding: ([\d,]+) of 6,000 documents \(\d+%\)(, .+ left)?")
    matches = [steps.fullmatch(line) for line in done.stderr.splitlines()]
    assert all(matches), done.stderr
    # The first report says nothing about the rate.
    assert [bool(match[3]) for match in matches if match and match[2]][:3] == [False, True, True]
    assert sum(bool(match[2]) and not match[3] for match in matches if match) == 1
    for phase in (1, 2):
        counts = [int(match[phase].replace(",", "")) for match in matches if match and match[phase]]
        assert counts == sorted(counts)
        assert counts[-1] == 6000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--corpus", "nowhere.jsonl"], "nowhere.jsonl does not exist"),
        (["--encoder", "./nowhere"], "./nowhere does not exist"),
        (["--scale", "0"], "--scale must be above 0, got 0"),
        (["--max-length", "2"], "--max-length must be at least 3, got 2"),
        (["--device", "toaster"], "--device must be auto, cpu, cuda, cuda:n or mps, got 'toaster'"),
        (["--device", "cuda:9"], "--device cuda:9 is not available to torch"),
        (["--precision", "fp7"], "--precision must be auto, fp32, bf16, fp16 or int8, got 'fp7'"),
        (["--precision", "int8"], "--precision int8 is for exported encoders"),
        (["--pooling", "median"], "--pooling must be max, sum or norm, got 'median'"),
        (["--shard-id", "4"], "--shard-id must be less than --shard-num, got 4 of 1"),
        (["--output", "/proc/no"], "/proc/no"),
    ],
)
def test_an_invalid_option_gives_a_message_and_exit_code_2(
    tmp_path: Path, shared_models: SharedModels, corpus_file: Path, arguments: list[str], message: str
) -> None:
    options: dict[str, str | Path] = {
        "--corpus": corpus_file,
        "--encoder": shared_models.checkpoint(),
        "--output": tmp_path / "out",
        **dict(zip(arguments[::2], arguments[1::2], strict=True)),
    }
    done = run_stage("encode", *(part for pair in options.items() for part in pair))
    assert done.code == 2
    assert message in done.err
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_reported_and_leaves_no_partial_shard(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    encode(corpus(2), ENCODER, tmp_path / "out", EncodeOptions(docs_per_shard=1))
    (tmp_path / "out" / MANIFEST).unlink()
    for shard in impact_files(tmp_path / "out"):
        shard.unlink()
    # The first shard's partial file is a device that is always full, so that a real write fails.
    (tmp_path / "out" / "shard-00000.jsonl.gz.partial").symlink_to("/dev/full")
    with pytest.raises(OutputError, match="disk is full") as error:
        encode(corpus(2), ENCODER, tmp_path / "out", EncodeOptions(docs_per_shard=1))
    assert error.value.exit_code == 2
    assert [path.name for path in (tmp_path / "out").iterdir()] == [MANIFEST]
