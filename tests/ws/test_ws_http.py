"""The HTTP of the opening handshake."""

import contextlib
import http.client
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocppj.ws.handshake.http import BadRequest, Headers, parse_request, parse_response, refusal
from ocppj.ws.handshake.policy import websocket_headers
from tests.helpers import seconds
from tests.ws.support import request


def test_headers():
    headers = Headers([("X-A", "1"), ("x-a", "2, 3"), ("Authorization", "Basic secret")])
    assert headers["X-a"] == "1, 2, 3"
    assert headers.tokens("x-A") == ["1", "2", "3"]
    assert "X-B" not in headers
    assert "secret" not in repr(headers)


@given(st.binary(max_size=400))
def test_parsing_never_fails_otherwise(data):
    try:
        parse_request(data + b"\r\n\r\n")
    except BadRequest:
        pass


@given(
    st.lists(st.sampled_from([b"GET ", b"/x", b" HTTP/1.1", b"\r\n", b"A: b", b":", b" ", b"\t", b"\xff"]), max_size=12)
)
def test_parsing_near_requests_never_fails_otherwise(parts):
    try:
        websocket_headers(parse_request(b"GET /x HTTP/1.1\r\n" + b"".join(parts) + b"\r\n\r\n"), True)
    except BadRequest:
        pass


PIECES = [
    *[b"A: b", b"Host: x", b"From x", b"Subject: a", b"Content-Type: text/x", b"Content-Transfer-Encoding: base64"],
    *[b":", b" ", b"\t", b"(", b"-", b"B:", b"=?utf-8?q?x?=", b"\n", b"\r\n "],
    *[b"\x01", b"\x0b", b"\x0c", b"\x1c", b"\x7f", b"\x85", b"\xa0", b"\xff"],
]


@settings(max_examples=500)
@given(st.lists(st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map(b"".join), max_size=4))
def test_the_short_way_to_read_fields_finds_what_the_long_way_does(lines):
    """A folded field has all fields of its head read the long way."""
    head = b"GET /x HTTP/1.1\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"
    head = head[: head.index(b"\r\n\r\n") + 2]
    short, read = reading(head + b"\r\n")
    if short:
        short, otherwise = reading(head + b"Z-Folded: a\r\n b\r\n\r\n")
        assert not short
        assert {**read, "z-folded": otherwise["Z-Folded"]} == dict(otherwise)


def reading(head):
    """Parse ``head``; return whether that was the short way, which leaves http.client alone, and the fields.

    Of a head that is refused there are none, and nothing is the short way.
    """
    long = []

    def look(frame, event, argument):
        if event == "call" and frame.f_code is http.client.parse_headers.__code__:
            long.append(frame)

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        fields = parse_request(head).headers
    except BadRequest:
        return False, None
    finally:
        sys.setprofile(before)
    return not long, fields


@pytest.mark.parametrize(
    ("line", "plain"),
    [
        (b"Sec-WebSocket-Key: x", True),
        (b"A:", True),
        (b"A: \t b c", True),
        (b"A: b \t ", True),
        (b" folded", False),
        (b"A : b", False),
        (b"A: b\nC: d", False),
        (b"A: \x01", False),
    ],
)
def test_which_fields_are_read_the_short_way(line, plain):
    assert reading(b"GET /x HTTP/1.1\r\n" + line + b"\r\n\r\n")[0] == plain


def test_there_are_not_too_many_fields():
    for count, refused in [(50, False), (101, True)]:
        many = b"".join(b"A%d: b\r\n" % number for number in range(count))
        short, fields = reading(b"GET /x HTTP/1.1\r\n" + many + b"\r\n")
        assert (short, fields is None) == (not refused, refused)


SLOW = [
    b"X:" + b" " * 16000 + b"\1",
    b"X:" + b"\t" * 16000 + b"\1",
    b"X:" + b" \t" * 8000 + b"\x7f",
    b" " * 16000 + b":",
]


@pytest.mark.parametrize("line", SLOW, ids=["spaces", "tabs", "both", "no name"])
def test_no_line_takes_long_to_parse(line):
    """A regular expression holds the interpreter: all connections would stand still meanwhile."""
    begun = time.process_time()
    with contextlib.suppress(BadRequest):
        parse_request(b"GET /ocpp/CP HTTP/1.1\r\n" + line + b"\r\n\r\n")
    assert time.process_time() - begun < seconds(0.5)


