"""Explanations as text with bars."""

from collections.abc import Iterable, Sequence

from splade_anserini.explaining.sections import Section, Table, shortened

_WIDTH = 30
"""Characters of the longest bar."""


def section_text(section: Section) -> str:
    """Return an explanation as lines, tables with bars, and notes."""
    lines = [section.title, *([section.summary] if section.summary else [])]
    for table, table_lines in zip(section.tables, _aligned(section.tables, section.greatest), strict=True):
        lines += ["", *table_lines, *([f"… and {table.more} more"] if table.more else [])]
    for note in section.notes:
        lines += ["", note]
    return "\n".join(lines) + "\n"


def bar(value: float, greatest: float, width: int = _WIDTH) -> str:
    """Return a bar in proportion to a value, at least half a character wide."""
    halves = max(1, round(2 * width * value / greatest)) if value else 0
    return "█" * (halves // 2) + "▌" * (halves % 2)


def _aligned(tables: Sequence[Table], greatest: float) -> list[list[str]]:
    """Return the lines of each table; tables with the same columns but the first are aligned as one."""
    alike = len({tuple(column.title for column in table.columns[1:]) for table in tables}) == 1
    groups = [tables] if alike else [[table] for table in tables]
    return [lines for group in groups for lines in _lines(group, [_rows(table, greatest) for table in group])]


def _rows(table: Table, greatest: float) -> list[list[str]]:
    """Return the header and the rows, with their bars."""
    count = len(table.series)
    titles = list(map(shortened, table.series)) if count > 1 else [""]
    header = [*(column.title for column in table.columns), *titles]
    bars = [[bar(abs(value), greatest, _WIDTH // count) for value in values] for values in table.values]
    return [header, *([*row, *row_bars] for row, row_bars in zip(table.rows, bars, strict=True))]


def _lines(tables: Sequence[Table], groups: Sequence[Sequence[Sequence[str]]]) -> list[list[str]]:
    """Return the lines of each table; all of them have the same widths."""
    widths = [max(map(len, column)) for column in zip(*(row for rows in groups for row in rows), strict=True)]
    is_text = [column.is_text for column in tables[0].columns] + [True] * len(tables[0].series)
    return [[_line(row, widths, is_text) for row in rows] for rows in groups]


def _line(row: Iterable[str], widths: Iterable[int], is_text: Iterable[bool]) -> str:
    cells = zip(row, widths, is_text, strict=True)
    return "  ".join(cell.ljust(width) if text else cell.rjust(width) for cell, width, text in cells).rstrip()
