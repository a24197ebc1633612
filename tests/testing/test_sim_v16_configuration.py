"""The configuration keys of a simulated station of 1.6."""

import pytest

from ocppj import ErrorCode, OCPPError, v16
from tests.testing.sim_pairs import booted, paired

# Section 9 of 1.6 edition 2, what the errata add, and section 7 of the security whitepaper: the required keys.
REQUIRED = {
    "AuthorizeRemoteTxRequests",
    "ClockAlignedDataInterval",
    "ConnectionTimeOut",
    "ConnectorPhaseRotation",
    "GetConfigurationMaxKeys",
    "HeartbeatInterval",
    "LocalAuthorizeOffline",
    "LocalPreAuthorize",
    "MeterValuesAlignedData",
    "MeterValuesSampledData",
    "MeterValueSampleInterval",
    "NumberOfConnectors",
    "ResetRetries",
    "StopTransactionOnEVSideDisconnect",
    "StopTransactionOnInvalidId",
    "StopTxnAlignedData",
    "StopTxnSampledData",
    "SupportedFeatureProfiles",
    "TransactionMessageAttempts",
    "TransactionMessageRetryInterval",
    "UnlockConnectorOnEVSideDisconnect",
    "LocalAuthListEnabled",
    "LocalAuthListMaxLength",
    "SendLocalListMaxLength",
    "ChargeProfileMaxStackLevel",
    "ChargingScheduleAllowedChargingRateUnit",
    "ChargingScheduleMaxPeriods",
    "MaxChargingProfilesInstalled",
}


@pytest.fixture
def pair():
    with booted("1.6") as pair:
        yield pair


def get(pair, *keys):
    """Return the answer to a GetConfiguration: values by key, and unknown keys."""
    response = pair.call(v16.GetConfigurationRequest(key=list(keys) or None))
    return {each.key: each.value for each in response.configuration_key or ()}, response.unknown_key


def change(pair, key, value):
    return pair.call(v16.ChangeConfigurationRequest(key=key, value=value)).status


def test_all_keys_are_listed(pair):
    values, unknown = get(pair)
    assert unknown is None
    assert REQUIRED - set(values) == set()
    assert (values["NumberOfConnectors"], values["HeartbeatInterval"]) == ("2", "300")
    assert values["StopTxnSampledData"] == ""
    assert values["ConnectorPhaseRotation"] == "0.RST,1.RST,2.RST"
    assert len(values) == len({key.lower() for key in values})


def test_some_keys_are_asked_for(pair):
    values, unknown = get(pair, "numberofconnectors", "Nothing", "MeterValueSampleInterval")
    assert values == {"NumberOfConnectors": "2", "MeterValueSampleInterval": "60"}
    assert unknown == ["Nothing"]


def test_too_many_keys_are_an_error(pair):
    most = int(get(pair, "GetConfigurationMaxKeys")[0]["GetConfigurationMaxKeys"])
    assert len(get(pair, *["HeartbeatInterval"] * most)[0]) == 1
    with pytest.raises(OCPPError) as caught:
        get(pair, *["HeartbeatInterval"] * (most + 1))
    assert caught.value.code is ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION


def test_a_password_can_be_written_and_not_read(pair):
    assert change(pair, "AuthorizationKey", "0123456789abcdef0123456789abcdef") == "Accepted"
    response = pair.call(v16.GetConfigurationRequest(key=["AuthorizationKey"]))
    assert response.configuration_key == [v16.KeyValue("AuthorizationKey", False, None)]
    assert change(pair, "AuthorizationKey", "short") == "Rejected"


@pytest.mark.parametrize(
    ("key", "value", "status"),
    [
        ("MeterValueSampleInterval", "30", "Accepted"),
        ("metervaluesampleinterval", "30", "Accepted"),
        ("MeterValueSampleInterval", "-1", "Rejected"),
        ("MeterValueSampleInterval", "often", "Rejected"),
        ("LocalPreAuthorize", "TRUE", "Accepted"),
        ("LocalPreAuthorize", "1", "Rejected"),
        ("NumberOfConnectors", "3", "Rejected"),
        ("SecurityProfile", "1", "Rejected"),
        ("Nothing", "1", "NotSupported"),
        ("WebSocketPingInterval", "-1", "Rejected"),
        ("LightIntensity", "101", "Rejected"),
        ("ConnectorPhaseRotation", "1.RTS,2.NotApplicable", "RebootRequired"),
        ("ConnectorPhaseRotation", "1.XYZ", "Rejected"),
        ("StopTxnSampledData", "", "Accepted"),
        ("StopTxnSampledData", "Voltage.L1,Energy.Active.Import.Register", "Accepted"),
        ("MeterValuesSampledData", "Power.Reactive.Import", "Rejected"),
        ("MeterValuesSampledData", ",".join(["Voltage"] * 11), "Rejected"),
    ],
)
def test_a_change(pair, key, value, status):
    assert change(pair, key, value) == status


def test_a_rejected_change_changes_nothing(pair):
    change(pair, "MeterValuesSampledData", "Voltage")
    change(pair, "MeterValuesSampledData", "Energy.Active.Import.Register,RPM")
    assert get(pair, "MeterValuesSampledData")[0] == {"MeterValuesSampledData": "Voltage"}


def test_a_change_that_needs_a_reboot(pair):
    change(pair, "ConnectorPhaseRotation", "1.RTS")
    assert get(pair, "ConnectorPhaseRotation")[0]["ConnectorPhaseRotation"] == "0.RST,1.RST,2.RST"
    pair.call(v16.ResetRequest(type="Soft"))
    pair.expect(v16.BootNotificationRequest)
    assert get(pair, "ConnectorPhaseRotation")[0]["ConnectorPhaseRotation"] == "1.RTS"


def test_a_new_heartbeat_interval_counts_at_once(pair):
    change(pair, "HeartbeatInterval", "10")
    first = pair.expect(v16.HeartbeatRequest, within=11)
    assert pair.expect(v16.HeartbeatRequest, within=11).at - first.at == pytest.approx(10, abs=0.1)


def test_the_interval_of_the_boot_is_the_heartbeat_interval():
    with paired("1.6") as pair:
        answer = v16.BootNotificationResponse("Accepted", pair.clock.now(), 20)
        pair.csms.reply(v16.BootNotificationRequest, answer)
        pair.expect(v16.HeartbeatRequest, within=25)
        assert get(pair, "HeartbeatInterval")[0] == {"HeartbeatInterval": "20"}
