"""``ocppj replay``: plays one side of a recording, and compares what the other side does."""

from __future__ import annotations

import argparse
from collections import Counter, deque
from typing import Any, Callable, Deque, Dict, Iterable, List, Tuple

from .arguments import duration, port, speed, version
from .exits import FOUND, OK, CommandError
from .passwords import password_of
from .terminal import Terminal
from .urls import check_url

__all__ = ["DESCRIPTION", "EXAMPLES", "add_arguments", "run"]

DESCRIPTION = """\
Play one side of a recording, and compare what the other side does with what it did then.

With a URL the stations are played: each recorded connection becomes a connection to the central system at that URL.
With --listen the central system is played: stations connect to it. Messages are sent at their recorded distance. One
CALL of a side is open at a time. Message ids are new. A transaction id of now takes the place of the recorded one.
Timestamps, message ids, readings of meters, and secrets that were masked are not compared.

FILE is a recording (`ocppj serve --record`, `ocppj proxy --record`, or a Recorder in a program), or any log that
`ocppj validate` reads. The exit code is 1 if something differs."""

EXAMPLES = """
ocppj replay s.jsonl ws://localhost:9000/ocpp                # the stations, as fast as then
ocppj replay s.jsonl ws://localhost:9000/ocpp --speed 10     # ten times as fast
ocppj replay s.jsonl wss://csms.example/ocpp --client CP_1 --password SECRET
ocppj replay s.jsonl --listen 9000                           # the central system, for a station that connects
ocppj replay s.jsonl ws://localhost:9000 --ignore interval --ignore StatusNotification --json
"""

