"""The former name of `tests.cli_runner`."""

from tests.cli_runner import *  # noqa: F403
