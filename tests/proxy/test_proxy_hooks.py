"""Hooks look at frames, change them, answer them or drop them."""

import sys
import threading
from typing import Any, List, Tuple

import pytest

from ocppj import UsageError
from ocppj.proxy import DROP, Answer, Message
from tests.helpers import Recorder, eventually, seconds
from tests.proxy.rig import Rig, Seen, ends

HEARTBEAT = '[2,"h1","Heartbeat",{}]'
RESET = '[2,"r1","Reset",{"type":"Soft"}]'


def test_a_hook_sees_each_frame_with_what_can_be_read(rig: Rig) -> None:
    seen: List[Tuple[Any, ...]] = []

    def look(message: Message) -> None:
        seen.append((message.sender, message.kind, message.action, message.message_id, message.payload))

    proxy, central, station = rig.all(hooks=[look])
    station.transport.send(HEARTBEAT)
    central.wait_texts(1)
    central.channel().send('[3,"h1",{"currentTime":"x"}]')
    station.wait_texts(1)
    central.channel().send(RESET)
    station.wait_texts(2)
    station.transport.send('[4,"r1","InternalError","",{}]')
    central.wait_texts(2)
    station.transport.send('[3,"never-asked",{}]')
    station.transport.send('[2,"h2","Heartbeat",')
    station.transport.send("what?")
    central.wait_texts(5)
    assert seen == [
        ("station", "CALL", "Heartbeat", "h1", {}),
        ("csms", "CALLRESULT", "Heartbeat", "h1", {"currentTime": "x"}),
        ("csms", "CALL", "Reset", "r1", {"type": "Soft"}),
        ("station", "CALLERROR", "Reset", "r1", None),
        ("station", "CALLRESULT", None, "never-asked", {}),
        ("station", "CALL", "Heartbeat", "h2", None),
        ("station", None, None, None, None),
    ]
    assert proxy.counts().changed == 0


def test_hooks_change_a_frame_one_after_the_other(rig: Rig) -> None:
    shown = Seen()
    proxy, central, station = rig.all(
        hooks=[
            lambda message: message.text.replace("Soft", "Hard") if message.action == "Reset" else None,
            lambda message: message.text + " " if "Hard" in message.text else message.text,
        ],
        recorders=[shown],
    )
    central.channel().send(RESET)
    assert station.wait_texts(1) == [RESET.replace("Soft", "Hard") + " "]
    station.transport.send(HEARTBEAT)
    assert central.wait_texts(1) == [HEARTBEAT]
    eventually(lambda: proxy.counts().changed == 1)
    eventually(lambda: len(shown.frames) == 2)
    assert [each.text for each in shown.frames] == [RESET.replace("Soft", "Hard") + " ", HEARTBEAT]


def test_a_hook_answers_a_call_or_drops_a_frame(rig: Rig) -> None:
    shown = Seen()

    def hook(message: Message) -> Any:
        if message.action == "Heartbeat" and message.kind == "CALL":
            return Answer({"currentTime": "2020-01-01T00:00:00Z"})
        if message.action == "Reset" and message.kind == "CALL":
            return Answer(error="NotSupported", description="not now", details={"a": 1})
        return DROP if message.action == "StatusNotification" else None

    proxy, central, station = rig.all(hooks=[hook], recorders=[shown])
    station.transport.send(HEARTBEAT)
    station.transport.send('[2,"s1","StatusNotification",{}]')
    station.transport.send('[2,"a1","Authorize",{}]')
    assert station.wait_texts(1) == ['[3,"h1",{"currentTime":"2020-01-01T00:00:00Z"}]']
    assert central.wait_texts(1) == ['[2,"a1","Authorize",{}]']
    central.channel().send(RESET)
    eventually(lambda: len(central.texts) == 2)
    assert central.texts[1] == '[4,"r1","NotSupported","not now",{"a":1}]'
    counts = proxy.counts()
    assert (counts.answered, counts.dropped) == (2, 1)
    eventually(lambda: len(shown.frames) == 6)
    assert [(each.sender, each.text[:7], each.sent) for each in shown.frames] == [
        ("station", '[2,"h1"', True),
        ("csms", '[3,"h1"', True),
        ("station", '[2,"s1"', False),
        ("station", '[2,"a1"', True),
        ("csms", '[2,"r1"', True),
        ("station", '[4,"r1"', True),
    ]


