"""Tests of `ScriptedCSMS`: listening, several stations, refusing, going down, security profiles."""

from __future__ import annotations

import threading
from contextlib import ExitStack, suppress
from typing import Any, Callable, List
from urllib.parse import urlsplit

import pytest

from ocppj import (
    Backoff,
    HandshakeRefused,
    ManualClock,
    OCPPError,
    OcppjError,
    TransportError,
    UsageError,
    v16,
    v21,
    v201,
)
from ocppj.testing import MemoryNetwork, ScriptedCSMS, ScriptedStation
from ocppj.testing.pki import TestPKI
from tests.helpers import FACTOR, eventually, seconds
from tests.ports import free_port
from tests.testing.surroundings import Surroundings, here, opened  # noqa: F401

Beat, Reset = v16.HeartbeatRequest, v16.ResetRequest
NOW = ManualClock().now()
BEAT, RESET = v16.HeartbeatRequest(), v16.ResetRequest("Soft")
SLOW = Backoff(60.0, 0.0, 0)  # of a station that does not come back by itself

# Where it listens


def test_it_listens_from_the_beginning(here: Surroundings) -> None:
    csms = here.csms()
    try:
        with here.station(csms.url) as station:
            assert station.call(BEAT)
    finally:
        csms.stop()


def test_it_may_begin_later(here: Surroundings) -> None:
    csms = here.csms(start=False)
    with pytest.raises(UsageError, match=r"start\(\) it"):
        csms.url  # noqa: B018
    with csms, here.station(csms.url) as station:
        assert csms.start() is csms
        assert station.call(BEAT)
    with csms, here.station(csms.url) as station:  # and again
        assert station.call(BEAT)
    assert csms.order() == ["Heartbeat", "Heartbeat"]


def test_the_port_the_host_and_the_path_can_be_chosen(opened: Callable[[Any], Any]) -> None:
    port = free_port()
    csms = opened(ScriptedCSMS(port=port, path="/ocpp/{id}", host="127.0.0.1"))
    assert csms.url == f"ws://127.0.0.1:{port}/ocpp"
    with pytest.raises(TransportError):
        ScriptedCSMS(port=port)
    assert opened(ScriptedStation(csms.url, "CP 1")).call(BEAT)
    csms.expect(Beat, id="CP 1")


