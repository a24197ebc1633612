"""How the station connects: the request, and what it does when it is refused or cut off."""

from __future__ import annotations

import base64
import re
from typing import Callable, List, Tuple
from urllib.parse import unquote

from ...rpc.dialect import DIALECTS
from ..cases import ALL, STATION, Body, case
from ..verdicts import Doubtful, Failed, NotApplicable
from .door import Attempt
from .link import CLOSE_TIMEOUT
from .room import Room

__all__: List[str] = []

#: What a path may have (RFC 3986 section 3.3), as it is on the wire.
_PATH = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})*")
_KNOWN = {dialect.subprotocol for dialect in DIALECTS}


def _case(
    id: str, title: str, section: str, expects: str, versions: Tuple[str, ...] = ALL, seconds: float = 15
) -> Callable[[Body], Body]:
    return case(STATION, f"handshake-{id}", title, section=section, expects=expects, versions=versions, seconds=seconds)


def _latest(room: Room) -> Attempt:
    return [each for each in room.link.door.attempts if each.refused is None][-1]


@_case(
    "subprotocol",
    "the subprotocols that are offered",
    "OCPP-J 1.6, section 3.1.2; 2.x Part 4, section 3.1.2",
    "Sec-WebSocket-Protocol has the name of a version, such as ocpp1.6, spelt so",
)
def subprotocol(room: Room) -> None:
    offered = _latest(room).request.subprotocols
    if not _KNOWN.intersection(offered):
        raise Failed(f"it offers {', '.join(offered) or 'none'}: none of these is the name of a version")
    if len(set(offered)) < len(offered):
        raise Failed(f"it offers a subprotocol twice: {', '.join(offered)}")
    others = [each for each in offered if each.lower().startswith("ocpp") and each not in _KNOWN]
    if others:
        raise Doubtful(f"it offers {', '.join(others)}, which no version has")


@_case(
    "path",
    "the URL is the endpoint, a slash, and the identity",
    "OCPP-J 1.6, section 3.1.1; 2.x Part 4, section 3.1.1",
    "the last segment of the path is the identity, percent-encoded where RFC 3986 asks for it",
)
def path(room: Room) -> None:
    raw = _latest(room).request.path
    if not _PATH.fullmatch(raw):
        raise Failed(f"the path {raw!r} has characters that have to be percent-encoded")
    if unquote(raw.rstrip("/").rpartition("/")[2]) != room.link.client_id:
        raise Failed(f"the path {raw!r} does not end with the identity {room.link.client_id!r}")
    if raw.endswith("/"):
        raise Doubtful(f"the path {raw!r} ends with a slash")


@_case(
    "query",
    "nothing is added to the URL",
    "OCPP-J 1.6, section 3.1.1; 2.x Part 4, section 3.1.1",
    "the URL has no query that the endpoint did not have",
)
def query(room: Room) -> None:
    if _latest(room).request.query:
        raise Doubtful("the URL has a query: it may be that of the endpoint that you have configured")


@_case(
    "fields",
    "the fields of the request",
    "RFC 6455, section 4.1",
    "Host, Upgrade, Connection, Sec-WebSocket-Version 13 and a Sec-WebSocket-Key of 16 bytes",
)
def fields(room: Room) -> None:
    headers = _latest(room).request.headers
    missing = [name for name in ("Host", "Upgrade", "Connection", "Sec-WebSocket-Key") if not headers.get(name)]
    if missing:
        raise Failed(f"the request has no {', '.join(missing)}")
    if headers.get("Sec-WebSocket-Version") != "13":
        raise Failed(f"Sec-WebSocket-Version is {headers.get('Sec-WebSocket-Version')!r}")
    if not _is_key(headers["Sec-WebSocket-Key"]):
        raise Failed("Sec-WebSocket-Key is not the Base64 of 16 bytes")


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == 16
    except ValueError:
        return False


@_case(
    "compression",
    "the extensions that are offered",
    "OCPP-J 1.6, section 5.1; 2.x Part 4, section 3.3",
    "only permessage-deflate is offered, and in 1.6 it is not needed",
)
def compression(room: Room) -> None:
    offered = _latest(room).request.headers.get("Sec-WebSocket-Extensions", "")
    names = {each.partition(";")[0].strip() for each in offered.split(",") if each.strip()}
    if names - {"permessage-deflate"}:
        raise Doubtful(f"it offers the extensions {', '.join(sorted(names))}")


@_case(
    "credentials",
    "the user name of HTTP Basic authentication",
    "1.6 security whitepaper, A00.FR.204; 2.x Part 2, A00.FR.204",
    "the user name is the identity",
)
def credentials(room: Room) -> None:
    if not _credentials(room).startswith(room.link.client_id.encode() + b":"):
        raise Failed("the user name is not the identity")


def _credentials(room: Room) -> bytes:
    """Return the user name and the password of HTTP Basic authentication, with the colon between them."""
    header = _latest(room).request.headers.get("Authorization", "")
    if not header:
        raise NotApplicable("the station sends no credentials")
    scheme, _, content = header.partition(" ")
    if scheme.lower() != "basic":
        raise Doubtful(f"the scheme is {scheme}, not Basic")
    try:
        return base64.b64decode(content.strip(), validate=True)
    except ValueError:
        raise Failed("the credentials are no Base64") from None


