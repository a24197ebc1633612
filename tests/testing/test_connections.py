"""Tests of how scripted peers learn of connections: at once, and in order with the frames."""

from __future__ import annotations

import threading
from typing import List

import pytest

from ocppj import v16
from ocppj.testing import DROP
from tests.helpers import eventually, seconds
from tests.testing.surroundings import Surroundings, here, surroundings_of  # noqa: F401

Beat, BEAT = v16.HeartbeatRequest, v16.HeartbeatRequest()


def kinds(entries: List[object]) -> List[str]:
    return [getattr(seen, "kind", "") for seen in entries]


@pytest.mark.parametrize("round", range(5))
def test_a_connection_stands_before_its_first_frame_and_its_end_after_the_last(here: Surroundings, round: int) -> None:
    with here.csms() as csms:
        for _ in range(3):
            with here.station(csms.url) as station:
                station.call(BEAT)
                # The station has read the answer, perhaps before the CSMS notes that it has written it.
                eventually(lambda: kinds(csms.journal.entries())[-1] == "RESULT")
            csms.disconnected()
    assert kinds(csms.journal.entries()) == ["CONNECTED", "CALL", "RESULT", "DISCONNECTED"] * 3


@pytest.mark.parametrize("name", ["tcp", "memory"])  # a held clock would wait for the handler
def test_the_end_of_a_connection_is_known_while_a_handler_of_it_still_runs(name: str) -> None:
    here = surroundings_of(name)
    go_on = threading.Event()
    with here.csms() as csms, here.station(csms.url) as station:
        csms.reply(Beat, lambda request: go_on.wait(seconds(20)) and v16.HeartbeatResponse(csms.clock.now()))
        station.call_raw("Heartbeat")
        csms.expect(Beat)
        station.drop()
        try:
            assert csms.disconnected(within=5).code == 1006
            csms.connected(within=5)
        finally:
            go_on.set()


@pytest.mark.parametrize("name", ["tcp", "memory"])  # as above
def test_a_connection_whose_handler_does_not_return_is_one_in_the_end(name: str) -> None:
    here = surroundings_of(name)
    go_on = threading.Event()
    with here.csms() as csms, here.station(csms.url) as station:
        csms.reply(Beat, lambda request: go_on.wait(seconds(20)) and v16.HeartbeatResponse(csms.clock.now()))
        station.call_raw("Heartbeat")
        csms.expect(Beat)
        try:
            assert csms.connected(within=0.2) == "CP_1"
            assert csms.call(v16.ResetRequest("Soft")).status == "Accepted"
        finally:
            go_on.set()


def test_what_waits_when_a_connection_is_dropped_is_not_answered(here: Surroundings) -> None:
    with here.csms(strict=False) as csms, here.station(csms.url, strict=False) as station:
        csms.reply(v16.AuthorizeRequest, lambda request: csms.timeline.sleep(0.2) or DROP)
        station.send_raw('[2,"1","Authorize",{"idTag":"T"}]')
        station.send_raw('[2,"2","Heartbeat",{}]')  # it waits for its turn
        assert station.disconnected().code == 1006
        csms.disconnected()
        csms.connected()
        assert kinds(station.journal.entries())[:4] == ["CONNECTED", "CALL", "CALL", "DISCONNECTED"]


@pytest.mark.parametrize("name", ["tcp", "memory"])  # a held clock would wait for the handler
def test_a_call_of_a_connection_that_has_gone_leaves_the_newer_one_alone(name: str) -> None:
    here = surroundings_of(name)
    go_on, held = threading.Event(), threading.Event()

    def hold(request: object) -> v16.AuthorizeResponse:
        held.set()
        assert go_on.wait(seconds(20))
        return v16.AuthorizeResponse(v16.IdTagInfo("Accepted"))

    with here.csms(strict=False) as csms, here.station(csms.url, strict=False) as station:
        csms.reply(v16.AuthorizeRequest, hold)
        csms.reply(Beat, DROP)
        station.send_raw('[2,"1","Authorize",{"idTag":"T"}]')
        assert held.wait(seconds(20))
        station.send_raw('[2,"2","Heartbeat",{}]')  # it waits behind the first
        csms.expect("Heartbeat")
        station.drop()
        count = lambda kind: kinds(csms.journal.entries()).count(kind)  # noqa: E731
        assert csms.timeline.wait(lambda: count("CONNECTED") == 2, seconds(10), csms.journal.changed)
        go_on.set()
        csms.timeline.wait(lambda: count("DISCONNECTED") == 2, 0.3, csms.journal.changed)
        assert count("DISCONNECTED") == 1
        assert csms.call(v16.ResetRequest("Soft")).status == "Accepted"
