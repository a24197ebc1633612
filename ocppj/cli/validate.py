"""``ocppj validate``: finds the frames in any log, and says what is wrong with them."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import Any, Dict, Iterator, List, Optional, Tuple

from ..errors import UsageError, printable
from ..lazy import TYPE_CHECKING
from . import arguments as types
from .exits import FOUND, OK, CommandError
from .terminal import Terminal

if TYPE_CHECKING:
    from ..recording import FoundFrame
    from ..testing.rules import BrokenRule
    from ..validating import CheckedFrame, LogCheck, MessageName, Summary

__all__ = ["DESCRIPTION", "EXAMPLES", "add_arguments", "run"]

DESCRIPTION = """\
Find the frames in logs, and say what is wrong with each. A log is a recording of ocppj, JSON lines of any shape, or
text with frames somewhere in its lines: those of SteVe, ocpp-go, the package ocpp, EVerest, MicroOcpp and evcc, too.
Or check one payload: name its OCPP version and its action, and write the payload to the standard input.

Ctrl-C prints the summary of what came so far.

Exit code 0: nothing is wrong. 1: something is. 2: wrong usage."""
EXAMPLES = """
ocppj validate steve.log                           # each frame, and a summary
ocppj validate --only-bad s.jsonl s2.jsonl.gz      # the frames that break rules
journalctl -u csms | ocppj validate -              # the standard input
ocppj validate --station CP_1 everest.log          # the log names no station: all frames are of this one
ocppj validate --json charger.log | jq .verdict    # for programs
ocppj validate 1.6 MeterValues < payload.json      # one payload, of a request
ocppj validate 2.1 MeterValuesResponse < payload.json   # of a response; or: MeterValues --response
"""
#: How verdicts look on a terminal.
_COLOURS = {"ok": "green", "bad": "red", "unpaired": "yellow", "not sent": "yellow"}
#: So many CALLs without an answer are listed. With --json all that were kept are.
_MOST_LISTED = 20


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help='a log, also one of gzip; "-" for the standard input; or VERSION ACTION',
    )
    parser.add_argument("--only-bad", action="store_true", help="show the frames that break rules, and no others")
    parser.add_argument("--version", type=types.version, help="the OCPP version. Without it, it is found out")
    parser.add_argument("--station", default="", metavar="ID", help="the station, where the log names none")
    parser.add_argument("--response", action="store_true", help="of one payload: it is that of the response")
    parser.add_argument(
        "--mode",
        choices=("strict", "standard"),
        default="strict",
        help="standard: what the library forgives is not wrong (default: strict)",
    )


def run(arguments: Namespace, terminal: Terminal) -> int:
    """Check a payload, or logs."""
    name = _find_message(arguments)
    if name is not None:
        return _check_payload(name, arguments, terminal)
    if arguments.response:
        raise CommandError("--response is for one payload: ocppj validate 1.6 MeterValues --response < payload.json")
    missing = [path for path in arguments.files if path != "-" and not os.path.exists(path)]
    if missing:
        raise CommandError(f"there is no file {missing[0]!r}")
    is_good = [_try_log(path, arguments, terminal) for path in arguments.files]
    return OK if all(is_good) else FOUND


# One payload


def _find_message(arguments: Namespace) -> Optional[MessageName]:
    """Return the message whose payload is to be checked. ``None``: logs are."""
    first, *rest = arguments.files
    if os.path.exists(first):
        return None
    try:
        version = types.version(first)
    except ArgumentTypeError:
        return None
    if len(rest) != 1:
        raise CommandError(f"write one action behind the version: ocppj validate {first} MeterValues < payload.json")
    from ..validating.schemas import find_message

    try:
        return find_message(version, rest[0], arguments.response)
    except UsageError as error:
        raise CommandError(f"{error}; ocppj schema {version} lists all") from None


def _check_payload(name: MessageName, arguments: Namespace, terminal: Terminal) -> int:
    from ..validating.payloads import check_payload_text

    text = sys.stdin.buffer.read().decode("utf-8", "replace")
    if not text.strip():
        raise CommandError("the standard input is empty: write the payload to it, as in: ... < payload.json")
    if text.lstrip().startswith("["):
        raise CommandError("this is a frame, or a list, and no payload: for frames write: ocppj validate -")
    fault = check_payload_text(name, text, arguments.mode)
    if terminal.as_json:
        faults = [] if fault is None else [_fault_to_json(fault)]
        about = {"version": name.version, "action": name.action, "is_response": name.is_response}
        terminal.json({**about, "verdict": "ok" if fault is None else "bad", "faults": faults})
    elif fault is None:
        terminal.line(f"ok: a valid {name}")
    else:
        terminal.line(f"bad: not a valid {name}")
        terminal.line(f"    ! {_fault_text(fault)}")
    return OK if fault is None else FOUND


# Logs


def _try_log(path: str, arguments: Namespace, terminal: Terminal) -> bool:
    """Check one log. One that cannot be read, or has no frame, is told, and the others are checked all the same."""
    try:
        return _check_log(path, arguments, terminal)
    except BrokenPipeError:
        raise
    except CommandError as error:
        terminal.error(str(error))
    except OSError as error:
        terminal.error(f"{path}: {error.strerror or error}")
    return False


def _check_log(path: str, arguments: Namespace, terminal: Terminal) -> bool:
    """Check one log, and return whether nothing is wrong."""
    from ..recording.foreign import open_log
    from ..validating.log_check import LogCheck

    check = LogCheck(version=arguments.version or "", mode=arguments.mode, station=arguments.station)
    name = "the standard input" if path == "-" else path
    broken: List[int] = []
    found = open_log(path, lambda number, why: broken.append(number))
    try:
        _show_all(check.check(_watched(found, name, terminal)), arguments, terminal)
    except KeyboardInterrupt:  # the log may go on for ever: its summary is of use
        _show_all(check.check(()), arguments, terminal)
        if check.summary.frames:
            _end_log(path, name, check, terminal)
        raise
    terminal.tell_broken(name, broken)
    if not check.summary.frames:
        raise CommandError(f"{name}: there is no frame in it", FOUND)
    _end_log(path, name, check, terminal)
    return check.summary.is_good


def _watched(frames: Iterator[FoundFrame], name: str, terminal: Terminal) -> Iterator[FoundFrame]:
    """Yield ``frames``, and show on a terminal how many there were."""
    for number, frame in enumerate(frames, 1):
        if number % 1000 == 0:
            terminal.status(f"{name}: {number:,} frames")
        yield frame


def _show_all(frames: Iterator[CheckedFrame], arguments: Namespace, terminal: Terminal) -> None:
    for checked in frames:
        if not arguments.only_bad or checked.verdict == "bad":
            _show(checked, terminal)


def _end_log(path: str, name: str, check: LogCheck, terminal: Terminal) -> None:
    if terminal.as_json:
        terminal.json({"file": path, "summary": check.summary.to_json()})
    else:
        _show_summary(name, check, terminal)


def _show(checked: CheckedFrame, terminal: Terminal) -> None:
    if terminal.as_json:
        terminal.json(_to_json(checked))
        return
    verdict = terminal.paint(_COLOURS[checked.verdict], f"{checked.verdict:<8}")
    text = printable(
        f"{_clock(checked)}  {_ends(checked)}  {checked.kind:<6}  {checked.action:<28}  {checked.message_id}"
    )
    terminal.coloured(f"{checked.frame.line:>7}  {verdict}  {text}".rstrip())
    for fault in checked.faults:
        terminal.coloured(terminal.paint("yellow", f"         ! {printable(_fault_text(fault))}"))


def _clock(checked: CheckedFrame) -> str:
    return checked.frame.time.strftime("%H:%M:%S.%f")[:-3] if checked.frame.is_time_known else "-" * 12


def _ends(checked: CheckedFrame) -> str:
    station = checked.frame.client_id or "station"
    return {"station": f"{station} -> CSMS", "csms": f"CSMS -> {station}"}.get(checked.sender, f"{station} ?")


def _fault_text(fault: BrokenRule) -> str:
    where = f" at {fault.path}" if fault.path else ""
    return f"{fault.code}{where}: {fault.description}" if fault.code else fault.description


def _fault_to_json(fault: BrokenRule) -> Dict[str, str]:
    return {"code": fault.code, "path": fault.path, "text": fault.description}


def _to_json(checked: CheckedFrame) -> Dict[str, Any]:
    frame = checked.frame
    return {
        "line": frame.line,
        "time": frame.time.isoformat() if frame.is_time_known else None,
        "client": frame.client_id,
        "from": checked.sender,
        "version": checked.version,
        "kind": checked.kind,
        "action": checked.action,
        "id": checked.message_id,
        "verdict": checked.verdict,
        "faults": [_fault_to_json(fault) for fault in checked.faults],
        "text": frame.text,
    }


def _show_summary(name: str, check: LogCheck, terminal: Terminal) -> None:
    summary = check.summary
    terminal.line()
    names = ("action", "from", "requests", "results", "errors", "bad", "unanswered")
    terminal.table(names, _action_rows(summary))
    terminal.line()
    columns = ("station", "frames", "bad", "unanswered", "version", "because")
    rows = [
        (client_id or "(not named)", each.frames, each.bad, each.unanswered, each.version, each.reason)
        for client_id, each in summary.stations.items()
    ]
    terminal.table(columns, rows)
    _show_unanswered(check, terminal)
    terminal.line()
    if summary.codes:
        counted = ", ".join(f"{number} {code}" for code, number in summary.codes.most_common())
        terminal.line(f"faults: {counted}")
    if summary.unpaired:
        answers = _plural(summary.unpaired, "answer")
        terminal.line(f"{answers} to CALLs before the log begins: only the form was checked")
    if "" in summary.stations:
        terminal.line("The log names no station for some frames. If there is only one, --station ID checks more rules.")
    frames, calls = _plural(summary.frames, "frame"), _plural(summary.unanswered, "CALL")
    totals = f"{name}: {frames}, {summary.bad} bad, {calls} without an answer"
    terminal.coloured(terminal.paint("green" if summary.is_good else "red", printable(totals)))


def _action_rows(summary: Summary) -> List[Tuple[Any, ...]]:
    return [
        (_short(action) or "(not known)", sender, each.requests, each.results, each.errors, each.bad, each.unanswered)
        for (action, sender), each in sorted(summary.actions.items())
    ]


def _show_unanswered(check: LogCheck, terminal: Terminal) -> None:
    if not check.unanswered:
        return
    terminal.line()
    terminal.line("CALLs without an answer:")
    for call in check.unanswered[:_MOST_LISTED]:
        terminal.line(f"{call.frame.line:>7}  {_clock(call)}  {_ends(call)}  {_short(call.action)}  {call.message_id}")
    if check.summary.unanswered > _MOST_LISTED:
        terminal.line(f"        ... {check.summary.unanswered - _MOST_LISTED} more")


def _plural(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


def _short(text: str) -> str:
    """Return an action or an id. A peer may write any text there; the rules allow 36 characters."""
    return text if len(text) <= 40 else f"{text[:37]}..."
