"""Tests of `ScriptedStation`: connecting, going down, and what is said of a wrong argument."""

from __future__ import annotations

from typing import Any

import pytest

from ocppj import CallFailed, ErrorCode, OCPPError, Server, TransportError, UsageError, v16, v201
from ocppj.testing import MemoryNetwork, ScriptedStation
from tests.testing.surroundings import VERSIONS, Surroundings, here  # noqa: F401

Beat, Reset = v16.HeartbeatRequest, v16.ResetRequest
BEAT, RESET = v16.HeartbeatRequest(), v16.ResetRequest("Soft")


@pytest.mark.parametrize("version", VERSIONS)
def test_it_connects_from_the_beginning(here: Surroundings, version: str) -> None:
    with here.csms(versions=list(VERSIONS)) as csms:
        station = here.station(csms.url, version=version)
        try:
            assert csms.connected() == "CP_1"
            assert station.connected() == "CP_1"
            assert station.client.version == csms.server.version_of("CP_1") == version
        finally:
            station.stop()


def test_scripts_may_be_written_before_it_connects(here: Surroundings) -> None:
    with here.csms() as csms:
        station = here.station(csms.url, start=False)
        station.reply(Reset, v16.ResetResponse("Rejected"))
        with station:
            assert csms.call(RESET).status == "Rejected"


def test_where_nobody_listens_it_cannot_connect(here: Surroundings) -> None:
    csms = here.csms()
    csms.stop()
    with pytest.raises(TransportError):
        here.station(csms.url)


def test_down_and_up(here: Surroundings) -> None:
    with here.csms() as csms, here.station(csms.url, within=1) as station:
        csms.connected()
        station.down()
        assert csms.disconnected().code == 1006
        csms.expect_nothing(0.3)
        with pytest.raises(AssertionError, match="'CP_1' is not connected"):
            station.call(BEAT)
        station.up()
        assert csms.connected() == "CP_1"
        assert station.call(BEAT)
        csms.drop()
        station.disconnected()
        station.connected()  # it connects again by itself, as before
        with pytest.raises(UsageError, match="started already"):
            station.up()


def test_it_does_not_come_back_while_it_goes_down(here: Surroundings, monkeypatch: pytest.MonkeyPatch) -> None:
    with here.csms() as csms, here.station(csms.url) as station:
        stop = station.client.stop

        def stop_late() -> None:
            csms.timeline.sleep(0.3)
            stop()

        csms.connected()
        with monkeypatch.context() as patch:
            patch.setattr(station.client, "stop", stop_late)
            station.down()
        assert [seen.kind for seen in csms.journal.entries()] == ["CONNECTED", "DISCONNECTED"]


def test_without_reconnect_a_lost_connection_stays_lost(here: Surroundings) -> None:
    with here.csms() as csms, here.station(csms.url, reconnect=False, within=0.3) as station:
        csms.connected()
        csms.drop()
        station.disconnected()
        with pytest.raises(AssertionError, match="expected CP_1 to connect within"):
            station.connected()
        with pytest.raises(AssertionError, match="is not connected"):
            station.call(BEAT)


def test_its_id_may_be_given_but_no_other(here: Surroundings) -> None:
    with here.csms() as csms, here.station(csms.url) as station:
        assert station.call(BEAT, id="CP_1")
        for act in (lambda: station.call(BEAT, id="CP_2"), lambda: station.expect(Reset, id="CP_2"),
                    lambda: station.order(id="CP_2"), lambda: station.forbid(Reset, id="CP_2")):  # fmt: skip
            with pytest.raises(UsageError, match="this is the station 'CP_1', not 'CP_2'"):
                act()


def test_a_message_of_another_version_is_refused(here: Surroundings) -> None:
    with here.csms() as csms, here.station(csms.url) as station:
        for act in (lambda: station.reply(v201.ResetRequest, v201.ResetResponse("Accepted")),
                    lambda: station.call(v201.HeartbeatRequest())):  # fmt: skip
            with pytest.raises(UsageError, match="1.6"):
                act()


def test_a_request_of_the_csms_that_breaks_the_rules_fails_the_test(here: Surroundings) -> None:
    options: Any = {} if here.network is None else {"ws_server": here.network.server()}
    server = Server(profiles=v16.PROFILES, clock=here.clock, **options)
    broken = pytest.raises(AssertionError, match="a CALL Reset from the CSMS at .*type")
    with server.listen(host="127.0.0.1"), broken, here.station(server.url) as station:
        server.send_raw("CP_1", '[2,"1","Reset",{"type":"Gently"}]')
        station.expect("Reset")


def test_the_transcript_names_both_sides(here: Surroundings) -> None:
    with here.csms() as csms, here.station(csms.url) as station:
        csms.reply(Beat, OCPPError(ErrorCode.SECURITY_ERROR, "no"))
        with pytest.raises(OCPPError):
            station.call(BEAT)
        lines = [line[14:] for line in station.transcript().splitlines()]
        assert lines[0].startswith("CSMS -> CP_1  CONNECTED")
        assert lines[1].startswith("CP_1 -> CSMS  CALL    Heartbeat")
        assert lines[2].startswith("CSMS -> CP_1  ERROR   Heartbeat") and lines[2].endswith("SecurityError: no")


def test_a_call_ends_when_the_station_goes_down(here: Surroundings) -> None:
    with here.csms() as csms, here.station(csms.url) as station:
        csms.reply(Beat, lambda request: station.down() or v16.HeartbeatResponse(csms.clock.now()))
        with pytest.raises(CallFailed):
            station.call(BEAT)
        csms.disconnected()


def test_there_is_no_such_version() -> None:
    with pytest.raises(UsageError, match="no OCPP version '2.2'"):
        ScriptedStation("memory://localhost:1", "CP_1", "2.2", network=MemoryNetwork())
