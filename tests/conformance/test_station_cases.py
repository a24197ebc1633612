"""The cases for charging stations: a good one passes them, and each of them can fail."""

import functools
import itertools
import threading
from dataclasses import replace
from datetime import datetime, timezone

import pytest

from ocppj.conformance.cases import STATION, cases_of, choose
from ocppj.conformance.runner import Runner
from ocppj.conformance.station.peer import Settings, StationPeer
from ocppj.conformance.verdicts import PeerGone
from ocppj.testing.simulation.station import SimulatedStation
from ocppj.ws.backoff import Backoff
from tests.conformance.faulty_station import FaultyStation
from tests.helpers import eventually, seconds

ALLOWED = ("allow-reset", "allow-changes")
BAD = ("fail", "suspicious")


def settings(cases, **more):
    times = {"wait": 5.0, "answer": 3.0, "brief": 0.5, "quiet": 0.1, "interval": 1}
    scaled = {name: value if name == "interval" else seconds(value) for name, value in {**times, **more}.items()}
    return {"allowed": ALLOWED, "with_boot": any(each.group == "boot" for each in cases), **scaled}


def simulated(url, version, prepare=lambda station: None, **options):
    station = SimulatedStation("CP_1", version, speed=60.0, **options)
    station.core.backoff = lambda: Backoff(0.1, 0.05, 0)
    prepare(station)
    return station.start(url)


def outcomes(peer, cases, version):
    """Run cases, when the station has connected. Return their outcomes, by id."""
    assert peer.first() == version
    report = Runner(peer, ALLOWED).run(STATION, cases, [version])
    assert report.ended == "", report.ended
    broken = [each for each in report.outcomes if "could not be run" in each.reason]
    assert broken == []
    return {each.case.id: each for each in report.outcomes}


def check(version, *patterns, prepare=lambda station: None, **more):
    """Check a simulated station, in the cases that fit."""
    cases = choose(cases_of(STATION), patterns)
    prompt = more.pop("prompt", None)
    kept = Settings(**settings(cases, **more), prompt=prompt)
    with StationPeer(versions=[version], settings=kept) as peer, simulated(peer.url, version, prepare) as station:
        if prompt is not None:
            prompt.station = station
        return outcomes(peer, cases, version)


def verdicts(found):
    return {name: outcome.verdict for name, outcome in found.items()}


# A good station


def test_there_are_enough_cases():
    cases = cases_of(STATION)
    for version in ("1.6", "2.0.1", "2.1"):
        assert len([each for each in cases if version in each.versions]) >= 160
    assert all(each.section and each.expects and each.title for each in cases)


@pytest.mark.alone  # it gives a station fractions of a second
def test_the_simulated_stations_pass_all_cases():
    found, threads = {}, []
    for version in ("1.6", "2.0.1", "2.1"):
        work = functools.partial(lambda version: found.update({version: check(version)}), version)
        threads.append(threading.Thread(target=work))
        threads[-1].start()
    for thread in threads:
        thread.join(seconds(120))
    alone = {"handshake-credentials", "handshake-password", "tx-local", "tx-offline-end"}  # they need more: see below
    for version in ("1.6", "2.0.1", "2.1"):
        bad = [(name, each.reason) for name, each in found[version].items() if each.verdict != "pass"]
        assert {name for name, _ in bad} == alone, (version, bad)


def test_a_password_is_looked_at():
    cases = choose(cases_of(STATION), ["handshake-credentials", "handshake-password"])
    with (
        StationPeer(versions=["1.6"], password="0123456789abcdef", settings=Settings(**settings(cases))) as peer,
        simulated(peer.url, "1.6", password="0123456789abcdef"),
    ):
        assert set(verdicts(outcomes(peer, cases, "1.6")).values()) == {"pass"}


def connect_in_vain(told, password=None, *, expected=None, client_id=None):
    """Have a station connect that is refused."""
    kept = Settings(wait=seconds(0.8))
    with StationPeer(versions=["1.6"], settings=kept, password=expected, client_id=client_id) as peer:
        station = simulated(peer.url, "1.6", password=password)
        try:
            eventually(lambda: station.core.summary.not_connected)
            with pytest.raises(PeerGone, match=told):
                peer.first()
        finally:
            station.stop()


