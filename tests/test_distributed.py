"""Training on several devices: two processes on CPUs learn what one learns from the whole batch."""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from splade_anserini.cards.training_recipe import TrainingRecipe
from splade_anserini.modeling.checkpoint import Checkpoint
from splade_anserini.training.batch import BatchLabels, GroupTokenizer
from splade_anserini.training.batch_loader import DevicePart
from splade_anserini.training.bm25 import fit_bm25
from splade_anserini.training.distributed import gather_batch, gather_rows, world_size
from splade_anserini.training.loop import Loop
from splade_anserini.training.objective import Vectors
from splade_anserini.training.options import TeacherOptions, TrainingOptions
from splade_anserini.training.teachers.dense import DenseTeacher
from splade_anserini.training.teachers.in_batch import EmbeddingCache, InBatchTeacher
from splade_anserini.training.teachers.sentence_pooling import SentencePooling
from splade_anserini.training.word_bm25 import SourcesBM25
from tests.tiny import tiny_bert, tiny_tokenizer, tiny_vocabulary
from tests.training_fixtures import QUERY_SIDES, ExampleList, batch_loader, examples, recipe, student

DEVICES = 2

RECIPES: dict[str, dict[str, Any]] = {
    f"{query_side}, {'cached' if cached else 'plain'}": {"query_side": query_side, "cached": cached}
    for query_side in QUERY_SIDES
    for cached in (False, True)
} | {
    "accumulation": {"accumulation": 2},
    "cached accumulation": {"accumulation": 2, "cached": True, "query_side": "separate"},
    "in-batch teacher": {
        "losses": [{"kind": "kl", "over": "batch"}, {"kind": "rank-ibn", "weight": 0.5}],
        "teacher": {"model": "tiny", "cosine": 5.0, "bm25": 0.5},
    },
    "teacher of words, query idf": {
        "losses": [{"kind": "kl", "over": "batch"}],
        "teacher": {"model": "tiny", "cosine": 5.0, "bm25": 0.5, "bm25_terms": "words"},
        "query_idf": 0.75,
    },
    "scores in the data": {"losses": [{"kind": "margin-mse", "teacher_scale": 0.1}, {"kind": "kl"}]},
}
"""Recipes by name: one device runs each of them on whole batches, and two devices on half of each batch."""

RESUMED = "separate, cached"

type Result = dict[str, Any]
type Parameters = Mapping[str, torch.Tensor]


def source() -> ExampleList:
    """Return nine examples with none to three negatives, so that devices have different numbers of documents."""
    return examples(9, negatives=None, scores=True)


def recipe_of(name: str, *, devices: int) -> TrainingRecipe:
    """Return a recipe whose batches, over all devices, have six queries, or four with accumulation."""
    changes = RECIPES[name]
    regularizer = {"kind": "flops", "lambda_d": 0.5, "schedule": "constant"}
    if changes.get("query_side") not in {"doc", "idf"}:
        regularizer["lambda_q"] = 0.3
    batch_size = (4 if "accumulation" in changes else 6) // devices
    common = {"regularizer": regularizer, "negatives": 3, "steps": 3, "max_gradient": 1e9, "batch_size": batch_size}
    return recipe(**(common | changes))


def in_batch_teacher(chosen: TrainingRecipe) -> InBatchTeacher | None:
    if chosen.teacher is None:
        return None
    model = Checkpoint(tiny_bert(seed=2).bert, tiny_tokenizer(), "tiny")
    teacher = DenseTeacher(model, SentencePooling(), TeacherOptions(device="cpu"))
    if chosen.teacher.bm25_terms == "words":
        return InBatchTeacher(chosen.teacher, EmbeddingCache(teacher, 20), SourcesBM25([source()], str.split, seed=1))
    bm25 = fit_bm25([source()], GroupTokenizer(tiny_tokenizer(), 12, 4096), len(tiny_vocabulary()), seed=1)
    return InBatchTeacher(chosen.teacher, EmbeddingCache(teacher, 20), bm25)


