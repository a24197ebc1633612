"""The handshake of a station is that of the central system: versions, credentials, paths, TLS and refusals."""

import base64
import socket
import threading
from typing import Any, List

import pytest

from ocppj import HandshakeRefused, Refusal, SubprotocolError, TransportError, UsageError
from ocppj.proxy import Proxy
from ocppj.ws.handshake.request import HandshakeRequest
from tests.helpers import eventually, seconds
from tests.proxy.rig import Rig, Seen, ends
from tests.ws.support import RawClient, RawServer, client_context, server_context


def requests_of(server: Any) -> List[HandshakeRequest]:
    """Have ``server`` keep the requests to connect."""
    requests: List[HandshakeRequest] = []

    def check(request: HandshakeRequest) -> bool:
        requests.append(request)
        return True

    server.set_check_client_handler(check)
    return requests


@pytest.mark.parametrize(
    ("offered", "spoken", "chosen"),
    [
        (["ocpp2.0.1", "ocpp1.6"], ["ocpp1.6", "ocpp2.0.1"], "ocpp2.0.1"),
        (["ocpp2.0.1", "ocpp1.6"], ["ocpp1.6"], "ocpp1.6"),
        (["ocpp1.6"], ["ocpp1.6", "ocpp2.1"], "ocpp1.6"),
        (["x-mine", "ocpp9"], ["ocpp9"], "ocpp9"),
    ],
)
def test_the_version_is_the_choice_of_the_central_system(offered: Any, spoken: Any, chosen: str, rig: Rig) -> None:
    server, central = rig.central(spoken)
    requests = requests_of(server)
    proxy = rig.proxy(server)
    client, _ = rig.station(proxy, subprotocols=offered)
    assert client.get_channel().subprotocol == chosen
    assert central.channel().subprotocol == chosen
    assert list(requests[0].subprotocols) == offered


def test_no_common_version_goes_through_with_its_close(rig: Rig) -> None:
    server, _ = rig.central(["ocpp1.6"])
    proxy = rig.proxy(server)
    with pytest.raises(SubprotocolError):
        rig.station(proxy, subprotocols=["ocpp2.1"])
    with RawClient(proxy.url) as raw:
        head = raw.upgrade("/CP_1", Sec_WebSocket_Protocol="ocpp2.1")
        assert "101" in head
        assert "sec-websocket-protocol" not in head.lower()
        assert raw.read_close() == 1002
    with RawClient(proxy.url) as raw:
        assert "101" in raw.upgrade("/CP_1", Sec_WebSocket_Protocol="")
        assert raw.read_close() == 1002
    ends(proxy)


def test_a_subprotocol_that_was_not_offered_is_refused(rig: Rig) -> None:
    with RawServer(lambda peer: peer.answer("ocpp2.1") or peer.at_end()) as raw:
        proxy = rig.proxy(raw.url)
        with pytest.raises(HandshakeRefused) as caught:
            rig.station(proxy, subprotocols=["ocpp1.6"])
        assert caught.value.status == 502
        assert raw.done.wait(seconds(5)), "the connection to the central system ends"


def test_credentials_fields_path_and_query_are_passed_on(rig: Rig) -> None:
    server, _ = rig.central(path=["/ocpp/{id}", "/ocpp/{tenant}/{id}"])
    requests = requests_of(server)
    server.set_basic_auth_handler(lambda identity, password: (identity, password) == ("CP_1", b"\x00\xff:pw"))
    proxy = rig.proxy(server.url + "?key=1")
    fields = {"User-Agent": "charger/1", "X-Forwarded-For": "192.0.2.7"}
    rig.station(proxy.url + "/north?token=a%20b", basic_auth=("CP_1", b"\x00\xff:pw"), headers=fields)
    (request,) = requests
    assert request.identity == "CP_1"
    assert request.values == {"tenant": "north"}
    assert request.query == "key=1&token=a%20b"
    assert request.headers["User-Agent"] == "charger/1"
    assert request.headers["X-Forwarded-For"] == "192.0.2.7, 127.0.0.1"
    assert request.headers["Host"] == server.url.split("/")[2]


