"""Frames in the logs of other programs."""

import gzip
import io
import json
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Iterable, List, Tuple

import pytest

from ocppj.recording import FoundFrame, Recorder, find_frames, open_log, read_any
from tests.helpers import seconds

CALL = '[2,"1","Heartbeat",{}]'
RESULT = '[3,"1",{"currentTime":"2026-01-02T03:04:05Z"}]'
PRETTY = json.dumps(json.loads(CALL), indent=2)
PRETTY_RESULT = json.dumps(json.loads(RESULT), indent=2)


def found(text: str) -> List[FoundFrame]:
    return list(find_frames(text.splitlines(keepends=True)))


def texts(text: str) -> List[str]:
    return [frame.text for frame in found(text)]


def who(frames: Iterable[FoundFrame]) -> List[Tuple[str, str]]:
    return [(frame.sender, frame.client_id) for frame in frames]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


def quoted(text: str) -> str:
    return text.replace('"', '\\"')


STEVE = "[INFO ] 2026-08-23 05:15:05,608 de.rwth.idsg.steve (q-36) - [chargeBoxId=CP_1, sessionId=3df7]"
LOGRUS = 'time="2026-08-23T05:15:05.608Z" level=debug msg='
HASS = "2026-06-21 18:15:02 INFO (MainThread) [ocpp] CP_1:"
EVCC = "[ocpp  ] TRACE 2026/10/01 13:20:41"
EVEREST = "2026-12-07 04:03:30.958 [INFO] ocpp:OCPP ::"
POD = "2026-10-06T00:17:09.669794202Z stderr F CP_1:"
SYSLOG = "Dec  7 04:03:30 host csms[12]: CP_1:"
#: Each is the text of a log, the station that it names, and whether it has times.
LOGS = {
    "SteVe": (f"{STEVE} Received: {CALL}\n{STEVE} Sending: {RESULT}", "CP_1", True),
    "ocpp-go, central system": (
        f"D[1] received JSON message from CP_1: {CALL}\nD[1] sent JSON message to CP_1: {RESULT}",
        "CP_1",
        False,
    ),
    "ocpp-go, charging station": (
        f"D[1] sent JSON message to server: {CALL}\nD[1] received JSON message from server: {RESULT}",
        "",
        False,
    ),
    "ocpp-go, logrus": (
        f'{LOGRUS}"received JSON message from CP_1: {quoted(CALL)}"\n'
        f'{LOGRUS}"sent JSON message to CP_1: {quoted(RESULT)}" more=1',
        "CP_1",
        True,
    ),
    "ocpp, central system": (f"INFO:ocpp:CP_1: receive message {CALL}\nINFO:ocpp:CP_1: send {RESULT}", "CP_1", False),
    "ocpp, charging station": (f"INFO:ocpp:CP_1: send {CALL}\nINFO:ocpp:CP_1: receive message {RESULT}", "CP_1", False),
    "ocpp, a MAC address": (f"INFO:ocpp:A:B:C: send {CALL}\nINFO:ocpp:A:B:C: receive message {RESULT}", "A:B:C", False),
    "ocpp in Home Assistant": (f"{HASS} receive message {CALL}\n{HASS} send {RESULT}", "CP_1", True),
    "EVerest, file": (
        "2026-12-07T04:03:30.958Z: SYS> Session logging started. \n\n\n"
        f"2026-12-07T04:03:32.455Z: ChargePoint>CentralSystem Heartbeat \n{PRETTY}\n\n"
        f"2026-12-07T04:03:32.455Z: CentralSystem>ChargePoint  HeartbeatResponse\n{PRETTY_RESULT}\n\n",
        "",
        True,
    ),
    "EVerest, console": (
        f"{EVEREST} \x1b[1;35mChargePoint: {PRETTY}\x1b[1;0m\n{EVEREST} \x1b[1;36mCentralSystem: {RESULT}\x1b[1;0m",
        "",
        True,
    ),
    "MicroOcpp": (f"[MO] Send: {CALL}\n[MO] debug (X.cpp:40): registered\n[MO] Recv: {RESULT}", "", False),
    "evcc": (f"{EVCC} recv CP_1: {CALL}\n{EVCC} send CP_1: {RESULT}", "CP_1", True),
    "this library": (f"DEBUG:ocppj.server:CP_1: in: {CALL}\nDEBUG:ocppj.server:CP_1: out: {RESULT}", "CP_1", False),
    "words": (f"[chargePointId=CP_1] received message: {CALL}\n[chargePointId=CP_1] sent: {RESULT}", "CP_1", False),
    "bare": (f"{CALL}\n{RESULT}", "", False),
    "docker compose": (f"c  | INFO:ocpp:CP_1: receive message {CALL}\nc  | CP_1: send {RESULT}", "CP_1", False),
    "Kubernetes": (f"{POD} receive message {CALL}\n{POD} send {RESULT}", "CP_1", True),
    "syslog": (f"{SYSLOG} receive message {CALL}\n{SYSLOG} send {RESULT}", "CP_1", False),
}


