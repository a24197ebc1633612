"""`connect`: another program calls the clients of a server over the server's control socket."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from typing import Any, Dict, List, Mapping, Optional

from ..cluster.errors_json import error_from_json
from ..errors import NotRunning, TransportError, UnknownClient
from ..exchange.connection_info import ConnectionInfo
from .address import check_support, path_of
from .protocol import LineReader, info_from_json, send_line

__all__ = ["ControlClient", "connect"]

_LONGEST_LINE = 256 * 1024 * 1024  # bytes of a reply: what many clients are told of
_PATIENCE = 10.0  # seconds more than the call itself may take


class ControlClient:
    """Calls the clients of the server that has opened a control socket. Any thread may use it; `connect` makes it.

    It holds no connection between two calls.

    Attributes:
        address: That of the control socket, such as ``unix:/run/ocppj.sock``.
    """

    def __init__(self, address: str) -> None:
        self._path = path_of(address)
        self._family = check_support()
        self.address: str = f"unix:{self._path}"

    def call(
        self, client_id: str, action: str, payload: Optional[Mapping[str, Any]] = None, timeout: float = 30.0
    ) -> Dict[str, Any]:
        """Send a request, wait, and return the payload of the answer as JSON values.

        Args:
            client_id: A client of that server.
            action: The action, such as "Reset".
            payload: A JSON object: ``{"type": "Soft"}``. ``None``: an empty one.
            timeout: Seconds that the request may stay unanswered, in the queue too.

        Raises:
            OCPPError: The client answered with a CALLERROR.
            UnknownClient: No such client is connected.
            UnsupportedFeature: Its OCPP version does not have the action.
            ValidationError: The payload breaks its schema.
            CallTimeout: The client did not answer in time.
            NotRunning: No server has that control socket now.
            TransportError: The control socket failed, or this user may not use it.
            OcppjError: What else `Server.call` raises.
        """
        request = {"do": "call", "client": client_id, "action": action, "payload": dict(payload or {})}
        answer: Dict[str, Any] = self._ask({**request, "timeout": timeout}, timeout)
        return answer

    def connections(self) -> List[ConnectionInfo]:
        """Return what is known of the connected clients. Headers and certificates are not told.

        Raises:
            OcppjError: As `call`.
        """
        try:
            return [info_from_json(each) for each in self._ask({"do": "connections"})]
        except (KeyError, TypeError, ValueError) as error:
            raise TransportError(f"the reply at {self.address} cannot be read: {error}") from None

    def version_of(self, client_id: str) -> str:
        """Return the OCPP version spoken with that client, such as "1.6". Raises `UnknownClient`, and as `call`."""
        for each in self.connections():
            if each.client_id == client_id:
                return each.version
        raise UnknownClient(f"no client {client_id!r} is connected")

    def disconnect(self, client_id: str, code: int = 1000, reason: str = "") -> None:
        """Close the connection of a client.

        Args:
            client_id: The client.
            code: The close code that it gets.
            reason: The reason that it gets.

        Raises:
            UnknownClient: No such client is connected.
            OcppjError: As `call`.
        """
        self._ask({"do": "disconnect", "client": client_id, "code": code, "reason": reason})

    def _ask(self, request: Mapping[str, Any], seconds: float = 0.0) -> Any:
        try:
            with socket.socket(self._family) as sock:
                sock.settimeout(_PATIENCE)
                sock.connect(self._path)
                with suppress(ConnectionError):  # it was refused: the reply says why
                    send_line(sock, request, _PATIENCE)
                line = LineReader(sock, _LONGEST_LINE).read(seconds + _PATIENCE)
        except OSError as error:
            raise self._describe(error) from None
        if line is None:
            raise TransportError(f"the server at {self.address} closed the control connection")
        reply = _read(line)
        if isinstance(reply.get("error"), dict):
            raise error_from_json(reply["error"])
        return reply.get("result")

    def _describe(self, error: OSError) -> Exception:
        if isinstance(error, TransportError):
            return error
        if isinstance(error, (FileNotFoundError, ConnectionRefusedError)):
            return NotRunning(f"no server has a control socket at {self.address}")
        if isinstance(error, PermissionError):
            return TransportError(f"the control socket {self.address} is another user's")
        return TransportError(f"the control socket {self.address} failed: {error}")


def _read(line: bytes) -> Dict[str, Any]:
    try:
        reply = json.loads(line)
    except ValueError:
        reply = None
    if not isinstance(reply, dict):
        raise TransportError("the reply at the control socket cannot be read")
    return reply


def connect(address: str) -> ControlClient:
    """Return an object that calls the clients of the server with the control socket ``address``.

    ::

        control = ocppj.control.connect("unix:/run/ocppj.sock")
        control.call("CP_1", "Reset", {"type": "Soft"}, timeout=10)

    Args:
        address: Such as ``unix:/run/ocppj.sock``.

    Raises:
        NotRunning: No server has that control socket now.
        TransportError: It is another user's.
        UsageError: It is no address of a control socket, or this system has no Unix sockets.
    """
    client = ControlClient(address)
    client._ask({"do": "ping"})
    return client
