"""``Transcript``: the lines that people read."""

import io
from datetime import timedelta, timezone

import pytest

from ocppj import Close
from ocppj.testing.transcript import Transcript
from tests.fixtures import BEAT_WIRE, BOOT_WIRE, BOOTED_WIRE
from tests.testing.journals import TRANSCRIPT, Talk


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_session():
    talk = Talk()
    talk.connected()
    talk.came(2, "1", "BootNotification", BOOT_WIRE)
    talk.went(3, "1", BOOTED_WIRE)
    talk.went(2, "a", "Reset", {"type": "Soft"})
    talk.came(4, "a", "InternalError", "not now", {"why": 1})
    talk.disconnected(Close(1001, "bye", by_peer=True))
    talk.journal.add_event("REFUSED", "CP_1", reason="503 Service Unavailable")
    assert TRANSCRIPT.text(talk.journal.entries()) == (
        "00:00:01.000  CP_1 -> CSMS  CONNECTED                      OCPP 1.6\n"
        "00:00:02.000  CP_1 -> CSMS  CALL    BootNotification       chargePointVendor=V chargePointModel=M\n"
        "00:00:03.000  CSMS -> CP_1  RESULT  BootNotification      "
        " currentTime=2026-01-02T03:04:05.000Z interval=300 status=Accepted\n"
        "00:00:04.000  CSMS -> CP_1  CALL    Reset                  type=Soft\n"
        "00:00:05.000  CP_1 -> CSMS  ERROR   Reset                  InternalError: not now\n"
        "00:00:06.000  CP_1 -> CSMS  DISCONNECTED                   closed by the peer with 1001 (bye)\n"
        "00:00:06.000  CP_1 -> CSMS  REFUSED                        503 Service Unavailable"
    )


def test_what_breaks_the_rules_is_marked():
    talk = Talk("2.1")
    talk.came("not\x1b[1m json\n")
    talk.came(2, "1", "Heartbeat", None)
    talk.came(2, "2", "Heartbit", [])
    talk.went(5, "9", "GenericError", "", {})
    assert TRANSCRIPT.text(talk.journal.entries()[1:]) == (
        "00:00:01.000  CP_1 -> CSMS  TEXT                           not\\x1b[1m json\\n\n"
        "    ! the frame is no valid JSON at character 0\n"
        '00:00:02.000  CP_1 -> CSMS  CALL    Heartbeat              [2, "1", "Heartbeat", null]\n'
        "    ! the payload is null; an empty one is {}\n"
        '00:00:03.000  CP_1 -> CSMS  CALL    Heartbit               [2, "2", "Heartbit", []]\n'
        "    ! NotImplemented: OCPP 2.1 has no action 'Heartbit'\n"
        "    ! a second CALL, while the CALL Heartbeat '1' has no answer\n"
        "00:00:04.000  CSMS -> CP_1  RESULTERROR                    GenericError:\n"
        "    ! an error about nothing: no CALLRESULT has the message id '9'"
    )


def test_an_action_is_cut():
    seen = Talk().came(2, "1", "A\x1b" + "a" * 300, {})
    assert TRANSCRIPT.lines(seen)[0] == "00:00:01.000  CP_1 -> CSMS  CALL    A\\x1b" + "a" * 34


def test_a_frame_that_was_not_written():
    talk = Talk()
    seen = talk.went(2, "1", "Reset", {"type": "Soft"}, sent=False)
    assert TRANSCRIPT.lines(seen) == [
        "00:00:01.000  CSMS -> CP_1  CALL    Reset                  type=Soft",
        "    ! the write failed: it was not sent, or not whole",
    ]


def test_nested_objects_show_what_is_innermost():
    sample = {"value": "7", "unit": "Wh"}
    meter = {"timestamp": "2026-01-01T00:00:00Z", "sampledValue": [sample, {"value": "8"}]}
    data = {"connectorId": 1, "meterValue": [meter], "transactionId": 9}
    seen = Talk().came(2, "1", "MeterValues", data)
    assert TRANSCRIPT.lines(seen)[0].endswith(
        "MeterValues            connectorId=1 value=7 unit=Wh value=8 transactionId=9"
    )
    keys = Talk().came(2, "1", "GetConfiguration", {"key": ["a", "b"]})
    assert TRANSCRIPT.lines(keys)[0].endswith("key=['a', 'b']")


