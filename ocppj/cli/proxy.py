"""``ocppj proxy``: stands between charging stations and their central system, and shows what both send."""

from __future__ import annotations

import argparse
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional

from .arguments import address
from .exits import CommandError
from .listening import add_tls_arguments, tls_of
from .log_lines import make_logger
from .passwords import check_of, read_passwords
from .terminal import Terminal

if TYPE_CHECKING:
    from ..proxy import Counts, Observer, Proxy
    from ..ws.handshake.request import HandshakeRequest

__all__ = ["DESCRIPTION", "EXAMPLES", "add_arguments", "run"]

DESCRIPTION = """Stand between charging stations and their central system, show what both send, and pass it on.

Stations connect to this in place of the central system. Nothing is changed. Paths, passwords and versions go through,
and so do refusals and the ends of connections. --also gives further central systems a copy of what stations send."""

EXAMPLES = """
ocppj proxy --to wss://csms.example/ocpp                         # stations connect to ws://THIS_MACHINE:9000/CP_1
ocppj proxy --to wss://csms.example --record s.jsonl             # `ocppj report s.jsonl -o s.html` shows it later
ocppj proxy --to ws://new.example/ocpp --also wss://old.example/ocpp    # one charger on two central systems
ocppj proxy --to wss://csms.example/ocpp --password CP_1:secret  # the proxy has the password, in place of the station
ocppj proxy --to ws://localhost:9001 --tls pki --auth CP_1:pw    # TLS and passwords end here
ocppj proxy --listen 127.0.0.1:9000 --to ws://localhost:9001 --json | jq .text    # for programs: a line a message
"""

_MOST_STATIONS = 10_000
_CALLS = ("refuse", "drop", "pass")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ocppj proxy``."""
    parser.add_argument(
        "--to", required=True, metavar="URL", help="the central system; the path of a station is added to it as it is"
    )
    parser.add_argument("--record", metavar="FILE", help="add the traffic to a recording")
    stations = parser.add_argument_group("stations")
    stations.add_argument(
        "--listen",
        type=address,
        default=("0.0.0.0", 9000),
        metavar="[HOST:]PORT",
        help="where stations connect; port 0 takes any free one (default: 9000)",
    )
    stations.add_argument(
        "--path",
        default="/",
        metavar="PATH",
        help="what stands before the identity in the path of stations, and is not passed on, such as /ocpp",
    )
    add_tls_arguments(stations, "stations")
    stations.add_argument(
        "--auth",
        action="append",
        default=[],
        metavar="ID:PASSWORD",
        help="let this station in, with this password, and no station that is not named; may be repeated. Without it "
        "the central system decides. Other users of this machine may see these words: --auth-file hides them",
    )
    stations.add_argument(
        "--auth-file", type=Path, metavar="FILE", help="the same from a file: lines ID:PASSWORD, or a JSON object"
    )
    central = parser.add_argument_group("the central system")
    credentials = central.add_mutually_exclusive_group()
    credentials.add_argument(
        "--password",
        action="append",
        default=[],
        metavar="ID:PASSWORD",
        help="sent for this station in place of its own; may be repeated",
    )
    credentials.add_argument(
        "--pass-credentials", action="store_true", help="send the stations' own passwords (the default)"
    )
    credentials.add_argument("--no-credentials", action="store_true", help="send no passwords")
    central.add_argument("--password-file", type=Path, metavar="FILE", help="the same as --password, from a file")
    central.add_argument(
        "--ca", metavar="FILE", help="the certificate of the authority to trust, or a folder of `ocppj certs`"
    )
    central.add_argument(
        "--cert",
        metavar="FILE",
        help="the certificate and key to show (profile 3), or a folder of `ocppj certs` with one for each station",
    )
    further = parser.add_argument_group("further central systems")
    further.add_argument(
        "--also", action="append", default=[], metavar="URL", help="gets a copy of what stations send; may be repeated"
    )
    further.add_argument(
        "--also-calls",
        choices=_CALLS,
        default="refuse",
        help="what becomes of the CALLs that they make: refuse (they get an error), drop, or pass (the station answers "
        "them) (default: refuse)",
    )
    further.add_argument(
        "--also-password",
        action="append",
        default=[],
        metavar="ID:PASSWORD",
        help="sent to them for this station; may be repeated. They never get a station's own password",
    )
    further.add_argument(
        "--also-password-file", type=Path, metavar="FILE", help="the same as --also-password, from a file"
    )


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Pass frames on until Ctrl-C or SIGTERM ends it."""
    from ..load.limits import allow_many_sockets
    from .behind import shown_behind
    from .lines import wait_for_signal
    from .traffic import Traffic

    allow_many_sockets(_MOST_STATIONS * (2 + len(arguments.also)))
    with ExitStack() as ends:
        traffic = Traffic(terminal)
        proxy = _make_proxy(arguments, terminal, ends)
        shown = shown_behind(traffic, terminal)
        proxy.add_recorder(shown)
        ends.callback(_tell, terminal, proxy)
        ends.callback(shown.close)
        _listen(arguments, proxy)
        ends.callback(proxy.stop)
        terminal.note(f"listening on {proxy.url}")
        try:
            wait_for_signal()
        except KeyboardInterrupt:
            if traffic.is_broken:
                raise BrokenPipeError from None
            raise