@pytest.mark.parametrize("log", LOGS)
def test_logs_of_known_programs(log: str) -> None:
    text, client_id, has_times = LOGS[log]
    frames = found(text)
    assert [json.loads(frame.text) for frame in frames] == [json.loads(CALL), json.loads(RESULT)]
    assert [frame.sender for frame in frames] == ["station", "csms"]
    assert {frame.client_id for frame in frames} == {client_id}
    assert {frame.is_time_known for frame in frames} == {has_times}


def test_an_html_log_of_everest() -> None:
    frame = json.dumps([2, "1", "DataTransfer", {"data": "<a> & b"}], indent=2)
    row = '<tr class="ChargePoint"> <td>2026-12-07T04:03:32.455Z</td> <td>ChargePoint-&gt;<br>CentralSystem</td>'
    cell = f'<td><pre lang="json">{frame.replace("<", "&lt;").replace(">", "&gt;")}</pre></td> </tr>'
    (only,) = found(f"<html><body>\n{row} <td><b>x</b></td><td></td> {cell}\n")
    assert (only.sender, only.time, only.line) == ("station", utc("2026-12-07T04:03:32.455"), 2)
    assert json.loads(only.text)[3] == {"data": "<a> & b"}


NOW = "2026-01-02T03:04:05Z"
JSON_LINES: List[Tuple[Any, Tuple[str, str]]] = [
    ({"ts": 1767323045, "dir": "in", "cp": "CP_1", "msg": json.loads(CALL)}, ("station", "CP_1")),
    ({"timestamp": NOW, "direction": "station->csms", "message": CALL}, ("station", "")),
    ({"timestamp": NOW, "origin": "csms", "stationId": "CP_1", "payload": RESULT}, ("csms", "CP_1")),
    ({"time": 1767323045000, "data": {"raw": json.dumps({"frame": CALL, "client_id": "CP_1"})}}, ("station", "CP_1")),
    ({"log": f"CP_1: receive message {CALL}\n", "stream": "stderr", "time": NOW}, ("station", "CP_1")),
    ({"@timestamp": NOW, "messageTypeId": 2, "uniqueId": "1", "action": "Reset", "payload": {}}, ("csms", "")),
    ([{"when": "2026-01-02T04:04:05+01:00", "text": CALL}], ("station", "")),
]


@pytest.mark.parametrize(("line", "expected"), JSON_LINES)
def test_json_lines_of_any_shape(line: Any, expected: Tuple[str, str]) -> None:
    (frame,) = found(json.dumps(line))
    assert ((frame.sender, frame.client_id), frame.time) == (expected, utc("2026-01-02T03:04:05"))


def test_a_log_with_a_time_and_an_event_is_no_recording(tmp_path: Path) -> None:
    """As structlog writes it."""
    lines = [{"event": "started"}, {"event": f"received {CALL}", "client": "CP_1"}]
    texts = [json.dumps({"time": "2026-01-02T03:04:05Z", **line}) for line in lines]
    (tmp_path / "log").write_text("\n".join(texts), "utf-8")
    for read in (open_log, read_any):
        assert [(each.client_id, each.text) for each in read(tmp_path / "log")] == [("CP_1", CALL)]


def test_a_pretty_printed_frame_in_json_lines() -> None:
    lines = [json.dumps({"log": f"{line}\n", "stream": "stdout", "time": NOW}) for line in PRETTY.split("\n")]
    (frame,) = find_frames(lines)
    assert (json.loads(frame.text), frame.line) == (json.loads(CALL), 1)


def test_several_frames_in_a_line() -> None:
    assert texts(f"CP_1: receive message {CALL}, {RESULT} and {CALL}") == [CALL, RESULT, CALL]


def test_lines_that_are_no_frames() -> None:
    noise = ["[2, 3]", "[INFO] x [3]", "xs = [2, 'a']", "[", "[\n  1,\n  2\n]", '{"a": [2, "x"]}', '["2"]', "[2,"]
    assert texts("\n".join(noise)) == []


