"""The connections of a scripted peer, as its transport tells of them.

The handlers of a `Server` are told of a connection on the thread that handles its CALLs, and so perhaps late: after the
first frame, or when a handler that waits has returned. A test needs to know at once. So the transports of a scripted
peer are the usual ones, which tell `PeerConnections` as well.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Any, Deque, Dict, List, Optional, Protocol, Sequence, cast

from ..rpc.dialect import DIALECTS
from ..ws.base import Channel, ChannelHandler, Close, DisconnectedHandler, MessageHandler
from ..ws.client import WebSocketClient
from ..ws.handshake.http import BadRequest
from ..ws.handshake.policy import Accepted
from ..ws.memory import MemoryClient, MemoryServer
from ..ws.server import WebSocketServer
from .journal import Journal

__all__ = [
    "PeerConnection", "PeerConnections", "WatchedClient", "WatchedMemoryClient", "WatchedMemoryServer", "WatchedServer",
]  # fmt: skip

#: What a CALL or a SEND begins with, and what an answer begins with.
_CALL = re.compile(r'\s*\[\s*[26]\s*,\s*"([^"\\]*)"\s*,')
_ANSWER = re.compile(r"\s*\[\s*[345]\s*,")
_UNREAD = "\n"  # in place of the id of a frame that begins in neither way: the library may read it all the same

_VERSIONS = {dialect.subprotocol: dialect.version for dialect in DIALECTS}


class CuttableChannel(Channel, Protocol):
    """A channel as the transports of this library make it."""

    def abort(self) -> None:
        """Cut the connection at once, without a Close."""


class PeerConnection:
    """One connection. The fields are guarded by the lock of the journal, except ``channel``.

    Attributes:
        channel: Its channel.
        usable: Whether messages can be sent over it, as far as is known: it has begun, and has not ended.
        given_up: Whether this side has cut or closed it.
        stalled: Whether this side reads nothing.
        received: How many frames have come.
        handled: How many of them were handled: their handler has returned, or there was none.
        calls: The message ids of those that were not, in their order. ``None``: it is no CALL, or its id is not read.
    """

    def __init__(self, channel: CuttableChannel) -> None:
        self.channel = channel
        self.usable = False
        self.given_up = False
        self.stalled = False
        self.received = 0
        self.handled = 0
        self.calls: Deque[Optional[str]] = deque()

    @property
    def client_id(self) -> str:
        return self.channel.id

    @property
    def is_there(self) -> bool:
        """Whether it can be used, and this side means to."""
        return self.usable and not self.given_up

    @property
    def is_settled(self) -> bool:
        """Whether all that came was handled."""
        return self.handled >= self.received


class PeerConnections:
    """The connections of one scripted peer, and its entries about them in the journal. Thread-safe."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._changed = journal.changed  # its lock guards the fields below, and those of the connections
        self._by_channel: Dict[Channel, PeerConnection] = {}
        self._by_id: Dict[str, PeerConnection] = {}  # the newest of each peer
        self._cutting = False  # each new one is cut at once

    # What a test asks

    def get(self, client_id: str) -> Optional[PeerConnection]:
        """Return the newest connection of that peer, which may have ended."""
        with self._changed:
            return self._by_id.get(client_id)

    def of_call(self, client_id: str, message_id: str) -> Optional[PeerConnection]:
        """Return the connection of a CALL that is being handled, if it is the newest of that peer."""
        with self._changed:
            newest = self._by_id.get(client_id)
            if newest is None or message_id in newest.calls or _UNREAD in newest.calls:
                return newest
            return None

    def present_ids(self) -> List[str]:
        """Return the peers that are connected, in the order in which they came."""
        with self._changed:
            return [client_id for client_id, each in self._by_id.items() if each.is_there]

    def give_up(self, connection: PeerConnection) -> None:
        """Note that this side cuts or closes ``connection``."""
        with self._changed:
            connection.given_up = True
            self._changed.notify_all()

    def cut_all(self) -> None:
        """Cut all connections, and each new one, until `allow`."""
        with self._changed:
            self._cutting = True
            connections = list(self._by_channel.values())
        for connection in connections:
            self.cut(connection)

    def allow(self) -> None:
        """Let new connections be."""
        with self._changed:
            self._cutting = False

    def cut(self, connection: PeerConnection) -> None:
        """Cut ``connection`` at once, without a Close."""
        self.give_up(connection)
        connection.channel.abort()

    # What the transport tells

    def begin(self, channel: Channel) -> None:
        """Note a new connection, before the library knows of it."""
        connection = PeerConnection(cast(CuttableChannel, channel))
        with self._changed:
            self._by_channel[channel] = connection
            self._by_id.pop(channel.id, None)  # so that the newest is the last
            self._by_id[channel.id] = connection
        self._journal.add_event("CONNECTED", channel.id, version=_VERSIONS.get(channel.subprotocol, ""))

    def set_usable(self, channel: Channel) -> None:
        """Note that the library can send over a new connection. Nothing has been read from it."""
        with self._changed:
            connection = self._by_channel[channel]
            connection.usable = True
            cut = self._cutting
            self._changed.notify_all()
        if cut:
            self.cut(connection)

    def end(self, channel: Channel) -> None:
        """Note the end of a connection, before the library is told of it."""
        with self._changed:
            connection = self._by_channel.get(channel)
            if connection is not None:
                connection.usable = False

    def forget(self, channel: Channel, close: Close) -> None:
        """Note the end of a connection in the journal, when the library has been told of it."""
        with self._changed:
            known = self._by_channel.pop(channel, None)
        if known is not None:
            self._journal.add_event("DISCONNECTED", channel.id, close=close)

    def receive(self, channel: Channel, text: str) -> None:
        """Note that a frame has come, before it is shown to observers."""
        message_id = _id_of_call(text)
        with self._changed:
            connection = self._by_channel.get(channel)
            if connection is not None:
                connection.received += 1
                connection.calls.append(message_id)

    def note_refusal(self, client_id: str, reason: str) -> None:
        """Note a handshake that was refused."""
        self._journal.add_event("REFUSED", client_id, reason=reason)

    def handle(self, channel: Channel) -> None:
        """Note that a frame was handled."""
        with self._changed:
            connection = self._by_channel.get(channel)
            if connection is not None:
                connection.handled += 1
                connection.calls.popleft()
                self._changed.notify_all()


