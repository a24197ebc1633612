"""A simulated station of 2.x follows charging profiles, reports them, and tells of limits of other systems."""

from datetime import timedelta

import pytest

from tests.testing.sim_pairs import booted


@pytest.fixture(params=["2.0.1", "2.1"])
def pair(request):
    with booted(request.param) as pair:
        yield pair


def profile(pair, id=1, purpose="TxDefaultProfile", kind="Absolute", periods=((0, 6.0),), unit="A", level=0, **more):
    types = pair.types
    schedule = types.ChargingSchedule(
        id=1,
        charging_rate_unit=unit,
        start_schedule=more.pop("start", pair.station.core.time.now() if kind != "Relative" else None),
        duration=more.pop("duration", None),
        charging_schedule_period=[
            types.ChargingSchedulePeriod(start_period=start, limit=limit) for start, limit in periods
        ],
    )
    return types.ChargingProfile(
        id=id,
        stack_level=level,
        charging_profile_purpose=purpose,
        charging_profile_kind=kind,
        charging_schedule=[schedule],
        **more,
    )


def install(pair, evse_id, *arguments, **more):
    """Return "Accepted", or the reason why not."""
    given = arguments[0] if arguments else profile(pair, **more)
    response = pair.call(pair.types.SetChargingProfileRequest(evse_id=evse_id, charging_profile=given))
    return response.status if response.status == "Accepted" else response.status_info.reason_code


def begin(pair, evse=1):
    pair.station.plug_in(evse)
    pair.station.present_card("TAG", evse)
    return pair.expect(pair.types.TransactionEventRequest, event_type="Started").transaction_info.transaction_id


def power(pair, evse=1):
    """Return the power in W that flows now."""
    return pair.station.core.meters[pair.station.connectors[evse]].power


def reported(pair, evse_id=None, **criterion):
    """Return the ids of the profiles that match, by EVSE and source."""
    types = pair.types
    request = types.GetChargingProfilesRequest(
        request_id=3, evse_id=evse_id, charging_profile=types.ChargingProfileCriterion(**criterion)
    )
    if pair.call(request).status == "NoProfiles":
        return {}
    found = {}
    while True:
        part = pair.expect(types.ReportChargingProfilesRequest, request_id=3)
        found[part.evse_id, part.charging_limit_source] = [each.id for each in part.charging_profile]
        if not part.tbc:
            return found


def test_a_default_profile_limits_a_transaction(pair):
    assert install(pair, 0) == "Accepted"
    begin(pair)
    pair.rest(1)
    assert power(pair) == pytest.approx(6 * 230 * 3)


def test_a_change_of_the_limit_is_told(pair):
    id = begin(pair)
    pair.rest(0.1)
    assert power(pair) == 11_000
    assert install(pair, 1, purpose="TxProfile", transaction_id=id, unit="W", periods=[(0, 4_000.0)]) == "Accepted"
    pair.expect(pair.types.TransactionEventRequest, trigger_reason="ChargingRateChanged")
    assert power(pair) == 4_000
    assert install(pair, 1, id=2, purpose="TxProfile", level=1, transaction_id=id, unit="W", periods=[(0, 0.0)]) == (
        "Accepted"
    )
    pair.expect(pair.types.TransactionEventRequest, transaction_info={"charging_state": "SuspendedEVSE"})


def test_the_periods_of_a_schedule_follow_each_other(pair):
    id = begin(pair)
    periods = [(0, 3_000.0), (600, 5_000.0)]
    assert install(pair, 1, purpose="TxProfile", transaction_id=id, unit="W", periods=periods) == "Accepted"
    pair.rest(5)
    assert power(pair) == 3_000
    pair.rest(6)
    assert power(pair) == 5_000