def test_a_wrong_password_is_told():
    connect_in_vain("the last with: 401", "fedcba9876543210", expected="0123456789abcdef")


class Driver:
    """Does what is asked for at the station."""

    def __init__(self, *does):
        self.station, self.does = None, list(does)

    def __call__(self, text):
        if self.does:
            self.does.pop(0)(self.station)


def plug_in(station):
    station.plug_in(1)
    station.present_card("04A1B2C3", 1)


def leave(station):
    station.present_card("04A1B2C3", 1)
    station.unplug(1)


def unplug(station):
    assert station.wait(lambda: not station.connected)
    station.unplug(1)
    assert station.wait(lambda: not station.transactions)


@pytest.mark.parametrize("version", ["1.6", "2.0.1"])
def test_somebody_at_the_station_is_asked(version):
    found = check(version, "tx-local", prompt=Driver(plug_in, leave))
    assert verdicts(found) == {"tx-local": "pass"}
    found = check(version, "tx-offline-end", prompt=Driver(unplug))
    assert verdicts(found) == {"tx-offline-end": "pass"}, found["tx-offline-end"].reason


@pytest.mark.alone  # it gives a station fractions of a second
def test_nobody_does_what_is_asked():
    found = check("1.6", "tx-local", prompt=Driver(), wait=0.3, answer=0.3)
    assert found["tx-local"].verdict == "fail"
    found = check("1.6", "tx-offline-end", prompt=Driver(), answer=0.5)
    assert found["tx-offline-end"].verdict == "fail"


def test_what_needs_a_permission_is_not_run():
    cases = choose(cases_of(STATION), ["reset-soft", "config-change"])
    with (
        StationPeer(versions=["1.6"], settings=Settings(with_boot=False, quiet=seconds(0.1))) as peer,
        simulated(peer.url, "1.6"),
    ):
        peer.first()
        report = Runner(peer).run(STATION, cases, ["1.6"])
    assert {each.reason for each in report.outcomes} == {"it needs --allow-reset", "it needs --allow-changes"}


def test_what_was_made_short_is_put_back():
    cases = choose(cases_of(STATION), ["rpc-answer"])
    with (
        StationPeer(versions=["2.0.1"], settings=Settings(**settings(cases))) as peer,
        simulated(peer.url, "2.0.1") as station,
    ):
        outcomes(peer, cases, "2.0.1")
        assert station.settings.get("retry_wait_minimum") == 1
        peer.stop()
        assert station.settings.get("retry_wait_minimum") == 10


def test_a_station_that_is_gone_ends_the_run():
    cases = choose(cases_of(STATION), ["rpc-answer", "chaos-cuts", "rpc-spaces"])
    kept = Settings(with_boot=False, wait=seconds(0.5), quiet=seconds(0.1))
    with StationPeer(versions=["1.6"], settings=kept) as peer:
        station = simulated(peer.url, "1.6")
        assert station.wait(lambda: station.connected, within=seconds(10))
        peer.first()
        station.stop()
        report = Runner(peer).run(STATION, cases, ["1.6"])
    assert "CP_1 has not connected again" in report.ended
    assert (report.outcomes, report.not_run) == ([], 3)


def test_another_station_is_not_let_in():
    connect_in_vain("refused with 404", client_id="CP_2")


# Each case can fail

