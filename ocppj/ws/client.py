"""The charge point's WebSocket client: websocket-client over a socket of ours.

websocket-client does the WebSocket handshake. It is given a `_HandshakeSocket` in place of a socket, which reads the
head of the response itself. So redirects, error bodies and cookies never reach the library. The library can be told to
log what it sends. So what may hold secrets, our header fields and the URL's query, is added to the request below it.
``tests/ws/test_ws_pins.py`` holds what is used of the library.
"""

from __future__ import annotations

import socket
import ssl
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Callable, Mapping, Optional, Sequence, Tuple, Union
from urllib.parse import urlsplit

import websocket

from ..errors import HandshakeRefused, SubprotocolError, TransportError, UsageError
from ..option_checks import check_option, check_options
from .connecting.dial import Resolver, dial
from .connecting.session import ClientCore, ConnectAttempt, Session
from .connection.deflate import Deflate, offer_deflate, read_answer
from .connection.frames import FrameWire
from .connection.wire import Wire
from .handshake.credentials import BasicAuthOption, HeadersOption, UpgradeFields, secrets_of
from .handshake.http import BadRequest, Headers, parse_response, parse_retry_after, read_body, read_head, split_tokens
from .handshake.security_profiles import check_client_profile, check_context, check_user, exposed
from .handshake.urls import connection_url, endpoint_urls, hide, host_and_port, place, without_query
from .options import ClientCoreOptions
from .stream.stream import Stream
from .tls import client_tls_context

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["WebSocketClient"]

_REASON = 100  # characters of a server's reason that are logged: it may send thousands, at each attempt
_BODY = 1000  # bytes of a refusal's body that are read
_BODY_WAIT = 1.0  # seconds until then: a server may announce a body that never comes


class _HandshakeSocket:
    """What websocket-client is given in place of a socket."""

    def __init__(self, sock: Stream, url: str, fields: Mapping[str, str], limit: int, deadline: float) -> None:
        self._sock = sock
        self._url, _, query = url.partition("?")
        self._secrets = [query, *secrets_of(fields)]
        self._target = url.partition("://")[2].partition("/")[2].encode()  # the library would leave out a ";" in it
        self._fields = "".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode("utf-8")
        self._limit = limit
        self._deadline = deadline
        self._head: Optional[bytes] = None

    def gettimeout(self) -> Optional[float]:
        """Return 0: the library then leaves the waiting to `recv`."""
        return 0

    def settimeout(self, timeout: Optional[float]) -> None:
        """Do nothing: there is a deadline."""

    def send(self, data: bytes) -> int:
        """Pass the request on, with our own target and fields, which the library must not see."""
        line, end, rest = data.partition(b"\r\n")
        if not rest.endswith(b"\r\n\r\n"):
            raise TransportError("the library did not send its request at once")
        method, *_, version = line.split(b" ")
        self._sock.send(method + b" /" + self._target + b" " + version + end + self._fields + rest)
        return len(data)

    def recv(self, size: int) -> bytes:
        """Return bytes of the response's head, never of what follows it. Raises `HandshakeRefused`."""
        if self._head is None:
            self._head = self._read_head()
        data, self._head = self._head[:size], self._head[size:]
        return data

    def close(self) -> None:
        """Do nothing: `WebSocketClient.open_wire` closes the stream."""

    def _read_head(self) -> bytes:
        head = read_head(self._sock, self._limit, self._deadline)
        response = parse_response(head)
        if response is None:
            raise TransportError("the server does not speak HTTP")
        if response.status != 101:
            reason = hide(response.reason, self._secrets)[:_REASON]
            retry_after = parse_retry_after(response.headers)
            raise HandshakeRefused(response.status, reason, retry_after, self._url, self._read_body(response.headers))
        return b"\r\n".join(line for line in head.split(b"\r\n") if not line.lower().startswith(b"set-cookie"))

    def _read_body(self, headers: Headers) -> str:
        """Return the beginning of the text that a refusal comes with."""
        if headers.get("Content-Encoding", "identity").lower() != "identity":
            return ""
        deadline = min(self._deadline, time.monotonic() + _BODY_WAIT)
        text = read_body(self._sock, headers, _BODY, deadline).decode("utf-8", "replace")
        text = text.replace("\\/", "/")  # so may JSON write a slash, and base64 has slashes
        return hide(" ".join(text.split()), self._secrets)[:_REASON]