def test_the_path_before_the_identity_may_be_taken_off(rig: Rig) -> None:
    server, _ = rig.central()
    requests = requests_of(server)
    proxy = rig.proxy(server, path="/behind/")
    assert proxy.url.endswith("/behind")
    rig.station(proxy, "CP/1 \u00e9")
    assert [each.path for each in requests] == ["/ocpp/CP%2F1%20%C3%A9"]
    for path in ("/CP_1", "/behind", "/behind/"):
        with RawClient(proxy.url) as raw:
            assert "404" in raw.upgrade(path)


@pytest.mark.parametrize(
    ("credentials", "expected"),
    [
        ("pass", b"own"),
        (None, None),
        ({"CP_1": "new"}, b"new"),
        ({"CP_2": "new"}, b"own"),
        (lambda request: (request.identity, b"made"), b"made"),
        (lambda request: None, b"own"),
    ],
)
def test_credentials_are_passed_on_or_replaced(credentials: Any, expected: Any, rig: Rig) -> None:
    server, _ = rig.central()
    requests = requests_of(server)
    proxy = rig.proxy(server, credentials=credentials)
    rig.station(proxy, basic_auth=("CP_1", b"own"))
    assert [each.password for each in requests] == [expected]


def test_a_function_of_credentials_that_fails_refuses_the_station(rig: Rig, caplog: Any) -> None:
    server, _ = rig.central()
    proxy = rig.proxy(server, credentials=lambda request: 1 / 0)
    with pytest.raises(HandshakeRefused) as caught:
        rig.station(proxy)
    assert caught.value.status == 502
    assert "division" in caplog.text


def test_the_proxy_may_check_passwords_itself(rig: Rig) -> None:
    server, central = rig.central()
    proxy = rig.proxy(server, check_credentials=lambda identity, password: password == b"right", credentials=None)
    with pytest.raises(HandshakeRefused) as caught:
        rig.station(proxy, basic_auth=("CP_1", b"wrong"))
    assert caught.value.status == 401
    assert not central.connected.calls
    rig.station(proxy, basic_auth=("CP_1", b"right"))
    assert proxy.counts().refused == 1


@pytest.mark.parametrize(
    ("refusal", "status", "retry_after"),
    [
        (Refusal(401), 401, None),
        (Refusal(404, reason="who is that?"), 404, None),
        (Refusal(503, retry_after=17, reason="later"), 503, 17.0),
        (Refusal(429, retry_after=3), 429, 3.0),
        (Refusal(302, headers={"Location": "ws://elsewhere"}), 502, None),
    ],
)
def test_refusals_of_the_central_system_go_through(refusal: Any, status: int, retry_after: Any, rig: Rig) -> None:
    server, _ = rig.central()
    server.set_check_client_handler(lambda request: refusal)
    seen = Seen()
    proxy = rig.proxy(server, recorders=[seen])
    with pytest.raises(HandshakeRefused) as caught:
        rig.station(proxy)
    assert (caught.value.status, caught.value.retry_after) == (status, retry_after)
    if status < 500 or refusal.reason:
        assert caught.value.body == (refusal.reason or caught.value.body)
    (change,) = seen.changes
    assert (change.kind, change.client_id, change.connection) == ("refused", "CP_1", 0)
    assert change.reason.startswith(str(status))
    assert proxy.counts().refused == 1
    with RawClient(proxy.url) as raw:
        assert ("www-authenticate" in raw.upgrade("/CP_1").lower()) is (status == 401)


def test_a_central_system_that_is_away_is_502_and_one_that_is_silent_504(rig: Rig) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        silent = rig.proxy(f"ws://127.0.0.1:{listener.getsockname()[1]}", handshake_timeout=seconds(0.3))
        with pytest.raises(HandshakeRefused) as caught:
            rig.station(silent, handshake_timeout=seconds(10))
        assert caught.value.status == 504
    with pytest.raises(HandshakeRefused) as caught:
        rig.station(silent)
    assert caught.value.status == 502
    with RawServer(lambda peer: peer.send(b"SSH-2.0\r\n\r\n")) as raw, pytest.raises(HandshakeRefused) as caught:
        rig.station(rig.proxy(raw.url))
    assert caught.value.status == 502


