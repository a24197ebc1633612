"""The handshakes in progress of one way into a server, whatever library speaks WebSocket.

A way in is a port (`listener`), or a web application that hands its connections over (`WebSocketServer.adopt`). Each
handshake runs on a handshake thread (see `handshake_threads`), and counts for the limits (`ocppj.ws.limits`).
"""

from __future__ import annotations

import socket
import ssl
import time
from contextlib import suppress
from functools import partial
from typing import Callable, Optional

from ..handshake.http import BadRequest, refusal
from ..limits import Handshake, source_of
from ..stream.stream import Stream
from ..threads import Threads
from .handshake_threads import HandshakeThreads
from .registry import Run, ServerCore

__all__ = ["HandshakeRunner", "Upgrade"]

_CUT = {
    "max_handshakes": "the handshake was cut for a newer one: too many wait for their peers",
    "stopping": "the handshake was cut: the server is stopping",
}

#: Leads a connection to its channel, and says so in `Handshake.has_channel`. Raises `BadRequest`, ``OSError``,
#: ``EOFError``. Calls `HandshakeRunner.end_of_waiting` when nothing more is expected of the peer.
Upgrade = Callable[["HandshakeRunner", Handshake, Stream], None]


class HandshakeRunner:
    """Runs the handshakes of one way into a `Run`.

    Args:
        server: Whose handshakes they are.
        run: Where their channels are registered.
        linger: Seconds that a refused peer has to end the connection.
        threads: Where the handshake threads are kept.
    """

    def __init__(self, server: ServerCore, run: Run, linger: float, threads: Threads) -> None:
        self.run = run
        self._server = server
        self._linger = linger
        self._threads = HandshakeThreads(threads, server.handlers.safe_log)

    def refuse(self, address: str) -> Optional[BadRequest]:
        """Count an attempt to connect; return the refusal, counted and logged, when it is beyond a limit."""
        problem = self._server.take_attempt(address)
        if problem is None:
            try:
                self._make_room(source_of(address))
            except BadRequest as error:
                self._server.note_refusal(address, error)
                problem = error
        return problem

    def begin(self, sock: Stream, address: str, upgrade: Upgrade) -> None:
        """Run the handshake of a connection on a thread: ``upgrade``. ``sock`` is closed unless it gets a channel.

        Raises:
            ConnectionAbortedError: The server is stopping. Then, as after the next, the caller closes ``sock``.
            RuntimeError: The system gives no thread.
        """
        handshake = Handshake(sock, address)
        run = partial(self._run_handshake, handshake, sock, upgrade)
        end = partial(self._end_handshake, handshake, sock)
        try:
            with self.run.lock:
                stopping = self.run.stopping
                if not stopping:
                    self.run.handshakes.add(handshake)
            if not stopping:
                self._threads.submit(address, run, end)
        except BaseException:
            with self.run.lock:
                self.run.handshakes.discard(handshake)
            self._server.count_refusal("out_of_resources")
            raise
        if stopping:
            self._server.count_refusal("stopping")
            raise ConnectionAbortedError("the server is stopping")

    def stop(self) -> None:
        """Let the threads end once no handshake waits. Join them by their `Threads`."""
        self._threads.stop()

    def hand_over(self) -> None:
        """Let another thread go on with the next handshake, for this one may wait."""
        self._threads.hand_over()

    def end_of_waiting(self, handshake: Handshake) -> None:
        """Let this handshake give way to no other any more. Raises ``ConnectionAbortedError`` if it was cut already."""
        self.hand_over()
        with self.run.lock:
            handshake.waiting_since = None
            cut = handshake.cut_for is not None
        if cut:
            raise ConnectionAbortedError("the handshake was cut")

    def rename(self, handshake: Handshake, address: str) -> None:
        """Note that ``handshake`` is one of ``address``, as a trusted proxy says."""
        with self.run.lock:
            self.run.handshakes.rename(handshake, address)

    def linger(self, handshake: Handshake, sock: Stream) -> None:
        """`Stream.linger`. Meanwhile this handshake gives way to others, so that refused peers keep nobody out."""
        with self.run.lock:
            self.run.handshakes.wait_again(handshake, time.monotonic())
        sock.linger(time.monotonic() + self._linger)

    def _make_room(self, source: str) -> None:
        """Cut a handshake if one more would be too many. Raises `BadRequest`."""
        with self.run.lock:
            victim = self.run.handshakes.make_room(source, time.monotonic())
        if victim is not None:
            victim.sock.shutdown()  # its thread logs and counts it, unless it has done so already

    def _run_handshake(self, handshake: Handshake, sock: Stream, upgrade: Upgrade) -> None:
        try:
            handshake.waiting_since = time.monotonic()
            upgrade(self, handshake, sock)
        except BaseException as error:
            self.hand_over()  # logging may take time, and a refused peer may stay connected
            self._fail(handshake, sock, error)

    def _end_handshake(self, handshake: Handshake, sock: Stream) -> None:
        """Note that a handshake is over, and close its socket unless it has a channel. May be called again."""
        with self.run.lock:
            self.run.handshakes.discard(handshake)
        if not handshake.has_channel:
            sock.close()

    def _fail(self, handshake: Handshake, sock: Stream, error: BaseException) -> None:
        """Count and log why a handshake failed, and tell the peer if that is possible."""
        if isinstance(error, BadRequest):
            self._server.note_refusal(handshake.address, error)
            self._refuse(handshake, sock, error)
        elif isinstance(error, (OSError, EOFError)):
            reason = _reason(error)
            if reason == "abandoned" and handshake.cut_for is None and _was_silent(handshake, sock):
                self._server.note_silent(handshake.address)
                return
            counted = handshake.cut_for or reason
            self._server.count_refusal(counted)
            story = _CUT.get(counted) or f"the handshake failed: {error}"
            source = source_of(handshake.address)
            self._server.handlers.log.warning("%s: %s", handshake.address, story, kind=counted, source=source)
            if reason == "tls":
                sock.linger(time.monotonic() + self._linger)  # it reads our alert
        else:
            self._server.count_refusal("internal_error")
            source = source_of(handshake.address)
            self._server.handlers.log.error(
                "%s: the handshake failed", handshake.address, exc_info=error, source=source
            )
            self._refuse(handshake, sock, BadRequest(500, "internal error"))

    def _refuse(self, handshake: Handshake, sock: Stream, error: BadRequest) -> None:
        """Answer with an HTTP error, as far as that is possible without waiting long."""
        with suppress(OSError):
            sock.uncork(discard=True)
            sock.send(refusal(error.status, error.reason, error.headers))
            self.linger(handshake, sock)


def _was_silent(handshake: Handshake, sock: Stream) -> bool:
    """Tell whether nothing came of the peer: no request, and no byte of one."""
    return handshake.waiting_since is not None and not sock.heard


def _reason(error: Exception) -> str:
    """Return the reason under which a failed handshake is counted."""
    if isinstance(error, socket.timeout):
        return "handshake_timeout"
    if isinstance(error, ssl.SSLError) and not isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return "tls"
    return "abandoned"