_LOOK = 0.5  # seconds between two looks at what was found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("file", metavar="FILE", help='the recording; "-": a log at the standard input')
    parser.add_argument("url", metavar="URL", nargs="?", help="the central system, without the id of a station")
    parser.add_argument("--as", dest="side", choices=["station", "csms"], help="the side that is played")
    parser.add_argument("--listen", type=port, metavar="PORT", help="play the central system on this port; 0: any")
    parser.add_argument("--host", default="127.0.0.1", help="the address for --listen (default: 127.0.0.1)")
    parser.add_argument(
        "--client", action="append", metavar="ID", help="only this station; may come again. Names the station of a log"
    )
    parser.add_argument("--speed", type=speed, default=1.0, metavar="X", help="X times as fast (default: 1)")
    parser.add_argument("--version", type=version, help="speak this OCPP version in place of the recorded one")
    parser.add_argument(
        "--ignore",
        action="append",
        default=[],
        metavar="FIELD",
        help="do not compare this: a field, a path such as idTagInfo.status, or an action; may come again",
    )
    parser.add_argument(
        "--patience",
        type=duration,
        default=3.0,
        metavar="TIME",
        help="how much later than then a message may come (default: 3s)",
    )
    parser.add_argument("--timeout", type=duration, default=30.0, metavar="TIME", help="for an answer (default: 30s)")
    parser.add_argument(
        "--password", metavar="PW", help="for HTTP Basic authentication; {id} in it stands for the id of the station"
    )
    parser.add_argument(
        "--password-file", metavar="FILE", help="the same from a file: others can see the words of a command"
    )
    parser.add_argument("--tls", metavar="CA", help="the certificate of the authority, or a folder of `ocppj certs`")
    parser.add_argument(
        "--cert", metavar="DIR", help="a folder of `ocppj certs` with certificates of stations, or one PEM file"
    )


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Play, print each difference as it is found, and then how many there are."""
    from ..replaying.outcome import Outcome

    side = _side_of(arguments)
    conversations, left_out = _read(arguments)
    if side == "station":
        check_url("replay", arguments.url, terminal)
    found: Deque[Any] = deque()  # and not printed yet: threads that play must not wait for the terminal
    outcome = Outcome(found.append)
    outcome.leave_out(left_out)
    replay = _make_replay(side, arguments, conversations, outcome)
    if side == "csms":
        terminal.note(f"listening on {replay.listen(arguments.listen, arguments.host)}")
        terminal.note(f"waiting for {_connections(conversations)}")
    try:
        if side == "station":
            replay.start()
        while not replay.wait(_LOOK):
            _print_all(found, terminal)
            _show_progress(outcome, len(conversations), terminal)
    finally:
        replay.stop()
        _print_all(found, terminal)
        if outcome.counts["connections"] or outcome.differences:  # Ctrl-C as well: what was found until then
            _summarize(outcome, terminal)
    if not outcome.counts["connections"]:
        raise CommandError("replay: there is nothing that could be played", FOUND)
    return FOUND if outcome.differences else OK


def _side_of(arguments: argparse.Namespace) -> str:
    side: str = arguments.side or ("csms" if arguments.listen is not None else "station")
    if side == "csms" and arguments.url is not None:
        raise CommandError("the central system is played: stations connect to it. Leave out the URL, or --listen")
    if side == "csms" and arguments.listen is None:
        raise CommandError("say where the central system listens: --listen 9000")
    if side == "station" and arguments.listen is not None:
        raise CommandError("a station does not listen: name the URL of the central system in place of --listen")
    if side == "station" and arguments.url is None:
        raise CommandError("name the URL of the central system, such as ws://localhost:9000/ocpp, or --listen 9000")
    return side


def _read(arguments: argparse.Namespace) -> Tuple[List[Any], Dict[str, int]]:
    """Return the conversations of the recording, and what was left out of it. Raises `CommandError`."""
    from ..recording.any_log import read_any
    from ..replaying.conversation import read_conversations

    broken: List[int] = []
    wanted = arguments.client
    only = wanted[0] if wanted and len(wanted) == 1 else None
    try:
        lines = read_any(arguments.file, lambda number, why: broken.append(number))
        found, left_out = read_conversations(lines, name=only)
    except OSError as error:
        raise CommandError(f"{arguments.file} cannot be read: {error.strerror or error}") from None
    if not found:
        raise CommandError(f"there is no frame in {arguments.file}: name a recording, or another log with frames")
    named = [each for each in found if each.client_id]
    if not named:
        raise CommandError(f"{arguments.file} does not say which station it is of: add --client CP_1, with its id")
    chosen = [each for each in named if not wanted or each.client_id in wanted]
    if not chosen:
        known = ", ".join(sorted({each.client_id for each in named}))
        raise CommandError(f"{arguments.file} has no connection of {', '.join(wanted)}: it has {known}")
    counts = Counter(left_out)
    counts["lines that are broken"] += len(broken)
    counts["messages of which the log does not say the station"] += sum(
        len(each.steps) for each in found if not each.client_id
    )
    for each in chosen:
        counts.update(each.left_out)
    return chosen, +counts


def _make_replay(side: str, arguments: argparse.Namespace, conversations: List[Any], outcome: Any) -> Any:
    """Return the replay of one side. Raises `CommandError`."""
    from ..errors import UsageError
    from ..replaying.performance import Pace
    from ..replaying.rules import Rules
    from ..replaying.stage import CSMSReplay, StationReplay

    known = {
        "rules": Rules(arguments.ignore),
        "pace": Pace(arguments.speed, arguments.patience, arguments.timeout),
        "outcome": outcome,
        "version": arguments.version,
    }
    try:
        if side == "csms":
            return CSMSReplay(conversations, **known)
        make_client = _client_maker(arguments, {each.client_id for each in conversations})
        return StationReplay(arguments.url, conversations, make_client=make_client, **known)
    except UsageError as error:
        raise CommandError(str(error)) from None


def _connections(conversations: List[Any]) -> str:
    """Return how many connections were recorded, and of whom."""
    ids = {each.client_id for each in conversations}
    count = "1 connection" if len(conversations) == 1 else f"{len(conversations)} connections"
    return f"{count} of {ids.pop() if len(ids) == 1 else f'{len(ids)} stations'}"


def _show_progress(outcome: Any, conversations: int, terminal: Terminal) -> None:
    counts = outcome.counts
    words = f"{counts['connections']} of {conversations} connections, {counts['sent']} messages sent"
    terminal.status(f"{words}, {len(outcome.differences)} differences")


def _client_maker(arguments: argparse.Namespace, client_ids: Iterable[str]) -> Callable[[str], Any]:
    """Return what makes the transport of each station, with its password and its TLS.

    Raises:
        CommandError: The password cannot be read.
        UsageError: A certificate cannot be used.
    """
    from ..testing.pki_folder import find_ca, find_station
    from ..ws.client import WebSocketClient
    from ..ws.tls import client_tls_context

    ca = None if arguments.tls is None else find_ca(arguments.tls)
    password = password_of("replay", arguments)
    shared, own = None, {}
    if arguments.cert is not None:
        own = {each: client_tls_context(ca, find_station(arguments.cert, each)) for each in client_ids}
    elif arguments.url.lower().startswith("wss:"):
        shared = client_tls_context(ca)

    def make(client_id: str) -> WebSocketClient:
        context = own.get(client_id, shared)
        credentials = None if password is None else (client_id, password.replace("{id}", client_id))
        return WebSocketClient(reconnect=False, ssl_context=context, basic_auth=credentials)

    return make


def _print_all(found: "Deque[Any]", terminal: Terminal) -> None:
    while found:
        difference = found.popleft()
        if terminal.as_json:
            terminal.json(difference.as_json())
        else:
            terminal.line(str(difference))


def _summarize(outcome: Any, terminal: Terminal) -> None:
    counts, left_out, differences = outcome.counts, sorted(outcome.left_out.items()), len(outcome.differences)
    if terminal.as_json:
        left = [{"what": what, "count": count} for what, count in left_out]
        terminal.json({"kind": "summary", **counts, "differences": differences, "leftOut": left})
        return
    for what, count in left_out:
        terminal.line(f"not as recorded: {what}: {count}")
    played = f"connections: {counts['connections']}, messages sent: {counts['sent']}, compared: {counts['compared']}"
    terminal.line(f"{played}, differences: {differences}")
