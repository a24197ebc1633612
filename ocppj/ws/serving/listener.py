"""An address that a server listens on, whatever library speaks WebSocket.

``ocppj-accept`` accepts (see `acceptor`), and hands each connection to the `HandshakeRunner`. The accept thread refuses
by itself what is beyond a limit (`ocppj.ws.limits`), and never waits (see `lingering`): it answers 503 where the
connection is plain. Over TLS an answer would cost a handshake, so the connection is closed.
"""

from __future__ import annotations

import socket
from typing import Collection, Optional, Sequence

from ..handshake.http import refusal
from ..limits import source_of
from ..stream.stream import Stream
from ..threads import Threads
from .acceptor import Acceptor
from .addresses import ListenAddress, is_unix
from .handshakes import HandshakeRunner, Upgrade
from .registry import Run, ServerCore

__all__ = ["TcpListener"]


class TcpListener:
    """Accepts connections of ``socks`` for one `Run`, and runs their handshakes: ``upgrade``.

    It closes the sockets in the end, and also if it raises.
    """

    def __init__(
        self,
        server: ServerCore,
        run: Run,
        address: ListenAddress,
        socks: Sequence[socket.socket],
        upgrade: Upgrade,
        *,
        write_timeout: float,
        linger: float,
    ) -> None:
        self.run = run
        self._server = server
        self._upgrade = upgrade
        self._ssl_context = address.ssl_context
        self._write_timeout = write_timeout
        log = server.handlers.safe_log
        self._threads = Threads(log)
        self.handshakes: HandshakeRunner = HandshakeRunner(server, run, linger, self._threads)
        self.url: str = self._make_url(address, socks[0])
        self._acceptor = Acceptor(socks, self._welcome, log)

    def _make_url(self, address: ListenAddress, sock: socket.socket) -> str:
        secure = self._ssl_context is not None
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
        self.handshakes.stop()
        self._threads.join(deadline, exempt)

    def _welcome(self, raw: socket.socket, address: str) -> Optional[bytes]:
        """Begin the handshake of a connection, or return the answer when it is beyond a limit: on the accept thread."""
        problem = self.handshakes.refuse(address)
        if problem is not None:
            return b"" if self._ssl_context is not None else refusal(problem.status, problem.reason, problem.headers)
        try:
            if not is_unix(raw):
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._ssl_context is not None:
                raw = self._ssl_context.wrap_socket(raw, server_side=True, do_handshake_on_connect=False)
        except OSError as error:  # the peer has gone; then some systems refuse even a socket option
            self._server.count_refusal("abandoned")
            self._server.handlers.log.warning(
                "%s: gone when it was accepted: %s", address, error, source=source_of(address)
            )
            raise ConnectionAbortedError("gone when it was accepted") from error
        sock = Stream(raw, write_timeout=self._write_timeout, budget=self._server.budget)
        try:
            self.handshakes.begin(sock, address, self._upgrade)
        except BaseException:
            sock.close()
            raise
        return None
