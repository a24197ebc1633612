"""``ocppj serve``: a central system that answers everything, shows the traffic, and takes commands."""

from __future__ import annotations

import argparse
import sys
from argparse import ArgumentTypeError
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, List, Optional

from .arguments import VERSIONS, duration, port, version
from .exits import FOUND, OK, CommandError
from .listening import add_tls_arguments, tls_of
from .log_lines import make_logger
from .passwords import check_of, read_passwords
from .terminal import Terminal

if TYPE_CHECKING:
    from ..server import Server
    from .behind import Behind
    from .commands import Commands
    from .input_line import InputLine
    from .traffic import Traffic

__all__ = ["DESCRIPTION", "EXAMPLES", "add_arguments", "run"]

DESCRIPTION = """A central system that answers everything sensibly: it accepts boots, tags, transactions and all else.

It shows each message, what breaks a rule (marked with "!"), and connections. At its prompt, or from its standard
input, it takes commands such as "CP_1 Reset type=Soft"; "help" lists them. `ocppj call` sends messages through it."""

EXAMPLES = """
ocppj serve                                              # chargers connect to ws://THIS_MACHINE:9000/CP_1
ocppj serve --path /ocpp/{id} --auth CP_1:secret         # under another path, with a password (profile 1)
ocppj certs pki && ocppj serve --tls pki                 # with TLS (profile 2, and 3 with a station's certificate)
ocppj serve --versions 1.6 --validate warn               # take messages that break the schemas, and say so
ocppj serve --record s.jsonl                             # keep the traffic: `ocppj report s.jsonl -o s.html` shows it
ocppj serve --json < /dev/null | jq .text                # for programs: a line for each message, no prompt
ocppj serve < commands.txt                               # what stands there is done: "expect BootNotification", ...
"""

