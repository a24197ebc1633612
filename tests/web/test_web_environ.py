"""The request that a WSGI environ stands for."""

from typing import Any, Dict

import pytest

from ocppj.web.environ import asks_for_websocket, head_of, path_of, peer_of


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({"PATH_INFO": "/ocpp/CP/1", "RAW_URI": "/ocpp/CP%2F1?x=/y"}, "/ocpp/CP%2F1"),
        ({"PATH_INFO": "/ocpp/CP/1", "REQUEST_URI": "http://host:80/ocpp/CP%2F1"}, "/ocpp/CP%2F1"),
        ({"PATH_INFO": "/ocpp/CP%2F1", "REQUEST_URI": "/ocpp/CP%2F1"}, "/ocpp/CP%2F1"),
        ({"SCRIPT_NAME": "/a/b", "PATH_INFO": "/CP/1", "RAW_URI": "/a/b/CP%2F1"}, "/CP%2F1"),
        ({"SCRIPT_NAME": "/a/b", "PATH_INFO": "/CP/1", "RAW_URI": "/CP%2F1"}, "/CP%2F1"),
        ({"SCRIPT_NAME": "/a", "PATH_INFO": "/CP_2", "RAW_URI": "/a/CP_1"}, "/CP_2"),
        ({"PATH_INFO": "/ocpp/M\u00c3\u00bcnchen 1"}, "/ocpp/M%C3%BCnchen%201"),
        ({"PATH_INFO": "/ocpp/50%"}, "/ocpp/50%25"),
        ({}, ""),
    ],
    ids=["raw", "absolute", "left-encoded", "mounted", "prefix-cut", "changed", "encoded-again", "percent", "none"],
)
def test_path_is_the_one_that_was_sent(environ: Dict[str, Any], path: str) -> None:
    assert path_of(environ) == path


def test_head_has_the_fields_by_their_names() -> None:
    head = head_of(
        {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": "/CP_1",
            "QUERY_STRING": "token=1",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_SEC_WEBSOCKET_PROTOCOL": "ocpp1.6, ocpp2.0.1",
            "HTTP_HOST": "csms.example",
            "CONTENT_LENGTH": "",
            "CONTENT_TYPE": "text/plain",
        }
    )
    assert (head.method, head.target, head.version) == ("GET", "/CP_1?token=1", "1.1")
    assert dict(head.headers) == {
        "sec-websocket-protocol": "ocpp1.6, ocpp2.0.1",
        "host": "csms.example",
        "content-type": "text/plain",
    }


@pytest.mark.parametrize(
    ("environ", "peer"),
    [
        ({"REMOTE_ADDR": "192.0.2.7", "REMOTE_PORT": "4711"}, "192.0.2.7:4711"),
        ({"REMOTE_ADDR": "2001:db8::1", "REMOTE_PORT": 4711}, "[2001:db8::1]:4711"),
        ({"REMOTE_ADDR": "192.0.2.7"}, "192.0.2.7:0"),
        ({"REMOTE_ADDR": ""}, "unix"),
        ({"REMOTE_ADDR": "unix:", "REMOTE_PORT": ""}, "unix"),
        ({"REMOTE_ADDR": "<local>", "REMOTE_PORT": 0}, "unix"),
        ({}, "unix"),
    ],
    ids=["ipv4", "ipv6", "no-port", "unix", "unix-scheme", "werkzeug-unix", "missing"],
)
def test_peer_is_where_the_connection_comes_from(environ: Dict[str, Any], peer: str) -> None:
    assert peer_of(environ) == peer


@pytest.mark.parametrize(("value", "asks"), [("WebSocket", True), ("h2c, websocket", True), ("h2c", False)])
def test_upgrade_field_asks_for_websocket(value: str, asks: bool) -> None:
    assert asks_for_websocket({"HTTP_UPGRADE": value}) is asks
    assert not asks_for_websocket({})
