"""Charging profiles in a simulated station of 1.6."""

from datetime import timedelta

import pytest

from ocppj import ErrorCode, OCPPError, v16
from ocppj.testing.simulation.connectors import Vehicle
from tests.testing.sim_pairs import booted


@pytest.fixture
def pair():
    with booted("1.6") as pair:
        yield pair


def profile(id=1, purpose="TxDefaultProfile", *periods, level=0, unit="W", kind="Relative", **more):
    schedule = {name: more.pop(name) for name in ("duration", "start_schedule") if name in more}
    periods = [v16.ChargingSchedulePeriod(start, limit) for start, limit in periods or [(0, 6000)]]
    return v16.ChargingProfile(
        charging_profile_id=id,
        stack_level=level,
        charging_profile_purpose=purpose,
        charging_profile_kind=kind,
        charging_schedule=v16.ChargingSchedule(unit, periods, **schedule),
        **more,
    )


def install(pair, connector_id, profile):
    return pair.call(v16.SetChargingProfileRequest(connector_id, profile)).status


def clear(pair, **fields):
    return pair.call(v16.ClearChargingProfileRequest(**fields)).status


def power(pair, connector=1):
    """Return the power that flows, in W, when all that is under way has come to rest."""
    pair.rest()
    return pair.station.core.meters[pair.station.connectors[connector]].power


def schedule(pair, connector_id, duration=3600, unit="W"):
    response = pair.call(v16.GetCompositeScheduleRequest(connector_id, duration, unit))
    if response.status != "Accepted":
        return response.status
    assert response.connector_id == connector_id
    assert response.charging_schedule.start_schedule is None  # errata 4, 3.57
    return [(each.start_period, each.limit) for each in response.charging_schedule.charging_schedule_period]


def test_a_default_profile_shapes_the_meter_values(pair):
    assert install(pair, 0, profile(1, "TxDefaultProfile", (0, 6000), (600, 3000))) == "Accepted"
    pair.begin()
    assert power(pair) == 6000
    pair.rest(11)
    assert power(pair) == 3000
    values = pair.all(v16.MeterValuesRequest)[-1].meter_value[0].sampled_value
    assert {each.measurand: each.value for each in values}["Power.Active.Import"] == "3000"


def test_a_limit_of_0_suspends_the_transaction(pair):
    pair.begin()
    pair.expect(v16.StatusNotificationRequest, status="Charging")
    assert install(pair, 1, profile(1, "TxProfile", (0, 0), (600, 16), unit="A")) == "Accepted"
    pair.expect(v16.StatusNotificationRequest, status="SuspendedEVSE")
    pair.expect(v16.StatusNotificationRequest, status="Charging")
    assert power(pair) == 11_000


def test_current_is_per_phase(pair):
    install(pair, 0, profile(1, "TxDefaultProfile", (0, 10), unit="A"))
    pair.begin()
    assert power(pair) == 6900


def test_purposes_places_and_levels(pair):
    pair.begin()
    install(pair, 0, profile(1, "TxDefaultProfile", (0, 9000)))
    assert power(pair) == 9000
    install(pair, 1, profile(2, "TxDefaultProfile", (0, 8000)))
    assert power(pair) == 8000
    install(pair, 1, profile(3, "TxProfile", (0, 10_000), transaction_id=1))
    assert power(pair) == 10_000
    install(pair, 1, profile(4, "TxProfile", (0, 7000), level=1))
    assert power(pair) == 7000
    install(pair, 0, profile(5, "ChargePointMaxProfile", (0, 5000), kind="Absolute"))
    assert power(pair) == 5000
    assert clear(pair, id=5) == "Accepted"
    assert clear(pair, id=5) == "Unknown"
    assert clear(pair, connector_id=1, charging_profile_purpose="TxProfile", stack_level=1) == "Accepted"
    assert power(pair) == 10_000
    assert clear(pair) == "Accepted"
    assert power(pair) == 11_000


def test_a_profile_replaces_that_of_its_id_and_that_of_its_place_and_level(pair):
    pair.begin()
    install(pair, 1, profile(1, "TxDefaultProfile", (0, 5000)))
    install(pair, 1, profile(2, "TxDefaultProfile", (0, 6000)))
    assert power(pair) == 6000
    install(pair, 1, profile(2, "TxDefaultProfile", (0, 7000), level=3))
    assert power(pair) == 7000
    assert len(list(pair.station.core.profiles)) == 1


