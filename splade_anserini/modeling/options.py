"""The options of models: of opening one, and of a warm start. Importing this module loads nothing heavy."""

from typing import Any

from splade_anserini.errors import InputError
from splade_anserini.options import changed_options, option, options

SHIFT = 6.0
"""The bias of the dense layer of a head that adds a constant: GELU(x) = x to 2e-5 for x ≥ 4.5."""


def remote_code_option(model: str = "a checkpoint") -> Any:
    """Declare the option --trust-remote-code of a command that opens `model`."""
    return option(
        default=False,
        help=f"Run code that comes with {model}: it can do whatever you can. Read it first.",
        recorded=False,
    )


@options
class CalibrationOptions:
    """How the parameters of a head are chosen from the logits of texts."""

    share_off: float = option(
        default=0.985, above=0, below=1, help="With --texts: share of entries with a logit below 0, over all texts."
    )
    peak: float = option(default=8.0, above=0, help="With --texts: greatest logit of a text, in the median.")
    max_length: int = option(default=256, least=3, help="With --texts: tokens of a text that are read.")


@options
class HeadOptions:
    """Parameters of a head that are known; see `modeling.warm_start.WarmStart`."""

    threshold: float | None = option(default=None, help="θ. Needs --logit-scale.")
    logit_scale: float | None = option(default=None, above=0, help="s. Needs --threshold.")
    shift: float = option(default=SHIFT, help="With --threshold: bias of the head's dense layer.")

    def __post_init__(self) -> None:
        if self.threshold is not None and self.logit_scale is None:
            raise InputError("--threshold needs --logit-scale.", do="Add --logit-scale, or leave --threshold out.")
        if self.threshold is None and (changed := changed_options(self)):
            raise InputError(f"{changed[0]} needs --threshold.", do=f"Add --threshold, or leave {changed[0]} out.")
