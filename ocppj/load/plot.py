"""The latency over the rate, as text for a terminal and as an SVG picture."""

from __future__ import annotations

import math
from html import escape
from typing import Callable, List, Optional, Sequence, Tuple

from .knee import Knee

__all__ = ["svg_plot", "text_plot"]

_ROWS, _COLUMNS = 14, 64  # of the text plot, without its axes
_WIDTH, _HEIGHT = 820, 460  # of the picture
_LEFT, _RIGHT, _TOP, _BOTTOM = 74, 24, 66, 62  # its margins

Point = Tuple[float, float]  # messages a second, milliseconds


class _Scale:
    """A logarithmic scale from a power of ten, or 2 or 5 times that, to another one."""

    def __init__(self, values: Sequence[float]) -> None:
        self.ticks = _ticks(min(values), max(values))
        self._low, self._high = math.log(self.ticks[0]), math.log(self.ticks[-1])

    def share(self, value: float) -> float:
        """Return where a value lies: 0 at the low end, 1 at the high end."""
        return (math.log(max(value, self.ticks[0])) - self._low) / (self._high - self._low)


def _ticks(low: float, high: float) -> List[float]:
    """Return 1, 2, 5, 10, 20 ... such that the first is not above ``low`` and the last not below ``high``."""
    power = math.floor(math.log10(low))
    steps = [factor * 10.0**exponent for exponent in range(power, power + 12) for factor in (1, 2, 5)]
    first = max(index for index, step in enumerate(steps) if step <= low * 1.000001)
    last = min(index for index, step in enumerate(steps) if step >= high * 0.999999)
    return steps[first : max(last, first + 1) + 1]


def _points(knee: Knee, share: Callable[..., Optional[float]]) -> List[Point]:
    found = [(step.rate, share(step)) for step in knee.steps]
    return [(rate, 1000 * value) for rate, value in found if value]


def _curves(knee: Knee) -> Tuple[List[Point], List[Point]]:
    """Return the points of p50 and of p99."""
    return _points(knee, lambda step: step.p50), _points(knee, lambda step: step.p99)


def _scales(knee: Knee, points: Sequence[Point]) -> Tuple[_Scale, _Scale]:
    limit = 1000 * knee.limits.p99
    return _Scale([rate for rate, _ in points]), _Scale([*(ms for _, ms in points), limit])


def _number(value: float) -> str:
    return f"{value:g}" if value < 10_000 else f"{value / 1000:g}k"


def text_plot(knee: Knee) -> List[str]:
    """Return the lines of a plot: p50 as ``o``, p99 as ``#``, the limit of p99 as a line, and the knee as a column."""
    p50, p99 = _curves(knee)
    if not p99:
        return []
    across, up = _scales(knee, [*p50, *p99])
    cells = [[" "] * _COLUMNS for _ in range(_ROWS)]

    def row(ms: float) -> int:
        return _ROWS - 1 - round(up.share(ms) * (_ROWS - 1))

    def column(rate: float) -> int:
        return round(across.share(rate) * (_COLUMNS - 1))

    cells[row(1000 * knee.limits.p99)] = ["-"] * _COLUMNS
    if knee.rate:
        for line in cells:
            line[column(knee.rate)] = "|"
    for mark, points in (("o", p50), ("#", p99)):
        for rate, ms in points:
            cells[row(ms)][column(rate)] = mark
    labels = {row(tick): _number(tick) for tick in up.ticks}
    column_name = "knee" if knee.found else "highest good rate"
    lines = [f"latency, ms (o p50, # p99, --- limit of p99, | {column_name})"]
    lines += [f"{labels.get(number, ''):>7} |{''.join(line)}".rstrip() for number, line in enumerate(cells)]
    lines.append(f"{'':>7} +{'-' * _COLUMNS}")
    lines.append(f"{'':>8}{_axis(across, column)}")
    lines.append(f"{'':>8}{'messages/s':^{_COLUMNS}}".rstrip())
    return lines


