"""What a server on a listening socket is, whatever library speaks WebSocket: TLS, HTTP refusals, handshakes.

``ocppj-accept`` accepts (see `listener`); handshakes have threads of their own (see `greeters`), and one that may wait
for anything has its thread for itself, so that no client can keep others waiting; `ocppj.ws.limits` says how many there
may be. ``stop()`` cuts handshakes in progress. What is refused for its number alone, the accept thread answers itself,
never waiting (see `farewells`): 503 where the connection is plain; over TLS an answer would cost a handshake, and the
connection is just closed.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from contextlib import suppress
from functools import partial
from typing import Any, List, Optional, Sequence

from ...errors import TransportError, UsageError
from ...settings import get_logger
from ..checks import check_limits, check_port, check_positive
from ..handshake.http import BadRequest, refusal
from ..limits import PATIENCE, Handshake, Handshakes, source_of
from ..readers.base import join_all
from ..stream.stream import Stream
from .acceptor import Listener
from .handshake_threads import Greeters
from .registry import Run, ServerCore

__all__ = ["Listening", "ListeningServer"]

_LINGER = 1.0  # seconds that who was refused has to hang up
_CUT = {
    "max_handshakes": "the handshake was cut for a newer one: too many wait for their peers",
    "stopping": "the handshake was cut: the server is stopping",
}


class Listening(Run):
    """A run with a listening socket."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.listener: Optional[Listener] = None  # guarded by lock
        self.url = ""
        self.greeters = Greeters()


