"""Connections that a web server hands over, while the server stops."""

import logging
import socket

from ocppj.ws.handshake.http import parse_request
from ocppj.ws.server import WebSocketServer
from tests.helpers import seconds
from tests.ws.support import OCPP, request


def test_a_connection_that_is_taken_while_a_stop_begins_gets_503(caplog):
    server = WebSocketServer()
    server.open("/ocpp/{id}", [OCPP])
    peer, theirs = socket.socketpair()

    def take():
        server.stop()
        return theirs, b""

    with peer, theirs, caplog.at_level(logging.WARNING):
        peer.settimeout(seconds(5))
        server.adopt(parse_request(request().partition(b"\r\n\r\n")[0]), "192.0.2.7:80", take)
        answer = b"".join(iter(lambda: peer.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 5\r\n" in answer
    assert (server.stats().refused, caplog.text) == ({"stopping": 1}, "")
