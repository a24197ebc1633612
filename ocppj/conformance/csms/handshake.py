"""The WebSocket handshake: who is let in, over which subprotocol."""

from __future__ import annotations

import base64
import ssl
import uuid
import warnings

from ...ws.handshake.urls import connection_url, host_and_port
from ..cases import ALL, CSMS, V2, case
from ..verdicts import Doubtful, Failed, NotApplicable, PeerGone
from .peer import Room
from .samples import DIALECT_OF
from .wire import Opened, accept_of, connect

_OCPP = "OCPP-J 1.6 3.2; OCPP 2.x Part 4 3.3"
_VERSION = "OCPP-J 1.6 3.1.2; OCPP 2.x Part 4 3.1.2"


def _check_open(room: Room, opened: Opened, subprotocol: str = "") -> None:
    if opened.status != 101:
        raise Failed(f"the handshake was answered with {opened.status or 'nothing'}")
    if opened.subprotocol != (subprotocol or room.subprotocol):
        raise Failed(f"the subprotocol is {opened.subprotocol or 'not named'!r}")


def _check_refused(opened: Opened, *fitting: int) -> None:
    if opened.status == 101:
        raise Failed("the connection was accepted")
    if opened.status == 0:
        raise Doubtful("the connection ended without an HTTP answer")
    if opened.status not in fitting:
        wanted = " or ".join(map(str, fitting))
        raise Doubtful(f"the HTTP status is {opened.status}; {wanted} says it better")


@case(CSMS, "handshake-subprotocol", section=_OCPP, expects="101, with the subprotocol that was offered")
def subprotocol(room: Room) -> None:
    """Offer the version of the station."""
    _check_open(room, room.dial())


@case(
    CSMS,
    "handshake-accept",
    section="RFC 6455 4.2.2",
    expects="the SHA-1 of the key and the GUID of WebSocket, in base64",
    once=True,
)
def accept(room: Room) -> None:
    """Check the Sec-WebSocket-Accept of the answer."""
    opened = room.dial()
    _check_open(room, opened)
    assert opened.wire is not None
    if opened.headers.get("Sec-WebSocket-Accept") != accept_of(opened.wire.key):
        raise Failed("Sec-WebSocket-Accept has another value")


@case(
    CSMS,
    "handshake-answer-headers",
    section="RFC 6455 4.2.2",
    expects="Upgrade: websocket and Connection: Upgrade",
    once=True,
)
def answer_headers(room: Room) -> None:
    """Check that the answer says that the protocol is switched."""
    opened = room.dial()
    _check_open(room, opened)
    if opened.headers.get("Upgrade", "").lower() != "websocket":
        raise Failed("there is no Upgrade: websocket")
    if "upgrade" not in [each.strip().lower() for each in opened.headers.get("Connection", "").split(",")]:
        raise Failed("there is no Connection: Upgrade")


@case(CSMS, "handshake-unknown-first", section=_VERSION, expects="the known version of the list is agreed")
def unknown_first(room: Room) -> None:
    """Offer a version that nobody knows before the right one."""
    _check_open(room, room.dial({"Sec-WebSocket-Protocol": f"ocpp99.9, {room.subprotocol}"}))


@case(CSMS, "handshake-unknown-last", section=_VERSION, expects="the known version of the list is agreed")
def unknown_last(room: Room) -> None:
    """Offer a version that nobody knows after the right one."""
    _check_open(room, room.dial({"Sec-WebSocket-Protocol": f"{room.subprotocol}, ocpp99.9"}))


@case(
    CSMS,
    "handshake-preference",
    section=_VERSION,
    expects="a version of the list; the first is what the station prefers",
)
def preference(room: Room) -> None:
    """Offer all versions, this one first."""
    others = [DIALECT_OF[each].subprotocol for each in ALL if each != room.version]
    opened = room.dial({"Sec-WebSocket-Protocol": ", ".join([room.subprotocol, *others])})
    if opened.status != 101 or opened.subprotocol not in [room.subprotocol, *others]:
        raise Failed(f"the answer is {opened.status}, with the subprotocol {opened.subprotocol!r}")
    if opened.subprotocol != room.subprotocol:
        raise Doubtful(f"{opened.subprotocol} was agreed, and the station prefers {room.subprotocol}")


