"""Facts of training on several devices: what two do together is what one does alone. Two processes, on CPUs."""

import json
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
from splade_anserini.training.batch import GroupTokenizer
from splade_anserini.training.batch_loader import DevicePart
from splade_anserini.training.bm25 import fit_bm25
from splade_anserini.training.distributed import gather_batch, gather_rows, world_size
from splade_anserini.training.loop import Loop
from splade_anserini.training.objective import Vectors
from splade_anserini.training.options import TeacherOptions, TrainingOptions
from splade_anserini.training.teachers.dense import DenseTeacher
from splade_anserini.training.teachers.in_batch import EmbeddingCache, InBatchTeacher
from splade_anserini.training.teachers.sentence_pooling import SentencePooling
from tests.tiny import tiny_bert, tiny_tokenizer, tiny_vocabulary
from tests.training_fixtures import QUERY_SIDES, ExampleList, batch_loader, examples, recipe, student

WORLD = 2

CASES: dict[str, dict[str, Any]] = {
    f"{side}, {'cached' if cached else 'plain'}": {"query_side": side, "cached": cached}
    for side in QUERY_SIDES
    for cached in (False, True)
} | {
    "accumulation": {"accumulation": 2},
    "cached accumulation": {"accumulation": 2, "cached": True, "query_side": "separate"},
    "a teacher over the batch": {
        "losses": [{"kind": "kl", "over": "batch"}, {"kind": "rank-ibn", "weight": 0.5}],
        "teacher": {"model": "tiny", "cosine": 5.0, "bm25": 0.5},
    },
    "the data's scores": {"losses": [{"kind": "margin-mse", "teacher_scale": 0.1}, {"kind": "kl"}]},
}
"""Recipes, by name: each is run by one device on whole batches, and by two on half of each."""


def source() -> ExampleList:
    """Nine examples with none to three negatives: the documents' numbers differ between the devices' parts."""
    return examples(9, negatives=None, scores=True)


def chosen(name: str, *, devices: int) -> TrainingRecipe:
    """Return a recipe whose batches, of all devices together, have six queries; or four, with accumulation."""
    case = CASES[name]
    regularizer = {"kind": "flops", "lambda_d": 0.5, "schedule": "constant"}
    if case.get("query_side") not in {"doc", "idf"}:
        regularizer["lambda_q"] = 0.3
    size = (4 if "accumulation" in case else 6) // devices
    plain = {"regularizer": regularizer, "negatives": 3, "steps": 3, "max_gradient": 1e9, "batch_size": size}
    return recipe(**(plain | case))


def in_batch_teacher(recipe_: TrainingRecipe) -> InBatchTeacher | None:
    if recipe_.teacher is None:
        return None
    teacher = DenseTeacher(
        Checkpoint(tiny_bert(seed=2).bert, tiny_tokenizer(), "tiny"), SentencePooling(), TeacherOptions(device="cpu")
    )
    known = fit_bm25([source()], GroupTokenizer(tiny_tokenizer(), 12, 4096), len(tiny_vocabulary()), seed=1)
    return InBatchTeacher(recipe_.teacher, EmbeddingCache(teacher, 20), known)


def train(name: str, work: Path, *, rank: int = 0, devices: int = 1) -> dict[str, Any]:
    """Run the real loop for three steps; return the gradients of every step, the parameters and the log."""
    taken = chosen(name, devices=devices)
    some = student(taken.query_side)
    gradients: list[dict[str, torch.Tensor]] = []
    loop = Loop(
        taken,
        some,
        batch_loader(taken, [source()], DevicePart(rank, devices), budget=30),
        work,
        TrainingOptions(checkpoint_every=2, log_every=1),
        in_batch_teacher=in_batch_teacher(taken),
    )
    clip = loop._accelerator.clip_grad_norm_

    def kept(parameters: Any, norm: float) -> Any:
        named = some.pair.named_parameters()
        gradients.append({name: each.grad.clone() for name, each in named if each.grad is not None})
        return clip(parameters, norm)

    loop._accelerator.clip_grad_norm_ = kept
    torch.manual_seed(1)
    log = loop.run()
    values = {name: each.detach().clone() for name, each in some.pair.named_parameters()}
    return {"gradients": gradients, "values": values, "log": log}


def gathered_labels() -> dict[str, Any]:
    """What a device sees of the whole batch, and where its gradient goes."""
    rank = dist.get_rank()
    taken = chosen("splade, plain", devices=WORLD)
    given = next(batch_loader(taken, [source()], DevicePart(rank, WORLD)).batches(0))
    # The second device has a query less: batches need not be of a size that all devices can share.
    count = 3 - rank
    places = [place for place in range(len(given.labels.query_index)) if given.labels.query_index[place] < count]
    labels = type(given.labels)(
        *(
            getattr(given.labels, name)[:count] if name == "query_hashes" else getattr(given.labels, name)[places]
            for name in type(given.labels).__slots__
        )
    )
    queries = torch.full((count, 2), float(rank + 1), requires_grad=True)
    documents = torch.full((len(places), 2), float(rank + 1), requires_grad=True)
    vectors, all_labels = gather_batch(Vectors(queries, documents), labels)
    factors = torch.arange(vectors.documents.numel()).view_as(vectors.documents).float()
    (vectors.documents * factors).sum().backward()  # type: ignore[no-untyped-call]
    return {
        "world": world_size(),
        "mine": labels,
        "all": all_labels,
        "vectors": (vectors.queries.detach(), vectors.documents.detach()),
        "gradient": documents.grad,
        "rows": gather_rows(torch.full((rank, 2), rank, dtype=torch.bfloat16)),
    }