_MODES = ("standard", "strict", "warn", "off")
_READERS = ("auto", "per-connection", "shared")
_NO_CONTROL = "none"
#: Where clients connect, unless the user says otherwise.
_PATHS = ("/{id}", "/ocpp/{id}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ocppj serve``."""
    parser.add_argument("--port", type=port, default=9000, help="the TCP port; 0 takes any free one (default: 9000)")
    parser.add_argument(
        "--host",
        default="0.0.0.0",
        help="the address of this machine to listen on; 127.0.0.1 keeps other machines out (default: all)",
    )
    parser.add_argument(
        "--path",
        action="append",
        metavar="TEMPLATE",
        help="where clients connect, such as /ocpp/{id}; may be repeated (default: /{id}, /ocpp/{id})",
    )
    parser.add_argument(
        "--auth",
        action="append",
        default=[],
        metavar="ID:PASSWORD",
        help="let this client in, with this password, and no client that is not named; may be repeated. Other users of "
        "this machine may see the words of a command: --auth-file hides them",
    )
    parser.add_argument(
        "--auth-file", type=Path, metavar="FILE", help="the same from a file: lines ID:PASSWORD, or a JSON object"
    )
    add_tls_arguments(parser, "clients")
    parser.add_argument(
        "--versions",
        type=_versions,
        default=list(VERSIONS),
        metavar="V,V",
        help="the OCPP versions to speak, such as 1.6,2.0.1 (default: all)",
    )
    parser.add_argument(
        "--validate",
        choices=_MODES,
        default="standard",
        help="strict: refuse each message that breaks its schema; standard: forgive what does no harm; warn: say so, "
        "and take it; off: do not check (default: standard)",
    )
    parser.add_argument("--record", metavar="FILE", help="add the traffic to a recording")
    parser.add_argument(
        "--control",
        metavar="unix:PATH",
        help='where `ocppj call` reaches this; "none": nowhere (default: a socket in the folder of this user)',
    )
    parser.add_argument(
        "--timeout",
        type=duration,
        default=30.0,
        metavar="TIME",
        help="how long a client may take (default: 30s)",
    )
    parser.add_argument("--readers", choices=_READERS, default="auto", help="which threads read (default: auto)")


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Serve until a command, Ctrl-C or SIGTERM ends it."""
    from .input_line import is_terminal
    from .requests import Requests
    from .traffic import Traffic

    requests = Requests()
    with ExitStack() as ends:
        if is_terminal() and not terminal.as_json:
            return _at_terminal(arguments, terminal, requests, ends)
        traffic = Traffic(terminal)
        server = _make_server(arguments, terminal, [_behind(traffic, terminal, ends), requests], ends)
        commands = _make_commands(arguments, server, terminal, requests, waits=True)
        try:
            _listen(arguments, server, terminal)
            return _read_input(commands, terminal)
        except KeyboardInterrupt:
            if traffic.is_broken:
                raise BrokenPipeError from None
            raise


def _at_terminal(arguments: argparse.Namespace, terminal: Terminal, requests: Any, ends: ExitStack) -> int:
    """Serve with a prompt. What is printed stands above the line that is being typed."""
    from ..control.completion import Completer
    from .commands import COMMANDS
    from .traffic import Traffic

    made: List[Commands] = []
    completer = Completer(lambda: made[0].versions(), COMMANDS)
    line = _make_line(completer.complete)
    if line is not None:
        ends.callback(line.close)
        streams: Any = {"out": line.above(sys.stdout), "err": line.above(sys.stderr)}
        terminal = Terminal(show_secrets=terminal.show_secrets, **streams)
    server = _make_server(arguments, terminal, [_behind(Traffic(terminal), terminal, ends), requests], ends)
    made.append(_make_commands(arguments, server, terminal, requests, waits=False))
    _listen(arguments, server, terminal)
    terminal.note('"help" lists the commands; Ctrl-C ends')
    return _prompt(line.read if line is not None else lambda: input("ocppj> "), made[0], terminal)


def _behind(traffic: "Traffic", terminal: Terminal, ends: ExitStack) -> "Behind":
    """Have the traffic be shown on a thread of its own: a terminal that is stopped must not stop the clients."""
    from .behind import shown_behind

    shown = shown_behind(traffic, terminal)
    ends.callback(shown.close)
    return shown


def _make_line(complete: Callable[[str], List[str]]) -> Optional["InputLine"]:
    from .input_line import InputLine

    with suppress(ImportError):  # Windows has no readline
        return InputLine(complete)
    return None


def _make_commands(
    arguments: argparse.Namespace, server: "Server", terminal: Terminal, requests: Any, waits: bool
) -> "Commands":
    from .commands import Commands

    return Commands(server, terminal, requests, arguments.timeout, waits)


def _make_server(arguments: argparse.Namespace, terminal: Terminal, observers: List[Any], ends: ExitStack) -> "Server":
    """Return a server that answers everything. Raises `CommandError` for what cannot be used."""
    from ..errors import UsageError
    from ..server import Server
    from ..testing.scripted import profiles_of
    from .answers import Answers
    from .record import ToldRecorder

    profiles = [each for name in arguments.versions for each in profiles_of(name)]
    log = make_logger("serve", terminal, ends)
    try:
        server = Server(
            profiles=profiles,
            validate=arguments.validate,
            timeout=arguments.timeout,
            readers=arguments.readers,
            ssl_context=tls_of("serve", arguments),
            logger=log,
        )
    except UsageError as error:
        raise CommandError(f"serve: {error}") from None
    server.set_request_handler(Answers())
    passwords = read_passwords("serve", "--auth", arguments.auth, arguments.auth_file)
    if passwords:
        server.set_basic_auth_handler(check_of(passwords))
    if arguments.record is not None:
        recorder = ToldRecorder(arguments.record, terminal.show_secrets, log)
        ends.callback(recorder.close)
        observers = [recorder, *observers]
    for observer in observers:
        server.add_observer(observer)
    ends.callback(server.stop)
    return server


def _listen(arguments: argparse.Namespace, server: "Server", terminal: Terminal) -> None:
    from ..errors import UsageError

    try:
        server.listen(arguments.port, arguments.path or _PATHS, arguments.host)
    except UsageError as error:
        raise CommandError(f"serve: {error}") from None
    control = _open_control(arguments.control, server, terminal)
    if control is not None:
        terminal.note(f"`ocppj call` reaches this at {control}")
    terminal.note(f"listening on {server.url}")


def _open_control(wanted: Optional[str], server: "Server", terminal: Terminal) -> Optional[str]:
    """Open the control socket. Return its address, or ``None`` if there is none."""
    from ..control.address import default_address
    from ..errors import AddressInUse, OcppjError, UsageError

    if wanted == _NO_CONTROL:
        return None
    if wanted is not None:
        try:
            return server.control(wanted).address
        except UsageError as error:
            raise CommandError(f"serve: --control: {error}") from None
    try:
        return server.control(default_address()).address
    except AddressInUse:
        terminal.error("`ocppj call` reaches the serve that was started before: give this one --control unix:PATH")
    except OcppjError as error:
        terminal.error(f"`ocppj call` cannot reach this: {error}")
    return None


def _read_input(commands: "Commands", terminal: Terminal) -> int:
    """Do what the lines of the standard input say. At its end the server goes on."""
    from .lines import lines_of, wait_for_signal

    failed = False
    for line in lines_of(sys.stdin):
        failed = not _do(commands, line, terminal) or failed
        if commands.has_quit:
            return FOUND if failed else OK
    return wait_for_signal()


def _prompt(read: Callable[[], str], commands: "Commands", terminal: Terminal) -> int:
    while not commands.has_quit:
        try:
            line = read()
        except EOFError:  # Ctrl-D
            return OK
        _do(commands, line, terminal)
    return OK


def _do(commands: "Commands", line: str, terminal: Terminal) -> bool:
    """Do what a line says. Return whether that could be done."""
    from ..errors import OcppjError

    try:
        commands.run(line)
    except BrokenPipeError:
        raise
    except (OcppjError, OSError, ValueError, RecursionError) as error:
        terminal.error(str(error))
        return False
    return True


def _versions(text: str) -> List[str]:
    names = [version(each.strip()) for each in text.split(",") if each.strip()]
    if not names:
        raise ArgumentTypeError("give one version at least, such as 1.6,2.0.1")
    return list(dict.fromkeys(names))
