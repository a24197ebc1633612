"""An address that a server listens on, and the handshakes in progress there, whatever library speaks WebSocket.

``ocppj-accept`` accepts (see `acceptor`). Each handshake runs on a handshake thread (see `handshake_threads`). The
accept thread refuses by itself what is beyond a limit (`ocppj.ws.limits`), and never waits (see `lingering`): it
answers 503 where the connection is plain. Over TLS an answer would cost a handshake, so the connection is closed.
"""

from __future__ import annotations

import socket
import ssl
import time
from contextlib import suppress
from functools import partial
from typing import Callable, Collection, Optional, Sequence

from ..handshake.http import BadRequest, refusal
from ..handshake.policy import Demands
from ..limits import Handshake, source_of
from ..stream.stream import Stream
from ..threads import Threads
from .acceptor import Acceptor
from .addresses import ListenAddress, is_unix
from .handshake_threads import HandshakeThreads
from .registry import Run, ServerCore

__all__ = ["TcpListener", "Upgrade"]

_CUT = {
    "max_handshakes": "the handshake was cut for a newer one: too many wait for their peers",
    "stopping": "the handshake was cut: the server is stopping",
}

#: Leads a connection to its channel, and says so in `Handshake.has_channel`. Raises `BadRequest`, ``OSError``,
#: ``EOFError``. Calls `TcpListener.end_of_waiting` when nothing more is expected of the peer.
Upgrade = Callable[["TcpListener", Handshake, Stream], None]


class TcpListener:
    """Accepts connections of ``socks`` for one `Run`, and runs their handshakes: ``upgrade``.

    It closes the sockets in the end, and also if it raises. ``demands`` are made of the clients that come in here.
    """

    def __init__(
        self,
        server: ServerCore,
        run: Run,
        address: ListenAddress,
        socks: Sequence[socket.socket],
        upgrade: Upgrade,
        *,
        demands: Demands,
        write_timeout: float,
        linger: float,
    ) -> None:
        self.run = run
        self.ssl_context = address.ssl_context
        self.demands = demands
        self._server = server
        self._upgrade = upgrade
        self._write_timeout = write_timeout
        self._linger = linger
        self._threads = Threads()
        self._handshake_threads = HandshakeThreads(self._threads)
        self.url = self._make_url(address, socks[0])
        self._acceptor = Acceptor(socks, self._welcome)

    def _make_url(self, address: ListenAddress, sock: socket.socket) -> str:
        secure = self.ssl_context is not None
        if is_unix(sock):  # as other libraries write it; no URL of a standard names a Unix domain socket
            return f"ws+unix://{sock.getsockname()}:{self.run.identification.prefix or '/'}"
        host, port = sock.getsockname()[:2]
        if address.sock is None:
            host = address.host
        if host in ("", "0.0.0.0", "::"):
            host = "localhost" if secure else "[::1]" if host == "::" else "127.0.0.1"
        elif ":" in host:
            host = f"[{host}]"
        return f"{'wss' if secure else 'ws'}://{host}:{port}{self.run.identification.prefix}"

    def start(self) -> None:
        """Begin to accept. Raises ``RuntimeError`` when the system gives no thread."""
        try:
            self._threads.start("ocppj-accept", self._acceptor.run)
        except BaseException:
            self._acceptor.close()
            raise

    def stop(self) -> None:
        self._acceptor.stop()

    def join(self, deadline: float, exempt: Collection[int]) -> None:
        self._handshake_threads.stop()
        self._threads.join(deadline, exempt)

    def hand_over(self) -> None:
        self._handshake_threads.hand_over()

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

    def _welcome(self, raw: socket.socket, address: str) -> Optional[bytes]:
        """Begin the handshake of a connection, or return the answer when it is beyond a limit: on the accept thread."""
        problem = self._server.take_attempt(address)
        if problem is None:
            try:
                self._make_room(source_of(address))
            except BadRequest as error:
                self._server.note_refusal(address, error)
                problem = error
        if problem is not None:
            return b"" if self.ssl_context is not None else refusal(problem.status, problem.reason, problem.headers)
        try:
            if not is_unix(raw):
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.ssl_context is not None:
                raw = self.ssl_context.wrap_socket(raw, server_side=True, do_handshake_on_connect=False)
        except OSError as error:  # the peer has gone; then some systems refuse even a socket option
            self._server.count_refusal("abandoned")
            self._server.handlers.log.warning(
                "%s: gone when it was accepted: %s", address, error, source=source_of(address)
            )
            raise ConnectionAbortedError("gone when it was accepted") from error
        sock = Stream(raw, write_timeout=self._write_timeout, budget=self._server.budget)
        try:
            self._begin(sock, address)
        except BaseException:
            sock.close()
            raise
        return None

    def _make_room(self, source: str) -> None:
        """Cut a handshake if one more would be too many. Raises `BadRequest`. Only this thread adds handshakes."""
        with self.run.lock:
            victim = self.run.handshakes.make_room(source, time.monotonic())
        if victim is not None:
            victim.sock.shutdown()  # its thread logs and counts it, unless it has done so already

    def _begin(self, sock: Stream, address: str) -> None:
        handshake = Handshake(sock, address)
        run = partial(self._run_handshake, handshake, sock)
        end = partial(self._end_handshake, handshake, sock)
        try:
            with self.run.lock:
                stopping = self.run.stopping
                if not stopping:
                    self.run.handshakes.add(handshake)
            if not stopping:
                self._handshake_threads.submit(address, run, end)
        except BaseException:
            with self.run.lock:
                self.run.handshakes.discard(handshake)
            self._server.count_refusal("out_of_resources")
            raise
        if stopping:
            self._server.count_refusal("stopping")
            raise ConnectionAbortedError("the server is stopping")

    def _run_handshake(self, handshake: Handshake, sock: Stream) -> None:
        try:
            handshake.waiting_since = time.monotonic()
            self._upgrade(self, handshake, sock)
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
            if reason == "abandoned" and handshake.cut_for is None and not sock.heard:
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


def _reason(error: Exception) -> str:
    """Return the reason under which a failed handshake is counted."""
    if isinstance(error, socket.timeout):
        return "handshake_timeout"
    if isinstance(error, ssl.SSLError) and not isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return "tls"
    return "abandoned"
