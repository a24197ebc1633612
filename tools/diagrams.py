"""Draws the diagrams of the pages: ``docs/diagrams/NAME.txt`` becomes ``NAME.svg``.

Two kinds. A sequence has columns, and arrows between them in their order::

    sequence
    columns: your thread | reader thread | the peer
    your thread -> the peer: CALL
    your thread: waits

A graph has boxes at places of a grid (column, row), and arrows between boxes::

    graph
    queued at 0,0
    pending at 1,0: sent, not answered
    queued -> pending: the one before has ended

A dotted arrow is ``-->``. Lines that begin with ``#`` are remarks. Colours are those of the text around the picture, so
that it is readable in light and in dark.
"""

from __future__ import annotations

import re
import sys
from html import escape
from pathlib import Path
from typing import Dict, List, NamedTuple, Tuple

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "diagrams"
ARROW = re.compile(r"(.+?) (-->|->) (.+?)(?:: (.*))?")
BOX = re.compile(r"(.+?) at (\d+),(\d+)(?:: (.*))?")
ROW, COLUMN = 36, 215
BOX_WIDTH, BOX_HEIGHT, GRID_X, GRID_Y = 160, 48, 250, 110


class Arrow(NamedTuple):
    """An arrow, or, without an end, a remark at the line of a column."""

    begin: str
    end: str
    dotted: bool
    text: str


def draw(source: str) -> str:
    """Return the SVG of a diagram. Raises ``ValueError`` for a line that is not understood."""
    lines = [line.strip() for line in source.splitlines() if line.strip() and not line.startswith("#")]
    if not lines or lines[0] not in ("sequence", "graph"):
        raise ValueError("the first line is 'sequence' or 'graph'")
    return _draw_sequence(lines[1:]) if lines[0] == "sequence" else _draw_graph(lines[1:])


def _draw_sequence(lines: List[str]) -> str:
    names = [name.strip() for name in lines[0].partition(":")[2].split("|")]
    steps = [_read_step(line, names) for line in lines[1:]]
    places = {name: 90 + COLUMN * number for number, name in enumerate(names)}
    height = 60 + ROW * (len(steps) + 1)
    parts = []
    for name, x in places.items():
        parts.append(_text(x, 24, name, bold=True))
        parts.append(f'<line x1="{x}" y1="36" x2="{x}" y2="{height - 16}" class="faint"/>')
    for number, step in enumerate(steps):
        y = 36 + ROW * (number + 1)
        if not step.end:
            parts.append(f'<circle cx="{places[step.begin]}" cy="{y}" r="4" class="dot"/>')
            parts.append(_text(places[step.begin] + 10, y + 5, step.text, anchor="start"))
        else:
            x1, x2 = places[step.begin], places[step.end]
            parts.append(_line(x1, y, x2, y, step.dotted))
            parts.append(_text((x1 + x2) / 2, y - 6, step.text))
    return _svg(180 + COLUMN * (len(names) - 1) + 60, height, parts)


def _read_step(line: str, names: List[str]) -> Arrow:
    match = ARROW.fullmatch(line)
    if match:
        step = Arrow(match[1], match[3], match[2] == "-->", match[4] or "")
    else:
        name, colon, text = line.partition(": ")
        if not colon:
            raise ValueError(f"this line is not understood: {line}")
        step = Arrow(name, "", False, text)
    unknown = {step.begin, step.end} - {*names, ""}
    if unknown:
        raise ValueError(f"there is no column {sorted(unknown)[0]!r}")
    return step


