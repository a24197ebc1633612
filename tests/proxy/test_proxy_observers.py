"""One station on two central systems: observers get copies, and never harm the primary."""

import json
import logging
import threading
from typing import Any

import pytest

from ocppj import UsageError
from ocppj.proxy import Observer
from ocppj.proxy.relay import Relay
from tests.helpers import Recorder, eventually, seconds
from tests.proxy.rig import NO_WAIT, Rig, Seen, ends
from tests.ws.support import RawServer, frame

HEARTBEAT = '[2,"h1","Heartbeat",{}]'
RESET = '[2, "r\\u0031" ,"Reset",{"type": "Soft", "x": 1.10}]'


def observed(rig: Rig, calls: str = "refuse", **options: Any) -> Any:
    """Return a proxy, the logs of the primary, of an observer and of a station, all connected."""
    _, primary = rig.central()
    second, observer = rig.central(path="/other/{id}")
    proxy = rig.proxy(primary.transport, observers=[Observer(second.url, calls=calls, backoff=NO_WAIT, **options)])
    _, station = rig.station(proxy)
    observer.connected.wait(1)
    return proxy, primary, observer, station


def test_an_observer_gets_what_the_station_sends_and_its_answers_are_for_nobody(rig: Rig) -> None:
    proxy, primary, observer, station = observed(rig)
    assert observer.channel().id == "CP_1"
    assert observer.channel().subprotocol == primary.channel().subprotocol
    for text in (HEARTBEAT, "what?", '[3,"x",{}]'):
        station.transport.send(text)
    assert observer.wait_texts(3) == [HEARTBEAT, "what?", '[3,"x",{}]']
    assert primary.wait_texts(3) == observer.texts
    observer.channel().send('[3,"h1",{"currentTime":"observer"}]')
    primary.channel().send('[3,"h1",{"currentTime":"primary"}]')
    assert station.wait_texts(1) == ['[3,"h1",{"currentTime":"primary"}]']
    primary.channel().send(RESET)
    station.wait_texts(2)
    assert len(observer.texts) == 3, "what the primary sends is not for observers"
    eventually(lambda: proxy.counts().copied == 3)
    station.transport.stop()
    assert observer.close().by_peer
    ends(proxy)


def test_a_call_of_an_observer_is_refused_or_dropped(rig: Rig) -> None:
    _, _, observer, station = observed(rig)
    observer.channel().send(RESET)
    (answer,) = observer.wait_texts(1)
    assert json.loads(answer)[:3] == [4, "r1", "SecurityError"]
    _, _, observer, station = observed(rig, calls="drop")
    observer.channel().send(RESET)
    observer.channel().send("[")
    threading.Event().wait(seconds(0.2))  # that nothing comes can only be waited for
    station.transport.send(HEARTBEAT)
    assert observer.wait_texts(1) == [HEARTBEAT]
    assert station.texts == []


def test_a_call_of_an_observer_goes_through_with_an_id_of_its_own(rig: Rig) -> None:
    _, primary, observer, station = observed(rig, calls="pass")
    observer.channel().send(RESET)
    (text,) = station.wait_texts(1)
    message_id = json.loads(text)[1]
    assert message_id != "r1"
    assert len(message_id) == 36
    assert text == RESET.replace('"r\\u0031"', f'"{message_id}"'), "nothing else is changed"
    station.transport.send(f'[3, "{message_id}" ,{{"status":"Accepted" }}]')
    assert observer.wait_texts(1) == ['[3, "r\\u0031" ,{"status":"Accepted" }]']
    assert primary.texts == []


def test_a_call_of_an_observer_waits_for_those_of_the_primary_which_never_wait(rig: Rig) -> None:
    _, primary, observer, station = observed(rig, calls="pass")
    primary.channel().send('[2,"p1","ClearCache",{}]')
    station.wait_texts(1)
    observer.channel().send(RESET)
    observer.channel().send('[2,"r2","Reset",{}]')
    primary.channel().send('[2,"p2","ClearCache",{}]')
    assert station.wait_texts(2)[1] == '[2,"p2","ClearCache",{}]'
    station.transport.send('[3,"p1",{}]')
    primary.wait_texts(1)
    station.transport.send('[4,"p2","InternalError","",{}]')
    passed = station.wait_texts(3)[2]
    assert '"Reset"' in passed
    assert len(station.texts) == 3, "the next one of the observer waits for the answer"
    station.transport.send(json.dumps([4, json.loads(passed)[1], "NotSupported", "", {}]))
    assert [4, "r1", "NotSupported"] in [json.loads(text)[:3] for text in observer.wait_texts(3)]
    assert json.loads(station.wait_texts(4)[3])[2] == "Reset"
    assert primary.wait_texts(2) == ['[3,"p1",{}]', '[4,"p2","InternalError","",{}]']


def test_a_relay_refuses_too_many_calls_and_a_call_that_is_never_answered_holds_no_other_up() -> None:
    now, sent, answers = [0.0], Recorder(), Recorder()
    relay = Relay(sent, clock=lambda: now[0])
    relay.note("csms", '[2,"p","Reset",{}]')
    assert [relay.call(f'[2,"{number}","Reset",{{}}]', answers) for number in range(21)] == [True] * 20 + [False]
    assert not relay.call('[2,5,"Reset",{}]', answers), "an id that is no text cannot be replaced"
    assert not sent.calls
    now[0] = 31.0
    relay.note("station", '[3,"other",{}]')
    assert len(sent.calls) == 1
    now[0] = 62.0
    relay.note("station", '[2,"any","Heartbeat",{}]')
    assert len(sent.calls) == 2
    first = json.loads(sent.calls[0][0])[1]
    assert relay.take_answer("station", f'[3,"{first}",{{}}]'), "the primary never asked this, also when it is late"
    assert answers.calls == [('[3,"0",{}]',)]


