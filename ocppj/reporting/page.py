"""`write_page`: the page that shows a recording in a browser. It is one file, and asks no network.

The data are JSON texts, compressed and written in base64, so that nothing that a peer has sent can be read as a part of
the page. The texts of the messages come in pieces, which the page unpacks when they are looked at.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import zlib
from array import array
from itertools import chain
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, TextIO

from ..errors import printable
from ..recording import Recorded
from .gaps import Gap
from .messages import KINDS, Messages
from .report import Report
from .transactions import Transaction

__all__ = ["write_page"]

_FOLDER = Path(__file__).parent / "page"
#: The parts of the script, in their order.
_SCRIPTS = [
    "text",
    "data",
    "filters",
    "list",
    "overview",
    "message",
    "tables",
    "latencies",
    "errors",
    "gaps",
    "transactions",
    "views",
    "stations",
    "theme",
    "print",
    "keys",
    "begin",
]
#: How many texts one piece has.
_PIECE = 2000


def write_page(
    recording: Iterable[Recorded],
    out: TextIO,
    *,
    title: str = "",
    expected: Optional[float] = None,
    show_secrets: bool = False,
) -> Report:
    """Write the page of a recording.

    Args:
        recording: What was recorded. It is read once, and not kept: its texts are written while it is read.
        out: Takes the page, as UTF-8.
        title: What the recording is called.
        expected: The longest silence of a station to be expected, in seconds. ``None``: one and a half of its heartbeat
            intervals.
        show_secrets: Whether passwords and keys are shown. Else ``***`` stands for them.

    Returns:
        The report that the page shows.
    """
    head, foot = _read("page.html").split("<!-- data -->")
    style, script = _read("page.css"), _script()
    head = head.replace("{style}", style).replace("{policy}", _policy(style, script))
    out.write(head.replace("{title}", html.escape(printable(title))))
    texts = _Texts(out)
    report = Report(expected=expected, show_secrets=show_secrets, keep_text=texts.add)
    report.read(recording)
    texts.flush()
    _write_data(out, "facts", {"title": title, "piece": _PIECE, **_facts(report)})
    out.write(foot.replace("{script}", script))
    return report


class _Texts:
    """Writes the texts of messages in pieces."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._texts: List[str] = []
        self._pieces = 0

    def add(self, text: str) -> None:
        self._texts.append(text)
        if len(self._texts) == _PIECE:
            self.flush()

    def flush(self) -> None:
        if self._texts:
            _write_data(self._out, f"texts-{self._pieces}", self._texts)
            self._pieces += 1
            self._texts = []


def _read(name: str) -> str:
    return (_FOLDER / name).read_text("utf-8")


def _script() -> str:
    """Return the script, with its names in a scope of their own."""
    return '"use strict";\n(() => {\n' + "\n".join(_read(f"{name}.js") for name in _SCRIPTS) + "})();\n"


def _write_data(out: TextIO, name: str, value: Any) -> None:
    packed = zlib.compress(json.dumps(value, separators=(",", ":")).encode("ascii"), 6)
    out.write(f'<script type="text/plain" id="{name}">{base64.b64encode(packed).decode("ascii")}</script>\n')


def _policy(style: str, script: str) -> str:
    """Return the Content-Security-Policy: the page may use its own style and script, and nothing else."""
    return (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}'"


def _facts(report: Report) -> Dict[str, Any]:
    """Return all that the page knows, apart from the texts of the messages."""
    messages = report.messages
    return {
        "kinds": KINDS,
        "names": messages.names.texts,
        "stations": [{"id": each.client_id, "versions": each.versions} for each in report.stations],
        "rows": _rows(messages),
        "errors": _steps(row for row in range(len(messages)) if report.is_error(row)),
        "gaps": [_gap(report, each) for each in report.gaps],
        "transactions": [_transaction(report, each) for each in report.transactions],
        "lost": report.lost_lines,
    }


def _rows(messages: Messages) -> Dict[str, Any]:
    rows = range(len(messages))
    return {
        "times": _steps(messages.times),
        "stations": messages.stations.tolist(),
        "kinds": messages.kinds.tolist(),
        "senders": messages.senders.tolist(),
        "actions": messages.actions.tolist(),
        "connections": messages.connections.tolist(),
        # A step back to the CALL, or forward to the answer; 0: there is none.
        "partners": [0 if messages.partners[row] < 0 else messages.partners[row] - row for row in rows],
        "labels": messages.labels,
        "faults": messages.faults,
        "unsent": sorted(messages.unsent),
        "unanswered": sorted(messages.unanswered),
    }


def _steps(numbers: Iterable[int]) -> List[int]:
    """Return the differences of numbers: they are shorter."""
    kept = array("q", numbers)
    return [number - before for before, number in zip(chain([0], kept), kept)]


def _gap(report: Report, gap: Gap) -> Dict[str, Any]:
    return {
        "station": gap.station,
        "kind": gap.kind,
        "begin": gap.begin,
        "end": gap.end,
        "row": gap.row,
        "open": gap.is_open,
        "reason": report.shown(gap.reason),
    }


def _transaction(report: Report, each: Transaction) -> Dict[str, Any]:
    return {
        "station": each.station,
        "id": report.shown(each.id),
        "row": each.row,
        "connector": report.shown(each.connector),
        "tag": report.shown(each.id_tag),
        "begin": each.begin,
        "end": each.end,
        "reason": report.shown(each.reason),
        "wh": each.energy_wh,
        "energy": each.energy,
        "power": each.power or each.mean_power(),
        "said": bool(each.power),
        "max": each.max_power_w,
    }
