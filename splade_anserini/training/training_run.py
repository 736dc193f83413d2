"""Run the training of a card, from examples to a checkpoint on disk."""

import ctypes
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from splade_anserini.artifacts.files import resolved_output, whole_directory, whole_file
from splade_anserini.artifacts.fingerprints import fingerprint_of_bytes
from splade_anserini.cards.encoder_card import EncoderCard
from splade_anserini.cards.training_recipe import TeacherSettings, TrainingRecipe
from splade_anserini.encoding.truncation import log_truncation
from splade_anserini.formats.examples import Examples
from splade_anserini.lucene.analyzers import open_analyzer
from splade_anserini.progress import Progress, silent
from splade_anserini.records import StrPath
from splade_anserini.training.batch import Batch, Collator, GroupTokenizer
from splade_anserini.training.batch_loader import BatchLoader, DevicePart
from splade_anserini.training.batch_plan import BatchPlan
from splade_anserini.training.bm25 import BM25Vectorizer, fit_bm25
from splade_anserini.training.checkpoints import torch_output_errors
from splade_anserini.training.loop import Loop
from splade_anserini.training.model_card import write_model_card
from splade_anserini.training.options import TeacherOptions, TrainingOptions
from splade_anserini.training.plot import plot
from splade_anserini.training.query_clusters import cluster_queries
from splade_anserini.training.run_directory import claim_run_directory, clusters_file, preflight, run_directory
from splade_anserini.training.saving import save_student
from splade_anserini.training.student import build_student, load_initial_checkpoint, require_stated
from splade_anserini.training.teachers.dense import DenseTeacher
from splade_anserini.training.teachers.embedding_file import EmbeddingFile, open_embedding_file
from splade_anserini.training.teachers.in_batch import EmbeddingCache, InBatchTeacher
from splade_anserini.training.training_state import LOG
from splade_anserini.training.validation import Validation
from splade_anserini.training.word_bm25 import SourcesBM25

CPU_TOKENS, GPU_TOKENS = 4096, 65536
"""Tokens that go through the model together, padding included, unless the recipe says otherwise."""