@pytest.mark.parametrize(
    "verdict",
    [
        lambda message: 1 / 0,
        lambda message: sys.exit(),
        lambda message: 5,
        lambda message: "\ud800",
        lambda message: Answer({"x": object()}),
        lambda message: Answer() if message.kind != "CALL" else None,
    ],
)
def test_a_hook_that_fails_passes_the_frame_on_and_is_logged(verdict: Any, rig: Rig, caplog: Any) -> None:
    proxy, central, station = rig.all(hooks=[verdict])
    station.transport.send(HEARTBEAT)
    station.transport.send('[3,"x",{}]')
    assert central.wait_texts(2) == [HEARTBEAT, '[3,"x",{}]']
    assert "the frame is passed on" in caplog.text
    assert proxy.counts().answered == 0


def test_hooks_of_a_connection_run_one_at_a_time_and_hold_no_other_connection_up(rig: Rig) -> None:
    entered, goes_on = Recorder(), threading.Event()
    running: List[str] = []
    most: List[int] = []

    def hook(message: Message) -> None:
        running.append(message.client_id)
        most.append(running.count(message.client_id))
        entered(message.text)
        if message.client_id == "CP_1":
            goes_on.wait(seconds(10))
        running.remove(message.client_id)

    _, central = rig.central()
    proxy = rig.proxy(central.transport, hooks=[hook])
    _, first = rig.station(proxy)
    _, second = rig.station(proxy, "CP_2")
    first.transport.send("1")
    entered.wait(1)
    first.transport.send("2")
    central.channel().send("3")  # the other direction of CP_1
    second.transport.send("4")
    assert central.wait_texts(1) == ["4"]
    goes_on.set()
    assert sorted(central.wait_texts(3)) == ["1", "2", "4"]
    assert [text for text in central.texts if text != "4"] == ["1", "2"]
    assert first.wait_texts(1) == ["3"]
    assert most == [1, 1, 1, 1]
    assert proxy.counts().undelivered == 0


def test_a_hook_and_a_recorder_may_be_added_later_and_one_that_fails_harms_nothing(rig: Rig, caplog: Any) -> None:
    proxy, central, station = rig.all()
    seen, shown = Recorder(), Seen()
    assert proxy.add_hook(seen) is seen
    assert proxy.add_recorder(shown) is shown

    @proxy.add_recorder
    def broken(frame: Any) -> None:
        raise SystemExit

    station.transport.send(HEARTBEAT)
    central.wait_texts(1)
    assert seen.calls[0][0].text == HEARTBEAT
    assert [each.text for each in eventually(lambda: shown.frames)] == [HEARTBEAT]
    eventually(lambda: "a recorder failed" in caplog.text)
    with pytest.raises(UsageError):
        proxy.add_hook(5)  # type: ignore[arg-type]
    station.transport.stop()
    ends(proxy)
    assert shown.kinds() == ["disconnected"]


class _Unwritable(str):
    """A text that fails when it is compared, as the proxy itself may fail in a way that nobody has foreseen."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __ne__(self, other: object) -> bool:
        raise MemoryError


def test_a_frame_that_cannot_be_handled_ends_the_connection_of_its_sender(rig: Rig) -> None:
    proxy, central, station = rig.all(hooks=[lambda message: _Unwritable("x") if message.text == "2" else None])
    for text in ("1", "2", "3"):
        station.transport.send(text)
    assert station.close().code == 1006
    central.close()
    ends(proxy)
    assert central.texts[0] == "1"
    assert "2" not in central.texts
    assert proxy.counts().undelivered >= 1