#: The manners of a station of `faulty_station`, the versions, and the cases that must not pass with it.
MANNERED = (
    (
        "chats odd-path odd-subprotocol odd-request odd-credentials",
        "2.1",
        "handshake-subprotocol handshake-path handshake-query handshake-compression handshake-credentials "
        "handshake-password handshake-after-cut handshake-after-close handshake-fields rpc-spaces rpc-unicode "
        "rpc-id-short rpc-id-36 rpc-large rpc-duplicate rpc-payload-null rpc-escapes rpc-answer rpc-deep "
        "rpc-not-a-list rpc-result-to-nothing rpc-error-to-nothing rpc-send rpc-type-text frames-p* "
        "frames-fragments* frames-empty frames-binary chaos-* own-ids own-one-call own-messages",
    ),
    (
        "says-yes",
        "1.6",
        "config-all config-required config-known config-unknown config-mixed config-set-unknown config-profiles "
        "remote-start-* remote-stop-* remote-unlock* data-* availability-unknown availability-connector "
        "availability-station availability-no-start trigger-[bdfhmsau]* reservation* list-* "
        "charging-clear-* charging-tx-* charging-max-* charging-unknown-* charging-composite* files-* "
        "certificates-[di]* certificates-signed-bad",
    ),
    (
        "says-yes",
        "2.1",
        "remote-start-* remote-stop-* remote-unlock* data-* availability-evse availability-station-2 "
        "availability-unknown-evse trigger-* reservation-* list-* charging-clear-* charging-tx-* charging-max-* "
        "charging-unknown-* charging-composite* charging-get* files-* certificates-[di]* certificates-signed-bad-2 "
        "variables-* report-* monitoring-clear-* monitoring-unknown tx-status-[un]* customer-* display-* "
        "tariff-clear-* rpc-answer rpc-unknown-action rpc-action-case rpc-own-action rpc-missing rpc-type rpc-enum "
        "rpc-length rpc-extra rpc-payload-list rpc-crossing rpc-one-call rpc-error-[acs]* "
        "rpc-result-[ow]* rpc-result-twice "
        "frames-bad-* reset-on-idle reset-immediate",
    ),
    ("says-yes", "1.6", "reset-soft reset-hard"),
    (
        "says-no",
        "1.6",
        "config-values config-read-only config-secret config-same config-change config-set-[rtnb]* remote-clear-cache "
        "availability-same charging-set charging-decimals certificates-list trigger-extended own-errors",
    ),
    (
        "says-no",
        "2.1",
        "remote-clear-auth-cache availability-same-evse charging-set-2 charging-decimals-2 certificates-list-2 "
        "tariff-get der-get streams-get rpc-send rpc-result-to-nothing rpc-error-to-nothing",
    ),
    (
        "reads-anything",
        "1.6",
        "rpc-*-elements rpc-action-number rpc-not-json rpc-type-* rpc-id-number rpc-id-empty own-answers",
    ),
    ("hurries", "1.6", "handshake-refused-* handshake-retry-after handshake-back-off handshake-redirect"),
    (
        "boots answers-twice says-yes",
        "2.1",
        "boot-rejected-interval boot-pending-interval boot-reason boot-pending-trigger boot-pending-remote-start "
        "boot-accepted-status boot-heartbeat-interval boot-heartbeat-change handshake-no-new-boot own-answers",
    ),
    ("boots chats mute", "1.6", "boot-first boot-*-silent boot-pending-answers"),
)


@pytest.mark.alone  # it gives a station fractions of a second
@pytest.mark.parametrize(
    ("manners", "version", "patterns"),
    MANNERED,
    ids=[f"{each[0].split()[0]}-{each[1]}-{n}" for n, each in enumerate(MANNERED)],
)
def test_a_station_of_bad_manners_does_not_pass(manners, version, patterns):
    cases = [each for each in choose(cases_of(STATION), patterns.split()) if version in each.versions]
    kept = Settings(**settings(cases, wait=0.8, answer=0.08, quiet=0.03, brief=0.08))
    with (
        StationPeer(versions=[version], settings=kept) as peer,
        FaultyStation(peer.url, *manners.split(), version=version),
    ):
        found = outcomes(peer, cases, version)
    assert [(name, each.verdict) for name, each in found.items() if each.verdict not in BAD] == []


def event(**fields):
    """Return a change of a TransactionEvent. Fields of transaction_info have an underscore before them."""

    def change(request):
        info = {name[1:]: value for name, value in fields.items() if name.startswith("_")}
        own = {name: value for name, value in fields.items() if not name.startswith("_")}
        return replace(request, transaction_info=replace(request.transaction_info, **info), **own)

    return change


def first_ends(request):
    return replace(request, event_type="Ended") if request.event_type == "Started" else request


def every_second(request):
    return replace(request, seq_no=2 * request.seq_no)


