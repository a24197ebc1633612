"""Slow sides, floods, many connections, and stop() in the middle."""

import socket
import threading
import time
import tracemalloc
from contextlib import suppress
from typing import Any, List, Optional

import pytest

from ocppj import HandshakeRefused, OcppjError, UsageError
from ocppj.proxy import Message, Proxy
from ocppj.ws.server import WebSocketServer
from tests.helpers import Recorder, eventually, seconds
from tests.proxy.rig import Rig, Seen, ends
from tests.ws.support import NO_WAIT, Log, RawClient, RawServer, frame, open_files

BLOCK = b"x" * 50_000


@pytest.fixture(params=["per-connection", "shared"])
def readers(request: Any) -> Any:
    return request.param


def write_until_held(sock: socket.socket, data: bytes, most: int) -> int:
    """Write ``data`` again and again until nothing is taken for a while; return how many bytes were."""
    sock.settimeout(seconds(0.4))
    written = 0
    with suppress(socket.timeout):
        while written < most:
            written += sock.send(data)
    return written


def test_a_slow_central_system_slows_the_station_and_loses_nothing(readers: str, rig: Rig) -> None:
    goes_on, got = threading.Event(), []

    def script(peer: RawServer) -> None:
        peer.answer()
        assert goes_on.wait(seconds(20))
        while len(got) < 400:
            got.append(peer.read_frame()[1][:8])

    with RawServer(script, receive_buffer=4096) as slow:
        proxy = rig.proxy(slow.url, readers=readers, write_timeout=seconds(20))
        with RawClient(proxy.url) as station:
            station.upgrade("/CP_1")
            tracemalloc.start()
            frames = b"".join(frame(1, b"%08d" % number + BLOCK) for number in range(400))
            before = tracemalloc.get_traced_memory()[0]
            station.sock.settimeout(seconds(0.5))
            sent = 0
            with suppress(socket.timeout):
                while sent < len(frames):
                    sent += station.sock.send(frames[sent : sent + 65536])
            held = tracemalloc.get_traced_memory()[0] - before
            tracemalloc.stop()
            assert sent < len(frames), "the station has to wait"
            assert held < 3_000_000, "memory does not grow"
            goes_on.set()
            station.sock.settimeout(seconds(20))
            station.send(frames[sent:])
            assert slow.done.wait(seconds(20))
    assert slow.error is None
    assert got == [b"%08d" % number for number in range(400)]


def test_a_slow_station_slows_the_central_system(readers: str, rig: Rig) -> None:
    _, central = rig.central()
    proxy = rig.proxy(central.transport, readers=readers, write_timeout=seconds(20))
    with RawClient(proxy.url, receive_buffer=4096) as station:
        station.upgrade("/CP_1")
        channel, sent = central.channel(), []

        def send_all() -> None:
            for number in range(400):
                channel.send(f"{number:08d}" + "x" * 50_000)
                sent.append(number)

        sender = threading.Thread(target=send_all)
        sender.start()
        eventually(lambda: len(sent) > 10)
        pause = threading.Event()
        before = -1
        while before != len(sent):
            before = len(sent)
            pause.wait(seconds(0.4))
        assert len(sent) < 400, "the central system has to wait"
        assert [station.read_frame()[1][:8] for _ in range(400)] == [b"%08d" % number for number in range(400)]
        sender.join(seconds(10))
    assert proxy.counts().undelivered == 0


def test_a_side_that_takes_nothing_ends_both_connections(rig: Rig) -> None:
    done = threading.Event()

    def script(peer: RawServer) -> None:
        peer.answer()
        done.wait(seconds(20))

    with RawServer(script, receive_buffer=4096) as stuck:
        proxy = rig.proxy(stuck.url, write_timeout=seconds(0.5), close_timeout=seconds(0.5))
        with RawClient(proxy.url) as station:
            station.upgrade("/CP_1")
            with pytest.raises((ConnectionResetError, BrokenPipeError)):  # at once, though it waits to write
                for _ in range(400):
                    station.send(frame(1, BLOCK))
            assert station.at_end()
        ends(proxy)
        done.set()
    assert proxy.counts().undelivered > 0


def test_a_half_open_side_ends_both_connections(rig: Rig) -> None:
    done = threading.Event()

    def script(peer: RawServer) -> None:
        peer.answer()
        done.wait(seconds(20))  # it answers no ping

    with RawServer(script) as dead:
        proxy = rig.proxy(dead.url, ping_interval=seconds(0.2), pong_timeout=seconds(0.3), close_timeout=seconds(0.5))
        _, station = rig.station(proxy, subprotocols=["ocpp1.6"])
        assert station.close().code == 1006
        ends(proxy)
        done.set()


def test_floods_in_both_directions_keep_their_order(readers: str, rig: Rig) -> None:
    _, central = rig.central(readers=readers)
    proxy = rig.proxy(central.transport, readers=readers)
    client, station = rig.station(proxy)
    channel, texts = central.channel(), [str(number) for number in range(3000)]
    other = threading.Thread(target=lambda: [channel.send(text) for text in texts])
    other.start()
    for text in texts:
        client.send(text)
    other.join(seconds(20))
    assert central.wait_texts(3000, 20) == texts
    assert station.wait_texts(3000, 20) == texts
    eventually(lambda: proxy.counts().from_stations + proxy.counts().from_csms == 6000)