def test_the_end_of_a_transaction_ends_its_profiles(pair):
    pair.begin()
    install(pair, 1, profile(1, "TxProfile"))
    pair.station.unplug(1)
    pair.expect(v16.StopTransactionRequest)
    assert clear(pair) == "Unknown"


def test_the_limit_of_the_charge_point_is_shared(pair):
    install(pair, 0, profile(1, "ChargePointMaxProfile", (0, 8000), kind="Absolute"))
    pair.begin("A", 1)
    assert power(pair) == 8000
    pair.begin("B", 2)
    assert (power(pair, 1), power(pair, 2)) == (4000, 4000)


@pytest.mark.parametrize(
    ("connector_id", "wrong"),
    [
        (0, profile(1, "TxProfile")),
        (1, profile(1, "TxProfile", transaction_id=99)),
        (2, profile(1, "TxProfile")),  # there is no transaction
        (1, profile(1, "ChargePointMaxProfile")),
        (1, profile(1, "TxDefaultProfile", (10, 5000))),
        (1, profile(1, "TxDefaultProfile", (0, 5000), (0, 6000))),
        (1, profile(1, "TxDefaultProfile", level=11)),
        (1, profile(1, "TxDefaultProfile", kind="Recurring")),
        (1, profile(1, "TxDefaultProfile", recurrency_kind="Daily")),
        (1, profile(1, "TxDefaultProfile", *[(number, 1) for number in range(25)])),
    ],
    ids=["place", "id", "none", "max", "start", "order", "level", "recurring", "not recurring", "periods"],
)
def test_what_does_not_fit_is_rejected(pair, connector_id, wrong):
    pair.begin()
    assert install(pair, connector_id, wrong) == "Rejected"


def test_an_unknown_connector_is_an_error(pair):
    with pytest.raises(OCPPError) as caught:
        install(pair, 3, profile())
    assert caught.value.code is ErrorCode.PROPERTY_CONSTRAINT_VIOLATION


def test_a_profile_with_a_remote_start(pair):
    def start(profile):
        request = v16.RemoteStartTransactionRequest("T", connector_id=1, charging_profile=profile)
        return pair.call(request).status

    assert start(profile(1, "TxDefaultProfile")) == "Rejected"
    assert start(profile(1, "TxProfile", transaction_id=5)) == "Rejected"
    assert start(profile(1, "TxProfile", (0, 4000))) == "Accepted"
    pair.expect(v16.StartTransactionRequest)
    assert power(pair) == 4000
    install(pair, 1, profile(2, "TxProfile", (0, 5000), transaction_id=1))  # replaces it: section 5.16.2
    assert power(pair) == 5000
    assert len(list(pair.station.core.profiles)) == 1


def test_the_composite_schedule(pair):
    assert schedule(pair, 1) == [(0, 22_000)]
    assert schedule(pair, 0) == [(0, 44_000)]
    assert schedule(pair, 3) == "Rejected"
    install(pair, 0, profile(1, "ChargePointMaxProfile", (0, 20_000), kind="Absolute"))
    install(pair, 1, profile(2, "TxDefaultProfile", (0, 10_000), (600, 30_000)))
    pair.begin()
    assert schedule(pair, 1) == [(0, 10_000), (600, 20_000)]
    assert schedule(pair, 1, unit="A") == [(0, 14.5), (600, 29.0)]


def test_a_daily_profile(pair):
    midnight = pair.station.core.time.now().replace(hour=0, minute=0, second=0, microsecond=0)
    daily = profile(
        1,
        "TxDefaultProfile",
        (0, 11_000),
        (28_800, 6000),
        (72_000, 11_000),
        kind="Recurring",
        recurrency_kind="Daily",
        start_schedule=midnight - timedelta(days=100),
        duration=86_400,
    )
    assert install(pair, 0, daily) == "Accepted"
    now = pair.station.core.time.now()
    pair.rest(((midnight + timedelta(days=1, hours=9) - now).total_seconds() % 86_400) / 60)
    pair.station.plug_in(1, Vehicle(capacity=1e9))
    pair.station.present_card("TAG", 1)
    pair.expect(v16.StartTransactionRequest)
    assert power(pair) == 6000
    pair.rest(12 * 60)
    assert power(pair) == 11_000
