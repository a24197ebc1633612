"""The seam between OCPP and the network: text, an id and a subprotocol, nothing of OCPP.

A transport is a `Client` or a `Server`. Both make `Channel` objects, one per connection, and call three handlers:

* ``connected(channel)``, before anything is read from it, on the thread that made the connection. It must not block.
* ``message(channel, text)``, for each text frame, in order, on the thread that reads the channel. It must not block:
  while it runs nothing else of that connection is read. What may block is given to ``channel.submit``.
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

    ``code`` is the WebSocket close code (RFC 6455 section 7.4): the peer's when the peer closed, ours when we did,
    1006 when there was no close handshake. ``by_peer`` tells who began. ``error`` is what broke the connection, if
    something did. ``expected`` is true when this side's ``stop()`` or ``close()`` began it.
    """

    code: int
    reason: str = ""
    by_peer: bool = False
    error: Optional[BaseException] = None

    @property
    def expected(self) -> bool:
        """Tell whether this side closed the connection on purpose, without an error."""
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
        """Where the peer is, for logs."""

    def send(self, text: str, wait: bool = True) -> None:
        """Send one text frame. Raises `TransportError` when the connection is closed or the peer does not take it.

        From the reading thread, and with ``wait=False`` from any, it returns at once; what the network does not take
        yet is written later, by another thread. Then a peer that does not take it in time is no error here: the
        connection ends. Else it returns when the network has taken the whole frame. Frames leave in the order of the
        calls, whoever waits.
        """

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Begin the close handshake and return; the channel ends within a bounded time. Closing twice does nothing."""

    def submit(self, job: Callable[[], None]) -> None:
        """Run ``job`` on the channel's handler thread, after all jobs submitted before, never on this thread."""


ChannelHandler = Callable[[Channel], None]
MessageHandler = Callable[[Channel, str], None]
DisconnectedHandler = Callable[[Channel, Close], None]


class Client(Protocol):
    """The charge point's side: one connection at a time, regained when it is lost if ``reconnect`` is true."""

    reconnect: bool

    def set_connected_handler(self, handler: ChannelHandler) -> None:
        """Set what is called for each new channel: the first one and each regained one."""

    def set_message_handler(self, handler: MessageHandler) -> None:
        """Set what is called for each text frame."""

    def set_disconnected_handler(self, handler: DisconnectedHandler) -> None:
        """Set what is called when a channel has ended."""

    def connect(
        self, url: str, client_id: str, subprotocols: Sequence[str], retry: bool = False, wait: bool = True
    ) -> None:
        """Connect to ``url`` + "/" + the percent-encoded ``client_id``; return when connected.

        ``subprotocols`` are offered in that order. Raises `TransportError` (`HandshakeRefused`, `SubprotocolError`)
        when the connection cannot be made; then nothing is left behind. With ``retry`` it is tried again until it is
        made, whatever the reason, with the waits that are kept when a lost one is regained; then `TransportError` is
        raised only when another thread calls `stop`. With ``retry`` and without ``wait`` a thread does that, and this
        returns at once. Raises `UsageError` for what can never be.
        """

    def send(self, text: str, wait: bool = True) -> None:
        """Send one text frame on the present channel: see `Channel.send`. Raises `TransportError` without one."""

    def stop(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection, or give up regaining it, and wait (bounded) until threads and sockets are gone.

        May be called from any thread, a handler's included (whose own thread is then not waited for).
        """

    def waiting(self) -> ContextManager[Any]:
        """Return a context in which a handler's thread waits for another message (see `ocppj.ws.readers`)."""
        return nullcontext()


class Server(Protocol):
    """The central system's side: it listens, and has one channel per identity."""

    def set_connected_handler(self, handler: ChannelHandler) -> None:
        """Set what is called for each new channel."""

    def set_message_handler(self, handler: MessageHandler) -> None:
        """Set what is called for each text frame."""

    def set_disconnected_handler(self, handler: DisconnectedHandler) -> None:
        """Set what is called when a channel has ended."""

    def listen(self, port: int, path: str, host: str, subprotocols: Sequence[str]) -> None:
        """Listen, and return. Port 0 takes any free one.

        ``path`` is a template that ends in ``{id}``. ``subprotocols`` are those the server speaks. Raises
        `TransportError` when it cannot listen.
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

        May be called from any thread, a handler's included (whose own thread is then not waited for).
        """

    def waiting(self) -> ContextManager[Any]:
        """Return a context in which a handler's thread waits for another message (see `ocppj.ws.readers`)."""
        return nullcontext()