def train(name: str, directory: Path, *, rank: int = 0, devices: int = 1) -> Result:
    """Run the loop for three steps; return the gradients of every step, the parameters and the log."""
    chosen = recipe_of(name, devices=devices)
    trained = student(chosen.query_side)
    gradients: list[dict[str, torch.Tensor]] = []

    def record(_step: int) -> None:
        named = trained.pair.named_parameters()
        gradients.append({name: each.grad.clone() for name, each in named if each.grad is not None})

    loop = Loop(
        chosen,
        trained,
        batch_loader(chosen, [source()], DevicePart(rank, devices), budget=30),
        directory,
        TrainingOptions(checkpoint_every=2, log_every=1),
        in_batch_teacher=in_batch_teacher(chosen),
        on_gradients=record,
    )
    torch.manual_seed(1)
    log = loop.run()
    parameters = {name: each.detach().clone() for name, each in trained.pair.named_parameters()}
    return {"gradients": gradients, "parameters": parameters, "log": log}


def local_labels(rank: int) -> BatchLabels:
    """Return the labels of a device's part of a batch; the second device has a query less."""
    chosen = recipe_of("splade, plain", devices=DEVICES)
    labels = next(batch_loader(chosen, [source()], DevicePart(rank, DEVICES)).batches(0)).labels
    queries = 3 - rank
    columns = [column for column, row in enumerate(labels.query_index.tolist()) if row < queries]
    return BatchLabels(
        labels.query_index[columns],
        labels.positives[columns],
        labels.document_hashes[columns],
        labels.query_hashes[:queries],
        labels.teacher_scores[columns],
    )


def gathered_batch() -> Result:
    """Gather a batch whose vectors hold the rank of their device; return it, and the gradient of a loss over it."""
    rank = dist.get_rank()
    labels = local_labels(rank)
    queries = torch.full((len(labels.query_hashes), 2), float(rank), requires_grad=True)
    documents = torch.full((len(labels.query_index), 2), float(rank), requires_grad=True)
    vectors, all_labels = gather_batch(Vectors(queries, documents), labels)
    factors = torch.arange(vectors.documents.numel()).view_as(vectors.documents).float()
    (vectors.documents * factors).sum().backward()  # type: ignore[no-untyped-call]
    return {
        "devices": world_size(),
        "local labels": labels,
        "all labels": all_labels,
        "queries": vectors.queries.tolist(),
        "documents": vectors.documents.tolist(),
        "gradient": documents.grad,
        "rows": gather_rows(torch.full((rank, 2), rank, dtype=torch.bfloat16)).tolist(),
    }


