"""The HTTP of the opening handshake: read a head within limits, parse a request or a response, write a refusal."""

from __future__ import annotations

import http.client
import io
import re
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

from ...errors import reduce_error
from ..stream.stream import Stream

__all__ = [
    "ONCE", "BadRequest", "Headers", "RequestHead", "ResponseHead", "parse_request", "parse_response",
    "parse_retry_after", "phrase_of", "read_body", "read_head", "refusal", "response", "split_tokens",
]  # fmt: skip

_END = b"\r\n\r\n"
_EMPTY_LINE = b"\r\n"
_TLS = b"\x16\x03"  # how a TLS handshake begins (RFC 8446 section 5.1)
# A target has no "#" and no "\\" (RFC 9112 section 3.2, RFC 3986): proxies and servers disagree where its path ends.
_REQUEST_LINE = re.compile(r"([A-Z]{1,20}) ([\x21\x22\x24-\x5b\x5d-\x7e\x80-\xff]+) HTTP/(\d\.\d)")
_STATUS_LINE = re.compile(rb"HTTP/1\.[^ ]* ([0-9]{3})(?: (.*))?", re.DOTALL)
_STRAY = re.compile(rb"\r(?!\n)|(?<!\r)\n|\0")  # RFC 9112 section 2.2, RFC 9110 section 5.5
# The common form of a field (RFC 9110 section 5.6.2, 5.5): a token, and a value in one line of plain characters. A
# pattern that leaves the space around the value out needs quadratic time for a line of spaces.
_FIELD = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t\x20-\x7e\x80-\xff]*)")
_FIELD_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+[\t ]*:|\r\n")
_MOST_FIELDS = 100  # the limit of http.client
_SECONDS = re.compile(r"[0-9]{1,10}")
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,8}")
#: The kind of a refusal by its status, for refusals that give none.
_KINDS = {401: "bad_credentials", 403: "origin", 404: "unknown_client", 409: "duplicate", 500: "internal_error"}


class BadRequest(Exception):
    """A request that is answered with an HTTP error. ``kind`` is its reason in `ocppj.ws.stats`.

    ``identity`` is that of the client, as far as it is known when it is refused.
    """

    identity = ""

    def __init__(self, status: int, reason: str, headers: Sequence[Tuple[str, str]] = (), kind: str = "") -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.headers: Tuple[Tuple[str, str], ...] = tuple(headers)
        self.kind: str = kind or _KINDS.get(status, "bad_request")

    __reduce__ = reduce_error


#: Fields that must not be repeated: a proxy may have used another of the values (RFC 9112 section 3.2, RFC 9110 5.3).
ONCE = ("host", "authorization", "origin")
#: Fields whose values ``repr`` shows. Of the others (cookies, tokens, fields of proxies) it shows the name alone.
_HARMLESS = {"connection", "content-length", "host", "origin", "retry-after", "server", "upgrade", "user-agent"} | {
    f"sec-websocket-{name}" for name in ("accept", "extensions", "key", "version")
}


class Headers(Mapping[str, str]):
    """Header fields. Names may be in any case; repeated fields are joined with ", "; ``repr`` shows no secrets."""

    def __init__(self, fields: Iterable[Tuple[str, str]] = ()) -> None:
        self._fields: Dict[str, str] = {}
        self.repeated: Set[str] = set()  # names, in lower case
        for name, value in fields:
            key = name.lower()
            if key in self._fields:
                self.repeated.add(key)
                value = f"{self._fields[key]}, {value}"
            self._fields[key] = value

    def __getitem__(self, name: str) -> str:
        return self._fields[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        return f"Headers({ ({name: text if name in _HARMLESS else '...' for name, text in self._fields.items()}) })"

    def tokens(self, name: str) -> List[str]:
        return split_tokens(self._fields.get(name.lower(), ""))


def split_tokens(value: str) -> List[str]:
    """Return the parts of a comma-separated field."""
    return [part for part in map(str.strip, value.split(",")) if part]


@dataclass(frozen=True)
class RequestHead:
    """A request line and its fields. ``repr`` does not show the target: its query may have a token."""

    method: str
    target: str = field(repr=False)
    version: str
    headers: Headers

    @property
    def size(self) -> int:
        """About how many bytes it has."""
        fields = sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers.items())
        return len(self.method) + len(self.target) + len("  HTTP/1.1\r\n\r\n") + fields


@dataclass(frozen=True)
class ResponseHead:
    """A status line and its fields."""

    status: int
    reason: str
    headers: Headers


def read_head(sock: Stream, limit: int, deadline: float, before_waiting: Optional[Callable[[], None]] = None) -> bytes:
    """Read to the empty line that ends a head, and leave the bytes after it. Raises `BadRequest`, OSError, EOFError.

    Empty lines before the head are ignored: some chargers send one (RFC 9112 section 2.2).
    ``before_waiting`` is called once, when the head is not complete yet.
    """
    data = bytearray()
    while True:
        try:
            chunk = sock.recv(4096, deadline if before_waiting is None else 0.0)
        except socket.timeout:
            if before_waiting is None:
                raise
            before_waiting()
            before_waiting = None
            continue
        if not chunk:
            raise EOFError("the peer ended the connection during the handshake")
        if not data and chunk.startswith(_TLS):  # its peer sends no more until it is answered
            raise BadRequest(400, "TLS came where there is none: a wss:// URL for a ws:// port?")
        start = max(0, len(data) - len(_END) + 1)
        data += chunk
        while data.startswith(_EMPTY_LINE):
            del data[: len(_EMPTY_LINE)]
            limit -= len(_EMPTY_LINE)
            start = 0
        end = data.find(_END, start)
        if end >= 0:
            end += len(_END)
            sock.unread(bytes(data[end:]))
            del data[end:]
        if len(data) > limit:
            raise BadRequest(431, "the header is too large")
        if end >= 0:
            return bytes(data)