@pytest.mark.parametrize(
    ("text", "value"),
    [("a", "a"), ("  a", "a"), ("\t a b", "a b"), ("", ""), (" a ", "a"), (" a\t ", "a"), ("a\r\n \1b ", "a  \1b")],
)
def test_the_space_around_a_value_is_none_of_it(text, value):
    head = parse_request(b"GET /ocpp/CP HTTP/1.1\r\nX:" + text.encode() + b"\r\n\r\n")
    assert head.headers["x"] == value


def test_spaces_after_the_values_of_an_upgrade_do_not_matter():
    line, _, fields = request().partition(b"\r\n")
    spaced = fields[:-4].replace(b"\r\n", b" \t\r\n") + b" \r\n\r\n"
    plain, odd = (websocket_headers(parse_request(line + b"\r\n" + each), True) for each in (fields, spaced))
    assert odd == plain


@pytest.mark.parametrize(
    "stray", [b"a\rX-Verified: yes", b"a\r\r\nX-Verified: yes", b"a\0", b"a\nX-Verified: yes", b"a\n X-Verified: yes"]
)
def test_a_field_cannot_be_hidden_in_another(stray):
    head = b"GET /ocpp/CP HTTP/1.1\r\nHost: x\r\nCookie: " + stray + b"\r\n\r\n"
    with pytest.raises(BadRequest, match="malformed header"):
        parse_request(head)


def test_refusals():
    data = refusal(401, "no", [("WWW-Authenticate", "Basic")])
    assert data.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
    assert b"\r\nWWW-Authenticate: Basic\r\n" in data
    assert data.endswith(b"\r\n\r\nno\n")
    assert refusal(499, "odd").startswith(b"HTTP/1.1 499 ")


@pytest.mark.parametrize(
    ("head", "status", "reason"),
    [
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", 101, "Switching Protocols"),
        (b"HTTP/1.0 503 \r\n\r\n", 503, ""),
        (b"HTTP/1.1 404\r\n\r\n", 404, ""),
        (b"HTTP/1.1 401 N\xf6\r\n\r\n", 401, "N\xf6"),
    ],
)
def test_responses(head, status, reason):
    response = parse_response(head)
    assert (response.status, response.reason) == (status, reason)


def test_the_fields_of_a_response_may_have_any_form():
    response = parse_response(b"HTTP/1.1 503 Full\r\nRetry-After:  7 \r\nno colon\r\n\r\n")
    assert response.headers["retry-after"] == "7"


@pytest.mark.parametrize(
    "head", [b"", b"\r\n\r\n", b"SSH-2.0-x\r\n\r\n", b"HTTP/2 101 X\r\n\r\n", b"HTTP/1.1 1x1 X\r\n"]
)
def test_other_protocols_are_no_response(head):
    assert parse_response(head) is None


@pytest.mark.parametrize("place", ["first", "middle", "last"])
@pytest.mark.parametrize("line", ["From evil", "From evil: x", " folded: into nothing", ": no name", "no colon"])
def test_each_line_of_a_head_is_a_field(place, line):
    lines = ["Host: x", "Upgrade: websocket"]
    lines.insert({"first": 0, "middle": 1, "last": 2}[place], line)
    head = "\r\n".join(["GET /ocpp/CP_1 HTTP/1.1", *lines, "", ""]).encode()
    if line.startswith(" ") and place != "first":  # the obsolete form of a field in two lines
        assert parse_request(head).headers["Upgrade" if place == "last" else "Host"].endswith("nothing")
        return
    with pytest.raises(BadRequest, match="malformed header") as refused:
        parse_request(head)
    assert refused.value.status == 400


@pytest.mark.parametrize("evil", ["#", "\\", "\x01", "\x1f", "\t", "\x7f", " "])
def test_a_request_target_has_no_character_that_ends_it_for_others(evil):
    head = f"GET /ocpp/CP_1{evil}x HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    with pytest.raises(BadRequest, match="malformed request line") as refused:
        parse_request(head)
    assert refused.value.status == 400
