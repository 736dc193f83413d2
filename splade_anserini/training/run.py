"""A training run, from a recipe and examples to a checkpoint on disk."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from splade_anserini.cards import EncoderCard
from splade_anserini.errors import DependencyError, InputError, MismatchError, OutputError
from splade_anserini.files import whole_directory, whole_file
from splade_anserini.formats.examples import Examples
from splade_anserini.progress import Progress, silent
from splade_anserini.recipes import TrainingRecipe
from splade_anserini.training.batch import Collator, Tokens
from splade_anserini.training.instruction import Embeddings, Instruction
from splade_anserini.training.lexical import Lexicon, lexicon
from splade_anserini.training.loop import LOG, Loop, LoopOptions, Validator
from splade_anserini.training.memory import keep_freed_memory
from splade_anserini.training.plan import BatchPlan
from splade_anserini.training.plot import plot
from splade_anserini.training.saving import save_student
from splade_anserini.training.start import checkpoint, student
from splade_anserini.training.supply import Share, Supply
from splade_anserini.training.teacher_inputs import TeacherOptions
from splade_anserini.training.teachers import DenseTeacher
from splade_anserini.training.topics import topics

CPU_TOKENS, GPU_TOKENS = 4096, 65536
"""Tokens that go through the model together, padding included."""


def train(
    card: EncoderCard,
    sources: Sequence[Examples],
    output: Path,
    options: LoopOptions,
    *,
    validator: Validator | None = None,
    progress: Progress = silent,
) -> list[dict[str, float]]:
    """Train as the card's recipe says, write the checkpoint, its log and a plot of it; return the log.

    A run that was interrupted goes on from its last checkpoint. Raises `InputError` when the card has no recipe or the
    data cannot serve it, `MismatchError` when other settings have begun at this output, `TrainingError` when it fails.
    """
    recipe = card.training
    if recipe is None:
        raise InputError(f"The card {card.name} has no [training].", expected="a table that describes the run")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise OutputError(f"{output} exists already.", do="Choose another place, or remove it first.")
    accelerator = _accelerator()
    keep_freed_memory()
    work = options.work
    if accelerator.is_main_process:
        _claim(work, card, sources)
    accelerator.wait_for_everyone()
    torch.manual_seed(recipe.seed)
    loop = _Preparation(card, recipe, sources, accelerator).loop(options, validator)
    log = loop.run(progress)
    if accelerator.is_main_process:
        with whole_directory(output) as directory:
            save_student(loop.student, card, recipe, loop.step, directory)
            shutil.copy(work / LOG, directory)
            plot(log, directory / "training.png", card.name)
        shutil.rmtree(work)
    return log


class _Preparation:
    """What the loop needs, made of a card and examples."""

    def __init__(
        self, card: EncoderCard, recipe: TrainingRecipe, sources: Sequence[Examples], accelerator: Any
    ) -> None:
        self._recipe, self._sources, self._accelerator = recipe, sources, accelerator
        budget = CPU_TOKENS if accelerator.device.type == "cpu" else GPU_TOKENS
        documents = checkpoint(recipe, recipe.backbone)
        self._tokens = Tokens(documents.tokenizer, recipe.max_length, budget)
        self._query_tokens = Tokens(documents.tokenizer, recipe.query_max_length, budget)
        self._lexicon = self._counted(documents.vocabulary_size)
        self._student = student(recipe, card.pooling, documents, self._lexicon.idf if self._lexicon else None)

    def loop(self, options: LoopOptions, validator: Validator | None) -> Loop:
        """Return the loop, at its first step."""
        recipe, devices = self._recipe, self._accelerator.num_processes
        embeddings = self._embeddings()
        plan = BatchPlan(
            [len(source) for source in self._sources],
            recipe.batch_size * devices,
            batches=recipe.steps * recipe.accumulation,
            seed=recipe.seed,
            mixing=recipe.mixing,
            clusters=self._clusters(embeddings, options.work) if embeddings and recipe.topics else None,
        )
        collator = Collator(self._query_tokens, self._tokens, negatives=recipe.negatives, seed=recipe.seed)
        supply = Supply(self._sources, plan, collator, Share(self._accelerator.process_index, devices))
        instruction = None
        if embeddings and recipe.teacher:
            instruction = Instruction(recipe.teacher, embeddings, self._lexicon)
        return Loop(recipe, self._student, supply, options, instruction=instruction, validator=validator)

    def _counted(self, vocabulary_size: int) -> Lexicon | None:
        teacher = self._recipe.teacher
        if self._recipe.query_side != "idf" and not (teacher and teacher.bm25):
            return None
        return lexicon(self._sources, self._tokens, vocabulary_size, self._recipe.seed)

    def _embeddings(self) -> Embeddings | None:
        teacher = self._recipe.teacher
        if teacher is None:
            return None
        dense = DenseTeacher.load(teacher.model, TeacherOptions(device=self._accelerator.device.type))
        return Embeddings(dense, teacher.max_length, bf16=self._recipe.precision == "bf16")

    def _clusters(self, embeddings: Embeddings, work: Path) -> list[npt.NDArray[np.int64]]:
        """Return the cluster of each source's examples: from the first time on, as they were found then."""
        place = work / "topics.npz"
        if not place.exists():
            found = [
                topics(source, embeddings, self._recipe.topics, seed=self._recipe.seed) for source in self._sources
            ]
            if self._accelerator.is_main_process:
                with whole_file(place) as file:
                    np.savez(file, *found)
        self._accelerator.wait_for_everyone()
        with np.load(place) as known:
            return [known[name] for name in known.files]


def _claim(work: Path, card: EncoderCard, sources: Sequence[Examples]) -> None:
    """Make `work` this run's, or see that it is. Raises `MismatchError` when a run with other settings began there."""
    ours = {"card": card.model_dump(mode="json"), "data": [[source.name, len(source)] for source in sources]}
    place = work / "run.json"
    if not place.exists():
        with whole_file(place) as file:
            file.write(json.dumps(ours, indent=1).encode())
    elif json.loads(place.read_bytes()) != ours:
        raise MismatchError(
            f"In {work} a run of another card or other data has begun.",
            expected="the same card and data, to go on with it",
            do="Name another output, or remove that directory to begin anew.",
        )


def _accelerator() -> Any:
    try:
        from accelerate import Accelerator
    except ImportError as error:
        raise DependencyError.missing("accelerate", "train") from error
    return Accelerator()
