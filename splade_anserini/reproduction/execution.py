"""How a reproduction runs: options that change no score, and callbacks that follow it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from splade_anserini.options import option, options
from splade_anserini.parallel import cpu_count
from splade_anserini.progress import ProgressBars, no_bars

if TYPE_CHECKING:
    from splade_anserini.encoding import EncoderOptions
    from splade_anserini.reproduction.report import StepResult
    from splade_anserini.reproduction.time_left import TimeLeft


@options
class ExecutionOptions:
    """How a reproduction runs; none of it changes a score."""

    device: str = option(default="auto", help="auto, cpu, cuda, cuda:n or mps.")
    batch_size: int | None = option(default=None, least=1, help="Most texts in a batch.", unset="64, on a GPU 1024")
    threads: int = option(default=0, least=0, help="Threads. 0: one per core.")
    overwrite: bool = option(default=False, help="Repeat all steps that were done with other settings than the card's.")

    @property
    def java_threads(self) -> int:
        """The number of threads that index and search."""
        return self.threads or cpu_count()

    def encoder_options(self, max_length: int | None) -> "EncoderOptions":
        """Return the options of an encoder that reads `max_length` tokens of a text; None: the encoder's default."""
        from splade_anserini.encoding import EncoderOptions

        return EncoderOptions(
            max_length=max_length, device=self.device, batch_size=self.batch_size, threads=self.threads
        )


def _ignore(_: object) -> None:
    """Ignore an event."""


@dataclass(frozen=True, slots=True)
class Observer:
    """Callbacks that follow a reproduction; by default they do nothing."""

    on_step: "Callable[[StepResult], object]" = _ignore
    """Called when a step is done, or is skipped because it was done before."""
    on_time_left: "Callable[[TimeLeft], object]" = _ignore
    """Called when the time that encoding still takes has been measured."""
    progress_bars: ProgressBars = no_bars
