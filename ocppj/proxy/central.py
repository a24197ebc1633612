"""`CentralSide`: connects to the central system."""

from __future__ import annotations

import math
import socket
import ssl
import threading
from functools import partial
from typing import Any, Callable, Dict, Mapping, Optional, Set, Tuple, Union

from ..callables import check_not_async
from ..errors import HandshakeRefused, TransportError, UsageError
from ..ws.base import Close
from ..ws.client import WebSocketClient
from ..ws.connecting.session import ConnectAttempt
from ..ws.connection.channel import Handlers, WireChannel
from ..ws.connection.wire import Wire
from ..ws.handshake.credentials import client_headers
from ..ws.handshake.http import BadRequest, phrase_of
from ..ws.handshake.refusal import BASIC_CHALLENGE
from ..ws.handshake.request import HandshakeRequest
from ..ws.readers.base import Readers
from .addressing import passed_fields, target_url
from .link import Link, LinkChannel

__all__ = ["CentralSide", "ContextOption", "CredentialsOption"]

#: Whose credentials the central system gets. See `Proxy`.
CredentialsOption = Union[
    None, str, Mapping[str, Union[str, bytes]], Callable[[HandshakeRequest], Optional[Tuple[str, Union[str, bytes]]]]
]
#: The TLS of connections to the central system. See `Proxy`.
ContextOption = Union[None, ssl.SSLContext, Callable[[HandshakeRequest], Optional[ssl.SSLContext]]]
PASS = "pass"


class CentralSide:
    """Connects to the central system, and owns the channels to it (`channel.ChannelOwner`)."""

    def __init__(
        self,
        endpoint: str,
        credentials: CredentialsOption,
        headers: Optional[Mapping[str, str]],
        ssl_context: ContextOption,
        client: Dict[str, Any],
        channel: Dict[str, Any],
    ) -> None:
        if isinstance(credentials, str) and credentials != PASS:
            raise UsageError('credentials is "pass", None, passwords by identity, or a function: the value is no such')
        check_not_async("credentials", credentials)
        check_not_async("to_ssl_context", ssl_context)
        self.handlers: Handlers = Handlers()
        self._endpoint = endpoint
        self._credentials = credentials
        self._headers = client_headers(headers, None)
        self._ssl_context = ssl_context
        self._opener = WebSocketClient(**client)
        self._channel_options = channel
        self._lock = threading.Lock()  # guards the fields below
        self._attempts: Set[ConnectAttempt] = set()
        self._is_stopping = False

    def start(self) -> None:
        """Let connections be made, also after `stop`."""
        with self._lock:
            self._is_stopping = False

    def stop(self) -> None:
        """Have all attempts to connect fail soon."""
        with self._lock:
            self._is_stopping = True
            attempts = list(self._attempts)
        for attempt in attempts:
            attempt.cancel()

    def on_end(self, channel: WireChannel, close: Close) -> None:
        """See `channel.ChannelOwner`."""
        self.handlers.call_disconnected(channel, close)

    def open(self, request: HandshakeRequest, path: str) -> Tuple[Wire, Optional[str]]:
        """Connect for a station. Return the wire and the subprotocol that the central system names.

        Raises:
            BadRequest: What the station is to be answered.
        """
        attempt = ConnectAttempt()
        with self._lock:
            if self._is_stopping:
                raise _stopping()
            self._attempts.add(attempt)
        try:
            url = target_url(self._endpoint, path, request.query)
            fields = partial(self._fields, request)
            context = self._ssl_context
            tls = context(request) if callable(context) else context
            wire, chosen, _ = self._opener.open_url(url, fields, request.subprotocols, attempt, tls)
        except (TransportError, UsageError) as error:
            if self._is_stopping:
                raise _stopping() from error
            self.handlers.log.warning("%s: %s", request.identity, error, client_id=request.identity)
            raise _refusal(error) from error
        finally:
            with self._lock:
                self._attempts.discard(attempt)
        if chosen and chosen not in request.subprotocols:
            wire.stream.close()
            raise BadRequest(502, "the central system chose a subprotocol that was not offered", kind="refusal")
        return wire, chosen or None

    def make_channel(self, link: Link, readers: Readers) -> LinkChannel:
        """Return the channel of a link to the central system."""
        return LinkChannel(
            link.wire,
            self,
            readers,
            id=link.name,
            subprotocol=link.subprotocol or "",
            remote_address="",
            **self._channel_options,
        )

    def _fields(self, request: HandshakeRequest) -> Mapping[str, str]:
        """Return the header fields for the central system. Raises `TransportError`, `UsageError`."""
        own = self._own_credentials(request)
        fields = passed_fields(request, authorization=own is None and self._credentials is not None)
        names = {name.lower() for name in self._headers}
        fields = {name: value for name, value in fields.items() if name not in names}
        return {**fields, **client_headers(self._headers, own)}

    def _own_credentials(self, request: HandshakeRequest) -> Optional[Tuple[str, Union[str, bytes]]]:
        """Return the credentials that stand in for those of the station, if any do."""
        chosen = self._credentials
        if callable(chosen):
            return chosen(request)
        if isinstance(chosen, Mapping) and request.identity in chosen:
            return request.identity, chosen[request.identity]
        return None


def _stopping() -> BadRequest:
    return BadRequest(503, "the proxy is stopping", [("Retry-After", "5")], "stopping")


def _refusal(error: Exception) -> BadRequest:
    """Return what a station is answered whose connection to the central system cannot be made."""
    if isinstance(error, HandshakeRefused) and 400 <= error.status <= 599:
        fields = [] if error.retry_after is None else [("Retry-After", str(math.ceil(error.retry_after)))]
        if error.status == 401:
            fields.append(BASIC_CHALLENGE)
        return BadRequest(error.status, error.body or phrase_of(error.status), fields, "refusal")
    if _took_too_long(error):
        return BadRequest(504, "the central system does not answer", kind="refusal")
    return BadRequest(502, "the central system cannot be reached", kind="refusal")


def _took_too_long(error: Optional[BaseException]) -> bool:
    while error is not None and not isinstance(error, socket.timeout):
        error = error.__cause__ or error.__context__
    return error is not None