def train(
    card: EncoderCard,
    sources: Sequence[Examples],
    output: StrPath,
    options: TrainingOptions,
    *,
    validation: Validation | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> list[dict[str, float]]:
    """Train the card's recipe and write the checkpoint, its log and a plot into `output`; return the log.

    With `overwrite`, an output and an unfinished run of an earlier call are removed first.
    With several devices, the main process writes and returns the log; the others return an empty list.
    """
    output = resolved_output(Path(output))
    recipe = preflight(card, output, embeddings=options.teacher_embeddings, overwrite=overwrite)
    directory = run_directory(output)
    from accelerate import Accelerator

    # Without GPUs, Accelerate would otherwise run the processes of torchrun independently of one another.
    accelerator = Accelerator(cpu="LOCAL_RANK" in os.environ and not torch.cuda.is_available())
    keep_freed_memory()
    description = {
        "card": card.model_dump(mode="json"),
        "data": [_description(source) for source in sources],
        "validation": validation.description if validation else None,
        "devices": accelerator.num_processes,
    }
    claim = claim_run_directory(directory, description, start_over=overwrite)
    with claim if accelerator.is_main_process else nullcontext():
        # Each device has its own dropout; all start with the parameters of the first.
        torch.manual_seed(recipe.seed + accelerator.process_index)
        loop = _RunBuilder(card, recipe, sources, accelerator, options).loop(directory, validation)
        # Only when everything that the run needs was found.
        if overwrite and accelerator.is_main_process:
            shutil.rmtree(output, ignore_errors=True)
        accelerator.wait_for_everyone()
        log = loop.run(progress)
        if accelerator.is_main_process:
            with torch_output_errors(output), whole_directory(output) as checkpoint:
                save_student(loop.student, card, recipe, loop.step, checkpoint, loop.truncation)
                write_model_card(checkpoint, card, recipe, [source.name for source in sources], log)
                shutil.copy(directory / LOG, checkpoint)
                plot(log, checkpoint / "training.png", card.name)
            shutil.rmtree(directory)
            if loop.truncation:
                log_truncation(loop.truncation.queries, recipe.query_max_length, "query", "queries")
                log_truncation(loop.truncation.documents, recipe.max_length, "document")
    return log if accelerator.is_main_process else []


def keep_freed_memory() -> bool:
    """Configure glibc's malloc to keep freed memory in the process; return whether that succeeded.

    Each training step frees and allocates the same large blocks. If they go back to the system, each page is mapped
    and zeroed again, which takes a third of a step on a CPU.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    mmap_threshold, trim_threshold, top_pad = -3, -1, -2
    settings = ((mmap_threshold, 2**30), (trim_threshold, 2**31 - 1), (top_pad, 2**26))
    succeeded = [bool(mallopt(parameter, value)) for parameter, value in settings]
    return all(succeeded)


def _description(source: Examples) -> list[str | int]:
    """Identify a source by its name, its size, and a hash of its first, middle and last example."""
    size = len(source)
    examples = (repr(source[index]).encode() for index in (0, size // 2, size - 1))
    return [source.name, size, fingerprint_of_bytes(*examples)]


class _RunBuilder:
    """Builds the loop of a card, its examples and its devices."""

    def __init__(
        self,
        card: EncoderCard,
        recipe: TrainingRecipe,
        sources: Sequence[Examples],
        accelerator: Any,
        options: TrainingOptions,
    ) -> None:
        self._recipe, self._sources, self._accelerator, self._options = recipe, sources, accelerator, options
        trust = options.trust_remote_code
        budget = recipe.group_tokens or (CPU_TOKENS if accelerator.device.type == "cpu" else GPU_TOKENS)
        if recipe.head is None:
            require_stated(card, recipe.backbone)
        documents = load_initial_checkpoint(recipe, recipe.backbone, trust_remote_code=trust)
        self._tokenizer = GroupTokenizer(documents.tokenizer, recipe.max_length, budget, card.prompt)
        self._query_tokenizer = GroupTokenizer(documents.tokenizer, recipe.query_max_length, budget, card.query_prompt)
        self._bm25 = self._fit_bm25(documents.vocabulary_size)
        idf = self._bm25.idf if self._bm25 else None
        self._student = build_student(recipe, card.aggregation, documents, idf, trust_remote_code=trust)

    def loop(self, directory: Path, validation: Validation | None) -> Loop:
        """Return the loop at its first step."""
        recipe, devices = self._recipe, self._accelerator.num_processes
        embeddings = self._embeddings()
        plan = BatchPlan(
            [len(source) for source in self._sources],
            recipe.batch_size * devices,
            batches=recipe.steps * recipe.accumulation,
            seed=recipe.seed,
            mixing=recipe.mixing,
            clusters=self._clusters(embeddings, directory) if embeddings and recipe.cluster_size else None,
        )
        collator = Collator(
            self._query_tokenizer,
            self._tokenizer,
            negatives=recipe.negatives,
            seed=recipe.seed,
            each_text_once=recipe.dropout == 0,
        )
        loader = BatchLoader(self._sources, plan, collator, DevicePart(self._accelerator.process_index, devices))
        teacher = None
        if embeddings and recipe.teacher and any(loss.over == "batch" for loss in recipe.losses):
            teacher = InBatchTeacher(recipe.teacher, embeddings, self._open_teacher_bm25(recipe.teacher))
        return Loop(
            recipe, self._student, loader, directory, self._options, in_batch_teacher=teacher, validator=validation
        )

    def _fit_bm25(self, vocabulary_size: int) -> BM25Vectorizer | None:
        teacher = self._recipe.teacher
        scores = teacher is not None and teacher.bm25 and teacher.bm25_terms == "tokens"
        if self._recipe.query_side != "idf" and not scores:
            return None
        return fit_bm25(self._sources, self._tokenizer, vocabulary_size, seed=self._recipe.seed)

    def _open_teacher_bm25(self, teacher: TeacherSettings) -> Callable[[Batch], torch.Tensor] | None:
        if not teacher.bm25 or teacher.bm25_terms == "tokens":
            return self._bm25
        return SourcesBM25(self._sources, open_analyzer(), seed=self._recipe.seed)

    def _embeddings(self) -> EmbeddingCache | None:
        teacher = self._recipe.teacher
        if teacher is None:
            return None
        options = TeacherOptions(
            device=str(self._accelerator.device), trust_remote_code=self._options.trust_remote_code
        )
        dense = DenseTeacher.load(teacher.model, options)
        bf16 = self._recipe.precision == "bf16"
        return EmbeddingCache(dense, teacher.max_length, bf16=bf16, file=self._embedding_file(dense, teacher))

    def _embedding_file(self, dense: DenseTeacher, teacher: TeacherSettings) -> EmbeddingFile | None:
        path = self._options.teacher_embeddings
        if path is None or not self._accelerator.is_main_process:
            return None
        return open_embedding_file(path, dense, teacher, self._recipe.precision)

    def _clusters(self, embeddings: EmbeddingCache, directory: Path) -> list[npt.NDArray[np.int64]]:
        """Return the cluster of each source's examples; they are computed once, and read when a run resumes."""
        recipe, path = self._recipe, clusters_file(directory)
        if not path.exists():
            prompt = embeddings.pooling.query_prompt

            def embed(queries: Sequence[str]) -> torch.Tensor:
                # As the teacher scores them: they are embedded once.
                return embeddings([prompt + query for query in queries])

            clusters = [
                cluster_queries(source, embed, recipe.cluster_size, seed=recipe.seed) for source in self._sources
            ]
            if self._accelerator.is_main_process:
                with whole_file(path) as file:
                    np.savez(file, *clusters)
        self._accelerator.wait_for_everyone()
        with np.load(path) as arrays:
            return [arrays[name] for name in arrays.files]
