"""OCPP 1.6: the names of its messages, and how values are decoded and encoded."""

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocppj import v16
from ocppj.errors import ValidationError


def test_an_enum_field_accepts_the_member_or_its_text() -> None:
    assert (
        v16.ResetRequest(type="Soft").to_wire()
        == v16.ResetRequest(type=v16.ResetType.SOFT).to_wire()
        == {"type": "Soft"}
    )
    assert v16.ResetRequest(type="Soft") == v16.ResetRequest(type=v16.ResetType.SOFT)


def test_text_that_is_no_member_stays_text() -> None:
    request = v16.ResetRequest.from_wire({"type": "Medium"})
    assert request.type == "Medium"
    assert type(request.type) is str


def test_member_names() -> None:
    assert v16.Measurand.ENERGY_ACTIVE_IMPORT_REGISTER.value == "Energy.Active.Import.Register"
    assert v16.Measurand.SOC.value == "SoC"
    assert v16.Phase.L1_N.value == "L1-N"
    assert v16.UnitOfMeasure.KWH.value == "kWh"
    assert v16.UnitOfMeasure.CELSIUS.value == "Celsius"
    assert v16.UnitOfMeasure.CELCIUS.value == "Celcius"
    assert v16.ChargePointStatus.SUSPENDED_EVSE.value == "SuspendedEVSE"
    assert v16.ChargePointErrorCode.EV_COMMUNICATION_ERROR.value == "EVCommunicationError"


# --- timestamps


# hypothesis needs bounds without a zone.
FIRST, LAST = datetime(1970, 1, 1), datetime(2099, 1, 1)  # noqa: DTZ001


@settings(deadline=None, database=None)
@given(st.datetimes(min_value=FIRST, max_value=LAST, timezones=st.timezones()))
def test_any_datetime_with_a_zone_can_be_encoded(moment: datetime) -> None:
    response = v16.HeartbeatResponse(current_time=moment)
    read = v16.HeartbeatResponse.from_wire(response.to_wire()).current_time
    utc = moment.astimezone(timezone.utc)
    assert read == utc.replace(microsecond=utc.microsecond // 1000 * 1000)
    assert read.utcoffset() == timedelta(0)


def test_the_zone_of_a_received_date_time_is_kept() -> None:
    response = v16.HeartbeatResponse.from_wire({"currentTime": "2024-07-01T12:00:00+02:00"})
    assert response.current_time.utcoffset() == timedelta(hours=2)
    assert response.to_wire() == {"currentTime": "2024-07-01T10:00:00.000Z"}


def test_errors_have_the_path() -> None:
    value = {"timestamp": "2024-01-01T00:00:00Z", "sampledValue": [{"value": "1"}, {}]}
    with pytest.raises(ValidationError) as caught:
        v16.MeterValuesRequest.from_wire({"connectorId": 1, "meterValue": [value]})
    assert caught.value.path == "meterValue[0].sampledValue[1]"
    assert "'value'" in caught.value.description


def test_profiles() -> None:
    sizes = {profile.name: len(list(profile)) for profile in v16.PROFILES}
    assert sizes == {
        "Core": 16,
        "FirmwareManagement": 4,
        "LocalAuthListManagement": 2,
        "Reservation": 2,
        "SmartCharging": 3,
        "RemoteTrigger": 1,
        "Security": 11,
    }
