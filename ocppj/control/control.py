"""`Control`: a local socket over which other programs of the same user send messages to the clients of a server."""

from __future__ import annotations

import json
import selectors
import socket
import threading
from contextlib import suppress
from functools import partial
from typing import Any, Callable, Dict, List, Mapping, Optional, Protocol

from ..cluster.errors_json import error_to_json
from ..dispatch.futures import CallFuture
from ..errors import OcppjError, TransportError, UsageError
from ..events import Event, Thread
from ..exchange.connection_info import ConnectionInfo
from ..exchange.exits import stop_at_exit
from ..forks import close_copies, register
from ..interrupted import calls_program, refuse_inside
from ..log_limit import SafeLog
from ..loops import run_loop
from .address import path_of
from .protocol import LineReader, info_to_json, send_line
from .socket_file import SocketFile

__all__ = ["Control"]

_MOST_PEERS = 32
_LONGEST_LINE = 4 * 1024 * 1024  # bytes of a request
_PATIENCE = 10.0  # seconds for a line of a peer, and for the reply to be taken
_LONGEST_CALL = 86400.0  # seconds
_ENDING = 5.0  # seconds for the threads to end
_LOOK = 0.5  # seconds between two looks whether a call is to end: a peer that has sent more cannot tell of its end
_PAUSE = 0.1  # seconds after an attempt to accept that failed

#: A selector without a descriptor of its own, where there is one.
_Selector: Callable[[], selectors.BaseSelector] = getattr(selectors, "PollSelector", selectors.DefaultSelector)


class Calls(Protocol):
    """The methods of a `Server` that can be used over a control socket."""

    def make_request(self, client_id: str, action: str, payload: Optional[Mapping[str, Any]] = None) -> Any: ...

    def send_request(self, client_id: str, request: Any, timeout: Optional[float] = None) -> "CallFuture[Any]": ...

    def disconnect(self, client_id: str, code: int = 1000, reason: str = "") -> None: ...


