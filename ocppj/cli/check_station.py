"""``ocppj check --listen``: we are the central system, and check the charging station that connects."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, List

from .arguments import address, duration, positive
from .check_run import run_cases
from .exits import FOUND, CommandError
from .passwords import password_of
from .terminal import Terminal

__all__ = ["add_arguments", "refuse_arguments", "run"]

#: The arguments that are for charging stations alone, with the value that stands for "not given".
_ALONE = {
    "id": None,
    "wait": None,
    "answer_within": None,
    "connector": None,
    "id_tag": None,
    "require_certificate": False,
    "allow_reset": False,
    "allow_changes": False,
    "interactive": False,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that are for charging stations."""
    station = parser.add_argument_group("to check a charging station")
    station.add_argument(
        "--listen",
        type=address,
        metavar="[HOST:]PORT",
        help="where the station connects; port 0 takes any free one. --tls DIR: with server.pem and ca.pem of that "
        "folder (ocppj certs); --password: what the station has to present",
    )
    station.add_argument("--id", metavar="ID", help="the identity of the station; without it: the first that connects")
    station.add_argument(
        "--wait", type=duration, metavar="TIME", help="how long the station may take to connect (default: 60s)"
    )
    station.add_argument(
        "--answer-within", type=duration, metavar="TIME", help="how long it may take to answer (default: 10s)"
    )
    station.add_argument("--connector", type=positive, metavar="N", help="the connector, or EVSE, to use (default: 1)")
    station.add_argument("--id-tag", metavar="ID", help="the id token of transactions (default: 04A1B2C3)")
    station.add_argument(
        "--require-certificate", action="store_true", help="with --tls: the station presents a certificate (profile 3)"
    )
    station.add_argument("--allow-reset", action="store_true", help="run the cases that reset the station")
    station.add_argument(
        "--allow-changes",
        action="store_true",
        help="run the cases that change settings and put them back, replace the local list, or upload logs",
    )
    station.add_argument(
        "--interactive", action="store_true", help="ask for what somebody has to do at the station, such as plug in"
    )


def refuse_arguments(arguments: argparse.Namespace) -> None:
    """Raise `CommandError` for an argument that needs ``--listen``."""
    for name, missing in _ALONE.items():
        if getattr(arguments, name) != missing:
            raise CommandError(f"check: --{name.replace('_', '-')} is for charging stations: it needs --listen PORT")


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Wait for a station, run the cases, and return the exit code."""
    from ..conformance.cases import ALL, STATION, cases_of, choose
    from ..conformance.station.peer import StationPeer
    from ..conformance.verdicts import PeerGone
    from ..errors import UsageError

    if arguments.url or arguments.identity:
        raise CommandError("check: --listen takes no URL: the station connects to us; --id names it")
    try:
        cases = choose(cases_of(STATION), arguments.only)
    except UsageError as error:
        raise CommandError(f"check: {error}") from error
    arguments.allowed = _allowed(arguments)
    host, number = arguments.listen
    with StationPeer(
        number,
        host,
        client_id=arguments.id,
        versions=arguments.version or ALL,
        password=password_of("check", arguments),
        ssl_context=_tls(arguments),
        client_certificate=arguments.require_certificate,
        settings=_settings(arguments, terminal, cases),
    ) as peer:
        terminal.note(f"listening on {peer.url}")
        terminal.note(f"waiting {peer.settings.wait:g} s for a charging station at {peer.url}/{arguments.id or 'ID'}")
        try:
            version = peer.first()
        except PeerGone as error:
            raise CommandError(f"check: {error}", FOUND) from error
        terminal.note(f"{peer.name} has connected, OCPP {version}")
        return run_cases(arguments, terminal, peer, STATION, cases, [version])


def _allowed(arguments: argparse.Namespace) -> List[str]:
    return [name for name in ("allow-reset", "allow-changes") if getattr(arguments, name.replace("-", "_"))]


def _settings(arguments: argparse.Namespace, terminal: Terminal, cases: List[Any]) -> Any:
    from ..conformance.station.peer import Settings

    def prompt(text: str) -> None:
        terminal.error(f"please {text}, and press Enter")
        sys.stdin.readline()

    given = {
        "wait": arguments.wait,
        "answer": arguments.answer_within,
        "connector": arguments.connector,
        "id_tag": arguments.id_tag,
    }
    return Settings(
        allowed=arguments.allowed,
        prompt=prompt if arguments.interactive else None,
        with_boot=any(each.group == "boot" for each in cases),
        **{name: value for name, value in given.items() if value is not None},
    )


def _tls(arguments: argparse.Namespace) -> Any:
    if arguments.tls is None:
        if arguments.require_certificate:
            raise CommandError("check: --require-certificate needs --tls DIR")
        return None
    from ..testing.pki_folder import find_ca
    from ..ws.tls import server_tls_context

    folder = Path(arguments.tls)
    return server_tls_context(
        folder / "server.pem", client_ca=find_ca(folder), require_client_certificate=arguments.require_certificate
    )
