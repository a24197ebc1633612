"""What a simulated station does wrong when a test says so."""

import dataclasses

import pytest

from ocppj import ErrorCode, OCPPError, UnsupportedFeature, UsageError, v16, v201
from tests.testing.sim_model import booted


@pytest.fixture
def model():
    with booted() as made:
        made.handled = []

        def clear_cache(request):
            made.handled.append(made.clock.monotonic())
            return v16.ClearCacheResponse(status="Accepted")

        made.core.on(v16.ClearCacheRequest, clear_cache)
        yield made


def call(model):
    """Return the future of a request to the station, when it had time to answer."""
    future = model.server.send_request("CP_1", v16.ClearCacheRequest())
    model.pass_time(0)
    return future


def beat(model):
    model.run(lambda: model.core.send(v16.HeartbeatRequest()))


def heartbeats(model):
    return sum(isinstance(each, v16.HeartbeatRequest) for each in model.came)


def test_without_a_fault(model):
    assert call(model).result(0).status == "Accepted"
    assert model.core.summary.received == {"ClearCache": 1}


def test_a_request_of_the_csms_is_refused(model):
    model.core.faults.refuse("ClearCache", ErrorCode.NOT_SUPPORTED, times=2)
    for _ in range(2):
        with pytest.raises(OCPPError) as caught:
            call(model).result(0)
        assert caught.value.code == "NotSupported"
    assert model.handled == []
    assert call(model).result(0).status == "Accepted"


def test_an_answer_is_late(model):
    model.core.faults.delay("ClearCache", 5, times=1)
    future = call(model)
    model.pass_time(4.9)
    assert not future.done()
    model.pass_time(0.1)
    assert future.result(0).status == "Accepted"


def test_a_request_of_the_station_is_late(model):
    model.core.faults.delay("Heartbeat", 5, times=1)
    beat(model)
    model.pass_time(4.9)
    assert heartbeats(model) == 0
    model.pass_time(0.1)
    assert heartbeats(model) == 1


def test_an_answer_has_another_value(model):
    model.core.faults.wrong("ClearCache", status="Rejected", times=1)
    assert call(model).result(0).status == "Rejected"
    assert model.handled  # what was asked for, was done


def test_an_answer_breaks_its_schema(model):
    model.core.faults.wrong("ClearCache", status="Nonsense", times=1)
    texts = []
    model.server.add_observer(lambda frame: texts.append(frame.text))
    call(model)
    assert texts[-1].endswith('{"status":"Nonsense"}]')


def test_a_request_has_other_contents(model):
    model.core.faults.wrong("DataTransfer", lambda each: dataclasses.replace(each, data=each.vendor_id), times=1)
    model.run(lambda: model.core.send(v16.DataTransferRequest(vendor_id="V")))
    assert model.came[-1] == v16.DataTransferRequest(vendor_id="V", data="V")


def test_a_request_breaks_its_schema(model):
    texts = []
    model.server.add_observer(lambda frame: texts.append(frame.text))
    model.core.faults.wrong("DataTransfer", vendor_id=None, times=1)
    model.run(lambda: model.core.send(v16.DataTransferRequest(vendor_id="V")))
    assert texts[0].endswith('"DataTransfer",{}]')
    assert model.core.summary.failed == {"OccurrenceConstraintViolation": 1}


def test_what_is_sent_afterwards_is_checked_again(model):
    model.core.faults.wrong("DataTransfer", vendor_id=None, times=1)
    model.run(lambda: model.core.send(v16.DataTransferRequest(vendor_id="V")))
    failures = []
    model.run(lambda: model.core.send(v16.DataTransferRequest(vendor_id=None), None, failures.append))
    assert [type(each).__name__ for each in failures] == ["ValidationError"]


def test_a_request_of_the_csms_is_not_answered(model):
    model.core.faults.silent("ClearCache", times=1)
    future = call(model)
    model.pass_time(10)
    assert not future.done()
    future.cancel()
    assert model.handled == []


def test_the_connection_is_lost_at_a_request_of_the_station(model):
    model.core.faults.offline_at("Heartbeat", 30)
    beat(model)
    assert not model.core.link.up
    model.pass_time(29)
    assert not model.core.online
    model.pass_time(1)
    assert model.core.online
    assert heartbeats(model) == 0


