"""``LiveTraffic``: lines of frames as they come, of which nothing is kept."""

import gc
import re
from datetime import datetime, timedelta, timezone
from typing import Any, Callable, List

from ocppj import ConnectionChange, Frame
from ocppj.testing import Transcript
from ocppj.testing.live import LiveTraffic
from ocppj.testing.rules import SentCall

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


def live() -> Any:
    lines: List[str] = []
    return lines, show_by(lambda text: lines.extend(text.split("\n")))


def show_by(show: Callable[[str], object]) -> LiveTraffic:
    return LiveTraffic(Transcript("CP_1", peer="CSMS", zone=timezone.utc), show)


def frame(direction: str, text: str, connection: int = 1, client_id: str = "CP_1") -> Frame:
    return Frame(direction, client_id, "1.6", NOW, text, connection=connection)


def change(kind: str, reason: str = "") -> ConnectionChange:
    return ConnectionChange(kind, "CP_1", "1.6", NOW + timedelta(seconds=1), 1, reason, "station")


def test_frames_connections_and_faults_are_shown() -> None:
    lines, traffic = live()
    traffic.connection_changed(change("connected"))
    traffic(frame("out", '[2,"1","Authorize",{"idTag":"T"}]'))
    traffic(frame("in", '[3,"1",{"idTagInfo":{"status":"Accepted"}}]'))
    traffic(frame("in", '[3,"1",{"idTagInfo":{"status":"Accepted"}}]'))
    traffic.connection_changed(change("disconnected", "1006 the network failed"))
    assert [re.sub(" +", " ", line) for line in lines] == [
        "03:04:06.000 CSMS -> CP_1 CONNECTED OCPP 1.6",
        "03:04:05.000 CP_1 -> CSMS CALL Authorize idTag=T",
        "03:04:05.000 CSMS -> CP_1 RESULT Authorize status=Accepted",
        "03:04:05.000 CSMS -> CP_1 RESULT Authorize status=Accepted",
        " ! a second answer to the CALL Authorize '1'",
        "03:04:06.000 CSMS -> CP_1 DISCONNECTED 1006 the network failed",
    ]


def test_a_frame_and_its_fault_are_shown_at_once() -> None:
    texts: List[str] = []
    show_by(texts.append)(frame("in", '[3,"1",{}]'))
    [text] = texts
    assert len(text.split("\n")) == 2
    assert "!" in text.split("\n")[1]


def test_secrets_are_masked() -> None:
    lines, traffic = live()
    traffic(frame("in", '[2,"1","ChangeConfiguration",{"key":"AuthorizationKey","value":"secret-of-mine"}]'))
    assert "secret-of-mine" not in lines[0]


def test_an_id_stays_used_up_over_the_next_connection() -> None:
    lines, traffic = live()
    for connection, text in ((1, "Heartbeat"), (2, "ClearCache")):
        traffic(frame("out", f'[2,"1","{text}",{{}}]', connection))
    assert "the message id was used before" in lines[2]


def test_what_it_remembers_does_not_grow_with_the_traffic() -> None:
    lines, traffic = live()
    for number in range(5000):
        traffic(frame("out", f'[2,"{number}","Heartbeat",{{}}]'))
        traffic(frame("in", f'[3,"{number}",{{"currentTime":"2026-01-02T03:04:05Z"}}]'))
        lines.clear()
    remembered = sum(isinstance(each, SentCall) for each in gc.get_objects())
    assert remembered < 3000
