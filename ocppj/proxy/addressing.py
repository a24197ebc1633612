"""How a station's request becomes that for the central system: the URL, and the header fields. Pure."""

from __future__ import annotations

from typing import Dict, Mapping, Optional
from urllib.parse import unquote_to_bytes, urlsplit, urlunsplit

from ..errors import UsageError
from ..ws.handshake.identities import BadIdentity
from ..ws.handshake.request import HandshakeRequest
from ..ws.handshake.urls import connection_url, host_and_port, identity_fault

__all__ = ["check_endpoint", "identity_of", "inner_path", "passed_fields", "version_of", "without_identity"]

#: Fields that belong to one connection (RFC 9110 section 7.6.1), or that the handshake sets.
_OWN = {"connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
_OWN |= {"proxy-authenticate", "proxy-authorization", "proxy-connection", "x-forwarded-for"}


def check_endpoint(url: object) -> str:
    """Return the endpoint of a central system. Raises `UsageError` if it cannot be one."""
    if not isinstance(url, str):
        raise UsageError(f"the URL of a central system is a text such as wss://csms.example/ocpp, not {url!r}")
    connection_url(url, "CP_1")
    host_and_port(url)
    return url


def inner_path(prefix: str, path: str) -> Optional[str]:
    """Return what stands in a raw ``path`` behind ``prefix``, from a "/" on; ``None`` if it does not begin with it."""
    prefix = prefix.rstrip("/")
    if not path.startswith(f"{prefix}/") or not path.rstrip("/")[len(prefix) :]:
        return None
    return path[len(prefix) :]


def identity_of(path: str) -> str:
    """Return the identity in a raw ``path``: its last segment, decoded. Raises `BadIdentity`."""
    segment = path.rstrip("/").rpartition("/")[2]
    try:
        identity = unquote_to_bytes(segment.encode("iso-8859-1")).decode("utf-8")
    except UnicodeError:
        raise BadIdentity("the identity is not UTF-8") from None
    fault = identity_fault(identity)
    if fault is not None:
        raise BadIdentity(f"the identity {fault}")
    return identity


def target_url(endpoint: str, path: str, query: str) -> str:
    """Return the URL of a connection: ``endpoint``, then the raw ``path`` as it is, and both queries."""
    parts = urlsplit(endpoint)
    queries = "&".join(each for each in (parts.query, _ascii(query)) if each)
    return (
        urlunsplit((parts.scheme, parts.netloc, "", "", ""))
        + parts.path.rstrip("/")
        + _ascii(path)
        + (f"?{queries}" if queries else "")
    )


def without_identity(endpoint: str, path: str) -> str:
    """Return ``endpoint`` with what stands before the identity in ``path``: a client adds the identity itself."""
    parts = urlsplit(endpoint)
    before = _ascii(path.rstrip("/").rpartition("/")[0])
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/") + before, parts.query, ""))


def passed_fields(request: HandshakeRequest, *, authorization: bool) -> Dict[str, str]:
    """Return the fields of a station's request that go on to the central system, and where the station is.

    Args:
        request: The station's.
        authorization: Whether its credentials are passed on.
    """
    fields = {
        name: value
        for name, value in request.headers.items()
        if name not in _OWN and not name.startswith("sec-websocket-") and (authorization or name != "authorization")
    }
    return {**fields, **_forwarded(request.headers, request.remote_address)}


def _forwarded(headers: Mapping[str, str], address: str) -> Dict[str, str]:
    host, colon, _ = address.rpartition(":")
    if not colon:  # a Unix domain socket
        return {}
    before = headers.get("X-Forwarded-For")
    host = host.strip("[]")
    return {"x-forwarded-for": f"{before}, {host}" if before else host}


def version_of(subprotocol: str) -> str:
    """Return the OCPP version of a subprotocol such as "ocpp1.6"; "" for another one."""
    return subprotocol[len("ocpp") :] if subprotocol.startswith("ocpp") else ""


def _ascii(text: str) -> str:
    """Return a raw part of a URL, whose characters are bytes, with those that are not ASCII percent-encoded."""
    return "".join(each if each.isascii() else f"%{ord(each):02X}" for each in text)