@pytest.mark.parametrize("versions", ["2.0.1", ["2.0.1", "1.6"]])
def test_it_speaks_the_versions_that_are_wanted(here: Surroundings, versions: Any) -> None:
    with here.csms(versions=versions) as csms, here.station(csms.url, version="2.0.1") as station:
        csms.reply(v201.HeartbeatRequest, v201.HeartbeatResponse(NOW))
        assert station.call(v201.HeartbeatRequest()).current_time == NOW
        assert csms.expect(v201.HeartbeatRequest)
        if "1.6" in versions:
            with here.station(csms.url, "CP_2") as old:
                assert old.call(BEAT)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"versions": 1.6}, "no OCPP version 1.6: the versions are '1.6', '2.0.1', '2.1'"),
        ({"strict": "no"}, "strict is True or False, not 'no'"),
        ({"within": "5"}, "within is a number of seconds, 0 or more"),
        ({"timeout_factor": 0}, "timeout_factor is a number, more than 0, not 0"),
        ({"call_timeout": "5"}, "call_timeout is a number of seconds, 0 or more"),
    ],
)
def test_a_wrong_option_is_told_at_once(wrong: Any, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        ScriptedCSMS(network=MemoryNetwork(), **wrong)


def test_there_is_no_such_version() -> None:
    with pytest.raises(UsageError, match="no OCPP version '1.5': the versions are '1.6', '2.0.1', '2.1'"):
        ScriptedCSMS(versions=["1.5"])


def test_profiles_of_ones_own_can_be_used(here: Surroundings) -> None:
    with here.csms(profiles=[v16.CORE]) as csms, here.station(csms.url, strict=False) as station:
        csms.strict = False
        station.call_raw("GetDiagnostics", {"location": "ftp://x"})
        station.expect_error("GetDiagnostics", "NotSupported")


# Several stations


def test_with_several_stations_one_has_to_be_chosen(here: Surroundings) -> None:
    with here.csms() as csms, here.station(csms.url, "CP_1") as first, here.station(csms.url, "CP_2") as second:
        first.call(BEAT)
        second.reply(Reset, v16.ResetResponse("Rejected"))
        assert csms.call(RESET, id="CP_2").status == "Rejected"
        csms.expect(Beat, id="CP_1")
        for act in (lambda: csms.call(RESET), csms.drop, lambda: csms.send_raw("x")):
            with pytest.raises(AssertionError, match="2 stations are connected: CP_1, CP_2; choose one with id=\n\n"):
                act()
        for act in (lambda: csms.expect(Beat), csms.connected, csms.disconnected):
            with pytest.raises(AssertionError, match="2 charging stations have connected.*CP_1, CP_2"):
                act()
        assert (csms.order(), csms.order(id="CP_2")) == (["Heartbeat"], [])
        csms.drop(id="CP_1")
        assert first.disconnected().code == 1006


def test_a_station_that_is_not_connected(here: Surroundings) -> None:
    with here.csms(within=0.2) as csms:
        with pytest.raises(AssertionError, match="no station is connected after .*; connected are: none"):
            csms.call(RESET)
        with here.station(csms.url):
            csms.connected()
            with pytest.raises(AssertionError, match="'CP_9' is not connected after .*; connected are: CP_1"):
                csms.call(RESET, id="CP_9")
            with pytest.raises(AssertionError, match="from CP_9 within"):
                csms.expect(Beat, id="CP_9")
            with pytest.raises(AssertionError, match="expected CP_9 to connect"):
                csms.connected(id="CP_9")
        csms.disconnected()
        with pytest.raises(AssertionError, match="no station is connected"):
            csms.call(RESET)


def test_what_is_sent_waits_for_a_station(here: Surroundings) -> None:
    with here.csms() as csms, here.station(csms.url) as late:
        late.down()
        csms.disconnected()
        timer = csms.clock.call_later(0.2, late.up, "test")
        assert csms.call(RESET).status == "Accepted"
        timer.join(seconds(5))


def test_scripts_may_be_for_one_station(here: Surroundings) -> None:
    with here.csms() as csms, here.station(csms.url, "CP_1") as first, here.station(csms.url, "CP_2") as second:
        csms.reply(v16.AuthorizeRequest, v16.AuthorizeResponse(v16.IdTagInfo("Blocked")), id="CP_2")
        csms.reply(v16.AuthorizeRequest, v16.AuthorizeResponse(v16.IdTagInfo("Expired")))
        tags = [station.call(v16.AuthorizeRequest("T")).id_tag_info.status for station in (first, second)]
        assert tags == ["Expired", "Blocked"]


# Refusing


def test_a_handshake_is_refused_with_a_status(here: Surroundings) -> None:
    with here.csms() as csms:
        csms.refuse(503, retry_after=2)
        csms.refuse(401, id="CP_1")
        csms.refuse(404, id="CP_2")
        for status, retry_after in ((503, 2), (401, None)):
            with pytest.raises(HandshakeRefused) as refused:
                here.station(csms.url)
            assert (refused.value.status, refused.value.retry_after) == (status, retry_after)
        with here.station(csms.url) as station:
            assert station.call(BEAT)
        assert [line.split()[4] for line in csms.transcript().splitlines()[:3]] == ["REFUSED", "REFUSED", "CONNECTED"]


def test_a_station_waits_as_long_as_it_is_told(here: Surroundings) -> None:
    with here.csms() as csms, here.station(csms.url) as station:
        csms.refuse(503, retry_after=1)
        station.drop()
        cut = csms.clock.monotonic()
        csms.disconnected()
        csms.connected()
        assert csms.clock.monotonic() - cut >= 1


@pytest.mark.parametrize("times", [0, -1, 1.5, True, "1"])
def test_times_is_a_number_of_handshakes(times: Any) -> None:
    with ScriptedCSMS(network=MemoryNetwork()) as csms, pytest.raises(UsageError, match="times is a number"):
        csms.refuse(503, times=times)


@pytest.mark.parametrize("status", [200, 101, 600, "503"])
def test_a_status_refuses(status: Any) -> None:
    with ScriptedCSMS(network=MemoryNetwork()) as csms, pytest.raises(UsageError):
        csms.refuse(status)


@pytest.mark.parametrize("network", [None, MemoryNetwork()], ids=["tcp", "memory"])
def test_refusals_are_counted_exactly(network: Any) -> None:
    refused: List[str] = []

    def connect(number: int) -> None:
        try:
            stations.append(ScriptedStation(csms.url, f"CP_{number}", network=network, strict=False))
        except HandshakeRefused as error:
            refused.append(str(error.status))

    stations: List[ScriptedStation] = []
    with ScriptedCSMS(network=network) as csms:
        csms.refuse(503, times=5)
        csms.refuse(429, times=3)
        threads = [threading.Thread(target=connect, args=(number,)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(seconds(20))
    for station in stations:
        station.stop()
    assert sorted(refused) == ["429"] * 3 + ["503"] * 5
    assert len(stations) == 12


def test_all_handshakes_can_be_refused(here: Surroundings) -> None:
    with here.csms() as csms:
        csms.refuse(503, times=None)
        for _ in range(3):
            with pytest.raises(HandshakeRefused):
                here.station(csms.url)


# Going down


def test_down_cuts_the_connections_and_the_port_refuses(here: Surroundings) -> None:
    with here.csms() as csms, here.station(csms.url, "CP_1") as first, here.station(csms.url, "CP_2") as second:
        url = csms.url
        csms.down()
        assert [station.disconnected().code for station in (first, second)] == [1006, 1006]
        with pytest.raises(TransportError):
            here.station(url, "CP_3")
        csms.down()
        assert csms.url == url
        csms.up()
        assert csms.url == url
        assert [csms.connected(id=station.id) for station in (first, second)] == ["CP_1", "CP_2"]
        assert first.connected() == "CP_1"
        assert first.call(BEAT)
        with pytest.raises(UsageError, match="started already"):
            csms.up()
        assert first.call(BEAT)


@pytest.mark.parametrize("round", range(3))
@pytest.mark.parametrize("network", [None, MemoryNetwork()], ids=["tcp", "memory"])
def test_down_and_up_during_traffic(network: Any, round: int) -> None:
    ended, failed = threading.Event(), []  # type: ignore[var-annotated]

    def traffic(station: ScriptedStation) -> None:
        while not ended.is_set():
            try:
                station.client.call(BEAT, 2)
            except OcppjError:
                threading.Event().wait(0.01)
            except BaseException as error:
                failed.append(error)
                return

    with ExitStack() as stack:
        csms = stack.enter_context(ScriptedCSMS(network=network, timeout_factor=FACTOR))
        options: Any = {"network": network, "backoff": Backoff(0.02, 0.0, 0), "timeout_factor": FACTOR}
        stations = [stack.enter_context(ScriptedStation(csms.url, f"CP_{n}", **options)) for n in range(3)]
        threads = [threading.Thread(target=traffic, args=(station,)) for station in stations]
        for thread in threads:
            thread.start()
        for _ in range(4):
            for station in stations:
                csms.expect(Beat, id=station.id)
            csms.down()
            assert not csms.server.client_ids()
            csms.up()
            for station in stations:
                csms.connected(id=station.id)
        ended.set()
        for thread in threads:
            thread.join(seconds(10))
        assert not failed, failed[0]
        closes = [seen.close for seen in csms.journal.entries() if seen.kind == "DISCONNECTED"]
        assert {close.code for close in closes if close is not None} == {1006}


def test_a_station_that_comes_while_it_goes_down_is_cut_too(
    here: Surroundings, monkeypatch: pytest.MonkeyPatch, opened: Callable[[Any], Any]
) -> None:
    csms = here.csms()
    stop = csms.server.stop

    def stop_late() -> None:  # the connections are cut by now
        with suppress(TransportError):  # it may not even see the end of its handshake
            opened(here.station(csms.url, "LATE", backoff=SLOW, strict=False))
        csms.disconnected(id="LATE")
        stop()

    with csms, here.station(csms.url, backoff=SLOW, strict=False):
        csms.connected()
        with monkeypatch.context() as patch:
            patch.setattr(csms.server, "stop", stop_late)
            csms.down()
        codes = [seen.close.code for seen in csms.journal.entries() if seen.close is not None]
        assert codes == [1006, 1006]


# Security


@pytest.fixture(scope="module")
def pki() -> Any:
    with TestPKI() as made:
        yield made


def test_profile_1_has_passwords(here: Surroundings) -> None:
    with here.csms(security_profile=1, passwords={"CP_1": "secret"}) as csms:
        with here.station(csms.url, security_profile=1, password="secret") as station:
            assert station.call(BEAT)
        with pytest.raises(HandshakeRefused, match="401"):
            here.station(csms.url, password="wrong")
        with pytest.raises(HandshakeRefused, match="401"):
            here.station(csms.url)


def test_without_passwords_any_is_right(here: Surroundings) -> None:
    with here.csms(security_profile=1) as csms:
        with here.station(csms.url, security_profile=1, password=b"\x01\x02") as station:
            assert station.call(BEAT)
        with pytest.raises(HandshakeRefused, match="401"):
            here.station(csms.url)


def test_profile_2_has_tls_and_passwords(pki: TestPKI) -> None:
    with ScriptedCSMS(security_profile=2, pki=pki, passwords={"CP_1": "secret"}) as csms:
        assert csms.url.startswith("wss://")
        with ScriptedStation(csms.url, "CP_1", security_profile=2, pki=pki, password="secret") as station:
            assert station.call(BEAT)
            csms.drop()
            station.disconnected()
        with pytest.raises(TransportError, match="certificate"):
            ScriptedStation(csms.url, "CP_1", security_profile=2, password="secret")


def test_profile_3_has_certificates_of_stations(pki: TestPKI) -> None:
    with ScriptedCSMS(versions="2.1", security_profile=3, pki=pki) as csms:
        with ScriptedStation(csms.url, "CP_1", "2.1", security_profile=3, pki=pki) as station:
            assert station.call(v21.HeartbeatRequest())
        with pytest.raises(OcppjError):
            ScriptedStation(csms.url, "CP_1", "2.1", ssl_context=pki.client_context())


def test_without_certificates_new_ones_are_made() -> None:
    with ScriptedCSMS(security_profile=2) as csms:
        assert csms.pki is not None
        with ScriptedStation(csms.url, "CP_1", security_profile=2, pki=csms.pki, password="any") as station:
            assert station.call(BEAT)


@pytest.mark.parametrize("profile", [2, 3])
def test_there_is_no_tls_in_memory(profile: int) -> None:
    network = MemoryNetwork()
    with pytest.raises(UsageError, match="TLS"):
        ScriptedCSMS(network=network, security_profile=profile)
    with pytest.raises(UsageError, match="TLS"):
        ScriptedStation("memory://localhost:1", "CP_1", network=network, security_profile=profile)
    with pytest.raises(UsageError, match="ssl_context is an option of sockets"):
        ScriptedCSMS(network=network, ssl_context=None)


# What else can be used


def test_the_server_can_be_used_beside_scripts(here: Surroundings) -> None:
    with here.csms() as csms, here.station(csms.url) as station:
        told: List[str] = []
        csms.server.set_disconnected_client_handler(told.append)

        @csms.server.on(Beat)
        def beat(client_id: str, request: v16.HeartbeatRequest) -> v16.HeartbeatResponse:
            return v16.HeartbeatResponse(NOW)

        assert station.call(BEAT).current_time == NOW
        csms.expect(Beat)
        csms.drop()
        csms.disconnected()
        eventually(lambda: told == ["CP_1"])


def test_a_newer_connection_of_the_same_station_replaces_the_older(here: Surroundings) -> None:
    with here.csms() as csms, here.station(csms.url, backoff=SLOW) as first:
        csms.connected()
        with here.station(csms.url) as second:
            assert first.disconnected().code == 1008
            csms.disconnected()
            csms.connected()
            csms.call(RESET)
            second.expect(Reset)


def test_the_url_has_the_port(here: Surroundings) -> None:
    with here.csms() as csms:
        port = urlsplit(csms.url).port
        assert port
        csms.down()
        csms.up()
        assert urlsplit(csms.url).port == port


def test_an_error_of_the_csms_itself_is_expected_by_its_action(here: Surroundings) -> None:
    refused = OCPPError("SecurityError", "not yet")
    with here.csms() as csms, here.station(csms.url) as station:
        csms.reply(v16.AuthorizeRequest, refused)
        with pytest.raises(OCPPError, match="not yet"):
            station.call(v16.AuthorizeRequest(id_tag="T"))
        assert csms.expect_error("Authorize", "SecurityError").direction == "out"
        with pytest.raises(AssertionError, match="expected an error from CP_1"):
            csms.expect_error(within=0, anywhere=True)  # without an action it is one of the station
        assert station.expect_error("Authorize", "SecurityError").direction == "in"


def test_what_the_library_refuses_is_seen(here: Surroundings) -> None:
    with here.csms(passwords={"CP_1": "right-password-1"}, strict=False) as csms:
        with pytest.raises(HandshakeRefused):
            here.station(csms.url, password="wrong-password-1")
        with pytest.raises(AssertionError, match=r"REFUSED.*401"):
            csms.connected(within=0)


def test_a_version_that_is_not_spoken_is_seen(here: Surroundings) -> None:
    with here.csms(strict=False) as csms:
        with suppress(OcppjError):
            here.station(csms.url, version="2.0.1")
        said = r"REFUSED.*no common subprotocol: it offers ocpp2\.0\.1, and the test speaks ocpp1\.6"
        with pytest.raises(AssertionError, match=said):
            csms.connected(within=0)


def test_refusals_can_be_taken_back(here: Surroundings) -> None:
    with here.csms() as csms:
        csms.refuse(503, times=None)
        with pytest.raises(HandshakeRefused):
            here.station(csms.url)
        csms.accept()
        with here.station(csms.url) as station:
            assert station.call(BEAT)


def test_what_a_function_raised_is_told_where_its_consequence_fails(here: Surroundings) -> None:
    def broken(request: object) -> object:
        raise KeyError("typo")

    csms = here.csms(strict=False)
    with here.station(csms.url, strict=False) as station:
        csms.reply(v16.AuthorizeRequest, broken)
        with pytest.raises(OCPPError):
            station.call(v16.AuthorizeRequest("T"))
        with pytest.raises(AssertionError, match="also: the function that replies to Authorize of CP_1 failed: KeyErr"):
            csms.expect(v16.StartTransactionRequest, within=0)
    csms.stop()


def test_a_forbidden_message_that_breaks_its_schema_is_found(here: Surroundings) -> None:
    csms = here.csms(strict=False)
    with here.station(csms.url, strict=False) as station:
        csms.forbid(v16.StopTransactionRequest)
        station.call_raw("StopTransaction", {})
        station.expect_error("StopTransaction")
    csms.stop()
    with pytest.raises(AssertionError, match="forbidden was StopTransactionRequest"):
        csms.verify()


def test_the_only_station_that_is_there_needs_no_id(here: Surroundings) -> None:
    with here.csms() as csms:
        with here.station(csms.url, "CP_1"):
            csms.connected()
        csms.disconnected()
        with here.station(csms.url, "CP_2") as station:
            csms.connected(id="CP_2")
            station.call(BEAT)
            assert csms.expect(v16.HeartbeatRequest).client_id == "CP_2"


def test_a_call_in_fragments_is_known(here: Surroundings) -> None:
    with here.csms() as csms, here.station(csms.url) as station:
        csms.connected()
        csms.send_frame(1, b'[2,"f1","Res', fin=False)
        csms.send_frame(0, b'et",{"type":"Soft"}]')
        assert station.expect(v16.ResetRequest, type="Soft").message_id == "f1"
        assert csms.expect(v16.ResetResponse).message_id == "f1"


def test_an_error_is_expected_by_the_type_of_its_request(here: Surroundings) -> None:
    with here.csms(strict=False) as csms, here.station(csms.url, strict=False) as station:
        station.call_raw("Authorize", {})
        assert station.expect_error(v16.AuthorizeRequest, "OccurenceConstraintViolation")
        with pytest.raises(UsageError, match="an action or the type of a request"):
            station.expect_error(3)


def test_the_time_of_an_abandoned_call_can_be_chosen() -> None:
    here = Surroundings(MemoryNetwork(), ManualClock())
    with here.csms(call_timeout=1) as csms, here.station(csms.url) as station:
        csms.reply(v16.AuthorizeRequest, lambda request: csms.timeline.sleep(3) or OCPPError("InternalError", ""))
        station.send_raw('[2,"1","Authorize",{"idTag":"T"}]')
        csms.expect(v16.AuthorizeRequest)
        csms.timeline.sleep(1.5)
        station.send_raw('[2,"2","Heartbeat",{}]')
        csms.expect(v16.HeartbeatRequest)
        station.expect_error("Authorize")