_UNKNOWN = "?"  # in place of the identity, where it is not known


def _id_of_call(text: str) -> Optional[str]:
    """Return the message id of a CALL or a SEND; ``None`` for an answer."""
    match = _CALL.match(text)
    return match.group(1) if match else None if _ANSWER.match(text) else _UNREAD


class _Watched:
    """Makes a transport tell a `PeerConnections`, too. It comes before the class of the transport."""

    connections: PeerConnections

    def set_connected_handler(self, handler: ChannelHandler) -> None:
        def connected(channel: Channel) -> None:
            self.connections.begin(channel)
            handler(channel)
            self.connections.set_usable(channel)

        self._base().set_connected_handler(connected)

    def set_message_handler(self, handler: MessageHandler) -> None:
        def message(channel: Channel, text: str) -> None:
            self.connections.receive(channel, text)
            handler(channel, text)
            # It runs after the job that handles this frame, if that is a CALL.
            channel.submit(lambda: self.connections.handle(channel))

        self._base().set_message_handler(message)

    def set_disconnected_handler(self, handler: DisconnectedHandler) -> None:
        def disconnected(channel: Channel, close: Close) -> None:
            self.connections.end(channel)
            handler(channel, close)
            self.connections.forget(channel, close)

        self._base().set_disconnected_handler(disconnected)

    def _base(self) -> Any:
        return super()


class _WatchedServerCore(_Watched):
    """What a server has beside it: handshakes that it refuses."""

    def note_refusal(self, remote_address: str, error: BadRequest) -> None:
        if error.kind != "refusal":  # those that a test has asked for are noted elsewhere
            self.connections.note_refusal(_UNKNOWN, f"{error.status}: {error}")
        self._base().note_refusal(remote_address, error)

    def _note_no_subprotocol(self, accepted: Accepted, spoken: Sequence[str]) -> None:
        offered = ", ".join(accepted.request.subprotocols) or "none"
        reason = f"no common subprotocol: it offers {offered}, and the test speaks {', '.join(spoken)}"
        self.connections.note_refusal(accepted.request.identity, reason)
        self._base()._note_no_subprotocol(accepted, spoken)


class WatchedServer(_WatchedServerCore, WebSocketServer):
    """A `WebSocketServer` that is watched."""


class WatchedMemoryServer(_WatchedServerCore, MemoryServer):
    """A `MemoryServer` that is watched."""


class WatchedClient(_Watched, WebSocketClient):
    """A `WebSocketClient` that is watched."""


class WatchedMemoryClient(_Watched, MemoryClient):
    """A `MemoryClient` that is watched."""