def test_what_is_no_good_profile_is_rejected_and_says_why(pair):
    id = begin(pair)
    now = pair.station.core.time.now()
    tx = {"purpose": "TxProfile"}
    assert install(pair, 3) == "UnknownEvse"
    assert install(pair, 1, **tx) == "InvalidProfile"  # without its transaction
    assert install(pair, 1, transaction_id="none", **tx) == "TxNotFound"
    assert install(pair, 2, transaction_id=id, **tx) == "TxNotFound"  # at another EVSE
    assert install(pair, 1, purpose="ChargingStationMaxProfile") == "InvalidProfile"
    assert install(pair, 0, purpose="ChargingStationMaxProfile", kind="Relative") == "InvalidProfile"
    assert install(pair, 0, purpose="ChargingStationExternalConstraints") == "InvalidProfile"
    assert install(pair, 0, level=11) == "InvalidStackLevel"
    assert install(pair, 0, periods=[(1, 6.0)]) == "InvalidSchedule"
    assert install(pair, 0, periods=[(0, 6.0), (9, 6.0), (5, 6.0)]) == "InvalidSchedule"
    assert install(pair, 0, periods=[(number, 6.0) for number in range(25)]) == "InvalidSchedule"
    assert install(pair, 0, start=None) == "InvalidSchedule"
    assert install(pair, 0, kind="Relative", start=now) == "InvalidSchedule"
    assert install(pair, 0, kind="Recurring") == "InvalidSchedule"  # how often?
    assert install(pair, 0, kind="Recurring", recurrency_kind="Daily") == "Accepted"


def test_two_profiles_of_a_level_must_not_count_at_the_same_time(pair):
    now = pair.station.core.time.now()
    later = now + timedelta(hours=1)
    assert install(pair, 1, id=1, valid_to=later) == "Accepted"
    assert install(pair, 1, id=2) == "DuplicateProfile"
    assert install(pair, 1, id=2, valid_from=later) == "Accepted"
    assert install(pair, 0, id=3) == "DuplicateProfile"  # all EVSEs
    assert install(pair, 2, id=3) == "Accepted"
    assert install(pair, 1, id=1, valid_to=later, periods=[(0, 9.0)]) == "Accepted"  # takes the place of its own
    assert reported(pair) == {(1, "CSO"): [2, 1], (2, "CSO"): [3]}


def test_profiles_are_reported_and_cleared(pair):
    types = pair.types
    assert reported(pair) == {}
    assert install(pair, 0, id=1, purpose="ChargingStationMaxProfile") == "Accepted"
    assert install(pair, 0, id=2) == "Accepted"
    assert install(pair, 0, id=3, level=1) == "Accepted"
    assert install(pair, 1, id=4, level=2) == "Accepted"
    assert reported(pair) == {(0, "CSO"): [1, 2, 3], (1, "CSO"): [4]}
    assert reported(pair, 1) == {(1, "CSO"): [4]}
    assert reported(pair, 0, stack_level=1) == {(0, "CSO"): [3]}
    assert reported(pair, charging_profile_id=[2, 4]) == {(0, "CSO"): [2], (1, "CSO"): [4]}
    assert reported(pair, charging_limit_source=["EMS"]) == {}
    criteria = types.ClearChargingProfile(charging_profile_purpose="TxDefaultProfile", evse_id=0)
    clear = types.ClearChargingProfileRequest(charging_profile_criteria=criteria)
    assert [pair.call(clear).status for _ in range(2)] == ["Accepted", "Unknown"]
    assert pair.call(types.ClearChargingProfileRequest(charging_profile_id=4)).status == "Accepted"
    assert reported(pair) == {(0, "CSO"): [1]}


def test_the_composite_schedule(pair):
    types = pair.types
    assert install(pair, 0, id=1, purpose="ChargingStationMaxProfile", periods=[(0, 20.0)]) == "Accepted"
    assert install(pair, 1, id=2, periods=[(0, 16.0), (600, 32.0)], duration=1200) == "Accepted"

    def composite(evse_id, **more):
        return pair.call(types.GetCompositeScheduleRequest(duration=1800, evse_id=evse_id, **more))

    schedule = composite(1, charging_rate_unit="A").schedule
    periods = [(each.start_period, each.limit) for each in schedule.charging_schedule_period]
    assert periods == [(0, 16.0), (600, 20.0)]
    assert (schedule.evse_id, schedule.duration, schedule.charging_rate_unit) == (1, 1800, "A")
    schedule = composite(0).schedule
    assert schedule.charging_schedule_period[0].limit == 20 * 230 * 3
    response = composite(3)
    assert (response.status, response.schedule) == ("Rejected", None)