@_case(
    "password",
    "the length of the password",
    "1.6 security whitepaper, A00.FR.205; 2.x Part 2, A00.FR.205",
    "1.6: 16 to 40 bytes; 2.x: 16 to 40 characters",
)
def password(room: Room) -> None:
    secret = _credentials(room)[len(room.link.client_id) + 1 :]
    if not 16 <= len(secret) <= 40:
        raise Doubtful(f"the password has {len(secret)} bytes")


@_case(
    "after-cut",
    "the station connects again after its connection was cut",
    "OCPP-J 1.6, section 5.4; 2.x Part 4, section 5.3",
    "it connects again by itself, and offers the same subprotocols, with a new Sec-WebSocket-Key",
)
def after_cut(room: Room) -> None:
    before, since = _latest(room), room.now()
    room.cut()
    room.await_return(since)
    after = _latest(room)
    if after.request.subprotocols != before.request.subprotocols:
        raise Failed(f"it offers {', '.join(after.request.subprotocols)} now")
    key = "Sec-WebSocket-Key"
    if after.request.headers.get(key) == before.request.headers.get(key):
        raise Failed("it uses the same Sec-WebSocket-Key again (RFC 6455 section 4.1)")
    room.check_alive("it has connected again")


@_case(
    "after-close",
    "the station connects again after a Close",
    "RFC 6455, section 5.5.1; OCPP-J 1.6, section 5.4; 2.x Part 4, section 5.3",
    "it answers the Close, and connects again by itself",
)
def after_close(room: Room) -> None:
    since, begun = room.now(), room.seconds()
    room.close(1001, "restart")
    ended = room.await_end(since, 2 * CLOSE_TIMEOUT)
    room.await_return(since)
    if ended is None or ended.at - begun > 0.9 * CLOSE_TIMEOUT:
        raise Failed(f"the Close is not answered within {CLOSE_TIMEOUT:g} s")
    room.check_alive("it has connected again")


@_case(
    "no-new-boot",
    "no BootNotification after a short loss of the connection",
    "OCPP-J 1.6, section 5.4; 2.x Part 4, section 5.3",
    "a station that has not restarted sends no BootNotification when it connects again",
)
def no_new_boot(room: Room) -> None:
    since = room.now()
    room.cut()
    room.await_return(since)
    room.pause(room.settings.quiet)
    if room.find_calls("BootNotification", since):
        raise Doubtful("it has sent a BootNotification")


def _refuse(room: Room, status: int, times: int, retry_after: "float | None" = None) -> List[float]:
    """Refuse handshakes after a cut. Return the seconds between the attempts: the first is from the cut on."""
    door, since = room.link.door, room.now()
    known = len(door.attempts)
    door.plan(status, times, retry_after)
    begun = room.seconds()
    room.cut()
    room.await_return(since)
    moments = [begun, *(each.at for each in door.attempts[known:])]
    return [after - before for before, after in zip(moments, moments[1:])]


def _check_patience(gaps: List[float]) -> None:
    if min(gaps) < 0.05:
        raise Failed(f"two attempts to connect are {min(gaps) * 1000:.0f} ms apart")


@_case(
    "refused-401",
    "the credentials are refused twice",
    "1.6 security whitepaper, A00.FR.203; 2.x Part 2, A00.FR.203; 2.x Part 4, section 5.3",
    "the station tries again, and waits between the attempts",
    seconds=60,
)
def refused_401(room: Room) -> None:
    _check_patience(_refuse(room, 401, 2))
    room.check_alive("it was refused with 401")


@_case(
    "refused-404",
    "the identity is refused once",
    "OCPP-J 1.6, section 3.2; 2.x Part 4, section 3.2",
    "the station tries again, and waits before",
    seconds=60,
)
def refused_404(room: Room) -> None:
    _check_patience(_refuse(room, 404, 1))
    room.check_alive("it was refused with 404")


@_case(
    "retry-after",
    "503 with Retry-After",
    "RFC 9110, section 10.2.3",
    "the next attempt comes after the seconds that Retry-After says, and not before",
    seconds=60,
)
def retry_after(room: Room) -> None:
    seconds = room.settings.interval + 1
    gaps = _refuse(room, 503, 1, seconds)
    if gaps[-1] < seconds - 0.1:
        raise Doubtful(f"the next attempt came after {gaps[-1]:.1f} s, and not after {seconds} s")


@_case(
    "back-off",
    "the waits between attempts grow",
    "2.x Part 4, sections 5.3 and 8.1 to 8.3",
    "with a handful of refusals in a row, later waits are not much shorter than earlier ones, and none is 0",
    seconds=90,
)
def back_off(room: Room) -> None:
    gaps = _refuse(room, 503, 3)
    _check_patience(gaps)
    if gaps[-1] < gaps[0] / 3:
        raise Doubtful(f"the waits were {', '.join(f'{each:.1f} s' for each in gaps)}")


@_case(
    "redirect",
    "a redirect to another address",
    "OCPP-J 1.6, section 3.2; 2.x Part 4, section 3.2",
    "the station does not send its credentials anywhere else: it tries the same address again",
    seconds=60,
)
def redirect(room: Room) -> None:
    _refuse(room, 307, 1)
    room.check_alive("a redirect")