@pytest.mark.parametrize(
    "broken",
    [
        '[2,"1","MeterValues",{"connectorId":1,"meterV',
        '[2,"1","MeterValues",{"connectorId":1,',
        '[2,"1","MeterValues",{"a":}]',
        '[3,"1"',
        '[2,7,"Heartbeat",{}]',
    ],
)
def test_a_frame_that_is_cut_or_broken(broken: str) -> None:
    assert texts(f"x {broken}\nnext line\n2026-01-02 03:04:05 {CALL}") == [broken, CALL]


def test_a_frame_of_several_lines_that_does_not_end() -> None:
    begin = '[\n  2,\n  "1",\n  "Heartbeat",\n  {'
    assert texts(f"{begin}\n2026-01-02T03:04:05Z other\n{CALL}") == ['[2,"1","Heartbeat",{', CALL]


def test_no_direction_is_guessed() -> None:
    """Both sides send DataTransfer, and the log of the package ocpp may be that of either."""
    unknown = (
        'CP_1: send [2,"2","DataTransfer",{"vendorId":"x"}]\nCP_1: receive message [3,"2",{"status":"Accepted"}]\n'
    )
    assert who(found(unknown)) == [("", "CP_1"), ("", "CP_1")]
    known = f"CP_1: receive message {CALL}\n"
    assert who(found(known + unknown)) == [("station", "CP_1"), ("csms", "CP_1"), ("station", "CP_1")]


def test_both_sides_may_use_one_id() -> None:
    log = ['[2,"1","Heartbeat",{}]', '[2,"1","Reset",{"type":"Soft"}]', '[3,"1",{"status":"Accepted"}]']
    assert [frame.sender for frame in find_frames(log)] == ["station", "csms", ""]
    log = [CALL, RESULT, '[2,"1","Reset",{"type":"Soft"}]', '[3,"1",{"status":"Accepted"}]']
    assert [frame.sender for frame in find_frames(log)] == ["station", "csms", "csms", "station"]


def test_the_line_before_says_what_a_bare_frame_is() -> None:
    frames = found(f"{NOW} [chargePointId=CP_1] received:\n{CALL}\n{NOW} done\n{RESULT}")
    assert [(frame.client_id, frame.is_time_known) for frame in frames] == [("CP_1", True), ("", False)]


def test_an_unknown_time_is_that_of_the_frame_before() -> None:
    first, second = found(f"2026-01-02T03:04:05+01:00 {CALL}\n{RESULT}")
    assert (first.time, second.time) == (utc("2026-01-02T02:04:05"), first.time)
    assert (first.is_time_known, second.is_time_known) == (True, False)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1"])
@pytest.mark.parametrize("compressed", [False, True])
def test_files_of_any_encoding(encoding: str, compressed: bool) -> None:
    data = f'J: [2,"1","DataTransfer",{{"vendorId":"ü"}}]\r\n{RESULT}\r\n'.encode(encoding)
    frames = list(open_log(io.BytesIO(gzip.compress(data) if compressed else data)))
    assert [frame.text for frame in frames] == ['[2,"1","DataTransfer",{"vendorId":"ü"}]', RESULT]


def test_a_damaged_archive_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "log.gz"
    path.write_bytes(gzip.compress(f"{CALL}\n".encode() * 1000)[:60])
    with pytest.raises(OSError, match="compressed"):
        list(open_log(path))


def test_a_recording_is_read_with_what_was_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    with Recorder(path) as recorder:
        recorder.event("connected", "CP_1", "2.0.1", 3)
        recorder.frame("station", "CP_1", "2.0.1", CALL, 3)
    path.rename(tmp_path / "s.jsonl.1")
    with Recorder(path) as recorder:
        recorder.frame("csms", "CP_1", "2.0.1", RESULT, 3)
    event, call, result = open_log(path)
    assert (event.event, call.sender, result.sender) == ("connected", "station", "csms")
    assert [each.line for each in (event, call, result)] == [1, 2, 3]
    (compressed,) = open_log(io.BytesIO(gzip.compress(path.read_bytes())))
    assert (compressed.text, compressed.version, compressed.connection) == (RESULT, "2.0.1", 3)


HOSTILE = {
    "brackets": ["[" * 300_000],
    "nested": ['[2,"a",' * 30_000],
    "begun": ['[2,"a" ' * 30_000],
    "escaped": ['[2,\\"a\\",' * 30_000],
    "endless": ['[2,"a","b",{\n', *['"x":{\n'] * 30_000],
    "lines": ["[\n", "2,\n", '"x",\n'] * 10_000,
    "blanks": ["[2," + " " * 300_000],
    "lists": ["[[2," * 30_000],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_lines_take_no_longer_than_others(name: str) -> None:
    begin = time.process_time()
    for _ in find_frames(HOSTILE[name]):
        pass
    assert time.process_time() - begin < seconds(5)