def test_a_remote_start_with_a_profile(pair):
    types = pair.types
    pair.station.plug_in(1)

    def start(given):
        token = types.IdToken(id_token="TAG", type="Central")
        request = types.RequestStartTransactionRequest(
            id_token=token, remote_start_id=5, evse_id=1, charging_profile=given
        )
        return pair.call(request).status

    assert start(profile(pair)) == "Rejected"  # no TxProfile
    assert start(profile(pair, purpose="TxProfile", kind="Relative", unit="W", periods=[(0, 2_000.0)])) == "Accepted"
    id = pair.expect(types.TransactionEventRequest, event_type="Started").transaction_info.transaction_id
    pair.rest(1)
    assert power(pair) == 2_000
    found = pair.call(
        types.GetChargingProfilesRequest(request_id=1, evse_id=1, charging_profile=types.ChargingProfileCriterion())
    )
    assert found.status == "Accepted"
    part = pair.expect(types.ReportChargingProfilesRequest)
    assert part.charging_profile[0].transaction_id == id
    pair.station.unplug(1)
    pair.expect(types.TransactionEventRequest, event_type="Ended")
    assert reported(pair) == {}


def test_a_limit_of_another_system(pair):
    types = pair.types
    begin(pair)
    charging = pair.station.core.behaviour.charging
    pair.job(lambda: charging.limit_externally(3_000))
    came = pair.expect(types.NotifyChargingLimitRequest, charging_limit={"charging_limit_source": "EMS"})
    assert came.charging_schedule is None
    pair.rest(1)
    assert power(pair) == 3_000
    assert reported(pair, charging_limit_source=["EMS"]) == {(0, "EMS"): [-1]}
    assert pair.call(types.ClearChargingProfileRequest(charging_profile_id=-1)).status == "Unknown"
    pair.job(charging.end_external_limit)
    pair.expect(types.ClearedChargingLimitRequest, charging_limit_source="EMS")
    pair.rest(1)
    assert power(pair) == 11_000


def test_a_dynamic_profile():
    with booted("2.1") as pair:
        types = pair.types
        begin(pair)
        given = profile(pair, kind="Dynamic", unit="W", periods=[(0, 7_000.0)], start=None)
        assert install(pair, 1, given) == "Accepted"
        pair.rest(1)
        assert power(pair) == 7_000
        update = types.UpdateDynamicScheduleRequest(
            charging_profile_id=1, schedule_update=types.ChargingScheduleUpdate(limit=5_000.0)
        )
        assert pair.call(update).status == "Accepted"
        pair.rest(1)
        assert power(pair) == 5_000
        update.charging_profile_id = 2
        assert pair.call(update).status == "Rejected"
        wrong = profile(pair, id=2, level=1, kind="Dynamic", periods=[(0, 1.0), (5, 2.0)], start=None)
        assert install(pair, 1, wrong) == "InvalidSchedule"


def test_priority_charging_has_no_profile():
    with booted("2.1") as pair:
        types = pair.types
        assert install(pair, 0, purpose="PriorityCharging") == "UnsupportedPurpose"
        id = begin(pair)
        for transaction, activate, status in [
            (id, True, "NoProfile"),
            (id, False, "Accepted"),
            ("x", True, "Rejected"),
        ]:
            request = types.UsePriorityChargingRequest(transaction_id=transaction, activate=activate)
            assert pair.call(request).status == status


def test_the_tariff_of_a_transaction():
    with booted("2.1") as pair:
        types = pair.types
        id = begin(pair)

        def change(currency):
            tariff = types.Tariff(tariff_id="T", currency=currency)
            return pair.call(types.ChangeTransactionTariffRequest(tariff=tariff, transaction_id=id)).status

        assert (change("EUR"), change("USD")) == ("Accepted", "NoCurrencyChange")