def parse_request(head: bytes) -> RequestHead:
    """Parse the head of a request. Raises `BadRequest` (400)."""
    if _STRAY.search(head):  # only some parsers end a line there: a field could be hidden from a proxy
        raise BadRequest(400, "malformed header")
    line, _, rest = head.partition(b"\r\n")
    match = _REQUEST_LINE.fullmatch(line.decode("iso-8859-1"))
    if match is None:
        raise BadRequest(400, "malformed request line")
    fields = _plain_fields(rest)
    if fields is None:
        fields = _any_fields(rest)
    return RequestHead(match.group(1), match.group(2), match.group(3), Headers(fields))


def _plain_fields(rest: bytes) -> Optional[List[Tuple[str, str]]]:
    """Return the fields of a head if all have the common form; else ``None``. ``http.client`` is much slower."""
    lines = rest.decode("iso-8859-1").split("\r\n")
    if len(lines) > _MOST_FIELDS or len(rest) > 65536 or lines[-2:] != ["", ""]:
        return None
    fields = []
    for line in lines[:-2]:
        field = _FIELD.fullmatch(line)
        if field is None:
            return None
        fields.append((field.group(1), field.group(2).strip(" \t")))
    return fields


def _any_fields(rest: bytes) -> List[Tuple[str, str]]:
    """Return the fields of a head, folded fields and other rare forms too. Raises `BadRequest` (400)."""
    if not _FIELD_NAME.match(rest):  # ``http.client`` drops a first line "From ..." (mailboxes), and folds into nothing
        raise BadRequest(400, "malformed header")
    try:
        message = http.client.parse_headers(io.BytesIO(rest))
    except http.client.HTTPException as error:
        raise BadRequest(400, f"malformed header: {type(error).__name__}") from None
    if message.defects or message.get_payload():
        raise BadRequest(400, "malformed header")
    return [(name, " ".join(str(value).split("\r\n")).strip(" \t")) for name, value in message.items()]


def parse_response(head: bytes) -> Optional[ResponseHead]:
    """Parse the head of a response, with fields of any form; return ``None`` when it is not HTTP/1."""
    line, *lines = head.split(b"\r\n")
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        return None
    fields = [each.decode("iso-8859-1").partition(":") for each in lines]
    headers = Headers((name, text.strip()) for name, _, text in fields)
    return ResponseHead(int(match.group(1)), (match.group(2) or b"").decode("iso-8859-1"), headers)


def read_body(sock: Stream, headers: Headers, limit: int, deadline: float) -> bytes:
    """Return at most ``limit`` bytes of the body of a response, as far as they come until ``deadline``."""
    chunked = "chunked" in headers.get("Transfer-Encoding", "").lower()
    length = headers.get("Content-Length", "").strip()
    wanted = limit if chunked or not _SECONDS.fullmatch(length) else min(limit, int(length))
    data = b""
    with suppress(OSError, EOFError):  # the status says what happened: no more than the body is missing
        while len(data) < wanted and not (chunked and data.endswith(b"0\r\n\r\n")):
            part = sock.recv(wanted - len(data), deadline)
            if not part:
                break
            data += part
    return _unchunk(data) if chunked else data


def _unchunk(data: bytes) -> bytes:
    """Return what the chunks in ``data`` have, the last one perhaps cut (RFC 9112 section 7.1)."""
    found = b""
    while data:
        size, _, rest = data.partition(b"\r\n")
        number = _CHUNK_SIZE.match(size)
        if number is None:
            break
        length = int(number.group(), 16)
        found, data = found + rest[:length], rest[length + 2 :] if length else b""
    return found


def parse_retry_after(headers: Mapping[str, str]) -> Optional[float]:
    """Return the seconds of a ``Retry-After``. ``None`` without one, or for a date (RFC 9110 section 10.2.3)."""
    text = headers.get("Retry-After", "").strip()
    return float(text) if _SECONDS.fullmatch(text) else None


def phrase_of(status: int) -> str:
    """Return the text that goes with ``status``; for an unknown one, that of all refusals."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Refused"


def refusal(status: int, reason: str, headers: Sequence[Tuple[str, str]] = ()) -> bytes:
    """Return the bytes of an HTTP response that refuses the upgrade and ends the connection."""
    fields = [("Content-Type", "text/plain; charset=utf-8"), *headers]
    return response(status, (reason + "\n").encode("utf-8"), fields)


def response(status: int, body: bytes, fields: Sequence[Tuple[str, str]], *, with_body: bool = True) -> bytes:
    """Return the bytes of an HTTP response that ends the connection. That to a HEAD is without its body."""
    fields = [("Content-Length", str(len(body))), ("Connection", "close"), *fields]
    lines = [f"HTTP/1.1 {status} {phrase_of(status)}", *(f"{name}: {value}" for name, value in fields), "", ""]
    return "\r\n".join(lines).encode("iso-8859-1") + (body if with_body else b"")
