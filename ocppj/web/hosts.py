"""The web servers that a connection can be taken over from, and how that is done.

A web server has the client's socket, and closes it when the request has ended. `take_over` duplicates the descriptor,
and puts one end of a socket pair in the place of the original. The web server goes on with that end: what it writes and
closes then is no longer the client's connection. The other end is ended for writing at once. So all that the web server
can still read is what it has read ahead, which belongs to the connection, and then the end.

What differs between web servers is where the socket is, and what has read ahead. `find` knows that.
"""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from typing import Any, Callable, List, NamedTuple, Optional, Tuple

from .environ import Environ

__all__ = ["Connection", "Rest", "add_target", "find", "is_tls", "take_over"]

_MOST_AHEAD = 1024 * 1024  # bytes that a web server may have read behind a request


class Connection(NamedTuple):
    """A connection of a web server."""

    sock: Any  #: Its socket.
    read: Callable[[], bytes]  #: Returns what has come, buffered bytes first; ``b""`` at the end.


class Rest:
    """The response for a web server whose connection was taken over: nothing. It keeps the other end of its socket.

    `close`, which the web server calls in the end (PEP 3333), closes that end.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def __iter__(self) -> "Rest":
        return self

    def __next__(self) -> bytes:
        raise StopIteration

    def close(self) -> None:
        """Close the other end of the web server's socket. May be called again."""
        self._end.close()

    __del__ = close


def add_target(environ: Environ, start_response: Any) -> None:
    """Add the target of the request as it was sent, where the web server has it and leaves it out: wsgiref, pywsgi."""
    if "RAW_URI" not in environ and "REQUEST_URI" not in environ:
        handler = getattr(start_response, "__self__", None)
        target = getattr(getattr(handler, "request_handler", handler), "path", None)
        if isinstance(target, str):
            environ["RAW_URI"] = target


def find(environ: Environ, start_response: Any) -> Optional[Connection]:
    """Return the connection of a request; ``None`` when the web server has none to give."""
    for place in _PLACES:
        found = place(environ, getattr(start_response, "__self__", None))
        if found is not None and hasattr(found.sock, "fileno"):
            return found
    return None


def is_tls(sock: Any) -> bool:
    """Tell whether the web server ends TLS on ``sock``: its keys cannot be taken over."""
    return hasattr(sock, "getpeercert") or hasattr(sock, "get_peer_certificate")


def take_over(connection: Connection) -> Tuple[socket.socket, bytes, Rest]:
    """Take a connection from its web server, on the thread of the request. Raises ``OSError``.

    Returns:
        The socket, the bytes that the web server has read ahead, and the response to give it.
    """
    place = connection.sock.fileno()
    with ExitStack() as undo:
        taken = undo.enter_context(_duplicate(place))
        end, stand_in = socket.socketpair()
        undo.enter_context(end)
        with stand_in:
            end.shutdown(socket.SHUT_WR)
            os.set_blocking(stand_in.fileno(), os.get_blocking(place))
            if connection.sock.fileno() != place:  # then the descriptor may be that of another file by now
                raise ConnectionAbortedError("the web server has closed the connection")
            os.dup2(stand_in.fileno(), place, inheritable=False)
        ahead = _read_ahead(connection.read)
        undo.pop_all()
    return taken, ahead, Rest(end)


def _duplicate(descriptor: int) -> socket.socket:
    copy = os.dup(descriptor)
    try:
        return socket.socket(fileno=copy)
    except BaseException:
        os.close(copy)
        raise


def _read_ahead(read: Callable[[], bytes]) -> bytes:
    data = b""
    while len(data) < _MOST_AHEAD:
        part = read()
        if not part:
            break
        data += part
    return data


def _gunicorn(environ: Environ, handler: Any) -> Optional[Connection]:
    """Find that of gunicorn's workers. Its parser has read ahead. If a middleware hides the parser, that is lost."""
    sock = environ.get("gunicorn.socket")
    unreader = getattr(getattr(environ.get("wsgi.input"), "reader", None), "unreader", None)
    return None if sock is None else Connection(sock, getattr(unreader, "read", bytes))


def _werkzeug(environ: Environ, handler: Any) -> Optional[Connection]:
    sock = environ.get("werkzeug.socket")
    return None if sock is None else _buffered(sock, environ.get("wsgi.input"))


def _wsgiref(environ: Environ, handler: Any) -> Optional[Connection]:
    """Find that of `wsgiref.simple_server`, which Django's ``runserver`` uses."""
    request = getattr(handler, "request_handler", None)
    return None if request is None else _buffered(getattr(request, "connection", None), request.rfile)


def _pywsgi(environ: Environ, handler: Any) -> Optional[Connection]:
    """Find that of `gevent.pywsgi`."""
    return _buffered(getattr(handler, "socket", None), getattr(handler, "rfile", None))


def _cheroot(environ: Environ, handler: Any) -> Optional[Connection]:
    """Find that of cheroot, which CherryPy uses."""
    connection = getattr(getattr(handler, "req", None), "conn", None)
    return _buffered(getattr(connection, "socket", None), getattr(connection, "rfile", None))


def _buffered(sock: Any, reader: Any) -> Optional[Connection]:
    read = getattr(reader, "read1", None)
    return None if sock is None or read is None else Connection(sock, lambda: bytes(read(65536)))


_PLACES: List[Callable[[Environ, Any], Optional[Connection]]] = [_gunicorn, _werkzeug, _wsgiref, _pywsgi, _cheroot]
