"""The WSGI application that takes WebSocket connections over, and hands everything else on (PEP 3333)."""

from __future__ import annotations

import wsgiref.handlers
from typing import Any, Callable, Iterable, List, Optional, Protocol, Tuple

from ..interrupted import calls_program
from ..log_limit import LimitedLog
from ..ws.handshake.http import BadRequest, RequestHead, phrase_of
from ..ws.handshake.identities import Identification
from ..ws.limits import source_of
from .environ import Environ, asks_for_websocket, head_of, path_of, peer_of
from .hosts import Rest, add_target, find, is_tls, take_over
from .opening import Opening

__all__ = ["MountedApp", "Transport", "WSGIApplication"]

#: What a web server calls: ``f(environ, start_response)``.
WSGIApplication = Callable[..., Iterable[bytes]]

_WAY_OUT = "use gunicorn, Werkzeug, cheroot or gevent's pywsgi, or a port of the server's own: listen()"
_NO_SOCKET = f"this web server does not hand its connections over: {_WAY_OUT}"
_TLS = "this web server ends TLS itself, and such connections cannot be handed over: end TLS in a proxy before it"
_NOT_AN_UPGRADE = BadRequest(426, "this is a WebSocket endpoint", [("Upgrade", "websocket")])
_NOTHING_HERE = BadRequest(404, "there is nothing here")


class Transport(Protocol):
    """What takes a connection over: see `ocppj.ws.server.WebSocketServer.adopt`."""

    def adopt(
        self, head: RequestHead, address: str, take: Callable[[], Any], identification: Optional[Identification] = None
    ) -> None:
        """Take over the connection that ``take`` returns."""

    def note_refusal(self, remote_address: str, error: BadRequest) -> None:
        """Count and log a refusal."""

    def count_refusal(self, reason: str) -> None:
        """Count a refusal."""


class MountedApp:
    """What `ocppj.Server.wsgi_app` returns.

    Args:
        app: Gets what is not taken over; ``None``: then such requests are refused.
        identification: Says which paths are those of chargers.
        opening: Opens the server at the first request.
        transport: Takes the connections.
        log: Where it says why a connection cannot be taken over.
    """

    def __init__(
        self,
        app: Optional[WSGIApplication],
        identification: Identification,
        opening: Opening,
        transport: Transport,
        log: LimitedLog,
    ) -> None:
        self._app = app
        self._identification = identification
        self._opening = opening
        self._transport = transport
        self._log = log

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request, on the thread of the web server, which is free at once."""
        add_target(environ, start_response)
        upgrade = asks_for_websocket(environ)
        if self._app is not None and not (upgrade and self._identification.serves(path_of(environ))):
            return _hand_on(self._app, environ, start_response)
        try:
            if upgrade:  # without an application on any path: the handshake refuses, counts and logs a wrong one
                return self._take(environ, start_response)
        except BadRequest as error:
            refused = error
        else:
            refused = _NOT_AN_UPGRADE if self._identification.serves(path_of(environ)) else _NOTHING_HERE
        return _refuse(refused, environ, start_response)

    def _take(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Take the connection over. Raises `BadRequest` to refuse it."""
        address, head = peer_of(environ), head_of(environ)
        fault = _fault_of(head)
        if fault:
            refused = BadRequest(400, fault)
            self._transport.note_refusal(address, refused)
            raise refused
        found = find(environ, start_response)
        if found is None:
            raise self._unable(address, environ, _NO_SOCKET)
        if is_tls(found.sock):
            raise self._unable(address, environ, _TLS)
        self._open(address)
        rest: List[Rest] = []

        def take() -> Tuple[Any, bytes]:
            sock, ahead, end = take_over(found)
            rest.append(end)
            return sock, ahead

        try:
            self._transport.adopt(head, address, take, self._identification)
        except (OSError, RuntimeError) as error:
            self._log.error("%s: the connection cannot be taken over: %s", address, error, source=source_of(address))
            if not rest:
                self._transport.count_refusal("out_of_resources")
                raise BadRequest(503, "the connection cannot be taken over", [("Retry-After", "5")]) from error
        start_response("101 Switching Protocols", [])  # for the log of the web server: nobody gets it
        return rest[0]

    def _open(self, address: str) -> None:
        """Open the server, if this is the first request. Raises `BadRequest`."""
        try:
            self._opening.open_for_request()
        except BadRequest as refused:
            self._transport.note_refusal(address, refused)
            raise
        except Exception as error:
            self._log.error("%s: the server cannot be opened: %s", address, error, source="opening")
            self._transport.count_refusal("not_open")
            raise BadRequest(503, "the server cannot be opened", [("Retry-After", "5")]) from error

    def _unable(self, address: str, environ: Environ, story: str) -> BadRequest:
        name = environ.get("SERVER_SOFTWARE") or ("uWSGI" if "uwsgi.version" in environ else "of an unknown name")
        self._log.error("%s: %s (the web server is %s)", address, story, name, source="hosts")
        self._transport.count_refusal("not_taken_over")
        return BadRequest(501, story)


def _fault_of(head: RequestHead) -> str:
    """Say why a request to upgrade is refused at once, whatever the web server is; "" if it is not."""
    if head.version != "1.1":
        return "HTTP/1.1 is needed"
    # The web server reads a body itself. Werkzeug puts a reader of it in the place of the connection's.
    if head.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in head.headers:
        return "no body is expected"
    return ""


@calls_program
def _hand_on(app: WSGIApplication, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    return app(environ, start_response)


def _refuse(refused: BadRequest, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Refuse a request through the web server, which ends the connection or keeps it as it does for any other."""
    body = (refused.reason + "\n").encode("utf-8")
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
    # wsgiref and Django's runserver take no such field from an application (PEP 3333 forbids it).
    strict = isinstance(getattr(start_response, "__self__", None), wsgiref.handlers.BaseHandler)
    headers += [(name, value) for name, value in refused.headers if not (strict and name.lower() == "upgrade")]
    start_response(f"{refused.status} {phrase_of(refused.status)}", headers)
    return [] if environ.get("REQUEST_METHOD") == "HEAD" else [body]