@pytest.mark.parametrize(("to_tls", "from_tls"), [(True, False), (False, True), (True, True)])
def test_tls_on_either_side_with_client_certificates(to_tls: bool, from_tls: bool, rig: Rig) -> None:
    server, central = rig.central(ssl_context=server_context(client_certificates=True) if to_tls else None)
    server.set_check_certificate_handler(lambda request: True)
    asked: List[str] = []

    def context_of(request: HandshakeRequest) -> Any:
        asked.append(request.identity)
        return client_context(certificate=True)

    proxy = rig.proxy(
        server.url.replace("127.0.0.1", "localhost"),
        to_ssl_context=context_of if to_tls else None,
        ssl_context=server_context() if from_tls else None,
    )
    assert proxy.url.startswith("wss://" if from_tls else "ws://")
    client, _ = rig.station(
        proxy.url.replace("127.0.0.1", "localhost"), ssl_context=client_context() if from_tls else None
    )
    client.send("[1]")
    assert central.wait_texts(1) == ["[1]"]
    if to_tls:
        assert asked == ["CP_1"]


def test_a_certificate_that_is_not_trusted_is_502(rig: Rig) -> None:
    server, _ = rig.central(ssl_context=server_context())
    with pytest.raises(HandshakeRefused) as caught:
        rig.station(rig.proxy(server))
    assert caught.value.status == 502


def test_a_station_that_gives_up_while_the_central_system_thinks_leaves_nothing_behind(rig: Rig) -> None:
    asked, goes_on = threading.Event(), threading.Event()
    server, central = rig.central()

    def check(request: HandshakeRequest) -> bool:
        asked.set()
        return goes_on.wait(seconds(5))

    server.set_check_client_handler(check)
    proxy = rig.proxy(server)
    with RawClient(proxy.url) as raw:
        raw.send(b"GET /CP_1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
        key = base64.b64encode(b"0123456789abcdef").decode()
        raw.send(f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n".encode())
        raw.send(b"Sec-WebSocket-Protocol: ocpp1.6\r\n\r\n")
        assert asked.wait(seconds(5))
    goes_on.set()
    central.close()
    ends(proxy)


def test_the_limit_of_connections_is_that_of_the_proxy(rig: Rig) -> None:
    server, central = rig.central()
    proxy = rig.proxy(server, max_connections=1)
    rig.station(proxy)
    with pytest.raises(HandshakeRefused) as caught:
        rig.station(proxy, "CP_2")
    assert caught.value.status == 503
    assert [channel.id for (channel,) in central.connected.calls][:1] == ["CP_1"]
    eventually(lambda: server.stats().connections == 1)


def test_what_a_proxy_does_not_take(rig: Rig) -> None:
    for bad in ("http://x", "x", "ws://a@b/", 5):
        with pytest.raises(UsageError):
            Proxy(bad)  # type: ignore[arg-type]
    for options in ({"observers": "ws://x"}, {"credentials": "yes"}, {"hooks": [5]}, {"recorders": [5]}):
        with pytest.raises(UsageError):
            Proxy("ws://x", **options)  # type: ignore[arg-type]
    proxy = Proxy("ws://127.0.0.1:1")
    with pytest.raises(UsageError):
        _ = proxy.url
    for path in ("ocpp", "/ocpp/{id}", "/a?b"):
        with pytest.raises(UsageError):
            proxy.listen(0, "127.0.0.1", path)
    with proxy.listen(0, "127.0.0.1"), pytest.raises(UsageError):
        proxy.listen(0, "127.0.0.1")
    with proxy.listen(0, "127.0.0.1"):
        assert proxy.port
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        with pytest.raises(TransportError):
            proxy.listen(taken.getsockname()[1], "127.0.0.1")