def test_cuts_in_every_phase_leave_nothing_behind(rig: Rig) -> None:
    _, central = rig.central()
    proxy = rig.proxy(central.transport)
    request = (
        b"GET /CP_1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\nSec-WebSocket-Protocol: ocpp1.6\r\n\r\n"
    )
    whole = request + frame(1, b"[2]") + frame(1, b"y" * 5000)
    files = open_files()
    for end in [*range(0, len(whole), 60), len(request), len(whole) - 4000, len(whole)]:
        with RawClient(proxy.url) as raw:
            raw.send(whole[:end])
            if end % 120 == 0 or end >= len(request):
                with suppress(OSError):
                    raw.read_head() if end >= len(request) else None
    ends(proxy)
    eventually(lambda: central.transport.stats().connections == 0)
    eventually(lambda: open_files() <= files)
    assert proxy.counts().connected >= 3
    _, station = rig.station(proxy, "CP_2")
    station.transport.send("still here")
    eventually(lambda: "still here" in central.texts)


def test_stop_closes_both_sides_and_listens_again(rig: Rig) -> None:
    seen = Seen()
    proxy, central, station = rig.all(recorders=[seen])
    port = proxy.port
    with pytest.raises(UsageError):
        proxy.stop(1006)
    proxy.stop(1012, "restart")
    for close in (central.close(), station.close()):
        assert (close.code, close.reason, close.by_peer) == (1012, "restart", True)
    assert seen.kinds() == ["connected", "disconnected"]
    assert seen.changes[1].reason == "1012 restart by the proxy"
    proxy.listen(port, "127.0.0.1")
    _, second = rig.station(proxy, "CP_2")
    second.transport.send("again")
    assert central.wait_texts(1) == ["again"]


def test_a_second_listen_changes_nothing(rig: Rig) -> None:
    _, central = rig.central()
    proxy = rig.proxy(central.transport, path="/in")
    with pytest.raises(UsageError):
        proxy.listen(0, "127.0.0.1", "/other")
    rig.station(proxy)
    assert central.channel().id == "CP_1"


def test_stop_ends_attempts_to_reach_the_central_system(rig: Rig) -> None:
    accepted = threading.Event()

    def script(peer: RawServer) -> None:
        accepted.set()
        peer.at_end()

    with RawServer(script) as silent:
        proxy = rig.proxy(silent.url, handshake_timeout=seconds(30))
        outcome: List[Any] = []

        def connect() -> None:
            try:
                rig.station(proxy, handshake_timeout=seconds(30))
            except OcppjError as error:
                outcome.append(error)

        thread = threading.Thread(target=connect)
        thread.start()
        assert accepted.wait(seconds(5))
        began = time.monotonic()
        proxy.stop()
        assert time.monotonic() - began < seconds(4)
        thread.join(seconds(5))
        assert outcome
        assert silent.done.wait(seconds(5))


def test_stop_while_a_hook_blocks_and_frames_come(rig: Rig) -> None:
    entered, goes_on = Recorder(), threading.Event()

    def hook(message: Message) -> None:
        entered(message)
        goes_on.wait(seconds(10))

    proxy, _, station = rig.all(hooks=[hook])
    for number in range(10):
        station.transport.send(str(number))
    entered.wait(1)
    stopper = threading.Thread(target=proxy.stop)
    stopper.start()
    station.close()
    goes_on.set()
    stopper.join(seconds(10))
    assert not stopper.is_alive()
    ends(proxy)


def test_stop_in_a_hook(rig: Rig) -> None:
    stopped = threading.Event()

    def hook(message: Message) -> None:
        proxy.stop()
        stopped.set()

    proxy, _, station = rig.all(hooks=[hook])
    station.transport.send("x")
    assert stopped.wait(seconds(10))
    station.close()
    ends(proxy)


def test_start_returns_when_it_is_stopped(rig: Rig) -> None:
    _, central = rig.central()
    proxy = Proxy(central.transport.url)
    thread = threading.Thread(target=proxy.start, args=(0, "127.0.0.1"))
    thread.start()
    rig.station(eventually(lambda: _url(proxy)))
    proxy.stop()
    thread.join(seconds(5))
    assert not thread.is_alive()


def _url(proxy: Proxy) -> Optional[str]:
    with suppress(OcppjError):
        return proxy.url
    return None


@pytest.mark.alone
def test_two_hundred_stations_need_few_threads(rig: Rig) -> None:
    server, central = rig.central()
    proxy = rig.proxy(server)
    before = threading.active_count()
    stations = [rig.station(proxy, f"CP_{number}", readers="shared" if number else "auto")[0] for number in range(3)]
    raws = [RawClient(proxy.url) for _ in range(200)]
    for number, raw in enumerate(raws):
        assert "101" in raw.upgrade(f"/RAW_{number}")
    for number, raw in enumerate(raws):
        raw.send(frame(1, str(number).encode()))
    assert sorted(central.wait_texts(200), key=int) == [str(number) for number in range(200)]
    eventually(lambda: threading.active_count() - before < 60)
    assert len(proxy.connections()) == 203
    for station in stations:
        station.stop()
    for raw in raws:
        raw.sock.close()
    ends(proxy)


def test_the_central_system_goes_and_comes_and_stations_reconnect(rig: Rig) -> None:
    server, central = rig.central()
    url = server.url
    proxy = rig.proxy(server)
    client, station = rig.station(proxy, reconnect=True, backoff=NO_WAIT)
    central.channel()
    server.stop()
    station.close()
    with suppress(HandshakeRefused):
        rig.station(proxy, "CP_2")
    again = WebSocketServer()
    log = Log(again)
    again.listen(int(url.split(":")[2].split("/")[0]), "/ocpp/{id}", "127.0.0.1", ["ocpp1.6", "ocpp2.0.1"])
    try:
        log.connected.wait(1)
        eventually(lambda: client.get_channel())
        client.send("back")
        assert log.wait_texts(1) == ["back"]
        client.stop()
    finally:
        again.stop()