class Control:
    """A control socket, which `Server.control` opens. `close` ends it, and so does the ``stop()`` of the server.

    Only programs of the same user can use it: its file has the mode 0600. At most 32 may be connected at a time. Each
    has a thread of its own, which waits for the answers; the threads of the server do not wait for them. Any thread may
    use this object.

    Attributes:
        address: Such as ``unix:/run/ocppj.sock``.
    """

    def __init__(
        self, server: Calls, connections: Callable[[], List[ConnectionInfo]], address: str, log: SafeLog
    ) -> None:
        self._server = server
        self._list = connections
        self._log = log
        self._file = SocketFile(path_of(address))
        self.address: str = f"unix:{self._file.path}"
        self._lock = threading.Lock()  # guards the fields below
        self._peers: Dict[socket.socket, threading.Thread] = {}
        self._closed = Event()
        self._wake, self._woken = socket.socketpair()
        self._thread = Thread(target=self._run, name="ocppj-control", daemon=True)
        register(self)
        stop_at_exit(self)
        self._thread.start()

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._closed.is_set()

    def __enter__(self) -> "Control":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _after_fork(self) -> None:
        """Leave the socket and its peers to the parent: see `ocppj.forks`."""
        self._closed.set()
        close_copies(self._file.socket, self._wake, self._woken, *self._peers)
        self._peers.clear()

    def close(self) -> None:
        """Remove the socket, end its calls that are under way, and wait for its threads. May be called again."""
        refuse_inside("close()", waits=True)
        self._close()

    def _stop_at_exit(self, seconds: float) -> None:
        """Close at the end of the program: see `ocppj.exchange.exits`. For the library."""
        self._close()

    def _close(self) -> None:
        with self._lock:
            closed = self._closed.is_set()
            self._closed.set()
            peers = dict(self._peers)
        if not closed:
            self._file.close()
        with suppress(OSError):
            self._wake.send(b"x")
        for sock in peers:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in (self._thread, *peers.values()):
            if thread is not threading.current_thread():
                thread.join(_ENDING)

    # The thread that accepts

    def _run(self) -> None:
        with self._wake, self._woken, _Selector() as selector:
            selector.register(self._file.socket, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            run_loop("the control socket", partial(self._accept, selector), log=self._log)

    def _accept(self, selector: selectors.BaseSelector) -> bool:
        """Accept one peer. Return whether to go on."""
        if self._closed.is_set():
            return False
        selector.select()
        if self._closed.is_set():
            return False
        try:
            sock, _ = self._file.socket.accept()
        except (BlockingIOError, ConnectionError):
            return True
        except OSError:  # no more descriptors
            self._closed.wait(_PAUSE)
            return True
        if not self._begin(sock):
            sock.close()
        return True

    def _begin(self, sock: socket.socket) -> bool:
        """Give a peer its thread. Return false if that cannot be."""
        thread = Thread(target=self._serve, args=(sock,), name="ocppj-control-peer", daemon=True)
        with self._lock:
            is_full = len(self._peers) >= _MOST_PEERS
            if not is_full and not self._closed.is_set():
                self._peers[sock] = thread
        if is_full:
            words = f"{_MOST_PEERS} programs use the control socket already"
            with suppress(OSError):
                send_line(sock, {"error": error_to_json(TransportError(words))}, 0.0)
            return False
        try:
            thread.start()
        except BaseException as error:  # no more threads
            with self._lock:
                self._peers.pop(sock, None)
            if not isinstance(error, Exception):
                raise
            return False
        return True

    # The threads of the peers

    def _serve(self, sock: socket.socket) -> None:
        try:
            with sock:
                self._converse(sock)
        except OSError:  # the peer is gone, or too slow
            pass
        except Exception:
            self._log.error("a program at the control socket could not be served", exc_info=True)
        finally:
            with self._lock:
                self._peers.pop(sock, None)

    def _converse(self, sock: socket.socket) -> None:
        lines = LineReader(sock, _LONGEST_LINE)
        while not self._closed.is_set():
            try:
                line = lines.read(_PATIENCE)
            except (TransportError, TimeoutError) as error:
                send_line(sock, {"error": error_to_json(TransportError(f"{error}: the connection ends"))}, _PATIENCE)
                return
            if line is None:
                return
            send_line(sock, self._reply(line, sock), _PATIENCE)

    def _reply(self, line: bytes, sock: socket.socket) -> Dict[str, Any]:
        try:
            return {"result": self._do(line, sock)}
        except OcppjError as error:
            return {"error": error_to_json(error)}
        except Exception as error:
            self._log.error("a request at the control socket failed", exc_info=True)
            return {"error": error_to_json(error)}

    @calls_program  # it holds no lock
    def _do(self, line: bytes, sock: socket.socket) -> Any:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict):
            raise UsageError("a request is a JSON object in one line")
        what = request.get("do")
        if what == "ping":
            return None
        if what == "connections":
            return self._connections()
        if what == "call":
            return self._call(request, sock)
        if what == "disconnect":
            code, reason = request.get("code", 1000), _text(request, "reason", "")
            if type(code) is not int:
                raise UsageError(f'"code" is a whole number, not {code!r:.80}')
            self._server.disconnect(_text(request, "client"), code, reason)
            return None
        raise UsageError(f'"do" is "call", "connections" or "disconnect", not {what!r:.80}')

    @calls_program
    def _connections(self) -> List[Dict[str, Any]]:
        return [info_to_json(each) for each in self._list()]

    @calls_program
    def _call(self, request: Mapping[str, Any], sock: socket.socket) -> Any:
        client_id, payload = _text(request, "client"), request.get("payload", {})
        typed = self._server.make_request(client_id, _text(request, "action"), payload)
        future = self._server.send_request(client_id, typed, _timeout(request.get("timeout")))
        if not _await(future, sock, self._closed):
            future.cancel()
            raise UsageError("the program that asked has gone, or the control socket is closed")
        response = future.result(0)
        return response.to_wire()


def _text(request: Mapping[str, Any], name: str, default: Optional[str] = None) -> str:
    value = request.get(name, default)
    if not isinstance(value, str):
        raise UsageError(f'"{name}" is a text, not {value!r:.80}')
    return value


def _timeout(value: Any) -> Optional[float]:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= _LONGEST_CALL:
        raise UsageError(f'"timeout" is a number of seconds, more than 0 and at most {_LONGEST_CALL:.0f}')
    return float(value)


def _await(future: "CallFuture[Any]", sock: socket.socket, closed: Event) -> bool:
    """Wait for the end of a call. Return false if its peer goes before that, or the control socket is closed."""
    told, tell = socket.socketpair()
    with told, tell, _Selector() as selector:
        future.add_done_callback(lambda future: _tell(tell))
        selector.register(told, selectors.EVENT_READ)
        selector.register(sock, selectors.EVENT_READ)
        while not future.done():
            ready = [key.fileobj for key, _ in selector.select(_LOOK)]
            if closed.is_set():
                return False
            if sock in ready and told not in ready:
                if _has_gone(sock):
                    return False
                selector.unregister(sock)  # its next request waits
    return True


def _tell(sock: socket.socket) -> None:
    with suppress(OSError):  # it is closed: nobody waits any more
        sock.send(b"x")


def _has_gone(sock: socket.socket) -> bool:
    try:
        sock.settimeout(0)
        return not sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
