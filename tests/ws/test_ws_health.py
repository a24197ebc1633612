"""The page of health of a server, without a network."""

import json

import pytest

from ocppj import UsageError
from ocppj.ws.handshake.http import parse_request
from ocppj.ws.server import WebSocketServer
from ocppj.ws.serving.health import Health
from tests.ws.support import RawClient


def head(line, *fields):
    return parse_request("\r\n".join([line, "Host: x", *fields, "", ""]).encode())


@pytest.mark.parametrize(
    ("line", "fields", "asked"),
    [
        ("GET /health HTTP/1.1", (), True),
        ("GET /health?a=b HTTP/1.0", (), True),
        ("HEAD /health HTTP/1.1", (), True),
        ("POST /health HTTP/1.1", (), False),
        ("GET /health/ HTTP/1.1", (), False),
        ("GET /healthy HTTP/1.1", (), False),
        ("GET /health HTTP/1.1", ("Upgrade: websocket",), False),
    ],
)
def test_who_asks_for_the_page(line, fields, asked):
    assert Health("/health").is_asked(head(line, *fields)) is asked
    assert not Health(None).is_asked(head(line, *fields))


def test_a_server_that_closes_says_so():
    page, _, body = Health("/health").answer("GET", 7, closing=True).partition(b"\r\n\r\n")
    assert page.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"\r\nRetry-After: 5" in page
    assert b"\r\nCache-Control: no-store" in page
    assert f"\r\nContent-Length: {len(body)}\r\n".encode() in page
    story = json.loads(body)
    assert (story["status"], story["connections"]) == ("closing", 7)


def test_an_answer_to_head_is_without_a_body():
    with_body, without = (Health("/health").answer(method, 0, closing=False) for method in ("GET", "HEAD"))
    assert with_body.startswith(without)
    assert without.endswith(b"\r\n\r\n")


def test_what_is_no_path():
    for path in ("health", "", 7, "/health?full", "/health#", "/my health", "/h\u00e9alth"):
        with pytest.raises(UsageError, match="health_path"):
            Health(path)


def test_before_a_stop_it_can_announce_that_it_closes():
    server = WebSocketServer()
    server.announce_closing()  # which does nothing before `listen`
    server.listen(0, "/{id}", "127.0.0.1", ["ocpp1.6"], health_path="/health")
    try:
        for status in (" 200 ", " 503 "):
            with RawClient(server.url) as client:
                client.send(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
                assert status in client.read_head()
            server.announce_closing()
    finally:
        server.stop()
