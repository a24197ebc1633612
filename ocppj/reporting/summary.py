"""`summarize`: a report as a JSON value: stations, latencies, errors, gaps and transactions."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from ..payloads.datetimes import format_datetime
from .messages import Messages
from .report import Report

__all__ = ["summarize"]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_SIDES = ("station", "csms")


def summarize(report: Report) -> Dict[str, Any]:
    """Return the short form of a report.

    Args:
        report: It has read its recording.

    Returns:
        A JSON value. Times are texts in UTC, and durations are numbers of seconds.
    """
    times = report.messages.times
    return {
        "messages": sum(1 for row in range(len(times)) if _is_message(report.messages, row)),
        "first": _text(min(times, default=None)),
        "last": _text(max(times, default=None)),
        "stations": _stations(report),
        "latencies": _latencies(report.messages),
        "errors": _errors(report),
        "gaps": _gaps(report),
        "transactions": _transactions(report),
        "lost_lines": report.lost_lines,
    }


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest of ``ordered`` that at least ``share`` of them do not exceed."""
    place = -(-int(share * 1000) * len(ordered) // 1000)
    return ordered[max(0, place - 1)]


def _is_message(messages: Messages, row: int) -> bool:
    return messages.kind(row) not in ("CONNECTED", "DISCONNECTED", "REFUSED")


def _text(time: Optional[int]) -> Optional[str]:
    if time is None:
        return None
    try:
        return format_datetime(_EPOCH + timedelta(microseconds=time))
    except OverflowError:
        return None


def _stations(report: Report) -> List[Dict[str, Any]]:
    messages = report.messages
    counts = [{"messages": 0, "errors": 0} for _ in report.stations]
    for row, station in enumerate(messages.stations):
        counts[station]["messages"] += _is_message(messages, row)
        counts[station]["errors"] += report.is_error(row)
    return [
        {
            "id": each.client_id,
            "versions": each.versions,
            "connections": each.connections,
            **count,
            "gaps": len(each.gaps.found),
            "transactions": len(each.transactions.found),
        }
        for each, count in zip(report.stations, counts)
    ]


def _latencies(messages: Messages) -> List[Dict[str, Any]]:
    by_action: Dict[Tuple[str, str], List[float]] = {}
    for row in range(len(messages)):
        latency = messages.latency(row)
        if latency is not None:
            asker = _SIDES[1 - messages.senders[row]]
            by_action.setdefault((messages.action(row), asker), []).append(latency)
    return [_latency(action, asker, sorted(seconds)) for (action, asker), seconds in sorted(by_action.items())]


def _latency(action: str, asker: str, ordered: List[float]) -> Dict[str, Any]:
    return {
        "action": action,
        "from": asker,
        "answers": len(ordered),
        "p50": percentile(ordered, 0.5),
        "p90": percentile(ordered, 0.9),
        "p99": percentile(ordered, 0.99),
        "max": ordered[-1],
    }


def _errors(report: Report) -> List[Dict[str, Any]]:
    """Return what went wrong, each with how often, and when first."""
    found: Dict[Tuple[str, str, str], Dict[str, Any]] = {}
    messages = report.messages
    for row in filter(report.is_error, range(len(messages))):
        for kind, text in _wrong(messages, row):
            about = found.setdefault(
                (kind, text, messages.action(row)),
                {
                    "kind": kind,
                    "text": text,
                    "action": messages.action(row) or None,
                    "from": _SIDES[messages.senders[row]],
                    "count": 0,
                    "station": report.stations[messages.stations[row]].client_id,
                    "first": _text(messages.times[row]),
                },
            )
            about["count"] += 1
    return sorted(found.values(), key=lambda each: -int(each["count"]))


def _wrong(messages: Messages, row: int) -> List[Tuple[str, str]]:
    """Return the kind and the text of each thing that is wrong in a row."""
    kind, wrong = messages.kind(row), []
    if kind in ("ERROR", "RESULTERROR"):
        wrong.append(("error", messages.label(row)))
    elif kind in ("DISCONNECTED", "REFUSED"):
        wrong.append((kind.lower(), messages.label(row)))
    if row in messages.unanswered:
        wrong.append(("no answer", ""))
    if row in messages.unsent:
        wrong.append(("not sent", ""))
    return wrong + [("rule", text) for text in messages.fault_texts(row)]


def _gaps(report: Report) -> List[Dict[str, Any]]:
    return [
        {
            "station": report.stations[gap.station].client_id,
            "kind": gap.kind,
            "begin": _text(gap.begin),
            "seconds": gap.seconds,
            "open": gap.is_open,
            "reason": report.shown(gap.reason),
        }
        for gap in report.gaps
    ]


def _transactions(report: Report) -> List[Dict[str, Any]]:
    shown: Callable[[str], str] = report.shown
    return [
        {
            "station": report.stations[each.station].client_id,
            "id": shown(each.id) or None,
            "connector": shown(each.connector) or None,
            "id_tag": shown(each.id_tag) or None,
            "begin": _text(each.begin),
            "end": _text(each.end),
            "seconds": each.seconds,
            "energy_wh": each.energy_wh,
            "max_power_w": each.max_power_w,
            "reason": shown(each.reason) or None,
        }
        for each in report.transactions
    ]
