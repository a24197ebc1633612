"""OCPP 2.0.1 and 2.1: the names of their types, ``customData``, and the message without response."""

import json
import re
from importlib import import_module
from types import ModuleType

import pytest
from strategies import ROOT

from ocppj import Endpoint, v21, v201

both = pytest.mark.parametrize("package", [v201, v21], ids=["2.0.1", "2.1"])


def test_the_profiles_are_the_functional_blocks() -> None:
    sizes = {profile.name: len(list(profile)) for profile in v201.PROFILES}
    assert sizes == {
        "Security": 3,
        "Provisioning": 8,
        "Authorization": 2,
        "LocalAuthorizationListManagement": 2,
        "Transactions": 2,
        "RemoteControl": 4,
        "Availability": 3,
        "Reservation": 3,
        "TariffAndCost": 1,
        "MeterValues": 1,
        "SmartCharging": 9,
        "FirmwareManagement": 5,
        "ISO15118CertificateManagement": 5,
        "Diagnostics": 11,
        "DisplayMessage": 4,
        "DataTransfer": 1,
    }
    later = {profile.name: len(list(profile)) for profile in v21.PROFILES}
    sizes["CertificateManagement"] = sizes.pop("ISO15118CertificateManagement")
    assert {name: later[name] - size for name, size in sizes.items() if later[name] != size} == {
        "Authorization": 3,
        "TariffAndCost": 4,
        "SmartCharging": 4,
        "CertificateManagement": 1,
        "Diagnostics": 5,
    }
    assert {name: size for name, size in later.items() if name not in sizes} == {
        "BidirectionalPowerTransfer": 2,
        "DERControl": 6,
        "BatterySwapping": 2,
    }


@both
def test_a_class_has_the_name_of_its_definition_without_type(package: ModuleType) -> None:
    objects, enums = set(), set()
    for path in (ROOT / "ocppj" / package.__name__.rsplit(".", 1)[-1] / "schemas").glob("*.json"):
        for name, definition in json.loads(path.read_text("utf-8")).get("definitions", {}).items():
            (enums if "enum" in definition else objects).add(re.sub("Type$", "", name))
    assert sorted(import_module(f"{package.__name__}.datatypes").__all__) == sorted(objects)
    assert sorted(import_module(f"{package.__name__}.enums").__all__) == sorted(enums)


@both
def test_no_enum_has_the_name_of_a_message_without_request_or_response(package: ModuleType) -> None:
    messages = {
        re.sub("(Request|Response)$", "", name) for name in import_module(f"{package.__name__}.messages").__all__
    }
    assert "Reset" in messages
    assert messages.isdisjoint(import_module(f"{package.__name__}.enums").__all__)


@both
def test_the_name_of_an_enum_ends_in_enum(package: ModuleType) -> None:
    assert package.ResetRequest(type="OnIdle").to_wire() == {"type": "OnIdle"}
    assert package.ResetEnum.ON_IDLE.value == "OnIdle"
    assert package.EVSE(id=1).to_wire() == {"id": 1}
    assert package.VPNEnum.IKEV2.value == "IKEv2"
    assert (
        package.VPN(server="s", user="u", password="p", key="k", type=package.VPNEnum.L2TP).to_wire()["type"] == "L2TP"
    )


def test_an_enum_beside_an_object() -> None:
    token = v201.IdToken(id_token="x", type=v201.IdTokenEnum.EMAID)
    assert token.to_wire() == {"idToken": "x", "type": "eMAID"}
    assert v21.IdToken(id_token="x", type="eMAID").to_wire() == {"idToken": "x", "type": "eMAID"}
    assert v21.CostDimension(type=v21.CostDimensionEnum.IDLE_TIME, volume=1).to_wire()["type"] == "IdleTIme"
    assert v21.CertificateStatusEnum.GOOD.value == "Good"


def test_names_from_the_tables() -> None:
    tariff = v201.SalesTariff(id=1, sales_tariff_entry=[], num_e_price_levels=3)
    assert tariff.to_wire()["numEPriceLevels"] == 3
    assert v201.ConnectorEnum.C_CCS1.value == "cCCS1"
    assert v201.ConnectorEnum.S_309_1P_16A.value == "s309-1P-16A"
    assert v201.ConnectorEnum.OTHER_1PH_MAX_16A.value == "Other1PhMax16A"
    profile = v201.NetworkConnectionProfile.from_wire(
        {
            "ocppVersion": "OCPP20",
            "ocppTransport": "JSON",
            "ocppCsmsUrl": "wss://example.com",
            "messageTimeout": 30,
            "securityProfile": 2,
            "ocppInterface": "Wired0",
        }
    )
    assert profile.ocpp_csms_url == "wss://example.com"
    assert v21.InstallCertificateUseEnum.V2G_ROOT_CERTIFICATE.value == "V2GRootCertificate"
    assert v21.MessageTriggerEnum.SIGN_V2G20_CERTIFICATE.value == "SignV2G20Certificate"


@both
def test_custom_data_keeps_all_properties(package: ModuleType) -> None:
    wire = {
        "reason": "PowerUp",
        "chargingStation": {
            "model": "M",
            "vendorName": "V",
            "modem": {"customData": {"vendorId": "org.example.modem", "bars": 4, "SoC": None}},
        },
        "customData": {"vendorId": "org.example", "nested": {"a": [1, {"b": None}]}, "extra": "yes"},
    }
    endpoint = Endpoint(package.PROFILES)
    call = endpoint.parse_message([2, "1", "BootNotification", wire], {})
    request = call.payload  # type: ignore[union-attr]
    assert type(request) is package.BootNotificationRequest
    assert request.charging_station.modem.custom_data.extra == {"bars": 4, "SoC": None}
    assert request.custom_data == package.CustomData(
        vendor_id="org.example", extra={"nested": {"a": [1, {"b": None}]}, "extra": "yes"}
    )
    assert endpoint.create_call(request).wire_payload == wire


def test_a_message_without_response_has_the_name_of_its_action() -> None:
    profile = Endpoint(v21.PROFILES).get_profile_for_feature("NotifyPeriodicEventStream")
    assert profile is v21.DIAGNOSTICS
    feature = profile.get_feature("NotifyPeriodicEventStream")
    assert feature is not None
    assert feature.request_type is v21.NotifyPeriodicEventStream
    assert feature.response_type is None
    unanswered = [each.name for profile in v21.PROFILES for each in profile if each.response_type is None]
    assert unanswered == ["NotifyPeriodicEventStream"]
    assert all(each.response_type for profile in v201.PROFILES for each in profile)