def test_the_mark():
    talk = Talk()
    assert TRANSCRIPT.text([], here=0) == ">>> here"
    talk.came(2, "1", "Heartbeat", {})
    talk.went(3, "1", BEAT_WIRE)
    entries = talk.journal.entries()
    whole = TRANSCRIPT.text(entries).splitlines()
    for here in range(4):
        lines = TRANSCRIPT.text(entries, here=here, mark="stop").splitlines()
        assert lines == [*whole[:here], ">>> stop", *whole[here:]]


def test_only_the_last_entries():
    talk = Talk()
    for number in range(9):
        talk.came(2, str(number), "Heartbeat", {})
        talk.went(3, str(number), BEAT_WIRE)
    entries = talk.journal.entries()
    lines = TRANSCRIPT.text(entries, here=5, most=3).splitlines()
    assert lines[:2] == ["... 16 earlier ones are left out", ">>> here"]
    assert lines[2:] == TRANSCRIPT.text(entries[-3:]).splitlines()
    assert TRANSCRIPT.text(entries, most=len(entries)) == TRANSCRIPT.text(entries)


def test_names_are_as_wide_as_the_longest():
    talk = Talk()
    talk.came(2, "1", "Heartbeat", {})
    talk.came(2, "1", "Heartbeat", {}, client_id="STATION-7")
    lines = TRANSCRIPT.text([each for each in talk.journal.entries() if not each.is_event]).splitlines()
    assert lines == [
        "00:00:01.000       CP_1 -> CSMS       CALL    Heartbeat",
        "00:00:02.000  STATION-7 -> CSMS       CALL    Heartbeat",
    ]


def test_names_of_the_two_sides():
    transcript = Transcript("CP_1", peer="CSMS", zone=timezone.utc)
    talk = Talk()
    assert transcript.lines(talk.went(2, "1", "Heartbeat", {}))[0] == "00:00:01.000  CP_1 -> CSMS  CALL    Heartbeat"
    came = transcript.lines(talk.came(3, "1", {"currentTime": "2026-01-01T00:00:00Z"}))[0]
    assert came.startswith("00:00:02.000  CSMS -> CP_1  RESULT  Heartbeat ")


def test_the_zone():
    transcript = Transcript(zone=timezone(timedelta(hours=2, minutes=30)))
    seen = Talk().came(2, "1", "Heartbeat", {})
    assert transcript.lines(seen)[0].startswith("02:30:01.000  ")
    assert transcript.clock(seen.time) == "02:30:01.000"
    local = seen.time.astimezone().strftime("%H:%M:%S.000")
    assert Transcript().clock(seen.time) == local


@pytest.mark.parametrize("width", [80, 61, 10])
def test_a_long_line_is_cut(width):
    seen = Talk().came(2, "1", "DataTransfer", {"vendorId": "x" * 200 + "\n"})
    whole = Transcript(width=None, zone=timezone.utc).lines(seen)[0]
    assert whole.endswith("x\\n")
    line = Transcript(width=width, zone=timezone.utc).lines(seen)[0]
    start = whole.index("vendorId")
    assert len(line) == max(width, start + 3)
    assert line == whole[: len(line) - 3] + "..."


def test_what_just_fits_is_not_cut():
    seen = Talk().came(2, "1", "DataTransfer", {"vendorId": "xyz"})
    whole = Transcript(width=None, zone=timezone.utc).lines(seen)[0]
    assert Transcript(width=len(whole), zone=timezone.utc).lines(seen)[0] == whole
    assert Transcript(width=len(whole) - 1, zone=timezone.utc).lines(seen)[0] == whole[:-4] + "..."


def test_colours_on_a_terminal_only(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "77")
    talk = Talk()
    call, garbage = talk.came(2, "1", "Heartbeat", {}), talk.came("garbage")
    coloured = Transcript.for_terminal("CSMS", Terminal())
    assert f"\x1b[36m{'CALL    Heartbeat':<29}\x1b[0m" in coloured.lines(call)[0]
    assert coloured.lines(garbage)[1] == "\x1b[33m    ! the frame is no valid JSON at character 0\x1b[0m"
    plain = Transcript("CSMS", width=77)
    assert Transcript.for_terminal("CSMS", io.StringIO()).lines(call) == plain.lines(call)
    monkeypatch.setenv("NO_COLOR", "1")
    assert Transcript.for_terminal("CSMS", Terminal()).lines(call) == plain.lines(call)
    long = talk.came(2, "2", "DataTransfer", {"vendorId": "x" * 200})
    assert len(Transcript.for_terminal().lines(long)[0]) == 77
