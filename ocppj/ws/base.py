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
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, ContextManager, List, Optional, Protocol, Sequence

from ..errors import printable
from ..settings import LoggerLike

if TYPE_CHECKING:
    from .handshake.request import HandshakeRequest

__all__ = [
    "Channel", "ChannelHandler", "Client", "Close", "DisconnectedHandler", "MessageHandler", "RunningJob", "Server",
    "handshake_of", "silence_of",
]  # fmt: skip


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
        """Whether this side closed the connection on purpose: by ``stop()``, ``close()`` or ``abort()``."""
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
    """One connection. Safe to use from any thread.

    A server's channel may have a ``handshake`` as well: see `handshake_of`. Any may have a ``silence``: `silence_of`.
    One whose network can tell when nothing is under way has its ``activity``, in which the writing of frames is noted.
    And it may have these methods, for tests of what a peer does then. All channels of this library have them, and
    they are for any thread:

    * ``abort()``: cut the connection at once, without a Close. Over a network the peer gets a reset (TCP RST). Nothing
      more is delivered, and the channel ends with the code 1006, by this side.
    * ``pause_reading()`` and ``resume_reading()``: nothing is read between the two, so the network makes the peer wait,
      and its pings get no pong. A message that is delivered just then is the last. The peer does not count as silent or
      idle meanwhile; that it has ended the connection may be found only afterwards. ``close()`` and ``abort()`` end the
      channel all the same, and drop what has come.
    * ``send_frame(opcode, data, fin=True)``: send one frame with this opcode (RFC 6455 section 5.2), whatever it and
      the frames before it are. Waits and raises as `send`; and `UsageError` for what is no frame. After a Close (0x8)
      `send` raises, and the peer's Close ends the channel.
    """

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


def handshake_of(channel: Channel) -> Optional[HandshakeRequest]:
    """Return the request with which the client of a server's channel came: ``channel.handshake``.

    It has no password, nor the fields ``Authorization``, ``Proxy-Authorization`` and ``Sec-WebSocket-Key``. ``None``
    for a client's channel, and for one of a transport that has no such attribute.
    """
    handshake: Optional[HandshakeRequest] = getattr(channel, "handshake", None)
    return handshake


def silence_of(channel: Channel) -> Optional[float]:
    """Return the seconds since something last came from the peer: ``channel.silence``.

    ``None`` for a channel of a transport that has no such attribute.
    """
    silence: Optional[float] = getattr(channel, "silence", None)
    return silence


@dataclass(frozen=True)
class RunningJob:
    """A job of a channel (see `Channel.submit`) that runs, or blocks, just now.

    Attributes:
        client_id: The identity of the charge point whose connection it belongs to.
        ident: That of its thread, as `threading.get_ident` returns it.
        seconds: For how long it has run; 0 for a job that may have begun just now.
        waiting: Whether its thread waits for a message, within `Server.waiting` or `Client.waiting`.
        released: Whether it was released: the next jobs of the connection do not wait for its end.
        key: Tells it from all other jobs. For the transport alone.
    """

    client_id: str
    ident: int
    seconds: float
    waiting: bool = False
    released: bool = False
    key: Any = field(default=None, repr=False)


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

    def set_logger(self, logger: Optional[LoggerLike], client_id: Optional[str] = None) -> None:
        """Log to ``logger``, that of the endpoint; ``None``: that of the process.

        Lines that name no client are about ``client_id``, that of a client.
        """

    def waiting(self) -> ContextManager[Any]:
        """Return a context in which a handler's thread waits for another message (see `ocppj.ws.readers`).

        Its ``__enter__`` may raise `NoHandlerSlot`.
        """
        return nullcontext()

    def running_jobs(self) -> List[RunningJob]:
        """Return the jobs of channels that run, or block, just now. A transport may know of none."""
        return []

    def release_job(self, job: RunningJob) -> bool:
        """Let the next jobs of its connection run though ``job`` has not ended; return whether that was done."""
        return False


class Client(_Transport, Protocol):
    """The charge point's side: one connection at a time. With ``reconnect`` a lost connection is regained."""

    reconnect: bool

    def connect(
        self, url: Any, client_id: str, subprotocols: Sequence[str], retry: bool = False, wait: bool = True
    ) -> None:
        """Connect to ``url`` + "/" + the percent-encoded ``client_id``; return when connected.

        Args:
            url: The endpoint's. A transport that has the attribute ``takes_several_urls``, and it is true, takes a
                list of them too: they are tried in order, and the waits come after the last.
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
            path: A template such as ``/ocpp/{id}``. The transports of this library take a list of templates, too, and
                one more argument, ``identify``. `ocppj.Server` passes such values on only if it was given them.
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