@case(CSMS, "handshake-two-fields", section="RFC 6455 11.3.4", expects="the same as one field with both", once=True)
def two_fields(room: Room) -> None:
    """Offer versions in two header fields."""
    _check_open(room, room.dial({"Sec-WebSocket-Protocol": ["ocpp99.9", room.subprotocol]}))


@case(CSMS, "handshake-list-without-spaces", section="RFC 6455 4.1", expects="the version is agreed", once=True)
def list_without_spaces(room: Room) -> None:
    """Offer a list of versions without spaces."""
    _check_open(room, room.dial({"Sec-WebSocket-Protocol": f"ocpp99.9,{room.subprotocol},ocpp99.8"}))


@case(
    CSMS,
    "handshake-subprotocol-case",
    section="RFC 6455 4.1",
    expects="a name in capital letters is another name: it is not agreed",
    once=True,
)
def subprotocol_case(room: Room) -> None:
    """Offer the version in capital letters."""
    opened = room.dial({"Sec-WebSocket-Protocol": room.subprotocol.upper()})
    if opened.status == 101 and opened.subprotocol not in ("", room.subprotocol.upper()):
        raise Failed(f"{opened.subprotocol!r} was agreed, which was not offered")
    if opened.status == 101 and opened.subprotocol:
        raise Doubtful("it was agreed")


@case(
    CSMS,
    "handshake-no-common-version",
    section=_OCPP,
    expects="101 without a subprotocol, and the connection is closed at once",
    once=True,
)
def no_common_version(room: Room) -> None:
    """Offer only a version that nobody knows."""
    opened = room.dial({"Sec-WebSocket-Protocol": "ocpp99.9"})
    _check_not_served(room, opened)


@case(
    CSMS,
    "handshake-no-version",
    section=_OCPP,
    expects="the handshake is refused, or the connection is closed at once",
    once=True,
)
def no_version(room: Room) -> None:
    """Offer no version."""
    opened = room.dial({"Sec-WebSocket-Protocol": None})
    if (
        opened.status == 101
        and not opened.subprotocol
        and opened.wire
        and opened.wire.ends(room.peer.patience.at_most(1.0)) is None
    ):
        raise Doubtful("the connection goes on: the central system serves some version by default")
    if opened.status == 101 and opened.subprotocol:
        raise Failed(f"{opened.subprotocol!r} was agreed, which was not offered")


def _check_not_served(room: Room, opened: Opened) -> None:
    if opened.status != 101:
        raise Doubtful(f"it was refused with {opened.status or 'no answer'}, where the documents want 101 and a Close")
    if opened.subprotocol:
        raise Failed(f"{opened.subprotocol!r} was agreed")
    assert opened.wire is not None
    if opened.wire.ends(room.peer.patience.at_most(2.0)) is None:
        raise Failed("the connection goes on")


@case(
    CSMS,
    "handshake-escaped-identity",
    section="RFC 3986 6.2.2.2; OCPP-J 1.6 3.1.1; OCPP 2.x Part 4 3.1.1",
    expects="101: the URL means the same",
    once=True,
)
def escaped_identity(room: Room) -> None:
    """Percent-encode a letter of the identity."""
    base, _, _ = room.peer.url.partition("?")
    head = base[: base.rindex("/") + 1]
    first = room.peer.identity[0].encode("utf-8")
    escaped = "".join(f"%{byte:02X}" for byte in first)
    rest = connection_url("ws://host", room.peer.identity[1:] or "x").rpartition("/")[2]
    opened = room.dial(url=f"{head}{escaped}{rest if room.peer.identity[1:] else ''}")
    if opened.status != 101:
        raise Doubtful(f"it was answered with {opened.status or 'nothing'}")