class ListeningServer(ServerCore):
    """A `base.Server` on a TCP port, but for the handshake of one connection, which subclasses give.

    ``patience`` is that of its `Handshakes`; ``linger`` is how many seconds who was refused has to hang up.
    """

    def __init__(
        self,
        *,
        ssl_context: Optional[ssl.SSLContext],
        write_timeout: float,
        max_handshakes: Optional[int],
        patience: float = PATIENCE,
        linger: float = _LINGER,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        check_positive(write_timeout=write_timeout)
        check_limits(max_handshakes=max_handshakes)
        self._max_handshakes = max_handshakes
        self._patience = patience
        self._longest_linger = linger
        self._ssl_context = ssl_context
        self._write_timeout = write_timeout

    def listen(self, port: int, path: str, host: str, subprotocols: Sequence[str]) -> None:
        """Listen, and return: see `base.Server.listen`. Raises `UsageError` when it listens already."""
        check_port(port)
        run = self._open_run(path, subprotocols, Listening)
        run.handshakes = Handshakes(self._max_handshakes, self._patience)  # none can have begun: there is no listener
        try:
            listener = Listener(host, port, lambda raw, address: self._welcome(run, raw, address))
            run.url = self._make_url(run, host, listener.port)
            listener.start()
        except (OSError, OverflowError, RuntimeError) as error:
            self._close_run(run)
            raise TransportError(f"cannot listen on {host}:{port}: {error}") from error
        with run.lock:
            run.listener = listener
            stopped = run.stopping
        if stopped:  # by another thread, meanwhile
            listener.stop()

    @property
    def url(self) -> str:
        """The endpoint URL for clients on this machine. Raises `UsageError` before ``listen()``."""
        run = self._run
        if not isinstance(run, Listening) or not run.url:
            raise UsageError("the server does not listen")
        return run.url

    @property
    def port(self) -> int:
        """The port it listens on. Raises `UsageError` before ``listen()``."""
        return int(self.url.split("/")[2].rpartition(":")[2])

    def _make_url(self, run: Listening, host: str, port: int) -> str:
        secure = self._ssl_context is not None
        if host in ("", "0.0.0.0", "::"):
            host = "localhost" if secure else "[::1]" if host == "::" else "127.0.0.1"
        elif ":" in host:
            host = f"[{host}]"
        return f"{'wss' if secure else 'ws'}://{host}:{port}{run.template.prefix}"

    def _welcome(self, run: Listening, raw: socket.socket, address: str) -> Optional[bytes]:
        """Start the handshake thread of an accepted connection, or return the answer to one too many.

        Raises ``OSError``, ``RuntimeError``. See `listener.Listener`.
        """
        refusal_ = self._attempt()
        if refusal_ is None:
            try:
                self._make_room(run, source_of(address))
            except BadRequest as error:
                self._note_refusal(address, error)
                refusal_ = error
        if refusal_ is not None:
            secure = self._ssl_context is not None
            return b"" if secure else refusal(refusal_.status, refusal_.reason, refusal_.headers)
        try:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._ssl_context is not None:
                raw = self._ssl_context.wrap_socket(raw, server_side=True, do_handshake_on_connect=False)
        except OSError as error:  # gone already; some systems do not even take an option then
            self.count_refusal("abandoned")
            get_logger().warning("%s: gone when it was accepted: %s", address, error)
            raise ConnectionAbortedError("gone when it was accepted") from error
        sock = Stream(raw, write_timeout=self._write_timeout)
        try:
            self._start_greeting(run, sock, address)
        except BaseException:
            sock.close()
            raise
        return None

    def _make_room(self, run: Listening, source: str) -> None:
        """See that one more handshake may begin. Raises `BadRequest`. Only the accept thread adds handshakes."""
        with run.lock:
            victim = run.handshakes.make_room(source, time.monotonic())
        if victim is not None:
            victim.sock.shutdown()  # its own thread logs and counts it, unless it has done so already

    def _start_greeting(self, run: Listening, sock: Stream, address: str) -> None:
        handshake = Handshake(sock, address)
        with run.lock:
            stopping = run.stopping
            if not stopping:
                run.handshakes.add(handshake)
        if stopping:
            self.count_refusal("stopping")
            raise ConnectionAbortedError("the server is stopping")
        try:
            run.greeters.submit(address, partial(self._greet, run, handshake, sock))
        except RuntimeError:
            with run.lock:
                run.handshakes.discard(handshake)
            self.count_refusal("out_of_resources")
            raise

    def _halt(self, run: Run) -> None:
        assert isinstance(run, Listening)
        with run.lock:
            listener = run.listener
        if listener is not None:
            listener.stop()

    def _join(self, run: Run, deadline: float) -> None:
        assert isinstance(run, Listening)
        with run.lock:
            listener = run.listener
        if listener is not None:
            join_all([listener.thread], deadline, run.stoppers)  # first: nobody is greeted after that
        joined: List[threading.Thread] = []
        while True:  # for one that steps aside meanwhile may call another
            threads = [thread for thread in run.greeters.stop() if thread not in joined]
            if not threads:
                return
            join_all(threads, deadline, run.stoppers)
            joined += threads

    def _greet(self, run: Listening, handshake: Handshake, sock: Stream) -> None:
        """Shake hands with one client: a handshake thread."""
        served = False
        try:
            handshake.waiting_since = time.monotonic()
            served = self._handshake(run, handshake, sock)
        except BaseException as error:
            run.greeters.step_aside()  # what logs may take its time, and not everybody hangs up when he is told to
            self._turn_away(run, handshake, sock, error)
        finally:
            with run.lock:
                run.handshakes.discard(handshake)
            if not served:
                sock.close()

    def _turn_away(self, run: Listening, handshake: Handshake, sock: Stream, error: BaseException) -> None:
        """Count and log why a handshake came to nothing, and tell the peer if it can be told."""
        if isinstance(error, BadRequest):
            self._note_refusal(handshake.address, error)
            self._refuse(run, handshake, sock, error)
        elif isinstance(error, (OSError, EOFError)):
            self._note_failure(handshake, error)
            if _reason(error) == "tls":
                sock.linger(self._linger_until())
        else:
            self.count_refusal("internal_error")
            get_logger().error("%s: the handshake failed", handshake.address, exc_info=error)
            self._refuse(run, handshake, sock, BadRequest(500, "internal error"))

    def _handshake(self, run: Listening, handshake: Handshake, sock: Stream) -> bool:
        """Lead a connection to its channel; return whether it has one. Raises `BadRequest`, ``OSError``.

        To call `_settle` when nothing more is expected of the peer.
        """
        raise NotImplementedError

    def _settle(self, run: Listening, handshake: Handshake) -> None:
        """Take notice that the peer has done its part: this handshake gives way to no other any more.

        From here on it may wait for handlers of the program's, or for its place.
        """
        run.greeters.step_aside()
        with run.lock:
            handshake.waiting_since = None
            cut = handshake.cut_for is not None
        if cut:
            raise ConnectionAbortedError("the handshake was cut")

    def _note_failure(self, handshake: Handshake, error: Exception) -> None:
        """Count and log a handshake that cannot be answered."""
        reason = handshake.cut_for or _reason(error)
        self.count_refusal(reason)
        story = _CUT.get(reason) or f"the handshake failed: {error}"
        get_logger().warning("%s: %s", handshake.address, story)

    def _refuse(self, run: Listening, handshake: Handshake, sock: Stream, error: BadRequest) -> None:
        """Answer with an HTTP error, as far as that is possible without waiting long."""
        with suppress(OSError):
            sock.uncork(discard=True)
            sock.send(refusal(error.status, error.reason, error.headers))
            self._linger(run, handshake, sock)

    def _linger(self, run: Listening, handshake: Handshake, sock: Stream) -> None:
        """Wait until the peer ends the connection, so that it surely reads our last words.

        Meanwhile this handshake gives way to others as one that waits for its request does: else who is refused and
        does not hang up would keep them out.
        """
        with run.lock:
            run.handshakes.wait_again(handshake, time.monotonic())
        deadline = self._linger_until()
        sock.end_writing()
        with suppress(OSError):
            while sock.recv(65536, deadline) and time.monotonic() < deadline:
                pass

    def _linger_until(self) -> float:
        return time.monotonic() + min(self._close_timeout, self._longest_linger)


def _reason(error: Exception) -> str:
    """Return why a handshake failed, as it is counted."""
    if isinstance(error, socket.timeout):
        return "handshake_timeout"
    if isinstance(error, ssl.SSLError) and not isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return "tls"
    return "abandoned"
