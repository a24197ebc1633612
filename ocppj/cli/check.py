"""``ocppj check``: tries whether a central system, or a charging station, keeps the rules."""

from __future__ import annotations

import argparse
import os
from typing import Any, List

from . import check_station
from .arguments import output, version
from .check_run import run_cases
from .exits import FOUND, OK, CommandError
from .passwords import password_of
from .terminal import Terminal
from .urls import check_url

DESCRIPTION = """\
Try whether a central system, or a charging station, keeps the rules of OCPP-J.

With a URL and an identity, ocppj is the charging station of that identity, and
checks the central system. Each rule is a case. A case passes, fails, is
suspicious (the documents leave it open), or is not applicable. The exit code is
1 when a case fails, else 0.

With --listen, ocppj is the central system, and checks the charging station that
connects to it.

Use a test system and a test identity: the cases boot the station, start
transactions, cut connections and send broken frames."""

EXAMPLES = """
ocppj check ws://localhost:9000/ocpp CP_1                                # all versions that it speaks
ocppj check wss://csms.example/ocpp CP_1 --tls ca.pem --password-file key  # TLS and Basic authentication
ocppj check ws://localhost:9000 CP_1 --version 1.6 --only 'rpc-*'        # the cases of one group
ocppj check ws://localhost:9000 CP_1 --junit check.xml --html check.html # for CI, and for people
ocppj check --listen 9000                                                # a charging station that connects to us
ocppj check --listen 9000 --id CP_1 --allow-reset --allow-changes        # all cases for it
ocppj check --list                                                       # all cases, of both roles
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("url", nargs="?", help="the endpoint of the central system, such as ws://localhost:9000/ocpp")
    parser.add_argument("identity", nargs="?", help="the identity of the charging station that we are, such as CP_1")
    parser.add_argument("--version", type=version, action="append", metavar="V", help="an OCPP version; may come again")
    parser.add_argument("--password", help="the password of the station (Basic authentication)")
    parser.add_argument("--password-file", metavar="FILE", help="a file with the password: other users do not see it")
    parser.add_argument(
        "--tls", metavar="FILE", help="the authorities of the server: a PEM file, or a folder of `ocppj certs`"
    )
    parser.add_argument("--certificate", metavar="FILE", help="the station's own certificate with its key, as PEM")
    parser.add_argument("--only", action="append", default=[], metavar="ID", help="only this case; * is any text")
    parser.add_argument("--list", action="store_true", help="show all cases, and run none")
    parser.add_argument("--junit", type=output, metavar="FILE", help="write a report as JUnit XML")
    parser.add_argument("--html", type=output, metavar="FILE", help="write a report as a page for a browser")
    check_station.add_arguments(parser)


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Run the cases, and print what came of them."""
    from ..conformance.cases import CSMS, cases_of, choose
    from ..errors import UsageError

    if arguments.list:
        return _list(arguments, terminal)
    if arguments.listen is not None:
        return check_station.run(arguments, terminal)
    check_station.refuse_arguments(arguments)
    try:
        cases = choose(cases_of(CSMS), arguments.only)
        peer = _central_system(arguments, terminal)
    except UsageError as error:
        raise CommandError(str(error)) from error
    from ..conformance.verdicts import PeerGone

    terminal.status(f"connecting to {peer.url}")
    try:
        spoken = peer.versions()
    except PeerGone as error:
        raise CommandError(str(error), FOUND) from error
    return run_cases(arguments, terminal, peer, CSMS, cases, _versions(arguments, spoken))


def _list(arguments: argparse.Namespace, terminal: Terminal) -> int:
    from ..conformance.cases import ROLES, cases_of, choose
    from ..conformance.reports.values import values_of_case
    from ..errors import UsageError

    cases = [case for role in ROLES for case in cases_of(role)]
    try:
        cases = choose(cases, arguments.only)
    except UsageError as error:
        raise CommandError(str(error)) from error
    if arguments.version:
        cases = [case for case in cases if set(case.versions) & set(arguments.version)]
    if terminal.as_json:
        for case in cases:
            terminal.json(values_of_case(case))
        return OK
    rows = [[case.role, case.id, " ".join(case.versions), case.title, case.section] for case in cases]
    terminal.table(["role", "id", "versions", "title", "section"], rows)
    return OK


def _central_system(arguments: argparse.Namespace, terminal: Terminal) -> Any:
    from ..conformance.csms.peer import CentralSystem

    if not arguments.url or not arguments.identity:
        raise CommandError("give a URL and an identity: ocppj check ws://localhost:9000/ocpp CP_1")
    check_url("check", arguments.url, terminal, arguments.identity)
    return CentralSystem(
        arguments.url,
        arguments.identity,
        password=password_of("check", arguments),
        tls=_tls(arguments, arguments.url.lower().startswith("wss:")),
        has_certificate=arguments.certificate is not None,
    )


def _tls(arguments: argparse.Namespace, is_wss: bool) -> Any:
    from ..ws.tls import client_tls_context

    if not is_wss:
        if arguments.tls or arguments.certificate:
            raise CommandError("--tls and --certificate are for URLs that begin with wss://")
        return None
    path = arguments.tls
    return client_tls_context(
        os.path.join(path, "ca.pem") if path and os.path.isdir(path) else path, arguments.certificate
    )


def _versions(arguments: argparse.Namespace, spoken: List[str]) -> List[str]:
    missing = [each for each in arguments.version or () if each not in spoken]
    if missing:
        raise CommandError(f"the central system does not speak {missing[0]}: it speaks {', '.join(spoken)}", FOUND)
    return [each for each in spoken if not arguments.version or each in arguments.version]