@case(
    CSMS,
    "handshake-unknown-identity",
    section=_OCPP,
    expects="404, or 401 where the password is checked first",
    once=True,
)
def unknown_identity(room: Room) -> None:
    """Connect as a station that nobody knows."""
    opened = room.dial(url=connection_url(room.peer.endpoint, f"unknown-{uuid.uuid4().hex[:12]}"))
    if opened.status == 101:
        raise Doubtful("it was accepted: the central system lets any station in")
    _check_refused(opened, 404, 401, 403)


@case(
    CSMS, "handshake-no-identity", section="OCPP-J 1.6 3.1.1; OCPP 2.x Part 4 3.1.1", expects="an HTTP error", once=True
)
def no_identity(room: Room) -> None:
    """Connect to a path without an identity."""
    endpoint, question, query = room.peer.endpoint.partition("?")
    opened = room.dial(url=f"{endpoint.rstrip('/')}/{question}{query}")
    if opened.status == 101:
        raise Doubtful("it was accepted")
    _check_refused(opened, 404, 400, 401, 403)


@case(
    CSMS,
    "handshake-long-identity",
    section="OCPP 2.x Part 4 3.1.1",
    expects="an HTTP error: an identity has at most 48",
    versions=V2,
    once=True,
)
def long_identity(room: Room) -> None:
    """Connect with an identity of 49 characters."""
    opened = room.dial(url=connection_url(room.peer.endpoint, "x" * 49))
    if opened.wire is not None:
        if opened.wire.ends(room.peer.patience.at_most(0.5)) is None:
            raise Doubtful("it was accepted")
        return
    _check_refused(opened, 404, 400, 401, 403, 414)


@case(CSMS, "handshake-query", section="RFC 3986 3.4", expects="101: the identity is in the path", once=True)
def query(room: Room) -> None:
    """Connect to the URL with a query."""
    opened = room.dial(url=f"{room.peer.url}{'&' if '?' in room.peer.url else '?'}model=a%2Fb")
    if opened.status != 101:
        raise Doubtful(f"it was answered with {opened.status or 'nothing'}")


@case(
    CSMS,
    "handshake-plain-get",
    section="RFC 6455 4.2.1; RFC 9110 15.5.22",
    expects="an HTTP error such as 426 or 400",
    once=True,
)
def plain_get(room: Room) -> None:
    """Ask for the same URL as a browser does."""
    fields = {"Upgrade": None, "Connection": "close", "Sec-WebSocket-Key": None, "Sec-WebSocket-Version": None}
    _check_refused(room.dial({**fields, "Sec-WebSocket-Protocol": None}), 426, 400, 404, 401, 403, 200, 405)


@case(CSMS, "handshake-post", section="RFC 6455 4.1", expects="an HTTP error", once=True)
def post(room: Room) -> None:
    """Send the handshake with the method POST."""
    _check_refused(room.dial({"Content-Length": "0"}, method="POST"), 400, 405, 404, 426, 401, 403, 501)


@case(
    CSMS,
    "handshake-websocket-version",
    section="RFC 6455 4.2.2, 4.4",
    expects="426 or 400, with Sec-WebSocket-Version: 13",
    once=True,
)
def websocket_version(room: Room) -> None:
    """Ask for version 99 of WebSocket."""
    opened = room.dial({"Sec-WebSocket-Version": "99"})
    if opened.status != 101 and "13" not in opened.headers.get("Sec-WebSocket-Version", "13"):
        raise Doubtful("Sec-WebSocket-Version does not name 13")
    _check_refused(opened, 426, 400)
    if "Sec-WebSocket-Version" not in opened.headers:
        raise Doubtful("the answer does not name the version that the server speaks")


@case(CSMS, "handshake-no-key", section="RFC 6455 4.2.1", expects="400", once=True)
def no_key(room: Room) -> None:
    """Leave out the Sec-WebSocket-Key."""
    _check_refused(room.dial({"Sec-WebSocket-Key": None}), 400, 426)