def device(folder: str) -> None:
    """What each of the processes does."""
    rank = int(os.environ["RANK"])
    place = Path(folder)
    torch.set_num_threads(1)
    result: dict[str, Any] = {}
    for name in json.loads((place / "cases.json").read_text()):
        work = place / name
        result[name] = train(name, work, rank=rank, devices=WORLD)
    result["labels"] = gathered_labels()
    # The last checkpoint, of step 2, is still there: the run goes on from it.
    result["resumed"] = train("separate, cached", place / "separate, cached", rank=rank, devices=WORLD)
    torch.save(result, place / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Return what either of two processes found."""
    if not (dist.is_available() and dist.is_gloo_available()):
        pytest.skip("torch has no gloo here: two processes cannot train together on CPUs")
    place = tmp_path_factory.mktemp("together")
    (place / "cases.json").write_text(json.dumps(list(CASES)))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = os.environ | {
        "WORLD_SIZE": str(WORLD),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "ACCELERATE_USE_CPU": "true",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "tests.test_together", str(place)]
    processes = [
        subprocess.Popen(
            command,
            env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(WORLD)
    ]
    try:
        told = [process.communicate(timeout=300)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert all(process.returncode == 0 for process in processes), "\n".join(told)
    assert not any("find_unused_parameters" in text for text in told)
    return [torch.load(place / f"{rank}.pt", weights_only=False) for rank in range(WORLD)]


def near(mine: Mapping[str, torch.Tensor], theirs: Mapping[str, torch.Tensor], by: float = 1e-5) -> None:
    assert mine.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(mine[name], value, rtol=1e-4, atol=by * max(1.0, float(value.abs().max())))


def telling(values: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Leave out the biases of keys, which no score depends on: Adam makes steps of the rounding in their gradients."""
    return {name: value for name, value in values.items() if not name.endswith("key.bias")}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_two_devices_learn_what_one_learns_from_the_whole_batch(
    name: str, both: list[dict[str, Any]], tmp_path: Path
) -> None:
    alone = train(name, tmp_path)
    first, second = (each[name] for each in both)
    assert len(first["gradients"]) == len(alone["gradients"]) == 3
    for mine, theirs, expected in zip(first["gradients"], second["gradients"], alone["gradients"], strict=True):
        for parameter in mine:
            assert torch.equal(mine[parameter], theirs[parameter])
        near(mine, expected)
    # A step of the optimizer is of about 1e-3.
    near(telling(first["values"]), telling(alone["values"]), by=5e-5)
    assert first["log"] == second["log"]
    for row, expected in zip(first["log"], alone["log"], strict=True):
        assert row == pytest.approx(expected, rel=1e-3, abs=1e-5)


@pytest.mark.slow
def test_a_run_of_two_devices_goes_on_from_its_checkpoint(both: list[dict[str, Any]]) -> None:
    for each in both:
        straight, resumed = each["separate, cached"], each["resumed"]
        assert len(resumed["gradients"]) == 1
        for name, value in straight["values"].items():
            assert torch.equal(resumed["values"][name], value)
        assert resumed["log"] == straight["log"]


@pytest.mark.slow
def test_every_device_sees_the_whole_batch_in_order_of_rank(both: list[dict[str, Any]]) -> None:
    seen = [each["labels"] for each in both]
    assert [each["world"] for each in seen] == [2, 2]
    mine, theirs = seen[0]["mine"], seen[1]["mine"]
    assert len(mine.query_index) != len(theirs.query_index)
    for each in seen:
        whole = each["all"]
        assert whole.query_index.tolist() == [
            *mine.query_index.tolist(),
            *(3 + owner for owner in theirs.query_index.tolist()),
        ]
        for name in ("positives", "document_hashes", "query_hashes", "teacher_scores"):
            expected = [*getattr(mine, name).tolist(), *getattr(theirs, name).tolist()]
            assert getattr(whole, name).tolist() == expected
            assert getattr(whole, name).dtype == getattr(mine, name).dtype
        assert each["vectors"][0].tolist() == [[1.0, 1.0]] * 3 + [[2.0, 2.0]] * 2
        assert each["vectors"][1].tolist() == [[1.0, 1.0]] * len(mine.query_index) + [[2.0, 2.0]] * len(
            theirs.query_index
        )
        assert each["rows"].tolist() == [[1.0, 1.0]]


@pytest.mark.slow
def test_the_gradient_reaches_ones_own_vectors(both: list[dict[str, Any]]) -> None:
    first, second = (each["labels"]["gradient"] for each in both)
    assert torch.cat([first, second]).flatten().tolist() == list(range(first.numel() + second.numel()))


def test_alone_a_batch_is_as_it_is() -> None:
    rows = torch.rand(3, 2)
    assert world_size() == 1
    assert gather_rows(rows) is rows


if __name__ == "__main__":
    device(sys.argv[1])
