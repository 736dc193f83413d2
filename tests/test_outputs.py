"""The policy for outputs: what is finished is never replaced without --overwrite."""

from pathlib import Path

import pytest

from splade_anserini.artifacts.manifests import Counts, OutputManifest, Shard, manifest_bytes
from splade_anserini.artifacts.outputs import (
    OutputRecord,
    fingerprint_of_input,
    is_up_to_date,
    manifest_path,
    read_output_manifest,
    record_output,
    require_new_file,
)
from splade_anserini.errors import InputError, OutputError
from tests.cli_runner import run_stage

RECORD = OutputRecord("search", {"hits": 10}, {"index": "abc"})


@pytest.fixture
def run(tmp_path: Path) -> Path:
    path = tmp_path / "run.txt"
    path.write_text("q Q0 d 1 1 t\n")
    record_output(path, RECORD, {"queries": 1, "hits": 1})
    return path


def test_an_output_of_exactly_this_command_is_up_to_date(run: Path) -> None:
    assert is_up_to_date(run, RECORD)
    assert not is_up_to_date(run, RECORD, overwrite=True)
    assert not is_up_to_date(run.with_name("new.txt"), RECORD)
    manifest = read_output_manifest(run)
    assert isinstance(manifest, OutputManifest)
    assert (manifest.command, manifest.counts) == ("search", {"queries": 1, "hits": 1})


@pytest.mark.parametrize(
    ("record", "difference"),
    [
        (OutputRecord("search", {"hits": 20}, {"index": "abc"}), "hits was 10, is 20"),
        (OutputRecord("search", {"hits": 10}, {"index": "xyz"}), "index was abc, is xyz"),
        (OutputRecord("fuse", {"hits": 10}, {"index": "abc"}), "command was search, is fuse"),
        (OutputRecord("search", {"hits": 10}, {"index": "0123456789ab" + "0" * 52}), "index was abc, is 0123456789ab…"),
    ],
)
def test_an_output_of_another_command_is_not_replaced(run: Path, record: OutputRecord, difference: str) -> None:
    with pytest.raises(OutputError, match=f"already exists.*{difference}"):
        is_up_to_date(run, record)
    assert not is_up_to_date(run, record, overwrite=True)


def test_an_output_that_was_changed_is_not_replaced(run: Path) -> None:
    run.write_text("q Q0 d 1 2 t\n")
    with pytest.raises(OutputError, match="changed after it was written"):
        is_up_to_date(run, RECORD)


def test_an_output_without_a_manifest_is_not_replaced(run: Path) -> None:
    manifest_path(run).unlink()
    with pytest.raises(OutputError, match="Add --overwrite"):
        is_up_to_date(run, RECORD)
    with pytest.raises(OutputError, match="Add --overwrite"):
        require_new_file(run)
    require_new_file(run, overwrite=True)


def test_a_damaged_manifest_is_reported(run: Path) -> None:
    manifest_path(run).write_text("{}")
    with pytest.raises(InputError, match="is not a valid output manifest"):
        is_up_to_date(run, RECORD)


@pytest.mark.parametrize("marker", ["output.manifest", "splade.manifest", None])
def test_overwrite_replaces_only_a_directory_that_has_a_manifest(tmp_path: Path, marker: str | None) -> None:
    (tmp_path / "out").mkdir()
    assert not is_up_to_date(tmp_path / "out", RECORD)
    assert not is_up_to_date(tmp_path / "out", RECORD, overwrite=True)
    (tmp_path / "out" / "notes.txt").touch()
    with pytest.raises(OutputError, match="Add --overwrite"):
        is_up_to_date(tmp_path / "out", RECORD)
    if marker is None:
        with pytest.raises(OutputError, match="was not written by splade-anserini"):
            is_up_to_date(tmp_path / "out", RECORD, overwrite=True)
    else:
        (tmp_path / "out" / marker).touch()
        assert not is_up_to_date(tmp_path / "out", RECORD, overwrite=True)


