"""Reads RESULTS.md: each figure by the heading of its table, its row and its column."""

from __future__ import annotations

import re
from typing import Dict, List, Optional

from harness import HERE

RESULTS = HERE / "RESULTS.md"

_TITLE = re.compile(r"^### (.*)$")
_LINE = re.compile(r"^\| .* \|$")
_RULE = re.compile(r"^[|\s:-]+$")


class Results:
    """The tables of a report.

    Args:
        text: The report, in Markdown.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._tables = _tables(text)

    def title(self, start: str) -> str:
        """Return the heading that begins with ``start``; empty if there is none."""
        return next((title for title in self._tables if title.startswith(start)), "")

    def cell(self, table: str, row: str, column: str) -> Optional[str]:
        """Return a cell as it is written, or ``None`` if it is not there or has no figure."""
        found = self._tables.get(table, {}).get(row, {}).get(column, "-")
        return None if found == "-" else found

    def value(self, table: str, row: str, column: str) -> Optional[float]:
        """Return the figure in a cell, or ``None``; a figure of zero was not measured."""
        found = self.cell(table, row, column)
        return (float(found.replace(",", "")) or None) if found else None

    def ratio(self, table: str, row: str, base: str, column: str) -> Optional[float]:
        """Return the ratio of two rows, or ``None`` if one of them is not there."""
        value, other = self.value(table, row, column), self.value(table, base, column)
        return value / other if value and other else None


def _tables(text: str) -> Dict[str, Dict[str, Dict[str, str]]]:
    found: Dict[str, Dict[str, Dict[str, str]]] = {}
    title = ""
    columns: List[str] = []
    for line in text.splitlines():
        heading = _TITLE.match(line)
        if heading:
            title, columns = heading.group(1), []
        elif _LINE.match(line) and not _RULE.match(line):
            first, *cells = (cell.strip() for cell in line[1:-1].split("|"))
            if columns:
                found.setdefault(title, {})[first] = dict(zip(columns, cells))
            else:
                columns = cells
    return found
