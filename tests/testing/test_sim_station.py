"""What a user does with a simulated station, in memory with a held clock, and over TCP."""

import threading
from datetime import timedelta

import pytest

from ocppj import ManualClock, Server, UsageError, v16, v21, v201
from ocppj.testing import IdToken, Vehicle
from ocppj.testing.defaults import DefaultAnswers
from ocppj.testing.simulation.background import Background
from ocppj.testing.simulation.scheduler import Scheduler
from ocppj.testing.simulation.station import SimulatedStation
from ocppj.testing.simulation.summary import Summary
from ocppj.ws.memory import MemoryNetwork
from tests.helpers import seconds
from tests.testing.sim_pairs import booted, paired

TYPES = {"1.6": v16, "2.0.1": v201, "2.1": v21}


def serve(types, clock=None, **options):
    """Return a server that answers by default."""
    defaults = DefaultAnswers()
    server = Server(profiles=types.PROFILES, **({} if clock is None else {"clock": clock}), **options)

    @server.set_request_handler
    def answer(client_id, request, message_id, action):
        now = server_time() if clock is None else clock.now()
        server.send_response(client_id, message_id, defaults.respond(request, now))

    return server


def server_time():
    from ocppj import SystemClock

    return SystemClock().now()


@pytest.fixture(params=list(TYPES))
def version(request):
    return request.param


@pytest.fixture
def station(version):
    network, clock = MemoryNetwork(), ManualClock()
    server = serve(TYPES[version], clock, ws_server=network.server())
    made = SimulatedStation("CP_1", version, network=network, clock=clock, speed=1.0)
    with server.listen(port=0), made.start(server.url):
        assert made.wait(lambda: made.accepted)
        made.server = server
        yield made


def test_it_boots_reports_its_connectors_and_beats(station, version):
    reports = 3 if version == "1.6" else 2
    assert station.wait(lambda: station.summary().sent["StatusNotification"] == reports)
    assert station.wait(lambda: station.summary().sent["Heartbeat"] == 2, within=601)
    assert station.connected
    assert station.summary().boots == 1


def test_a_session_by_hand(station):
    station.plug_in(2, Vehicle(max_power=3600))
    station.present_card("TAG")
    (transaction,) = station.wait(lambda: station.transactions)
    assert (transaction.connector.id, transaction.id_token) == (2, IdToken("TAG"))
    station.wait(lambda: False, within=3600)
    assert station.energy(2) == pytest.approx(3600)
    station.present_card("TAG")
    assert station.transactions == []
    assert station.connectors[2].status.value == "Finishing"
    station.unplug(2)
    assert station.connectors[2].status.value == "Available"
    assert station.summary().transactions == 1


def test_whole_sessions(station):
    station.charge(1, "A", seconds=600)
    station.charge(2, IdToken("B", "Local"), energy=1000)
    assert station.wait(lambda: len(station.transactions) == 2)
    assert station.wait(lambda: not station.transactions, within=601)
    assert round(station.energy(2)) == 1000
    assert [each.plugged for each in station.connectors] == [False, False]
    assert not station.summary().failed


def test_a_session_while_it_is_offline(station, version):
    station.charge(2, seconds=1000)  # now it knows the id
    assert station.wait(lambda: station.transactions and not station.core.outbox.kept)
    before = sum(station.summary().sent.values())
    station.go_offline(500)
    assert not station.connected
    station.charge(1, seconds=100)
    assert len(station.transactions) == 2
    station.wait(lambda: False, within=499)
    assert sum(station.summary().sent.values()) == before
    assert station.wait(lambda: station.connected and not station.core.outbox.kept)
    assert station.accepted
    assert station.summary().boots == 1


def test_it_comes_back_when_it_is_told_to(station):
    station.go_offline()
    station.wait(lambda: False, within=1000)
    assert not station.connected
    station.go_online()
    assert station.wait(lambda: station.connected)


def test_a_fault(station):
    station.charge(1)
    assert station.wait(lambda: station.transactions)
    station.fail(1, "GroundFailure")
    assert station.connectors[1].status.value == "Faulted"
    assert station.transactions == []
    station.recover(1)
    assert station.connectors[1].status.value == "Available"


def test_its_faults_are_set_by_the_test(station):
    station.faults.silent("Heartbeat")
    station.wait(lambda: False, within=1000)
    assert station.summary().sent["Heartbeat"] == 0


@pytest.mark.parametrize("use", ["plug_in", "unplug", "charge", "fail", "recover", "energy"])
def test_a_connector_that_it_does_not_have(station, use):
    with pytest.raises(UsageError, match="1 to 2"):
        getattr(station, use)(3)
    with pytest.raises(UsageError, match="1 to 2"):
        station.present_card("TAG", 0)