def test_a_directory_is_up_to_date_until_a_file_in_it_changes(tmp_path: Path) -> None:
    directory = tmp_path / "out"
    (directory / "deep").mkdir(parents=True)
    (directory / "deep" / "a.txt").write_text("a")
    record_output(directory, RECORD, {"files": 1, "share": 0.5})
    assert is_up_to_date(directory, RECORD)
    manifest = read_output_manifest(directory)
    assert manifest is not None
    assert manifest.counts == {"files": 1, "share": 0.5}
    (directory / "deep" / "a.txt").rename(directory / "a.txt")
    with pytest.raises(OutputError, match="changed after it was written"):
        is_up_to_date(directory, RECORD)


class TestInputs:
    @pytest.fixture(autouse=True)
    def _files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        Path("data/qrels").mkdir(parents=True)
        Path("data/corpus.jsonl").write_text("{}")
        Path("data/qrels/test.tsv").write_text("q")
        Path("model").mkdir()
        Path("model/weights").write_text("w")

    @pytest.mark.parametrize(
        ("name", "change"),
        [
            ("data", "data/corpus.jsonl"),
            ("data@test", "data/qrels/test.tsv"),
            ("titles:data", "data/corpus.jsonl"),
            ("titles:data@test", "data/corpus.jsonl"),
            ("data/corpus.jsonl", "data/corpus.jsonl"),
            ("cross:model", "model/weights"),
        ],
    )
    def test_the_fingerprint_of_an_input_changes_with_its_files(self, name: str, change: str) -> None:
        before = fingerprint_of_input(name)
        assert fingerprint_of_input(name) == before
        Path(change).write_text("changed")
        assert fingerprint_of_input(name) != before

    @pytest.mark.parametrize("name", ["irds:beir/scifact/test", "cross-encoder/model", "package:model_of_others"])
    def test_what_is_elsewhere_is_identified_by_its_name(self, name: str) -> None:
        assert fingerprint_of_input(name) == name

    def test_outputs_inside_an_input_do_not_count(self) -> None:
        before = fingerprint_of_input("data"), fingerprint_of_input("model")
        Path("data/run.txt").write_text("q")
        Path("model/onnx").mkdir()
        Path("model/onnx/model.onnx").write_text("o")
        record_output(Path("model/onnx"), RECORD)
        assert (fingerprint_of_input("data"), fingerprint_of_input("model")) == before

    def test_splits_differ(self) -> None:
        assert fingerprint_of_input("data@test") != fingerprint_of_input("data@dev")


def test_pipes_have_no_manifest(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe")
    assert not is_up_to_date(tmp_path / "pipe", RECORD)
    record_output(tmp_path / "pipe", RECORD)
    assert not manifest_path(tmp_path / "pipe").exists()


def test_a_fused_run_is_made_once_kept_and_replaced_only_when_told(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("q Q0 d1 1 2 t\nq Q0 d2 2 1 t\n")
    (tmp_path / "b.txt").write_text("q Q0 d2 1 2 t\n")
    command = ["fuse", "--run", tmp_path / "a.txt", "--run", tmp_path / "b.txt", "--output", tmp_path / "out.txt"]
    assert run_stage(*command).code == 0
    first = (tmp_path / "out.txt").stat()
    again = run_stage(*command)
    assert (again.code, "is up to date" in again.out) == (0, True)
    assert (tmp_path / "out.txt").stat().st_mtime_ns == first.st_mtime_ns
    other = run_stage(*command, "--hits", 1)
    assert (other.code, "hits was 1000, is 1" in other.err) == (2, True)
    assert run_stage(*command, "--hits", 1, "--overwrite").code == 0
    assert len((tmp_path / "out.txt").read_text().splitlines()) == 1
    (tmp_path / "b.txt").write_text("q Q0 d3 1 2 t\n")
    changed = run_stage(*command, "--hits", 1)
    assert (changed.code, "run 2 was" in changed.err) == (2, True)


def test_an_interrupt_while_a_manifest_is_serialized_is_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    shard = Shard(file="x", digest="y", counts=Counts())
    monkeypatch.setattr(Shard, "later_fields", property(interrupt))
    with pytest.raises(KeyboardInterrupt):
        manifest_bytes(shard)
