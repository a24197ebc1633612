"""What a side sends goes through as it is, and so do the ends of connections."""

import threading
from datetime import datetime, timezone
from typing import Any, List

import pytest

from ocppj import Client, Server, v16, v21, v201
from ocppj.testing import example
from ocppj.testing.defaults import default_response
from ocppj.ws.connection.deflate import Deflate
from tests.helpers import eventually, seconds
from tests.proxy.rig import Rig, Seen, ends
from tests.ws.support import RawClient, RawServer, frame

CALL = '[2,"1","Heartbeat",{}]'
#: Frames that nobody may touch: spaces, escapes, numbers, unknown things, and what is no message at all.
ODD = [
    CALL,
    ' [ 2 , "a\\u00e9\\/b" , "Unknown.Action" , { "x" : 1.10e+2, "x": 2, "\\ud83d\\ude00": [ ] } ]\n',
    '[3,"1",{"currentTime":"never","extra":null}]',
    "[9,{},[]]",
    "no JSON at all \u2028 \u00e9 \U0001f600",
    "",
    "[" * 500,
    '[2,"big","DataTransfer",{"data":"' + "x" * 300_000 + '"}]',
]


def test_frames_go_through_as_they_are_in_their_order(rig: Rig) -> None:
    proxy, central, station = rig.all()
    to_station = central.channel()
    for text in ODD:
        station.transport.send(text)
        to_station.send(text)
    assert central.wait_texts(len(ODD)) == ODD
    assert station.wait_texts(len(ODD)) == ODD
    eventually(lambda: (proxy.counts().from_stations, proxy.counts().from_csms) == (len(ODD), len(ODD)))
    assert (proxy.counts().changed, proxy.counts().undelivered) == (0, 0)


def test_the_bytes_of_a_frame_are_the_same(rig: Rig) -> None:
    got: List[bytes] = []

    def script(peer: RawServer) -> None:
        peer.answer()
        got.append(peer.read_frame()[1])
        peer.send(frame(1, got[0], masked=False))
        peer.at_end()

    with RawServer(script) as raw:
        proxy = rig.proxy(raw.url)
        with RawClient(proxy.url) as station:
            head = station.upgrade("/CP%5F1%7Cx;v=1?token=a%2Fb")
            assert "101" in head
            text = ODD[1].encode()
            station.send(frame(1, text))
            assert station.read_frame() == (1, text)
    assert got == [text]
    assert raw.requests[0].startswith("GET /ocpp/CP%5F1%7Cx;v=1?token=a%2Fb HTTP/1.1\r\n")


def answer(request: Any) -> Any:
    return default_response(request, datetime.now(timezone.utc))


@pytest.mark.parametrize(("name", "version"), [("1.6", v16), ("2.0.1", v201), ("2.1", v21)])
def test_a_client_and_a_server_of_each_version_call_each_other(name: str, version: Any, rig: Rig) -> None:
    server, seen = Server(profiles=version.PROFILES), Seen()
    server.set_request_handler(lambda client_id, request, message_id, action: answer(request))
    with server.listen(0, "/ocpp/{id}", "127.0.0.1"):
        proxy = rig.proxy(server.url, recorders=[seen])
        client = Client("CP 1|x", profiles=version.PROFILES)
        client.set_request_handler(lambda request, message_id, action: answer(request))
        with client.connect(proxy.url):
            assert client.call(example(version.HeartbeatRequest)).current_time
            assert server.call("CP 1|x", example(version.TriggerMessageRequest)).status
            assert proxy.connections() == ["CP 1|x"]
        ends(proxy)
    assert [(each.sender, each.kind, each.version) for each in seen.frames] == [
        ("station", "CALL", name),
        ("csms", "CALLRESULT", name),
        ("csms", "CALL", name),
        ("station", "CALLRESULT", name),
    ]
    assert seen.kinds() == ["connected", "disconnected"]
    assert seen.changes[1].reason == "1000 by the station"


def test_each_side_compresses_as_it_agrees(rig: Rig) -> None:
    _, central = rig.central(compression=False)
    proxy = rig.proxy(central.transport, compression=Deflate())
    with RawClient(proxy.url) as station:
        head = station.upgrade("/CP_1", Sec_WebSocket_Extensions="permessage-deflate")
        assert "permessage-deflate" in head
        central.channel().send("x" * 2000)
        assert len(station.read_frame()[1]) < 200
        station.send(frame(1, b"plain"))
        assert central.wait_texts(1) == ["plain"]


CLOSES = [(1000, "bye"), (1001, ""), (1008, "replaced \u00e9"), (4999, "x" * 123), (1012, "restart"), (1005, "")]


