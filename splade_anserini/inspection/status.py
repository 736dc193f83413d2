"""How far artefacts are, from their manifests alone: no data is read."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from splade_anserini.artifacts.files import partial_path, resolved_output
from splade_anserini.artifacts.manifests import (
    CheckpointManifest,
    EncoderManifest,
    ImpactManifest,
    IndexManifest,
    kind_of_manifest,
    read_manifest,
)
from splade_anserini.artifacts.outputs import read_output_manifest
from splade_anserini.artifacts.sharded_index import is_sharded, recorded_shards
from splade_anserini.artifacts.text_index_manifest import TextIndexManifest
from splade_anserini.errors import InputError, SpladeAnseriniError, counted
from splade_anserini.inspection.progress import Part, Status, unfinished
from splade_anserini.reproduction.ledger import ReproductionManifest
from splade_anserini.tradeoffs.results import SweepManifest
from splade_anserini.verification.artifacts import TRAINING_RUN, ArtifactKind, artifact_kind

KINDS: Mapping[ArtifactKind, str] = {
    "impacts": "impact pseudo-documents",
    "index": "a Lucene index",
    "text-index": "a text index (BM25)",
    "output": "an output",
    "sweep": "a sweep",
    "reproduction": "a reproduction",
    "training": "a training run",
    "encoder": "an encoder",
}
AGAIN = "Run the same command again, which resumes."
_START_AGAIN = "Run the same command again."
_WAIT = "Wait: a process is writing it."


def status_of(name: str) -> Status:
    """Return how far the artefact at a path is.

    Raises `InputError` for what neither this program wrote nor Lucene.
    """
    path = Path(name)
    if not path.exists():
        return _not_there_yet(path)
    kind = artifact_kind(name)
    status = Status(name, KINDS[kind])
    try:
        _READERS[kind](path, status)
    except InputError as error:
        if kind == "encoder":
            raise
        status.state, status.detail = "damaged", " ".join(str(error).split())
    except SpladeAnseriniError as error:
        status.state, status.detail = "damaged", " ".join(str(error).split())
    if status.state == "in progress":
        status.next_step = _WAIT
    return status


def _not_there_yet(path: Path) -> Status:
    """Return the status of an output that is being written. Raises `InputError` when there is no trace of one."""
    output = resolved_output(path)
    training = output.with_name(output.name + ".training")
    if (training / TRAINING_RUN).is_file():
        status = Status(str(path), KINDS["training"])
        _training(training, status)
        return status
    target = Path(os.path.realpath(path))  # of a link
    partial = partial_path(target)
    if not partial.exists():
        raise InputError(f"{path} does not exist.", do="Check the spelling of the path.")
    state = unfinished(target, target.with_name(f".{target.name}.lock"))
    partial = partial_path(output)
    if not partial.exists():
        raise InputError(f"{path} does not exist.", do="Check the spelling of the path.")
    state = unfinished(output, output.with_name(f".{output.name}.lock"))
    kind = "a directory" if partial.is_dir() else "a file"
    next_step = _WAIT if state == "in progress" else _START_AGAIN
    return Status(str(path), kind, state, "it appears when it is complete", next_step=next_step)


def _impacts(path: Path, status: Status) -> None:
    if kind_of_manifest(path) != "impacts":
        _parts_of_machines(path, status)
        return
    manifest = read_manifest(path, ImpactManifest)
    assert manifest is not None  # noqa: S101  # it has a kind
    for shard in manifest.shards:
        whole = (path / shard.file).is_file()
        documents = counted(shard.counts.documents + len(shard.empty), "document")
        status.parts.append(Part(shard.file, "whole" if whole else "missing", documents))
    missing = [part.name for part in status.parts if part.state == "missing"]
    settings = manifest.settings
    part = f"part {settings.shard_id} of {settings.shard_num}, " if settings.shard_num > 1 else ""
    total = manifest.counts.documents + manifest.empty
    status.detail = f"{part}{counted(total, 'document')} in {counted(len(manifest.shards), 'shard')}"
    if not manifest.complete:
        status.state = unfinished(path, path / ".lock")
        status.next_step = AGAIN
        status.parts += [
            Part(file.name.removesuffix(".partial"), status.state, "not complete yet")
            for file in sorted(path.glob("*.partial"))
        ]
    elif missing:
        status.state = "incomplete"
        status.next_step = f"{AGAIN} Or: splade-anserini verify {path} --repair"


def _parts_of_machines(path: Path, status: Status) -> None:
    present: dict[int, str] = {}
    expected = 0
    for directory in sorted(child for child in path.iterdir() if kind_of_manifest(child) == "impacts"):
        manifest = read_manifest(directory, ImpactManifest)
        own = status_of(str(directory))
        state = "missing" if own.state == "incomplete" else own.state
        status.parts.append(Part(directory.name, state, own.detail))
        if manifest:
            present[manifest.settings.shard_id] = directory.name
            expected = max(expected, manifest.settings.shard_num)
    missing = sorted(set(range(expected)) - set(present))
    status.parts += [Part(f"part {number}", "missing", f"of {expected}") for number in missing]
    status.detail = f"{len(present)} of {counted(expected, 'part')}"
    if any(part.state == "in progress" for part in status.parts):
        status.state = "in progress"
    elif any(part.state != "whole" for part in status.parts):
        status.state = "incomplete"
        encode = f"encode with --shard-id {missing[0]} --shard-num {expected}. " if missing else ""
        status.next_step = f"{encode[:1].upper()}{encode[1:]}See `status` of each part that is not whole."


def _index(path: Path, status: Status) -> None:
    status.kind = "a Lucene impact index"
    manifest = read_manifest(path, IndexManifest)
    if manifest is None:
        status.kind, status.detail = KINDS["index"], "without a manifest: Anserini or another program wrote it"
        return
    status.detail = f"{counted(manifest.counts.documents, 'document')}, {counted(manifest.counts.postings, 'posting')}"
    if manifest.document_idf:
        status.detail += f", impacts × idf^{manifest.document_idf.alpha:g}"
    if is_sharded(path):
        _shards(path, manifest, status)
    else:
        _require_commit(path, status)


def _shards(path: Path, manifest: IndexManifest, status: Status) -> None:
    status.kind = "a sharded index"
    status.detail += f" in {counted(len(manifest.parts), 'shard')}"
    for directory, shard in zip(recorded_shards(path), manifest.parts, strict=True):
        whole = any(directory.glob("segments_*"))
        documents = counted(shard.counts.documents, "document")
        status.parts.append(Part(shard.path, "whole" if whole else "missing", documents))
    if any(part.state == "missing" for part in status.parts):
        status.state = "incomplete"
        status.next_step = "Put the missing shards back, or make it again with splade-anserini merge --sharded."


def _text_index(path: Path, status: Status) -> None:
    manifest = read_manifest(path, TextIndexManifest)
    assert manifest is not None  # noqa: S101  # it has a kind
    status.detail = f"{counted(manifest.counts.documents, 'document')}, {counted(manifest.counts.words, 'word')}"
    _require_commit(path, status)


def _require_commit(path: Path, status: Status) -> None:
    if not any(path.glob("segments_*")):
        status.state, status.next_step = "damaged", "Index again with --overwrite."
        status.parts.append(Part("segments_*", "missing", "Lucene's list of the files of an index"))


def _output(path: Path, status: Status) -> None:
    manifest = read_output_manifest(path)
    assert manifest is not None  # noqa: S101  # there is one
    status.kind = f"an output of {manifest.command}"
    status.detail = ", ".join(f"{name} {value}" for name, value in manifest.counts.items())


def _sweep(path: Path, status: Status) -> None:
    manifest = read_manifest(path, SweepManifest)
    assert manifest is not None  # noqa: S101  # it has a kind
    status.parts += [Part(name, "whole") for name in manifest.rows]
    status.detail = f"{counted(len(manifest.rows), 'setting')} measured"
    if (state := unfinished(path, path / ".lock")) == "in progress":
        status.state = state
    elif not (path / "sweep.csv").is_file():
        status.state, status.next_step = "interrupted", AGAIN


def _reproduction(path: Path, status: Status) -> None:
    manifest = read_manifest(path, ReproductionManifest)
    assert manifest is not None  # noqa: S101  # it has a kind
    state = unfinished(path, path / ".lock")
    status.parts += [Part(name, "whole", step.result) for name, step in manifest.steps.items()]
    status.parts += [Part(name, state) for name in manifest.started if name not in manifest.steps]
    status.detail = f"{counted(len(manifest.steps), 'step')} of the card {manifest.card} done"
    if state == "in progress":
        status.state = state
    elif manifest.started or not (path / "report.json").is_file():
        status.state, status.next_step = "interrupted", AGAIN


def _training(path: Path, status: Status) -> None:
    try:
        steps = json.loads((path / TRAINING_RUN).read_bytes())["card"]["training"]["steps"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path / TRAINING_RUN} is damaged.", do="Train again with --overwrite.") from error
    checkpoints = sorted(int(child.name[5:]) for child in path.glob("step-*") if child.name[5:].isdigit())
    status.parts += [Part(f"step-{step}", "whole", "checkpoint") for step in checkpoints]
    status.detail = f"step {max(_last_step(path), *checkpoints, 0):,} of {steps:,}"
    status.state = unfinished(path, path / ".lock")
    saved = f" from step {checkpoints[-1]:,}" if checkpoints else " from the beginning"
    status.next_step = f"Run the same command again, which resumes{saved}."


def _last_step(path: Path) -> int:
    try:
        lines = (path / "log.jsonl").read_text(encoding="utf-8").splitlines()
        return max((int(json.loads(line).get("step", 0)) for line in lines if line.startswith("{")), default=0)
    except (OSError, ValueError):
        return 0


def _encoder(path: Path, status: Status) -> None:
    match kind_of_manifest(path):
        case "encoder":
            encoder = read_manifest(path, EncoderManifest)
            status.detail = f"exported from {encoder.source}" if encoder else ""
            needed = ("model.onnx", "tokenizer.json")
        case "checkpoint":
            checkpoint = read_manifest(path, CheckpointManifest)
            status.kind = "a trained checkpoint"
            status.detail = counted(checkpoint.steps, "step") if checkpoint else ""
            needed = ("config.json", "model.safetensors")
        case _:
            raise InputError(
                f"{path} was not written by splade-anserini.",
                expected="pseudo-documents, an index, an output with a manifest, a checkpoint or an encoder",
            )
    missing = [file for file in needed if not (path / file).is_file()]
    if missing:
        status.state = "damaged"
        status.parts += [Part(file, "missing") for file in missing]
        status.next_step = "Run the command that wrote it again, with --overwrite."


_READERS: Mapping[ArtifactKind, Callable[[Path, Status], None]] = {
    "impacts": _impacts,
    "index": _index,
    "text-index": _text_index,
    "output": _output,
    "sweep": _sweep,
    "reproduction": _reproduction,
    "training": _training,
    "encoder": _encoder,
}
