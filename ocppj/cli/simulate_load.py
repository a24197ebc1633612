"""``ocppj simulate --load``: the search for the knee, as a table and a plot."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List

from .exits import FOUND, OK
from .terminal import Terminal

if TYPE_CHECKING:
    from ..load.knee import Knee, Verdict
    from ..load.load_test import LoadTest
    from ..load.open_loop import Step

__all__ = ["find_knee"]

_COLUMNS = ("messages/s", "answered/s", "p50 ms", "p99 ms", "max ms", "errors", "sent late ms", "own processor", "")


def find_knee(
    arguments: argparse.Namespace,
    terminal: Terminal,
    ids: List[str],
    options_of: Callable[[str], Dict[str, Any]],
) -> int:
    """Connect the stations, raise the rate, and print what was found. Ctrl-C prints what was found so far."""
    from ..load.knee import Limits
    from ..load.limits import allow_many_sockets
    from ..load.load_test import LoadTest

    if not allow_many_sockets(len(ids)):
        terminal.error(f"this process may not open {len(ids)} connections: see `ulimit -n`")

    def transport_options(client_id: str) -> Dict[str, Any]:
        options = options_of(client_id)
        password = options.pop("password", None)
        return options if password is None else {**options, "basic_auth": (client_id, password)}

    with ExitStack() as parts:
        options = {"action": arguments.message, "timeout": arguments.timeout, "options_of": transport_options}
        test = LoadTest(ids, arguments.url, arguments.version, **options)
        parts.callback(test.stop)
        errors = test.connect()
        if errors:
            terminal.error(f"simulate: {len(errors)} of {len(ids)} stations could not connect or boot: {errors[0]}")
            return FOUND
        terminal.error(f"{len(ids)} stations have connected, and send {arguments.message}")
        limits = Limits(arguments.p99, arguments.errors / 100)
        rates = {"first": arguments.first, "most": max(arguments.most, arguments.first), "seconds": arguments.step}
        try:
            _follow(test.run(limits, **rates), terminal)
        finally:
            was_good = _report(arguments, terminal, test)
    return OK if was_good else FOUND


def _follow(steps: "Iterator[Step]", terminal: Terminal) -> None:
    """Tell of each step when it was measured."""
    from ..load.figures import in_ms

    for step in steps:
        p99 = in_ms(step.p99)
        shown = "no answer" if p99 is None else f"p99 {p99:g} ms"
        terminal.error(f"{step.rate:.0f} messages/s: {step.answered_rate:.0f} answered, {shown}")


def _report(arguments: argparse.Namespace, terminal: Terminal, test: "LoadTest") -> bool:
    """Print the table, the plot, and where the knee is. Return whether any rate was good."""
    from ..load.plot import svg_plot, text_plot

    knee = test.knee()
    if knee is None or not knee.steps:
        terminal.error("simulate: no rate was measured to its end")
        return False
    if terminal.as_json:
        terminal.json(_described(knee))
    else:
        terminal.line()
        terminal.table(_COLUMNS, [_row(step, verdict) for step, verdict in zip(knee.steps, knee.verdicts)])
        terminal.line()
        terminal.lines(text_plot(knee))
        terminal.line()
        terminal.line(knee.text())
    if arguments.plot is not None:
        title = f"{len(test.stations)} stations, {arguments.message}, OCPP {arguments.version}"
        Path(arguments.plot).write_text(svg_plot(knee, title), "utf-8")
        terminal.note(f"written to {arguments.plot}")
    return knee.rate > 0


def _row(step: "Step", verdict: "Verdict") -> List[str]:
    from ..load.figures import in_ms

    times = [in_ms(value) for value in (step.p50, step.p99, step.most)]
    return [
        f"{step.rate:.0f}",
        f"{step.answered_rate:.0f}",
        *("" if value is None else f"{value:g}" for value in times),
        f"{len(step.errors)}",
        f"{in_ms(step.late):g}",
        f"{100 * step.processor:.0f} %",
        "" if verdict.good else f"{verdict.culprit}: {verdict.why}",
    ]


def _described(knee: "Knee") -> Dict[str, Any]:
    from ..load.figures import in_ms

    steps = [
        {
            "rate": round(step.rate, 1),
            "answered_per_second": round(step.answered_rate, 1),
            "p50_ms": in_ms(step.p50),
            "p99_ms": in_ms(step.p99),
            "max_ms": in_ms(step.most),
            "errors": {code: step.errors.count(code) for code in sorted(set(step.errors))},
            "sent_late_ms": in_ms(step.late),
            "own_processor": round(step.processor, 2),
            "machine": None if step.machine is None else round(step.machine, 2),
            "good": verdict.good,
            "limit": verdict.culprit,
            "why": verdict.why,
        }
        for step, verdict in zip(knee.steps, knee.verdicts)
    ]
    found = {"knee": round(knee.rate, 1) if knee.found else None, "good_until": round(knee.rate, 1)}
    return {**found, "text": knee.text(), "steps": steps}
