"""The records of decisions in docs/decisions."""

import re
from pathlib import Path

import pytest

DECISIONS = Path(__file__).parent.parent / "docs" / "decisions"
RECORDS = sorted(path for path in DECISIONS.glob("*.md") if path.name != "README.md")


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_a_record_has_a_title_of_its_own_number_that_the_table_lists(record: Path) -> None:
    number = record.name[:4]
    title = record.read_text(encoding="utf-8").splitlines()[0]
    match = re.fullmatch(rf"# {number}: (.+)", title)
    assert match, title
    table = (DECISIONS / "README.md").read_text(encoding="utf-8")
    assert f"| [{number}]({record.name}) | " in table


def test_numbers_and_titles_are_used_once() -> None:
    numbers = [record.name[:4] for record in RECORDS]
    titles = [record.read_text(encoding="utf-8").splitlines()[0][8:] for record in RECORDS]
    assert len(set(numbers)) == len(set(titles)) == len(RECORDS)
