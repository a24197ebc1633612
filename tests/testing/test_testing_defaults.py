"""Default answers: valid for every request, and in agreement with it."""

from datetime import datetime, timezone
from typing import Any

import pytest

from ocppj import Endpoint, Feature, UsageError, v16, v21, v201
from ocppj.rpc.validation import check_payload
from ocppj.testing.defaults import DefaultAnswers, default_response
from ocppj.testing.examples import example

NOW = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=timezone.utc)
PACKAGES: Any = {"1.6": v16, "2.0.1": v201, "2.1": v21}
FEATURES: Any = [(version, each) for version in PACKAGES for profile in PACKAGES[version].PROFILES for each in profile]
#: Actions for which a yes would need what only a real system has.
NO = {
    "Get15118EVCertificate": "Failed",
    "GetCertificateStatus": "Failed",
    "GetInstalledCertificateIds": "NotFound",
    "GetTariffs": "NoTariff",
}
#: Where yes is another word.
YES = {"UnlockConnector": "Unlocked", "UnpublishFirmware": "Unpublished"}

both_2 = pytest.mark.parametrize("v2", [v201, v21], ids=["2.0.1", "2.1"])


def respond(request: Any) -> Any:
    return DefaultAnswers().respond(request, NOW)


@pytest.mark.parametrize(
    ("version", "feature"), [pytest.param(*each, id=f"{each[0]}-{each[1].name}") for each in FEATURES]
)
def test_each_request_has_a_valid_answer(version: str, feature: Feature) -> None:
    endpoint = Endpoint(PACKAGES[version].PROFILES, validate="strict")
    for full in (False, True):
        answer = respond(example(feature.request_type, full=full, now=NOW))
        assert type(answer) is (feature.response_type or type(None))
        if answer is not None:
            check_payload(feature, True, answer.to_wire())
            endpoint.create_call_result(answer, "1", action=feature.name)
        if hasattr(answer, "status"):
            assert answer.status == NO.get(feature.name, YES.get(feature.name, "Accepted"))


def test_boot_and_heartbeat() -> None:
    boot = respond(example(v16.BootNotificationRequest))
    assert boot == v16.BootNotificationResponse(status=v16.RegistrationStatus.ACCEPTED, current_time=NOW, interval=300)
    assert respond(v21.HeartbeatRequest()) == v21.HeartbeatResponse(current_time=NOW)


def test_transactions_are_counted() -> None:
    answers, request = DefaultAnswers(), example(v16.StartTransactionRequest)
    ids = [answers.respond(request, NOW).transaction_id for _ in range(3)]  # type: ignore[union-attr]
    assert ids == [1, 2, 3]
    assert respond(request).transaction_id == 1


def test_the_function_counts_for_the_process() -> None:
    request = example(v16.StartTransactionRequest)
    one, two = (default_response(request, NOW).transaction_id for _ in range(2))  # type: ignore[union-attr]
    assert two > one > 0


def test_tags_are_judged_where_there_is_one() -> None:
    assert respond(example(v16.StopTransactionRequest)).id_tag_info is None
    assert respond(example(v16.StopTransactionRequest, id_tag="T")).id_tag_info.status == "Accepted"
    assert respond(example(v201.TransactionEventRequest)).id_token_info is None
    assert respond(example(v201.TransactionEventRequest, id_token={})).id_token_info.status == "Accepted"


@both_2
def test_certificates_are_judged_where_there_is_one(v2: Any) -> None:
    assert respond(example(v2.AuthorizeRequest)).certificate_status is None
    assert respond(example(v2.AuthorizeRequest, certificate="PEM")).certificate_status == "Accepted"
    hashes = respond(example(v2.AuthorizeRequest, iso15118_certificate_hash_data=[{}]))
    assert hashes.certificate_status == "Accepted"


