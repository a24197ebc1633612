"""The request that a WSGI environ stands for. Pure.

PEP 3333 has the path decoded, and split in two: SCRIPT_NAME is where the application is mounted, PATH_INFO the rest. An
identity may have an encoded slash, so the path is needed as it was sent. Most web servers add that: as RAW_URI
(gunicorn, Werkzeug) or REQUEST_URI (uWSGI, Werkzeug, cheroot). Without it the path is encoded again.
"""

from __future__ import annotations

from typing import Any, Dict, Iterator, Mapping, Tuple
from urllib.parse import quote, unquote_to_bytes

from ..ws.handshake.forwarded import UNIX
from ..ws.handshake.http import ONCE, Headers, RequestHead
from ..ws.handshake.urls import split_target

__all__ = ["Environ", "asks_for_websocket", "head_of", "path_of", "peer_of"]

#: What a web server calls an application with.
Environ = Dict[str, Any]

_RAW = ("RAW_URI", "REQUEST_URI")
_PLAIN = "/!$&'()*+,;=:@~"  # what a path may have unencoded, besides letters and the like (RFC 3986 section 3.3)
_NO_FIELDS = ("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH")  # PEP 3333 has them without HTTP_


def asks_for_websocket(environ: Mapping[str, Any]) -> bool:
    """Tell whether a request is to be upgraded to WebSocket."""
    tokens = str(environ.get("HTTP_UPGRADE", "")).split(",")
    return "websocket" in [token.strip().lower() for token in tokens]


def head_of(environ: Mapping[str, Any]) -> RequestHead:
    """Return the head of a request. Its target begins where the application is mounted."""
    query = environ.get("QUERY_STRING", "")
    target = path_of(environ) + (f"?{query}" if query else "")
    version = str(environ.get("SERVER_PROTOCOL", "")).rpartition("/")[2]
    headers = Headers(_fields(environ))
    # Web servers join repeated fields with commas. A value of one of these fields has none.
    headers.repeated.update(name for name in ONCE if "," in headers.get(name, ""))
    return RequestHead(environ.get("REQUEST_METHOD", ""), target, version, headers)


def path_of(environ: Mapping[str, Any]) -> str:
    """Return the path as it was sent, from where the application is mounted."""
    decoded = environ.get("PATH_INFO", "")
    depth = environ.get("SCRIPT_NAME", "").rstrip("/").count("/")
    for name in _RAW:
        raw = split_target(environ.get(name, ""))[0]
        for path in (raw, _below(raw, depth)):
            # cheroot leaves "%2F" encoded in PATH_INFO. If both differ, a middleware has changed the path.
            if path and _decode(path) in (decoded, _decode(decoded)):
                return path
    return quote(decoded.encode("iso-8859-1", "replace"), safe=_PLAIN)


def peer_of(environ: Mapping[str, Any]) -> str:
    """Return where the connection comes from, "host:port"; "unix" for one without an address, as over a Unix socket."""
    host = environ.get("REMOTE_ADDR", "")
    if not host or host.startswith(("<", "/", "@")) or host == "unix:":
        return UNIX
    port = environ.get("REMOTE_PORT") or 0
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _fields(environ: Mapping[str, Any]) -> Iterator[Tuple[str, str]]:
    for name, value in environ.items():
        if name.startswith("HTTP_") and name not in _NO_FIELDS:
            yield name[len("HTTP_") :].replace("_", "-"), str(value).strip(" \t")
    for name in ("CONTENT_LENGTH", "CONTENT_TYPE"):
        if environ.get(name):
            yield name.replace("_", "-"), str(environ[name])


def _below(path: str, depth: int) -> str:
    """Return what follows the first ``depth`` segments of ``path``."""
    return "/" + path.split("/", depth + 1)[-1] if path.count("/") > depth else ""


def _decode(path: str) -> str:
    """Decode a path as PEP 3333 wants it: its bytes, as ISO 8859-1."""
    return unquote_to_bytes(path.encode("iso-8859-1", "replace")).decode("iso-8859-1")