def _make_proxy(arguments: argparse.Namespace, terminal: Terminal, ends: ExitStack) -> "Proxy":
    """Return the proxy. Raises `CommandError` for what cannot be used."""
    from ..errors import UsageError
    from ..proxy import Proxy
    from .record import ToldRecorder

    log = make_logger("proxy", terminal, ends)
    try:
        proxy = Proxy(
            arguments.to,
            observers=_observers(arguments),
            credentials=_credentials(arguments),
            to_ssl_context=_client_tls(arguments),
            check_credentials=_check(arguments),
            ssl_context=tls_of("proxy", arguments),
            logger=log,
        )
    except UsageError as error:
        raise CommandError(f"proxy: {error}") from None
    if arguments.record is not None:
        recorder = ToldRecorder(arguments.record, terminal.show_secrets, log)
        ends.callback(recorder.close)
        proxy.add_recorder(recorder)
    return proxy


def _listen(arguments: argparse.Namespace, proxy: "Proxy") -> None:
    from ..errors import UsageError

    host, number = arguments.listen
    try:
        proxy.listen(number, host, arguments.path)
    except UsageError as error:
        raise CommandError(f"proxy: {error}") from None


def _observers(arguments: argparse.Namespace) -> List["Observer"]:
    from ..proxy import Observer

    file = arguments.also_password_file
    if (arguments.also_password or file) and not arguments.also:
        raise CommandError("proxy: --also-password needs --also URL")
    passwords = read_passwords("proxy", "--also-password", arguments.also_password, file)
    context = _context(arguments.ca, None)
    return [
        Observer(url, calls=arguments.also_calls, credentials=passwords, ssl_context=context) for url in arguments.also
    ]


def _credentials(arguments: argparse.Namespace) -> Any:
    passwords = read_passwords("proxy", "--password", arguments.password, arguments.password_file)
    if passwords and (arguments.no_credentials or arguments.pass_credentials):
        raise CommandError("proxy: leave out --password-file, or --no-credentials and --pass-credentials")
    return None if arguments.no_credentials else passwords or "pass"


def _check(arguments: argparse.Namespace) -> Optional[Callable[[str, bytes], bool]]:
    passwords = read_passwords("proxy", "--auth", arguments.auth, arguments.auth_file)
    return check_of(passwords) if passwords else None


def _client_tls(arguments: argparse.Namespace) -> Any:
    """Return the TLS context for the central system, or a function that returns that of a station."""
    if arguments.cert is None or not Path(arguments.cert).is_dir():
        return _context(arguments.ca, arguments.cert)
    from ..testing.pki_folder import find_station

    contexts: Dict[str, Any] = {}

    def context_of(request: "HandshakeRequest") -> Any:
        identity = request.identity
        if identity not in contexts:
            contexts[identity] = _context(arguments.ca, find_station(arguments.cert, identity))
        return contexts[identity]

    return context_of


def _context(ca: Optional[str], certificate: Any) -> Any:
    if ca is None and certificate is None:
        return None
    from ..testing.pki_folder import find_ca
    from ..ws.tls import client_tls_context

    return client_tls_context(None if ca is None else find_ca(ca), certificate)


def _tell(terminal: Terminal, proxy: "Proxy") -> None:
    """Print what was counted."""
    counts: Counts = proxy.counts()
    if terminal.as_json or not counts.connected + counts.refused:
        return
    parts = [f"connections: {counts.connected}", f"frames of stations: {counts.from_stations}"]
    parts.append(f"of the central system: {counts.from_csms}")
    more = {"refused": "refused", "undelivered": "not delivered", "copied": "copied", "missed": "missed by observers"}
    parts += [f"{word}: {getattr(counts, name)}" for name, word in more.items() if getattr(counts, name)]
    with suppress(OSError, ValueError):  # the output is closed
        terminal.note(", ".join(parts))