def test_an_observer_that_is_away_harms_nobody_and_gets_what_fits_when_it_is_back(rig: Rig, caplog: Any) -> None:
    caplog.set_level(logging.WARNING)
    server, primary = rig.central()
    second, observer = rig.central()
    url = second.url
    second.stop()
    proxy = rig.proxy(server, observers=[Observer(url, max_waiting=3000, backoff=NO_WAIT)])
    _, station = rig.station(proxy)
    for number in range(20):
        station.transport.send(f'[2,"{number}","Heartbeat",{{}}]' + " " * 100)
    assert len(primary.wait_texts(20)) == 20
    eventually(lambda: proxy.counts().missed == 11)
    second.listen(int(url.split(":")[2].split("/")[0]), "/ocpp/{id}", "127.0.0.1", ["ocpp1.6", "ocpp2.0.1"])
    kept = 9
    texts = observer.wait_texts(kept)
    assert json.loads(texts[-1])[1] == "19"
    assert json.loads(texts[0])[1] == str(20 - kept), "the oldest are dropped"
    assert f"it has missed {20 - kept} frames" in caplog.text
    observer.channel().abort()
    eventually(lambda: len(observer.connected.calls) == 2)
    station.transport.send(HEARTBEAT)
    assert eventually(lambda: observer.texts[-1] == HEARTBEAT)
    eventually(lambda: proxy.counts().copied == kept + 1)


def test_an_observer_gets_the_last_frames_of_a_station_too(rig: Rig) -> None:
    proxy, primary, observer, station = observed(rig)
    texts = [str(number) for number in range(300)]
    for text in texts:
        station.transport.send(text)
    station.transport.stop()
    assert primary.wait_texts(300) == texts
    assert observer.close().by_peer
    assert observer.texts == texts
    eventually(lambda: (proxy.counts().copied, proxy.counts().missed) == (300, 0))


def test_what_an_observer_is_not_sent_before_the_station_is_gone_is_counted(rig: Rig) -> None:
    server, primary = rig.central()
    proxy = rig.proxy(server, observers=[Observer("ws://127.0.0.1:1", backoff=NO_WAIT)])
    _, station = rig.station(proxy)
    for text in ("1", "2", "3"):
        station.transport.send(text)
    station.transport.stop()
    assert primary.wait_texts(3)
    eventually(lambda: proxy.counts().missed == 3)


def test_an_observer_that_reads_nothing_does_not_slow_the_primary(rig: Rig) -> None:
    done = threading.Event()

    def script(peer: RawServer) -> None:
        peer.answer("ocpp2.0.1")
        done.wait(seconds(20))

    _, primary = rig.central()
    with RawServer(script, receive_buffer=4096) as slow:
        proxy = rig.proxy(primary.transport, observers=[Observer(slow.url, max_waiting=200_000)], close_timeout=0.5)
        _, station = rig.station(proxy)
        text = "x" * 50_000
        for _ in range(100):
            station.transport.send(text)
        assert len(primary.wait_texts(100)) == 100
        eventually(lambda: proxy.counts().missed > 0)
        station.transport.stop()
        ends(proxy)
        done.set()


def test_an_observer_that_refuses_gets_no_credentials_of_stations_but_its_own(rig: Rig) -> None:
    server, primary = rig.central()
    second, observer = rig.central()
    passwords = Recorder(result=True)
    second.set_basic_auth_handler(passwords)
    own = Observer(second.url, credentials={"CP_1": "other"}, headers={"X-From": "proxy"})
    proxy = rig.proxy(server, observers=[own, Observer(second.url, backoff=NO_WAIT)])
    _, station = rig.station(proxy, basic_auth=("CP_1", b"secret"))
    observer.connected.wait(1)
    station.transport.send(HEARTBEAT)
    assert observer.wait_texts(1) == primary.wait_texts(1)
    assert {password for _, password in passwords.calls} == {b"other"}
    assert observer.channel().handshake.headers["X-From"] == "proxy"
    assert "secret" not in repr(own)
    assert "other" not in repr(own)


def test_a_station_without_a_subprotocol_has_no_observer(rig: Rig, caplog: Any) -> None:
    def script(peer: RawServer) -> None:
        peer.answer(None)
        assert peer.read_frame() == (1, b"x")
        peer.send(frame(1, b"y", masked=False))
        peer.at_end()

    with RawServer(script) as raw:
        proxy = rig.proxy(raw.url, observers=["ws://127.0.0.1:1"])
        _, station = rig.station(proxy, default_subprotocol="ocpp1.6")
        station.transport.send("x")
        assert station.wait_texts(1) == ["y"]
        assert "no observer sees it" in caplog.text


def test_frames_are_copied_as_hooks_have_left_them(rig: Rig) -> None:
    shown = Seen()
    proxy, primary, observer, station = observed(rig)
    proxy.add_hook(lambda message: message.text.replace("secret", "masked"))
    proxy.add_recorder(shown)
    station.transport.send("secret")
    assert observer.wait_texts(1) == primary.wait_texts(1) == ["masked"]


def test_what_an_observer_does_not_take() -> None:
    for options in ({"calls": "maybe"}, {"max_waiting": 0}):
        with pytest.raises(UsageError):
            Observer("ws://x", **options)  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        Observer("x")


@pytest.mark.parametrize(
    "options", [{"headers": {"X": "a\nb"}}, {"ssl_context": 5}, {"backoff": 5}, {"credentials": 5}, {"max_waiting": 0}]
)
def test_options_of_an_observer_are_checked_before_a_station_comes(options: Any) -> None:
    with pytest.raises(UsageError):
        Observer("ws://127.0.0.1:1", **options)