def test_the_connection_is_lost_at_a_request_that_is_kept(model):
    model.core.faults.offline_at("DataTransfer", 30)
    model.run(lambda: model.core.send(v16.DataTransferRequest(vendor_id="V"), keep=True))
    model.pass_time(30)
    assert model.came[-1] == v16.DataTransferRequest(vendor_id="V")


def test_the_connection_is_lost_in_place_of_an_answer(model):
    model.core.faults.offline_at("ClearCache", 5)
    future = call(model)
    assert not model.core.link.up
    model.pass_time(6)
    assert future.exception(0) is not None
    assert call(model).result(0).status == "Accepted"


def test_faults_are_used_up_in_order_and_cleared(model):
    model.core.faults.wrong("ClearCache", status="Rejected", times=1)
    model.core.faults.refuse("ClearCache", times=1)
    model.core.faults.refuse("ClearCache", "SecurityError")
    for code in ("InternalError", "SecurityError", "SecurityError"):
        with pytest.raises(OCPPError) as caught:
            call(model).result(0)
        assert caught.value.code == code
    model.core.faults.clear()
    assert call(model).result(0).status == "Accepted"


def test_the_type_of_a_request_stands_for_its_action(model):
    model.core.faults.refuse(v16.ClearCacheRequest, times=1)
    with pytest.raises(OCPPError):
        call(model).result(0)
    model.core.faults.wrong(v16.ClearCacheRequest, status="Rejected", times=1)
    assert call(model).result(0).status == "Rejected"


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda faults: faults.wrong("Heartbeat"), "takes a function, or fields"),
        (lambda faults: faults.wrong("Heartbeat", "text"), "change is a function"),
        (lambda faults: faults.wrong("Heartbeat", lambda: None), r"is to be called as f\(payload\)"),
        (lambda faults: faults.silent("Heartbeat", times=0), "times is a whole number, 1 or more, or None, not 0"),
        (lambda faults: faults.silent("Heartbeat", times=1.5), "times is a whole number"),
        (lambda faults: faults.delay("Heartbeat", "5"), "seconds is a number of seconds, 0 or more"),
        (lambda faults: faults.delay("Heartbeat", -1), "seconds is a number of seconds, 0 or more"),
        (lambda faults: faults.offline_at("Heartbeat", "5"), "seconds is a number of seconds, 0 or more"),
        (lambda faults: faults.refuse("Reset", "Nonsense"), "'Nonsense' is no error code"),
    ],
)
def test_a_fault_that_cannot_be(model, make, text):
    with pytest.raises(UsageError, match=text):
        make(model.core.faults)


@pytest.mark.parametrize("kind", ["refuse", "silent", "offline_at"])
@pytest.mark.parametrize(
    ("action", "text"),
    [
        ("Rest", "is 'Reset' meant"),
        ("RequestStartTransaction", "no action"),
        (v201.ResetRequest, "use v16.ResetRequest"),
        (v16.ResetResponse, "is no request"),
        (7, "no action 7"),
    ],
)
def test_a_fault_of_an_action_that_there_is_not(model, kind, action, text):
    """It would never be used, and the test would not notice."""
    with pytest.raises(UnsupportedFeature, match=text):
        getattr(model.core.faults, kind)(action)


def test_a_request_that_a_fault_cannot_change_fails_and_the_station_goes_on(model):
    model.core.faults.wrong("DataTransfer", lambda payload: payload.no_such_field, times=1)
    failures = []
    for _ in range(2):
        model.run(lambda: model.core.send(v16.DataTransferRequest(vendor_id="V"), None, failures.append, retry=True))
    assert [type(each).__name__ for each in failures] == ["UsageError"]
    assert model.core.summary.failed["UsageError"] == 1
    beat(model)
    assert heartbeats(model) == 1
    assert model.core.summary.sent["DataTransfer"] == 1


def test_an_answer_that_a_fault_cannot_change_is_an_error(model):
    model.core.faults.wrong("ClearCache", lambda payload: payload.no_such_field, times=1)
    with pytest.raises(OCPPError) as caught:
        call(model).result(0)
    assert caught.value.code == "InternalError"
    assert call(model).result(0).status == "Accepted"


def test_a_field_that_no_message_of_the_action_has_is_told_at_once(model):
    with pytest.raises(UsageError, match="ClearCache has the fields state"):
        model.core.faults.wrong("ClearCache", state="Rejected")
    model.core.faults.wrong("DataTransfer", status="Rejected")  # of the response
    model.core.faults.wrong("DataTransfer", vendor_id="W")  # of the request