@pytest.mark.parametrize(
    ("act", "text"),
    [
        (lambda station: station.plug_in(1, "car"), "vehicle is a Vehicle, or None, not 'car'"),
        (lambda station: station.present_card(5), "id_token is a text, or an IdToken, not 5"),
        (lambda station: station.charge(1, 5), "id_token is a text"),
        (lambda station: station.charge(1, seconds="5"), "seconds is a number of seconds"),
        (lambda station: station.charge(1, energy=-1), "energy is a number, 0 or more"),
        (lambda station: station.go_offline("5"), "seconds is a number of seconds"),
        (lambda station: station.fail(1, "Nonsense"), "error is one of ConnectorLockFailure, .*, not 'Nonsense'"),
    ],
)
def test_a_wrong_argument_is_told_at_once(station, act, text):
    with pytest.raises(UsageError, match=text):
        act(station)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"connectors": 0}, "connectors is a whole number, 1 or more"),
        ({"speed": 0}, "speed is a number, more than 0"),
        ({"speed": float("nan")}, "speed is a number, more than 0"),
        ({"boot_retry": 0}, "boot_retry is a number of seconds, more than 0"),
        ({"plug_in_after": "5"}, "plug_in_after is a number of seconds"),
    ],
)
def test_an_option_that_cannot_be(wrong, text):
    with pytest.raises(UsageError, match=text):
        SimulatedStation("CP_1", **wrong)


@pytest.mark.parametrize("url", ["localhost:9000", "http://localhost:9000", "ws://user@localhost:9000"])
def test_a_url_to_which_no_station_can_connect(url):
    station = SimulatedStation("CP_1")
    with pytest.raises(UsageError, match="URL"):
        station.start(url)
    with station.start("ws://127.0.0.1:1"):  # it was not started
        pass


def test_a_version_that_there_is_not():
    with pytest.raises(UsageError, match=r"1\.6, 2\.0\.1, 2\.1"):
        SimulatedStation("CP_1", "1.5")


def test_an_id_that_the_version_does_not_allow():
    with pytest.raises(UsageError, match="does not allow"):
        SimulatedStation("CP:1", "2.0.1")


def test_what_is_waited_for_may_act(station):
    acted = []
    assert station.wait(lambda: acted or acted.append(station.plug_in()) or None)
    assert station.connectors[1].plugged


def test_it_is_started_once(station):
    with pytest.raises(UsageError, match="started before"):
        station.start(station.server.url)


def test_it_is_stopped_at_any_time(version):
    network, clock = MemoryNetwork(), ManualClock()
    server = serve(TYPES[version], clock, ws_server=network.server())
    with server.listen(port=0):
        made = SimulatedStation("CP_1", version, network=network, clock=clock)
        made.start(server.url)
        made.stop()
        made.stop()
        assert not made.client.is_connected()
        made.charge()  # nothing comes of it
        assert not made.connected


def test_over_tcp(version):
    with serve(TYPES[version]).listen(port=0) as server, SimulatedStation("CP_1", version, speed=600.0) as made:
        made.start(server.url)
        assert made.wait(lambda: made.accepted, within=seconds(10))
        made.charge(1, seconds=300)
        assert made.wait(lambda: made.transactions, within=seconds(10))
        assert made.wait(lambda: not made.transactions and not made.core.outbox.kept, within=seconds(10))
        assert not made.summary().failed


def test_its_password_is_changed(version):
    types, checked = TYPES[version], []
    passwords = ["0123456789abcdef" * 2, "fedcba9876543210" * 2]
    network, clock = MemoryNetwork(), ManualClock()
    server = serve(types, clock, ws_server=network.server())

    @server.set_basic_auth_handler
    def check(client_id, password):
        checked.append(password)
        return True

    made = SimulatedStation("CP_1", version, network=network, clock=clock, password=passwords[0])
    with server.listen(port=0), made.start(server.url):
        assert made.wait(lambda: made.accepted)
        made.core.post(lambda: made.settings.put_named("password", passwords[1]))
        assert made.wait(lambda: made.summary().connections == 2)
    encode = bytes.fromhex if version == "1.6" else str.encode
    assert checked == [encode(each) for each in passwords]


