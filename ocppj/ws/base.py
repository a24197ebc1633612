"""The seam between OCPP and the network: text, an id and a subprotocol, nothing of OCPP.

A transport is a `Client` or a `Server`. Both make `Channel` objects, one per connection, and call three handlers:

* ``connected(channel)``, before anything is read from it, on the thread that made the connection. It must not block.
* ``message(channel, text)``, for each text frame, in order, on the thread that reads the channel. It must not block:
  while it runs nothing else of that connection is read. Give work that may block to ``channel.submit``.
* ``disconnected(channel, close)``, exactly once after ``connected``, after the last message, on the thread that read
  the channel. It must not block. Jobs it submits are still run; after them the channel's thread ends.

Exceptions that leave a handler are logged and change nothing.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Callable, ContextManager, Optional, Protocol, Sequence

from ..errors import printable

__all__ = ["Channel", "ChannelHandler", "Client", "Close", "DisconnectedHandler", "MessageHandler", "Server"]


@dataclass(frozen=True)
class Close:
    """How a connection ended.

    Attributes:
        code: The WebSocket close code (RFC 6455 section 7.4): the peer's when the peer closed, ours when this side
            closed, 1006 without a close handshake.
        reason: The reason of the Close.
        by_peer: Whether the peer closed.
        error: What broke the connection, if something did.
    """

    code: int
    reason: str = ""
    by_peer: bool = False
    error: Optional[BaseException] = None

    @property
    def expected(self) -> bool:
        """Whether this side closed the connection on purpose, by ``stop()`` or ``close()``."""
        return not self.by_peer and self.error is None

    def __str__(self) -> str:
        who = " by the peer" if self.by_peer else "" if self.error is not None and self.code == 1006 else " by us"
        story = f"closed{who} with {self.code}"
        if self.reason:
            story += f" ({printable(self.reason)})"
        if self.error is not None:
            story += f": {self.error}"
        return story


class Channel(Protocol):
    """One connection. Safe to use from any thread."""

    #: Seconds between our pings, ``None`` or 0 for none. May be set at any time, for a peer that never answers them.
    ping_interval: Optional[float]

    @property
    def id(self) -> str:
        """The identity of the charge point at the other end of the URL, decoded."""

    @property
    def subprotocol(self) -> str:
        """The negotiated WebSocket subprotocol."""

    @property
    def remote_address(self) -> str:
        """The peer's address, for logs."""

    def send(self, text: str, wait: bool = True) -> None:
        """Send one text frame. Raises `TransportError` when the connection is closed or the peer does not take it.

        It returns when the network has taken the whole frame. On the reading thread, and with ``wait=False`` on any, it
        returns at once: the rest is written later, by another thread. Frames leave in the order of the calls.
        """

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Begin the close handshake and return; the channel ends within a bounded time. Closing twice does nothing."""

    def submit(self, job: Callable[[], None]) -> None:
        """Run ``job`` on the channel's handler thread, after all jobs submitted before, never on this thread."""


ChannelHandler = Callable[[Channel], None]
MessageHandler = Callable[[Channel, str], None]
DisconnectedHandler = Callable[[Channel, Close], None]


class _Transport(Protocol):
    def set_connected_handler(self, handler: ChannelHandler) -> None:
        """Set what is called for each new channel: the first one and each regained one."""

    def set_message_handler(self, handler: MessageHandler) -> None:
        """Set what is called for each text frame."""

    def set_disconnected_handler(self, handler: DisconnectedHandler) -> None:
        """Set what is called when a channel has ended."""

    def waiting(self) -> ContextManager[Any]:
        """Return a context in which a handler's thread waits for another message (see `ocppj.ws.readers`)."""
        return nullcontext()


class Client(_Transport, Protocol):
    """The charge point's side: one connection at a time. With ``reconnect`` a lost connection is regained."""

    reconnect: bool

    def connect(
        self, url: str, client_id: str, subprotocols: Sequence[str], retry: bool = False, wait: bool = True
    ) -> None:
        """Connect to ``url`` + "/" + the percent-encoded ``client_id``; return when connected.

        Args:
            url: The endpoint's.
            client_id: The identity.
            subprotocols: Those that the client offers, in this order.
            retry: Try again until it succeeds, whatever the reason of a failure, with the waits of a lost connection.
            wait: ``False``, with ``retry`` alone: return at once; a thread connects.

        Raises:
            TransportError: The connection cannot be made (`HandshakeRefused`, `SubprotocolError`); then nothing is left
                behind. With ``retry``: another thread has called `stop`.
            UsageError: An argument can never be right.
        """

    def send(self, text: str, wait: bool = True) -> None:
        """Send one text frame on the present channel: see `Channel.send`. Raises `TransportError` without one."""

    def stop(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection, or give up connecting, and wait (bounded) until threads and sockets are gone.

        May be called on any thread, also by a handler, whose own thread is then not waited for.
        """


class Server(_Transport, Protocol):
    """The central system's side: it listens, and has one channel per identity."""

    def listen(self, port: int, path: str, host: str, subprotocols: Sequence[str]) -> None:
        """Listen, and return.

        Args:
            port: 0 for any free port.
            path: A template that ends in ``{id}``.
            host: The address to listen on.
            subprotocols: Those that the server speaks.

        Raises:
            TransportError: It cannot listen.
        """

    @property
    def url(self) -> str:
        """The endpoint URL that a client on this machine can connect to, without the identity."""

    def get_channel(self, client_id: str) -> Optional[Channel]:
        """Return the channel of that identity, or ``None``."""

    def send(self, client_id: str, text: str, wait: bool = True) -> None:
        """Send one text frame: see `Channel.send`. Raises `TransportError` when there is no such channel."""

    def stop(self, code: int = 1001, reason: str = "") -> None:
        """Stop listening, close every channel, and wait (bounded) until threads and sockets are gone.

        May be called on any thread, also by a handler, whose own thread is then not waited for.
        """