def counted(**names):
    """Return a change that makes the message another one each time it is sent."""
    (name,), numbers = names.values(), itertools.count(7000)
    return lambda request: replace(request, **{name: next(numbers)})


def authorizes(response):
    entries = [
        replace(each, value="true") if each.key == "AuthorizeRemoteTxRequests" else each
        for each in response.configuration_key
    ]
    return replace(response, configuration_key=entries)


def not_found(response):
    results = [replace(each, status="NotFound") for each in response.clear_monitoring_result]
    return replace(response, clear_monitoring_result=results)


def wrong(action, change=None, **fields):
    return lambda station: station.faults.wrong(action, change, **fields)


def silent(*actions):
    return lambda station: [station.faults.silent(action) for action in actions]


def put(key, value):
    return lambda station: station.core.settings.put(key, value)


OLD = datetime(2020, 1, 1, tzinfo=timezone.utc)
#: The version, what a simulated station does wrong, and the cases that must not pass with it.
SPOILED = (
    ("1.6", wrong("StartTransaction", connector_id=2), "tx-start"),
    ("1.6", wrong("GetConfiguration", authorizes), "tx-authorize"),
    ("1.6", silent("StatusNotification"), "tx-status tx-status-after"),
    ("1.6", wrong("MeterValues", transaction_id=None), "tx-meter-values"),
    ("1.6", wrong("StopTransaction", reason="Local", timestamp=OLD), "tx-stop tx-times"),
    ("1.6", wrong("RemoteStartTransaction", status="Accepted"), "tx-busy"),
    ("1.6", wrong("ChangeAvailability", status="Accepted"), "tx-availability"),
    ("1.6", wrong("SetChargingProfile", status="Accepted"), "tx-profile-other charging-stack-level"),
    ("1.6", wrong("SetChargingProfile", status="Rejected"), "tx-profile"),
    ("1.6", wrong("StartTransaction", counted(name="meter_start")), "tx-start-resent"),
    ("1.6", put("TransactionMessageAttempts", 1), "tx-start-error"),
    ("1.6", wrong("StopTransaction", counted(name="meter_stop")), "tx-stop-resent"),
    ("1.6", wrong("RemoteStopTransaction", status="Rejected"), "tx-survives-cut"),
    ("1.6", silent("StopTransaction", "StatusNotification"), "tx-refused-id"),
    ("1.6", silent("StopTransaction"), "tx-unlock-ends"),
    ("1.6", wrong("Reset", status="Rejected"), "reset-transaction"),
    ("2.1", wrong("Reset", status="Accepted"), "reset-scheduled"),
    ("2.1", wrong("TransactionEvent", first_ends), "tx-started tx-order"),
    (
        "2.1",
        wrong(
            "TransactionEvent",
            event(evse=None, id_token=None, _remote_start_id=None, _charging_state=None, _stopped_reason=None),
        ),
        "tx-remote-start-id tx-id-token tx-evse tx-charging-state tx-ended tx-trigger",
    ),
    ("2.1", wrong("TransactionEvent", every_second), "tx-seq-no"),
    ("2.1", wrong("UnlockConnector", status="Unlocked"), "tx-unlock"),
    ("2.1", wrong("GetTransactionStatus", ongoing_indicator=False), "tx-transaction-status"),
    ("2.1", wrong("ClearVariableMonitoring", not_found), "monitoring-set"),
)


@pytest.mark.alone  # it gives a station fractions of a second
@pytest.mark.parametrize(("version", "prepare", "names"), SPOILED, ids=[each[2].split()[0] for each in SPOILED])
def test_a_station_with_a_fault_does_not_pass(version, prepare, names):
    found = check(version, *names.split(), prepare=prepare, answer=0.8, brief=0.2)
    assert [(name, each.verdict, each.reason) for name, each in found.items() if each.verdict not in BAD] == []


def test_each_case_can_fail():
    tried = {"tx-local", "tx-offline-end"}  # above
    for version, patterns in [*((each[1], each[2]) for each in MANNERED), *((each[0], each[2]) for each in SPOILED)]:
        tried |= {each.id for each in choose(cases_of(STATION), patterns.split()) if version in each.versions}
    assert [each.id for each in cases_of(STATION) if each.id not in tried] == []