def _axis(across: _Scale, column: Callable[[float], int]) -> str:
    """Return the line with the rates."""
    text = ""
    for tick in across.ticks:
        label, at = _number(tick), column(tick) + 1
        at = max(0, min(at, _COLUMNS + 1 - len(label)))
        if at >= len(text) + (1 if text else 0):
            text = f"{text:<{at}}{label}"
    return text


def svg_plot(knee: Knee, title: str) -> str:
    """Return the picture: p50 and p99 over the rate, on logarithmic axes, with the limit and the knee."""
    p50, p99 = _curves(knee)
    across, up = _scales(knee, [*p50, *p99] or [(1.0, 1.0), (10.0, 10.0)])

    def x(rate: float) -> float:
        return round(_LEFT + across.share(rate) * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(ms: float) -> float:
        return round(_HEIGHT - _BOTTOM - up.share(ms) * (_HEIGHT - _TOP - _BOTTOM), 1)

    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}"'
        ' font-family="sans-serif" font-size="13" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="24" font-size="16" font-weight="bold">{escape(title)}</text>',
        f'<text x="{_LEFT}" y="46" fill="#444">{escape(_subtitle(knee))}</text>',
    ]
    for tick in up.ticks:
        parts.append(f'<line x1="{_LEFT}" x2="{right}" y1="{y(tick)}" y2="{y(tick)}" stroke="#e4e4e4"/>')
        parts.append(_text(_LEFT - 8, y(tick) + 4, _number(tick), "end"))
    for tick in across.ticks:
        parts.append(f'<line x1="{x(tick)}" x2="{x(tick)}" y1="{_TOP}" y2="{bottom}" stroke="#f0f0f0"/>')
        parts.append(_text(x(tick), bottom + 18, _number(tick), "middle"))
    parts.append(f'<path d="M{_LEFT},{_TOP}V{bottom}H{right}" fill="none" stroke="#333"/>')
    parts.append(_text((_LEFT + right) / 2, _HEIGHT - 18, "messages a second that were due", "middle"))
    middle = (_TOP + bottom) / 2
    parts.append(
        f'<text transform="translate(20,{middle}) rotate(-90)" text-anchor="middle">latency in milliseconds</text>'
    )
    limit = y(1000 * knee.limits.p99)
    parts.append(f'<line x1="{_LEFT}" x2="{right}" y1="{limit}" y2="{limit}" stroke="#b00020" stroke-dasharray="6 4"/>')
    parts.append(_text(_LEFT + 6, limit - 6, f"limit of p99: {1000 * knee.limits.p99:g} ms", "start", "#b00020"))
    if knee.rate and p99:
        at = x(knee.rate)
        name = "knee" if knee.found else "highest good rate"
        parts.append(f'<line x1="{at}" x2="{at}" y1="{_TOP}" y2="{bottom}" stroke="#2e7d32" stroke-dasharray="3 3"/>')
        side, shift = ("end", -6) if at > (_LEFT + right) / 2 else ("start", 6)
        parts.append(_text(at + shift, _TOP + 14, f"{name}: {knee.rate:.0f}/s", side, "#2e7d32"))
    for name, colour, points in (("p50", "#1565c0", p50), ("p99", "#e65100", p99)):
        parts += _curve([(x(rate), y(ms)) for rate, ms in points], name, colour)
    return "\n".join([*parts, "</svg>", ""])


def _subtitle(knee: Knee) -> str:
    if knee.found:
        return f"The knee is at {knee.rate:.0f} messages a second."
    if knee.first_bad is None:
        return "No knee: all rates were good."
    if knee.verdict.culprit == "central system":
        return "The central system gave way at the lowest rate."
    if knee.verdict.culprit == "stations":
        return "No knee was found: there were too few stations."
    return "No knee was found: the load itself was the limit."


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#333") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'


def _curve(points: Sequence[Point], name: str, colour: str) -> List[str]:
    if not points:
        return []
    line = " ".join(f"{x:g},{y:g}" for x, y in points)
    parts = [f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>']
    parts += [f'<circle cx="{x:g}" cy="{y:g}" r="3.5" fill="{colour}"/>' for x, y in points]
    first_x, first_y = points[0]
    parts.append(_text(first_x + 8, first_y - 8, name, "start", colour))
    return parts
