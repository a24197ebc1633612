"""`HandshakeRequest`: a client that wants to connect, and what is kept of it while it is connected. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Mapping, Optional, Tuple

from .http import Headers

__all__ = ["HandshakeRequest", "KeptRequest"]

# Left out of what is kept: they hold the password, or a random number that nobody needs after the handshake and that
# would keep connections from sharing the text of their fields.
_NOT_KEPT = frozenset({"authorization", "proxy-authorization", "sec-websocket-key"})


@dataclass(frozen=True)
class HandshakeRequest:
    """A client that wants to connect, as the check handlers see it.

    ``identity`` is decoded, ``path`` is raw, ``query`` is the endpoint's. ``peer_certificate`` is the result of
    `ssl.SSLSocket.getpeercert`: ``None`` without TLS or certificate, empty when it was not verified. ``values`` are
    the decoded segments of the path by the names of the other placeholders of its template: ``{"tenant": "north"}``
    for ``/{tenant}/{id}``.
    """

    identity: str
    path: str
    query: str = field(repr=False)  # it may have a token
    headers: Mapping[str, str]
    remote_address: str
    subprotocols: Tuple[str, ...]
    peer_certificate: Optional[Mapping[str, Any]] = None
    password: Optional[bytes] = field(default=None, repr=False)
    values: Mapping[str, str] = field(default_factory=dict)

    def subject(self, attribute: str) -> Tuple[str, ...]:
        """Return the values of one attribute of the certificate's subject, such as ``"organizationName"``."""
        names = (self.peer_certificate or {}).get("subject", ())
        return tuple(value for name in names for key, value in name if key == attribute)

    @property
    def certificate_matches(self) -> bool:
        """Whether there is a verified certificate that names the identity."""
        others = (self.peer_certificate or {}).get("subjectAltName", ())
        return self.identity in (*self.subject("commonName"), *(value for kind, value in others if kind == "DNS"))


@lru_cache(maxsize=256)
def _share(text: str) -> str:
    """Return one object for equal texts. Not ``sys.intern``: Python 3.12.0 to 3.12.6 never free what that returns."""
    return text


class KeptRequest:
    """What a channel keeps of a request: small, for there may be thousands, and without the password and its fields.

    A dictionary of the fields alone costs more than a kilobyte. As one text they are shared by the channels of clients
    that send the same, such as chargers of one model.
    """

    __slots__ = ("_certificate", "_fields", "_path", "_query", "_values")

    def __init__(self, request: HandshakeRequest) -> None:
        fields = [f"{name}:{text}" for name, text in request.headers.items() if name not in _NOT_KEPT]
        self._fields = _share("\n".join(fields))  # no field has a line feed: see `parse_request`
        self._path = request.path
        self._query = request.query
        self._values = request.values or None
        self._certificate = request.peer_certificate

    def request(self, identity: str, remote_address: str) -> HandshakeRequest:
        """Return the request anew."""
        fields = (line.partition(":") for line in self._fields.split("\n") if line)
        headers = Headers((name, text) for name, _, text in fields)
        return HandshakeRequest(
            identity=identity,
            path=self._path,
            query=self._query,
            headers=headers,
            remote_address=remote_address,
            subprotocols=tuple(headers.tokens("Sec-WebSocket-Protocol")),
            peer_certificate=self._certificate,
            values=dict(self._values or {}),  # a copy, which a program may change
        )