@pytest.mark.parametrize(("code", "reason"), CLOSES)
def test_a_close_of_the_station_goes_through(code: int, reason: str, rig: Rig) -> None:
    _, central = rig.central()
    proxy = rig.proxy(central.transport)
    with RawClient(proxy.url) as station:
        station.upgrade("/CP_1")
        data = b"" if code == 1005 else code.to_bytes(2, "big") + reason.encode()
        station.send(frame(1, CALL.encode()) + frame(8, data))
        close = central.close()
        assert (close.code, close.reason, close.by_peer) == (code, reason, True)
        assert station.read_close() == code
    assert central.texts == [CALL], "what was sent before the Close comes before it"
    ends(proxy)


@pytest.mark.parametrize(("code", "reason"), CLOSES)
def test_a_close_of_the_central_system_goes_through(code: int, reason: str, rig: Rig) -> None:
    data = b"" if code == 1005 else code.to_bytes(2, "big") + reason.encode()

    def script(peer: RawServer) -> None:
        peer.answer()
        peer.send(frame(1, b"last", masked=False) + frame(8, data, masked=False))
        peer.at_end()

    with RawServer(script) as raw:
        proxy = rig.proxy(raw.url)
        _, station = rig.station(proxy, subprotocols=["ocpp1.6"])
        close = station.close()
        assert (close.code, close.reason, close.by_peer) == (code, reason, True)
        assert station.texts == ["last"]
        ends(proxy)


def test_a_station_that_is_cut_cuts_the_other_side_without_a_close(rig: Rig) -> None:
    proxy, central, station = rig.all()
    station.transport.send(CALL)
    central.wait_texts(1)
    station.channel().abort()
    close = central.close()
    assert (close.code, close.by_peer) == (1006, False)
    ends(proxy)


def test_a_central_system_that_is_cut_cuts_the_station_after_what_it_has_sent(rig: Rig) -> None:
    seen = Seen()
    proxy, central, station = rig.all(recorders=[seen])
    for number in range(50):
        central.channel().send(str(number))
    central.channel().cut()
    assert station.close().code == 1006
    assert station.texts == [str(number) for number in range(50)]
    ends(proxy)
    assert seen.changes[-1].reason.startswith("1006 the central system: ")


def test_a_frame_that_comes_when_the_other_side_is_gone_is_counted_and_its_sender_cut(rig: Rig) -> None:
    seen = Seen()
    accepted = threading.Event()

    def script(peer: RawServer) -> None:
        peer.answer()
        peer.send(frame(8, b"\x03\xe8", masked=False))
        accepted.wait(seconds(5))

    with RawServer(script) as raw:
        proxy = rig.proxy(raw.url, recorders=[seen], close_timeout=seconds(2))
        with RawClient(proxy.url) as station:
            station.upgrade("/CP_1")
            assert station.read_frame() == (8, b"\x03\xe8")
            station.send(frame(1, CALL.encode()))  # it has not answered the Close
            eventually(lambda: proxy.counts().undelivered == 1)
            assert station.at_end()
        accepted.set()
        ends(proxy)
    assert [(each.text, each.sent) for each in seen.frames] == [(CALL, False)]


@pytest.mark.parametrize(("data", "code"), [(b"\xff\xfe", 1007), (b"\x00\x01", 1003)])
def test_what_breaks_websocket_itself_ends_both_connections(data: bytes, code: int, rig: Rig) -> None:
    _, central = rig.central()
    proxy = rig.proxy(central.transport)
    with RawClient(proxy.url) as station:
        station.upgrade("/CP_1")
        station.send(frame(1 if code == 1007 else 2, data))
        assert station.read_close() == code
    assert central.close().code == 1006
    ends(proxy)


def test_pings_are_each_sides_own(rig: Rig) -> None:
    proxy, central, _ = rig.all(ping_interval=None)
    with RawClient(proxy.url) as raw:
        raw.upgrade("/CP_2")
        central.connected.wait(2)
        raw.send(frame(9, b"mine"))
        assert raw.read_frame() == (10, b"mine")
    assert central.texts == []
    ends_one = eventually(lambda: proxy.connections() == ["CP_1"])
    assert ends_one


def test_the_same_identity_may_connect_twice_if_the_central_system_lets_it(rig: Rig) -> None:
    proxy, central, first = rig.all()
    _, second = rig.station(proxy)
    close = first.close()
    assert (close.code, close.by_peer) == (1008, True), "the central system has replaced it"
    second.transport.send(CALL)
    central.wait_texts(1)
    eventually(lambda: proxy.connections() == ["CP_1"])