class WebSocketClient(ClientCore):
    """A `base.Client` over TCP. It uses no proxies, redirects or cookies.

    All times are in seconds, all sizes in bytes.

    Args:
        ssl_context: For ``wss`` URLs; by default `client_tls_context`'s, which trusts the system's authorities.
        headers: Added to the upgrade request, or a function that returns them.
        basic_auth: (user, password), the latter as bytes for a 1.6 AuthorizationKey, or a function that returns them.
            Such functions are called before each attempt to connect, and must not block. If one fails, so does the
            attempt.
        handshake_timeout: For looking the name up, TCP, TLS and HTTP together.
        max_header_size: Of the head of the server's response, in bytes.
        write_timeout: How long the peer may take for what is written.
        security_profile: 0 to 3. ``connect()`` refuses options that do not make that profile (see
            `ocppj.ws.handshake.security_profiles`).
        compression: Offers permessage-deflate to the server, which OCPP 2.x recommends; a `Deflate` says how. Off by
            default: it costs both sides more time than most networks save.
        options: Those of `ocppj.ws.options.ClientCoreOptions`.

    Raises:
        UsageError: A value that its option does not take, or that cannot be sent.
    """

    def __init__(
        self,
        *,
        ssl_context: Optional[ssl.SSLContext] = None,
        headers: HeadersOption = None,
        basic_auth: BasicAuthOption = None,
        handshake_timeout: float = 10.0,
        max_header_size: int = 16 * 1024,
        write_timeout: float = 10.0,
        security_profile: Optional[int] = None,
        compression: Union[bool, Deflate] = False,
        **options: Unpack[ClientCoreOptions],
    ) -> None:
        super().__init__(**options)
        check_options("WebSocketClient", locals())
        check_context(ssl_context, ssl.PROTOCOL_TLS_SERVER)
        self._ssl_context = ssl_context
        self._fields = UpgradeFields(headers, basic_auth)
        self._security_profile = security_profile
        self._deflate = Deflate() if compression is True else compression or None
        self._handshake_timeout = handshake_timeout
        self._max_header_size = max_header_size
        self._write_timeout = write_timeout
        self._resolver = Resolver()

    def connect(
        self,
        url: Union[str, Sequence[str]],
        client_id: str,
        subprotocols: Sequence[str],
        retry: bool = False,
        wait: bool = True,
    ) -> None:
        """Connect: see `base.Client.connect`. Raises `UsageError` also for options that do not make the profile."""
        check_option("connect", "client_id", client_id)
        expected = client_id if self._security_profile in (1, 2) else None  # if a function returns the user
        urls = endpoint_urls(url)
        for each in urls:
            connection_url(each, client_id)
            self._check_user(each, client_id, self._fields.user(expected))
            host_and_port(each)
        for each in urls:
            warning = exposed(self._security_profile, each, self._ssl_context, self._fields.has_credentials)
            if warning is not None:
                self.handlers.safe_log.warning("%s: %s: %s", client_id, place(each), warning)
        super().connect(url, client_id, subprotocols, retry, wait)

    def _check_user(self, url: str, client_id: str, user: Optional[str]) -> None:
        """Raise `UsageError` when this user of basic_auth cannot be sent, or does not make the security profile."""
        check_user(user, client_id)
        check_client_profile(self._security_profile, url, client_id, self._ssl_context, user)

    def open_wire(self, session: Session, attempt: ConnectAttempt) -> Tuple[Wire, str, str]:
        url = connection_url(session.url, session.client_id)
        host_and_port(url)  # raises UsageError: no further attempt would help
        wire, chosen, address = self.open_url(url, partial(self._ask_fields, session), session.subprotocols, attempt)
        try:
            return wire, self.agreed_subprotocol(place(url), session.subprotocols, chosen), address
        except SubprotocolError:
            with suppress(TransportError):
                wire.send_close(1002, "no common subprotocol")
            wire.stream.close()
            attempt.check()
            raise

    def open_url(
        self,
        url: str,
        ask_fields: Callable[[], Mapping[str, str]],
        subprotocols: Sequence[str],
        attempt: ConnectAttempt,
        ssl_context: Optional[ssl.SSLContext] = None,
    ) -> Tuple[FrameWire, Optional[str], str]:
        """Connect to ``url``, and return the wire, the subprotocol that the server names, and the server's address.

        Args:
            url: Of the connection, with the identity.
            ask_fields: Returns the fields that are added to the request.
            subprotocols: Those that are offered. None are for servers that want none.
            attempt: Its `ConnectAttempt.cancel` ends this.
            ssl_context: In place of the client's own.

        Raises:
            TransportError: The connection cannot be made (`HandshakeRefused`); then nothing is left behind.
            UsageError: The URL can never be right.
        """
        deadline = time.monotonic() + self._handshake_timeout
        sock: Optional[Stream] = None
        try:
            fields = ask_fields()
            raw, address = dial(url, self._resolver, deadline, attempt.check)
            sock = Stream(self._secure(raw, url, ssl_context), write_timeout=self._write_timeout)
            attempt.interrupt_with(sock.shutdown)
            sock.handshake(deadline)
            wire, chosen = self._upgrade(sock, url, fields, subprotocols, deadline)
            return wire, chosen, address
        except BaseException as error:
            if sock is not None:
                sock.close()
            attempt.check()
            problem = _as_transport_error(error, place(url))
            if problem is error:  # an error must not be its own cause: a walk along the causes would not end
                raise
            # The cause is what the system raised: a program looks at it.
            raise problem from (error.__cause__ if isinstance(error, TransportError) and error.__cause__ else error)

    def _ask_fields(self, session: Session) -> Mapping[str, str]:
        fields, user = self._fields.ask()
        try:
            self._check_user(session.url, session.client_id, user)
        except UsageError as error:  # a function returned this user, and may return another one the next time
            raise TransportError(str(error)) from error
        return fields

    def _secure(self, raw: socket.socket, url: str, context: Optional[ssl.SSLContext]) -> socket.socket:
        parts = urlsplit(url)
        if parts.scheme == "ws":
            return raw
        context = context or self._ssl_context or client_tls_context()
        try:
            return context.wrap_socket(raw, server_hostname=parts.hostname, do_handshake_on_connect=False)
        except BaseException:
            raw.close()
            raise

    def _upgrade(
        self, sock: Stream, url: str, fields: Mapping[str, str], subprotocols: Sequence[str], deadline: float
    ) -> Tuple[FrameWire, Optional[str]]:
        header = ["Sec-WebSocket-Protocol: " + ", ".join(subprotocols)] if subprotocols else []
        if self._deflate is not None:
            header.append("Sec-WebSocket-Extensions: " + offer_deflate(self._deflate))
        ws = websocket.WebSocket(skip_utf8_validation=True)
        ws.connect(  # type: ignore[no-untyped-call]
            without_query(url),
            socket=_HandshakeSocket(sock, url, fields, self._max_header_size, deadline),
            header=header,
            suppress_origin=True,
            redirect_limit=0,
        )
        answer = ws.getheaders() or {}
        # Some servers send the field without a value.
        extension = read_answer(split_tokens(answer.get("sec-websocket-extensions", "")), self._deflate)
        wire = FrameWire(sock, self._max_message_size, client=True, extension=extension)
        return wire, answer.get("sec-websocket-protocol")


def _as_transport_error(error: BaseException, where: str) -> BaseException:
    if isinstance(error, (HandshakeRefused, SubprotocolError, UsageError)) or not isinstance(error, Exception):
        return error
    reason = str(error) or type(error).__name__
    if isinstance(error, BadRequest):
        reason = f"the server's answer cannot be read: {error}"
    elif isinstance(error, (socket.timeout, websocket.WebSocketTimeoutException)):
        reason = "the handshake took too long"
    return TransportError(f"cannot connect to {where}: {reason}")
