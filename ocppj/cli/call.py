"""``ocppj call``: one message through a running ``ocppj serve``, a service, or a cluster."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Protocol

from .arguments import duration
from .exits import FOUND, OK, CommandError
from .terminal import Terminal

if TYPE_CHECKING:
    from ..exchange.connection_info import ConnectionInfo

__all__ = ["DESCRIPTION", "EXAMPLES", "add_arguments", "run"]

DESCRIPTION = """Send one message to a charging station, and print its answer.

The station is connected to a running `ocppj serve` of this user, to a service that has opened a control socket with
server.control("unix:/run/ocppj.sock"), or to any server of a cluster on Redis. Values take the type that the message
wants; nested fields are written a.b=1, and elements of lists a[0].b=1."""

EXAMPLES = """
ocppj call --list                                        # which stations are connected
ocppj call CP_1 Reset type=Soft                          # through `ocppj serve`
ocppj call CP_1 GetConfiguration key=HeartbeatInterval --json
ocppj call CP_1 DataTransfer '{"vendorId": "Acme"}'      # the payload as JSON
ocppj call CP_1 Reset type=Soft --via unix:/run/ocppj.sock
ocppj call CP_1 Reset type=Immediate --via redis://localhost/0
"""


class _Way(Protocol):
    """How stations are reached."""

    def connections(self) -> "List[ConnectionInfo]": ...

    def call(self, client_id: str, action: str, payload: Mapping[str, Any], timeout: float) -> Dict[str, Any]: ...


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ocppj call``."""
    parser.add_argument("client", nargs="?", metavar="ID", help="the identity of the station")
    parser.add_argument("action", nargs="?", help="the action, such as Reset")
    parser.add_argument("fields", nargs="*", metavar="name=value", help="the payload, as fields or as one JSON object")
    parser.add_argument("--list", action="store_true", help="list the connected stations")
    parser.add_argument(
        "--via",
        metavar="ADDRESS",
        help="unix:PATH of a control socket, or redis://HOST/DB of a cluster (default: the `ocppj serve` of this user)",
    )
    parser.add_argument("--prefix", default="ocppj", help="of the keys in Redis (default: ocppj)")
    parser.add_argument(
        "--timeout", type=duration, default=30.0, metavar="TIME", help="how long to wait for the answer (default: 30s)"
    )


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Send the message, and print the answer."""
    if not arguments.list and (arguments.client is None or arguments.action is None):
        raise CommandError("call: name a station and an action, such as CP_1 Reset type=Soft, or say --list")
    if arguments.list and arguments.client is not None:
        raise CommandError("call: --list lists the stations, and sends nothing: leave one of the two out")
    if arguments.timeout <= 0:
        raise CommandError("call: --timeout must be more than 0")
    from ..errors import UsageError

    try:
        with _open(arguments) as way:
            return _list(way, terminal) if arguments.list else _call(way, arguments, terminal)
    except UsageError as error:
        raise CommandError(f"call: {error}") from None


def _open(arguments: argparse.Namespace) -> Any:
    """Return a context of what reaches the stations."""
    from contextlib import nullcontext

    from ..control.address import default_address
    from ..control.client import connect
    from ..errors import NotRunning

    via = arguments.via
    if via is not None and via.partition(":")[0] in ("redis", "rediss"):
        return _Cluster(via, arguments.prefix)
    if via is not None and not via.startswith("unix:"):
        raise CommandError(f"call: --via takes unix:PATH or redis://HOST/DB, not {via!r}")
    try:
        return nullcontext(connect(via or default_address()))
    except NotRunning as error:
        hint = "" if via else ': start "ocppj serve", or name another way with --via'
        raise CommandError(f"call: {error}{hint}", FOUND) from None


class _Cluster:
    """The way over a cluster on Redis."""

    def __init__(self, url: str, prefix: str) -> None:
        from ..cluster.redis.cluster import RedisCluster
        from ..cluster.remote_server import RemoteServer
        from ..testing.scripted import profiles_of
        from .arguments import VERSIONS

        profiles = [each for version in VERSIONS for each in profiles_of(version)]
        self._remote = RemoteServer(RedisCluster(url, prefix=prefix), profiles=profiles)

    def __enter__(self) -> "_Cluster":
        return self

    def __exit__(self, *error: object) -> None:
        self._remote.stop()

    def connections(self) -> "List[ConnectionInfo]":
        return self._remote.connections()

    def call(self, client_id: str, action: str, payload: Mapping[str, Any], timeout: float) -> Dict[str, Any]:
        request = self._remote.make_request(client_id, action, payload)
        answer: Dict[str, Any] = self._remote.call(client_id, request, timeout).to_wire()
        return answer


def _list(way: _Way, terminal: Terminal) -> int:
    from .connections import connection_rows

    columns, rows = connection_rows(way.connections())
    if terminal.as_json:
        for row in rows:
            terminal.json(dict(zip(columns, row)))
    elif rows:
        terminal.table(columns, rows)
    else:
        terminal.line("no station is connected")
    return OK


def _call(way: _Way, arguments: argparse.Namespace, terminal: Terminal) -> int:
    from ..control.catalog import request_schema
    from ..control.fields import read_fields
    from ..errors import OCPPError

    version = _version_of(way, arguments.client)
    payload = read_fields(arguments.fields, request_schema(version, arguments.action), arguments.action)
    try:
        answer = way.call(arguments.client, arguments.action, payload, arguments.timeout)
    except OCPPError as error:
        if terminal.as_json:
            terminal.json(
                {"error": {"code": str(error.code), "description": error.description, "details": error.details}}
            )
        terminal.error(f"call: {arguments.client} answered with an error: {error}")
        return FOUND
    _print(answer, terminal)
    return OK


def _version_of(way: _Way, client_id: str) -> str:
    connections = way.connections()
    for each in connections:
        if each.client_id == client_id:
            return each.version
    known = ", ".join(sorted(each.client_id for each in connections)[:20]) or "none"
    raise CommandError(f"call: no station {client_id!r} is connected. Connected: {known}", FOUND)


def _print(answer: Dict[str, Any], terminal: Terminal) -> None:
    from ..control.fields import write_fields
    from ..secrets import mask_value

    if terminal.as_json:
        terminal.json(answer)
        return
    shown = answer if terminal.show_secrets else mask_value(answer)
    terminal.lines(write_fields(shown) or ["the answer has no fields"])