@case(CSMS, "handshake-short-key", section="RFC 6455 4.2.1", expects="400: it has to be 16 bytes in base64", once=True)
def short_key(room: Room) -> None:
    """Send a Sec-WebSocket-Key of 3 bytes."""
    opened = room.dial({"Sec-WebSocket-Key": "YWJj"})
    if opened.status == 101:
        raise Doubtful("it was accepted")
    _check_refused(opened, 400)


@case(CSMS, "handshake-no-host", section="RFC 9112 3.2", expects="400", once=True)
def no_host(room: Room) -> None:
    """Leave out the Host field."""
    opened = room.dial({"Host": None})
    if opened.status == 101:
        raise Doubtful("it was accepted")
    _check_refused(opened, 400, 404, 421)


@case(CSMS, "handshake-header-case", section="RFC 6455 4.2.1", expects="101", once=True)
def header_case(room: Room) -> None:
    """Write names and values of header fields in unusual case."""
    fields = {"Upgrade": None, "Connection": None, "Sec-WebSocket-Version": None, "Sec-WebSocket-Protocol": None}
    odd = {"upgrade": "WebSocket", "CONNECTION": "keep-alive, upgrade", "sec-websocket-version": "13"}
    _check_open(room, room.dial({**fields, **odd, "sec-websocket-protocol": room.subprotocol}))


@case(CSMS, "handshake-unknown-extension", section="RFC 6455 9.1", expects="101, without that extension", once=True)
def unknown_extension(room: Room) -> None:
    """Offer an extension that nobody knows."""
    opened = room.dial({"Sec-WebSocket-Extensions": "x-nobody-knows; a=1"})
    _check_open(room, opened)
    if "x-nobody-knows" in opened.headers.get("Sec-WebSocket-Extensions", ""):
        raise Failed("the extension was agreed")


@case(
    CSMS,
    "handshake-compression",
    section="OCPP 2.x Part 4 3.4; RFC 7692",
    expects="it is agreed: a central system has to support it",
    versions=V2,
)
def compression(room: Room) -> None:
    """Offer permessage-deflate."""
    opened = room.dial({"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"})
    _check_open(room, opened)
    if "permessage-deflate" not in opened.headers.get("Sec-WebSocket-Extensions", ""):
        raise Failed("compression was not agreed")
    if opened.wire is not None:
        opened.wire.abort()


@case(
    CSMS,
    "handshake-no-compression",
    section="RFC 7692 5; RFC 6455 9.1",
    expects="no extension in the answer",
    once=True,
)
def no_compression(room: Room) -> None:
    """Offer no compression."""
    opened = room.dial()
    _check_open(room, opened)
    if opened.headers.get("Sec-WebSocket-Extensions"):
        raise Failed("the answer has an extension that was not offered")


@case(CSMS, "handshake-large-header", section="RFC 9110 5.4", expects="101, or an HTTP error such as 431", once=True)
def large_header(room: Room) -> None:
    """Send a header field of 3,000 characters."""
    opened = room.dial({"User-Agent": "x" * 3000})
    if opened.status != 101:
        _check_refused(opened, 431, 400, 413)


@case(
    CSMS,
    "handshake-password-missing",
    section="OCPP-J 1.6 6.2.2; security whitepaper A00.FR.206; OCPP 2.x Part 2 A00.FR.207",
    expects="401, with WWW-Authenticate",
    once=True,
)
def password_missing(room: Room) -> None:
    """Connect without a password."""
    room.need_password()
    opened = room.dial({"Authorization": None})
    _check_refused(opened, 401, 403)
    if opened.status == 401 and "WWW-Authenticate" not in opened.headers:
        raise Doubtful("a 401 has to have WWW-Authenticate (RFC 9110 section 15.5.2)")