def test_stations_share_threads_and_timers():
    network, clock = MemoryNetwork(), ManualClock()
    server = serve(v201, clock, ws_server=network.server())
    background, scheduler = Background(2, network.activity), Scheduler(clock, server.safe_log)
    stations = [
        SimulatedStation(
            f"CP_{number}", "2.0.1", network=network, clock=clock, background=background, scheduler=scheduler
        )
        for number in range(10)
    ]
    with server.listen(port=0):
        for each in stations:
            each.start(server.url)
        assert stations[0].wait(lambda: all(each.accepted for each in stations))
        for each in stations:
            each.charge(1, seconds=600)
        assert stations[0].wait(lambda: sum(each.summary().transactions for each in stations) == 10, within=60)
        names = [thread.name for thread in threading.enumerate() if thread.name.startswith("ocppj-simulation")]
        assert 1 <= len(names) <= 2
        stations[0].wait(lambda: not any(each.transactions for each in stations), within=60)
        for each in stations:
            each.stop()
    total = sum((each.summary() for each in stations), Summary())
    assert (total.boots, total.transactions, total.sent["BootNotification"]) == (10, 10, 10)
    assert not total.failed
    assert "boots=10" in repr(total)
    scheduler.close()
    background.close()


@pytest.mark.parametrize("version", ["1.6", "2.0.1", "2.1"])
class TestDatesOfTheCSMS:
    """The CSMS follows the clock, and the station is days ahead."""

    @pytest.fixture
    def pair(self, version):
        with booted(version) as pair:
            pair.rest(3600)
            assert pair.station.now() - pair.clock.now() > timedelta(days=2)
            yield pair

    def test_a_reservation_lasts_as_long_as_it_is_meant_to(self, pair, version):
        expiry = pair.clock.now() + timedelta(minutes=15)
        token = {"id_token": "T", "type": "ISO14443"}
        if version == "1.6":
            request = v16.ReserveNowRequest(1, expiry, "T", 4)
        else:
            token = pair.types.IdToken(**token)
            request = pair.types.ReserveNowRequest(id=4, expiry_date_time=expiry, id_token=token, evse_id=1)
        assert pair.call(request).status == "Accepted"
        pair.rest(14)
        assert pair.station.connectors[1].reservation is not None
        pair.rest(2)
        assert pair.station.connectors[1].reservation is None

    def test_an_absolute_schedule_begins_now(self, pair, version):
        now, types = pair.clock.now(), pair.types
        period = types.ChargingSchedulePeriod(start_period=0, limit=5000.0)
        schedule = {"charging_rate_unit": "W", "charging_schedule_period": [period], "start_schedule": now}
        schedule["duration"] = 3600
        kind = {"stack_level": 0, "charging_profile_purpose": "TxDefaultProfile", "charging_profile_kind": "Absolute"}
        kind["valid_to"] = now + timedelta(days=1)
        if version == "1.6":
            schedule = types.ChargingSchedule(**schedule)
            profile = types.ChargingProfile(charging_profile_id=1, charging_schedule=schedule, **kind)
            request = types.SetChargingProfileRequest(connector_id=1, cs_charging_profiles=profile)
        else:
            profile = types.ChargingProfile(id=1, charging_schedule=[types.ChargingSchedule(id=1, **schedule)], **kind)
            request = types.SetChargingProfileRequest(evse_id=1, charging_profile=profile)
        assert pair.call(request).status == "Accepted"
        pair.begin()
        meter = pair.station.core.meters[pair.station.connectors[1]]
        assert meter.offered == 5000
        pair.rest(61)
        assert meter.offered > 5000

    def test_an_id_that_is_valid_for_an_hour_is_accepted(self, pair, version):
        expiry, types = pair.clock.now() + timedelta(hours=1), pair.types
        if version == "1.6":
            answer = types.AuthorizeResponse(types.IdTagInfo("Accepted", expiry_date=expiry))
        else:
            info = types.IdTokenInfo(status="Accepted", cache_expiry_date_time=expiry)
            answer = types.AuthorizeResponse(id_token_info=info)
        pair.csms.reply(types.AuthorizeRequest, answer)
        pair.station.present_card("CARD", 1)
        pair.expect(types.AuthorizeRequest)
        pair.rest()
        ((_, decision),) = pair.station.core.authorization.known_of(IdToken("CARD"))
        assert decision.accepted_at(pair.station.now())
        assert not decision.accepted_at(pair.station.now() + timedelta(hours=1))


@pytest.mark.parametrize("version", ["1.6", "2.0.1"])
def test_its_time_begins_with_that_of_the_first_boot(version):
    with paired(version) as pair:
        ahead = pair.clock.now() + timedelta(days=400)
        pair.csms.reply(
            pair.types.BootNotificationRequest,
            pair.types.BootNotificationResponse(current_time=ahead, interval=300, status="Accepted"),
        )
        pair.expect(pair.types.BootNotificationRequest)
        pair.rest()
        assert abs(pair.station.now() - ahead) < timedelta(minutes=5)