def run_device(home: Path) -> None:
    """Do what each of the processes does, and save its results."""
    rank = int(os.environ["RANK"])
    results: dict[str, Result] = {name: train(name, home / name, rank=rank, devices=DEVICES) for name in RECIPES}
    results["gathered"] = gathered_batch()
    # The checkpoint of step 2 is still there: this run resumes from it.
    results["resumed"] = train(RESUMED, home / RESUMED, rank=rank, devices=DEVICES)
    torch.save(results, home / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Result]]:
    """Return the results of both processes."""
    if not (dist.is_available() and dist.is_gloo_available()):
        pytest.skip("torch has no gloo here, which trains with several processes on CPUs")
    home = tmp_path_factory.mktemp("distributed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "WORLD_SIZE": str(DEVICES),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "ACCELERATE_USE_CPU": "true",
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.test_distributed", str(home)],
            env=environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(DEVICES)
    ]
    try:
        outputs = [process.communicate(timeout=600)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert all(process.returncode == 0 for process in processes), "\n".join(outputs)
    assert not any("find_unused_parameters" in output for output in outputs)
    return [torch.load(home / f"{rank}.pt", weights_only=False) for rank in range(DEVICES)]


def assert_close(mine: Parameters, theirs: Parameters, tolerance: float = 1e-5) -> None:
    assert mine.keys() == theirs.keys()
    for name, value in theirs.items():
        atol = tolerance * max(1.0, float(value.abs().max()))
        torch.testing.assert_close(mine[name], value, rtol=1e-4, atol=atol)


def without_key_biases(parameters: Parameters) -> Parameters:
    """Leave out parameters without influence on scores, for which Adam turns rounding errors into steps."""
    return {name: value for name, value in parameters.items() if not name.endswith("key.bias")}


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_two_devices_learn_what_one_learns_from_the_whole_batch(
    name: str, results: list[dict[str, Result]], tmp_path: Path
) -> None:
    alone = train(name, tmp_path)
    first, second = (result[name] for result in results)
    assert len(first["gradients"]) == len(alone["gradients"]) == 3
    for mine, theirs, expected in zip(first["gradients"], second["gradients"], alone["gradients"], strict=True):
        assert all(torch.equal(mine[parameter], theirs[parameter]) for parameter in mine)
        assert_close(mine, expected)
    # A step of the optimizer is about 1e-3.
    assert_close(without_key_biases(first["parameters"]), without_key_biases(alone["parameters"]), tolerance=5e-5)
    assert first["log"] == second["log"]
    for row, expected in zip(first["log"], alone["log"], strict=True):
        assert row == pytest.approx(expected, rel=1e-3, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("rank", range(DEVICES))
def test_a_run_of_two_devices_resumes_from_its_checkpoint(rank: int, results: list[dict[str, Result]]) -> None:
    uninterrupted, resumed = results[rank][RESUMED], results[rank]["resumed"]
    assert len(resumed["gradients"]) == 1
    assert all(torch.equal(resumed["parameters"][name], value) for name, value in uninterrupted["parameters"].items())
    assert resumed["log"] == uninterrupted["log"]


@pytest.mark.slow
@pytest.mark.parametrize("rank", range(DEVICES))
class TestGatheredBatch:
    def test_every_device_has_the_labels_of_all_in_order_of_rank(
        self, rank: int, results: list[dict[str, Result]]
    ) -> None:
        first, second = (result["gathered"]["local labels"] for result in results)
        labels = results[rank]["gathered"]["all labels"]
        assert len(first.query_index) != len(second.query_index)
        shifted = [3 + row for row in second.query_index.tolist()]
        assert labels.query_index.tolist() == [*first.query_index.tolist(), *shifted]
        for name in ("positives", "document_hashes", "query_hashes", "teacher_scores"):
            expected = [*getattr(first, name).tolist(), *getattr(second, name).tolist()]
            assert getattr(labels, name).tolist() == expected
            assert getattr(labels, name).dtype == getattr(first, name).dtype

    def test_every_device_has_the_vectors_of_all_in_order_of_rank(
        self, rank: int, results: list[dict[str, Result]]
    ) -> None:
        first, second = (result["gathered"]["local labels"] for result in results)
        gathered = results[rank]["gathered"]
        assert gathered["devices"] == 2
        assert gathered["queries"] == [[0.0, 0.0]] * 3 + [[1.0, 1.0]] * 2
        assert gathered["documents"] == [[0.0, 0.0]] * len(first.query_index) + [[1.0, 1.0]] * len(second.query_index)
        assert gathered["rows"] == [[1.0, 1.0]]

    def test_the_gradient_is_that_of_the_devices_own_vectors(self, rank: int, results: list[dict[str, Result]]) -> None:
        first, second = (result["gathered"]["gradient"] for result in results)
        start, stop = (0, first.numel()) if rank == 0 else (first.numel(), first.numel() + second.numel())
        assert results[rank]["gathered"]["gradient"].flatten().tolist() == list(range(start, stop))


def test_a_single_device_gathers_nothing() -> None:
    rows = torch.rand(3, 2)
    assert world_size() == 1
    assert gather_rows(rows) is rows


if __name__ == "__main__":
    run_device(Path(sys.argv[1]))