@case(
    CSMS, "handshake-password-wrong", section="OCPP-J 1.6 6.2.2; OCPP 2.x Part 2 A00.FR.207", expects="401", once=True
)
def password_wrong(room: Room) -> None:
    """Connect with a wrong password."""
    identity, password = room.need_password()
    _check_refused(room.dial({"Authorization": _basic(identity, password[::-1] + "x")}), 401, 403, 429)


@case(
    CSMS,
    "handshake-password-of-another",
    section="OCPP-J 1.6 6.2.2; OCPP 2.x Part 2 A00.FR.204, A00.FR.207",
    expects="401",
    once=True,
)
def password_of_another(room: Room) -> None:
    """Connect with the user name of another station."""
    identity, password = room.need_password()
    _check_refused(room.dial({"Authorization": _basic(f"{identity}-other", password)}), 401, 403, 429)


@case(CSMS, "handshake-password-malformed", section="RFC 7617 2", expects="401 or 400", once=True)
def password_malformed(room: Room) -> None:
    """Send an Authorization field that is no base64."""
    room.need_password()
    _check_refused(room.dial({"Authorization": "Basic !!!"}), 401, 400, 403, 429)


@case(CSMS, "handshake-password-scheme-case", section="RFC 9110 11.1", expects="101: its case means nothing", once=True)
def password_scheme_case(room: Room) -> None:
    """Write the scheme "basic"."""
    identity, password = room.need_password()
    opened = room.dial({"Authorization": _basic(identity, password).replace("Basic", "basic")})
    if opened.status != 101:
        raise Doubtful(f"it was answered with {opened.status or 'nothing'}")


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@case(
    CSMS,
    "handshake-plain-to-tls",
    section="OCPP 2.x Part 2 A00.FR.306; security whitepaper A00.FR.306",
    expects="no connection",
    once=True,
)
def plain_to_tls(room: Room) -> None:
    """Send plain HTTP to the port of TLS."""
    if not room.peer.url.startswith("wss:"):
        raise NotApplicable("the URL is not wss")
    host, port = host_and_port(room.peer.url)
    path = room.peer.url.split("/", 3)[3]
    shown_host = f"[{host}]" if ":" in host else host
    if room.dial({"Authorization": None}, url=f"ws://{shown_host}:{port}/{path}").status == 101:
        raise Failed("it was accepted without TLS")


def _tls_context(room: Room) -> ssl.SSLContext:
    """Return a context that checks nothing. Raises `NotApplicable` where a case of TLS cannot be tried."""
    if not room.peer.url.startswith("wss:"):
        raise NotApplicable("the URL is not wss")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@case(
    CSMS,
    "handshake-tls-old",
    section="OCPP 2.x Part 2 A00.FR.313, A00.FR.315; security whitepaper A00.FR.312, A00.FR.314",
    expects="no connection",
    once=True,
)
def tls_old(room: Room) -> None:
    """Connect with nothing newer than TLS 1.1."""
    context = _tls_context(room)
    try:
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
    except (ssl.SSLError, ValueError) as error:
        raise NotApplicable(f"this Python has no TLS 1.1: {error}") from None
    try:
        connect(room.peer.url, context, room.deadline).close()
    except PeerGone:
        return
    raise Failed("TLS 1.1 was accepted")


@case(
    CSMS,
    "handshake-tls-suites",
    section="OCPP 2.x Part 2 A00.FR.318; security whitepaper A00.FR.317",
    expects="a connection with one of the suites that a central system has to support",
    once=True,
)
def tls_suites(room: Room) -> None:
    """Connect with the four cipher suites of OCPP, and TLS 1.2."""
    context = _tls_context(room)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(
        "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:AES128-GCM-SHA256:AES256-GCM-SHA384"
    )
    try:
        connect(room.peer.url, context, room.deadline).close()
    except PeerGone as error:
        if room.peer.has_certificate:
            raise NotApplicable("the central system may ask for a certificate of the station") from None
        raise Failed(str(error)) from None