def test_configuration() -> None:
    everything = respond(v16.GetConfigurationRequest()).configuration_key
    assert len(everything) > 10
    assert v16.KeyValue(key="NumberOfConnectors", readonly=True, value="1") in everything
    some = respond(v16.GetConfigurationRequest(key=["HeartbeatInterval", "Own"])).configuration_key
    assert some == [
        v16.KeyValue(key="HeartbeatInterval", readonly=False, value="300"),
        v16.KeyValue(key="Own", readonly=False),
    ]


@both_2
def test_variables(v2: Any) -> None:
    place = {"component": {"name": "Own", "instance": "i"}, "variable": {"name": "V"}}
    known = {"component": {"name": "OCPPCommCtrlr"}, "variable": {"name": "HeartbeatInterval"}}
    asked = [{**place, "attribute_type": "Target"}, known]
    request = example(v2.GetVariablesRequest, get_variable_data=asked)
    first, second = respond(request).get_variable_result
    assert (first.component, first.variable) == (v2.Component(name="Own", instance="i"), v2.Variable(name="V"))
    assert (first.attribute_status, first.attribute_type, first.attribute_value) == ("Accepted", "Target", "")
    assert (second.attribute_type, second.attribute_value) == ("Actual", "300")

    [result] = respond(example(v2.SetVariablesRequest, set_variable_data=[place])).set_variable_result
    assert (result.component, result.variable) == (first.component, first.variable)
    assert result.attribute_status == "Accepted"


@both_2
def test_monitors(v2: Any) -> None:
    request = example(
        v2.SetVariableMonitoringRequest, set_monitoring_data=[{"severity": 5}, {"id": 9}, {"type": "Delta"}]
    )
    results = respond(request).set_monitoring_result
    assert [each.id for each in results] == [1, 9, 2]
    assert results[0].severity == 5
    assert results[2].type == "Delta"
    cleared = respond(example(v2.ClearVariableMonitoringRequest, id=[4, 7])).clear_monitoring_result
    assert [(each.id, each.status) for each in cleared] == [(4, "Accepted"), (7, "Accepted")]


def test_schedules() -> None:
    request = v16.GetCompositeScheduleRequest(connector_id=2, duration=60, charging_rate_unit="W")
    answer = respond(request)
    assert (answer.connector_id, answer.schedule_start) == (2, NOW)
    assert (answer.charging_schedule.duration, answer.charging_schedule.charging_rate_unit) == (60, "W")
    schedule = respond(v21.GetCompositeScheduleRequest(duration=60, evse_id=2)).schedule
    assert (schedule.evse_id, schedule.duration, schedule.schedule_start) == (2, 60, NOW)


def test_tariffs() -> None:
    assert [each.status for each in respond(v21.ClearTariffsRequest()).clear_tariffs_result] == ["NoTariff"]
    results = respond(v21.ClearTariffsRequest(tariff_ids=["A", "B"])).clear_tariffs_result
    assert [(each.tariff_id, each.status) for each in results] == [("A", "Accepted"), ("B", "Accepted")]


def test_certificate_chain_and_vat_number() -> None:
    asked = [{"certificate_hash_data": {"serial_number": "7"}, "source": "CRL"}]
    request = example(v21.GetCertificateChainStatusRequest, certificate_status_requests=asked)
    [status] = respond(request).certificate_status
    assert (status.certificate_hash_data.serial_number, status.source, status.status) == ("7", "CRL", "Failed")
    answer = respond(v21.VatNumberValidationRequest(vat_number="N", evse_id=3))
    assert (answer.vat_number, answer.evse_id) == ("N", 3)


class OwnBoot(v16.BootNotificationRequest):
    """A subclass has the answer of its base class."""


def test_a_subclass() -> None:
    assert respond(OwnBoot("V", "M")).interval == 300


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (v16.HeartbeatResponse(current_time=NOW), "^HeartbeatResponse is no request$"),
        (v16.IdTagInfo(status="Accepted"), "^IdTagInfo is no request$"),
        (object(), "^there is no default answer to object: give one$"),
    ],
)
def test_no_request(wrong: Any, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        respond(wrong)
