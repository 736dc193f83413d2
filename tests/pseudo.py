"""The former name of `tests.impact_fixtures`."""

from tests.impact_fixtures import *  # noqa: F403