def _draw_graph(lines: List[str]) -> str:
    boxes: Dict[str, Tuple[int, int, str]] = {}
    arrows: List[Arrow] = []
    for line in lines:
        box, arrow = BOX.fullmatch(line), ARROW.fullmatch(line)
        if arrow:
            arrows.append(Arrow(arrow[1], arrow[3], arrow[2] == "-->", arrow[4] or ""))
        elif box:
            boxes[box[1]] = int(box[2]), int(box[3]), box[4] or ""
        else:
            raise ValueError(f"this line is not understood: {line}")
    parts = []
    for each in arrows:
        parts += _draw_arrow(each, boxes)
    for name, (column, row, text) in boxes.items():
        x, y = _corner(column, row)
        parts.append(f'<rect x="{x}" y="{y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6" class="box"/>')
        parts.append(_text(x + BOX_WIDTH / 2, y + (20 if text else 29), name, bold=True))
        if text:
            parts.append(_text(x + BOX_WIDTH / 2, y + 38, text, small=True))
    columns, rows = max(place[0] for place in boxes.values()), max(place[1] for place in boxes.values())
    return _svg(GRID_X * columns + BOX_WIDTH + 40, GRID_Y * rows + BOX_HEIGHT + 40, parts)


def _corner(column: int, row: int) -> Tuple[float, float]:
    return 20 + GRID_X * column, 20 + GRID_Y * row


def _draw_arrow(arrow: Arrow, boxes: Dict[str, Tuple[int, int, str]]) -> List[str]:
    for name in (arrow.begin, arrow.end):
        if name not in boxes:
            raise ValueError(f"there is no box {name!r}")
    (x1, y1), (x2, y2) = (_corner(*boxes[name][:2]) for name in (arrow.begin, arrow.end))
    half_width, half_height = BOX_WIDTH / 2, BOX_HEIGHT / 2
    x1, y1, x2, y2 = x1 + half_width, y1 + half_height, x2 + half_width, y2 + half_height
    if abs(x2 - x1) > abs(y2 - y1) / 4 and y1 == y2:
        side = 1 if x2 > x1 else -1
        ends = x1 + side * half_width, y1, x2 - side * half_width, y2
        place = (ends[0] + ends[2]) / 2, y1 - 8
    else:
        side = 1 if y2 > y1 else -1
        ends = x1, y1 + side * half_height, x2, y2 - side * half_height
        place = (ends[0] + ends[2]) / 2 + (6 if x1 == x2 else 0), (ends[1] + ends[3]) / 2
    anchor = "start" if x1 == x2 else "middle"
    return [_line(*ends, arrow.dotted), _text(*place, arrow.text, anchor=anchor, small=True)]


def _line(x1: float, y1: float, x2: float, y2: float, dotted: bool) -> str:
    kind = "line dotted" if dotted else "line"
    return f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" class="{kind}" marker-end="url(#head)"/>'


def _text(x: float, y: float, text: str, *, anchor: str = "middle", bold: bool = False, small: bool = False) -> str:
    kind = " ".join(name for name, on in (("bold", bold), ("small", small)) if on)
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" class="{kind}">{escape(text)}</text>'


def _svg(width: float, height: float, parts: List[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" class="diagram" role="img"'
    return "\n".join(
        [
            f'{head} style="max-width: {width:g}px">',
            "<style>",
            ".diagram text { fill: currentColor; font: 13px sans-serif; paint-order: stroke }",
            ".diagram .bold { font-weight: bold }",
            ".diagram .small { font-size: 11.5px }",
            ".diagram .line { stroke: currentColor; stroke-width: 1.4 }",
            ".diagram .dotted { stroke-dasharray: 5 4 }",
            ".diagram .faint { stroke: currentColor; stroke-width: 1; opacity: 0.35 }",
            ".diagram .box { fill: none; stroke: currentColor; stroke-width: 1.4 }",
            ".diagram .dot { fill: currentColor }",
            "</style>",
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
            'orient="auto"><path d="M0 0L8 4L0 8z" fill="currentColor"/></marker></defs>',
            *parts,
            "</svg>",
            "",
        ]
    )


def main() -> int:
    """Draw all diagrams of the pages."""
    for path in sorted(FOLDER.glob("*.txt")):
        path.with_suffix(".svg").write_text(draw(path.read_text("utf-8")), "utf-8")
        print(path.with_suffix(".svg").name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
