"""``ocppj certs``: certificates for tests of the security profiles 2 and 3."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Dict, List

from .exits import OK, CommandError
from .terminal import Terminal

__all__ = ["DESCRIPTION", "EXAMPLES", "add_arguments", "run"]

DESCRIPTION = """Write a certificate authority, the certificate of a central system, and those of charging stations.

They are for tests of the security profiles 2 (TLS) and 3 (TLS with certificates of charging stations). Each run makes
a new authority, which trusts nothing of an earlier one. Needs the package trustme: pip install 'ocppj[testing]'."""

EXAMPLES = """
ocppj certs pki                                          # for localhost, without charging stations
ocppj certs pki --station CP_1 --station CP_2            # with the certificates of two charging stations
ocppj certs pki --host csms.example --host 192.0.2.7     # for a central system on another machine
ocppj certs pki --station CP_1 --replace                 # replaces the files of an earlier run
"""

_HOSTS = ["localhost", "127.0.0.1", "::1"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ocppj certs``."""
    parser.add_argument("folder", metavar="DIR", type=Path, help="the folder for the files; it is made")
    parser.add_argument(
        "--host",
        action="append",
        metavar="NAME",
        help="a name or an address of the central system; may be repeated (default: localhost)",
    )
    parser.add_argument(
        "--station",
        action="append",
        default=[],
        metavar="ID",
        help="make a certificate for the charging station with this identity; may be repeated",
    )
    parser.add_argument("--key", choices=["ecdsa", "rsa"], default="ecdsa", help="the type of the keys")
    parser.add_argument(
        "--organization", default="ocppj", metavar="NAME", help="the organizationName in the certificates"
    )
    parser.add_argument("--replace", action="store_true", help="replace the files of an earlier run")


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Write the files, and print what they are."""
    from ..errors import UsageError
    from ..testing.pki_folder import write_pki

    folder: Path = arguments.folder
    hosts: List[str] = arguments.host or _HOSTS
    try:
        stations = write_pki(
            folder,
            hosts=hosts,
            stations=arguments.station,
            key_type=arguments.key.upper(),
            organization=arguments.organization,
            replace=arguments.replace,
        )
    except UsageError as error:
        hint = ". Choose another folder, or say --replace" if "already" in str(error) else ""
        raise CommandError(f"certs: {error}{hint}") from None
    except ValueError as error:  # such as a name that no certificate can have
        raise CommandError(f"certs: no certificate can be made: {error}") from None
    commands = _commands(folder, hosts[0], list(stations))
    if terminal.as_json:
        terminal.json(_described(folder, stations, commands))
        return OK
    rows = [("ca.pem", "the authority", "certificate"), ("server.pem", ", ".join(hosts), "certificate and key")]
    rows += [(path.name, identity, "certificate and key") for identity, path in stations.items()]
    terminal.table(["file", "of", "what"], rows, title=f"written to {folder}")
    terminal.line()
    terminal.line("Try it:")
    terminal.lines(f"  {command}" for command in commands)
    return OK


def _described(folder: Path, stations: Dict[str, Path], commands: List[str]) -> Dict[str, object]:
    return {
        "folder": str(folder),
        "ca": str(folder / "ca.pem"),
        "server": str(folder / "server.pem"),
        "stations": {identity: str(path) for identity, path in stations.items()},
        "commands": commands,
    }


def _commands(folder: Path, host: str, stations: List[str]) -> List[str]:
    """Return commands that use the files."""
    name = shlex.quote(str(folder))
    address = f"[{host}]" if ":" in host else host
    commands = [f"ocppj serve --port 9000 --tls {name}"]
    if stations:
        identity = shlex.quote(stations[0])
        commands.append(f"ocppj simulate wss://{address}:9000 --id {identity} --tls {name} --cert {name}")
    else:
        commands.append(f"ocppj simulate wss://{address}:9000 --tls {name}")
    return commands
