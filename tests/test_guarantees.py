"""docs/guarantees.md names the test of each promise."""

import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "guarantees.md"


def test_every_test_that_the_page_names_is_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE.read_text(encoding="utf-8")))
    code = "\n".join(path.read_text(encoding="utf-8") for path in TESTS.glob("test_*.py"))
    assert named
    assert named - set(re.findall(r"def (test_\w+)", code)) == set()


def test_every_promise_names_a_test() -> None:
    rows = [line.split("|") for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    promises = [row for row in rows if row[1].strip() != "promise"]
    assert promises
    assert [row[1] for row in promises if "`test_" not in row[2]] == []
