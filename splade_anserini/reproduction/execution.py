"""What a reproduction is done with, which decides no score."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from splade_anserini.parallel import cpu_count

if TYPE_CHECKING:
    from splade_anserini.encoding import EncoderOptions


@dataclass(frozen=True, slots=True)
class ExecutionOptions:
    """What the command's options say; `threads` 0 stands for one per core."""

    device: str = "auto"
    batch_size: int = 64
    threads: int = 0
    force: bool = False
    """Do again what was done with other settings."""

    @property
    def workers(self) -> int:
        """Threads of Java."""
        return self.threads or cpu_count()

    def encoder_options(self, max_length: int | None) -> "EncoderOptions":
        """Return the options of an encoder that reads so many tokens of a text; None: as many as it wants."""
        from splade_anserini.encoding import EncoderOptions

        return EncoderOptions(
            max_length=max_length, device=self.device, batch_size=self.batch_size, threads=self.threads
        )
