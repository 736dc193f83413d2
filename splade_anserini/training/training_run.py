"""A training run, from a recipe and examples to a checkpoint on disk."""

import os
import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from splade_anserini.artifacts.files import whole_directory, whole_file
from splade_anserini.artifacts.fingerprints import fingerprint_of_bytes
from splade_anserini.cards.encoder_card import EncoderCard
from splade_anserini.cards.training_recipe import TrainingRecipe
from splade_anserini.formats.examples import Examples
from splade_anserini.progress import Progress, silent
from splade_anserini.training.batch import Collator, Tokens
from splade_anserini.training.batch_plan import BatchPlan
from splade_anserini.training.batches import Share, Supply
from splade_anserini.training.checkpoints import writing
from splade_anserini.training.lexical import Lexicon, lexicon
from splade_anserini.training.loop import LOG, Loop, LoopOptions
from splade_anserini.training.malloc import keep_freed_memory
from splade_anserini.training.plot import plot
from splade_anserini.training.preflight import require_ready
from splade_anserini.training.query_clusters import topics
from splade_anserini.training.run_directory import TOPICS, claimed
from splade_anserini.training.saving import save_student
from splade_anserini.training.student import checkpoint, student
from splade_anserini.training.teachers.dense import DenseTeacher
from splade_anserini.training.teachers.in_batch import Embeddings, Instruction
from splade_anserini.training.teachers.inputs import TeacherOptions
from splade_anserini.training.validation import Validation

CPU_TOKENS, GPU_TOKENS = 4096, 65536
"""Tokens that go through the model together, padding included."""


def train(
    card: EncoderCard,
    sources: Sequence[Examples],
    output: Path,
    options: LoopOptions,
    *,
    validation: Validation | None = None,
    progress: Progress = silent,
) -> list[dict[str, float]]:
    """Do what the stage `train` says.

    Of several devices' processes one writes, and returns the log; the others return nothing.
    """
    recipe = require_ready(card, output)
    from accelerate import Accelerator

    # Without GPUs, Accelerate takes processes that were started side by side for so many of one, unless it is told.
    accelerator = Accelerator(cpu="LOCAL_RANK" in os.environ and not torch.cuda.is_available())
    keep_freed_memory()
    described = {
        "card": card.model_dump(mode="json"),
        "data": [_described(source) for source in sources],
        "validation": validation.description if validation else None,
        "devices": accelerator.num_processes,
    }
    with claimed(options.work, described) if accelerator.is_main_process else nullcontext():
        accelerator.wait_for_everyone()
        # Each device has its own dropout; all begin with the first one's parameters.
        torch.manual_seed(recipe.seed + accelerator.process_index)
        loop = _Preparation(card, recipe, sources, accelerator).loop(options, validation)
        log = loop.run(progress)
        if accelerator.is_main_process:
            with writing(output), whole_directory(output) as directory:
                save_student(loop.student, card, recipe, loop.step, directory)
                shutil.copy(options.work / LOG, directory)
                plot(log, directory / "training.png", card.name)
            shutil.rmtree(options.work)
    return log if accelerator.is_main_process else []


def _described(source: Examples) -> list[str | int]:
    """Tell a source from others: by its name, its size, and what stands at its beginning, middle and end."""
    size = len(source)
    some = (repr(source[number]).encode() for number in (0, size // 2, size - 1))
    return [source.name, size, fingerprint_of_bytes(*some)]


class _Preparation:
    """What the loop needs, made of a card and examples."""

    def __init__(
        self, card: EncoderCard, recipe: TrainingRecipe, sources: Sequence[Examples], accelerator: Any
    ) -> None:
        self._recipe, self._sources, self._accelerator = recipe, sources, accelerator
        budget = recipe.group_tokens or (CPU_TOKENS if accelerator.device.type == "cpu" else GPU_TOKENS)
        documents = checkpoint(recipe, recipe.backbone)
        self._tokens = Tokens(documents.tokenizer, recipe.max_length, budget)
        self._query_tokens = Tokens(documents.tokenizer, recipe.query_max_length, budget)
        self._lexicon = self._counted(documents.vocabulary_size)
        self._student = student(recipe, card.pooling, documents, self._lexicon.idf if self._lexicon else None)

    def loop(self, options: LoopOptions, validation: Validation | None) -> Loop:
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
        if embeddings and recipe.teacher and any(loss.over == "batch" for loss in recipe.losses):
            instruction = Instruction(recipe.teacher, embeddings, self._lexicon)
        return Loop(recipe, self._student, supply, options, instruction=instruction, validator=validation)

    def _counted(self, vocabulary_size: int) -> Lexicon | None:
        teacher = self._recipe.teacher
        if self._recipe.query_side != "idf" and not (teacher and teacher.bm25):
            return None
        return lexicon(self._sources, self._tokens, vocabulary_size, self._recipe.seed)

    def _embeddings(self) -> Embeddings | None:
        teacher = self._recipe.teacher
        if teacher is None:
            return None
        dense = DenseTeacher.load(teacher.model, TeacherOptions(device=str(self._accelerator.device)))
        return Embeddings(dense, teacher.max_length, bf16=self._recipe.precision == "bf16")

    def _clusters(self, embeddings: Embeddings, work: Path) -> list[npt.NDArray[np.int64]]:
        """Return the cluster of each source's examples: from the first time on, as they were found then."""
        place = work / TOPICS
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
