"""Errors as JSON: they come back as they were, and what comes from elsewhere makes nothing else."""

import json
from datetime import datetime, timezone

import pytest

from ocppj import (
    CallCanceled,
    CallFailed,
    CallTimeout,
    ClusterUnavailable,
    ConnectionLost,
    ErrorCode,
    HandshakeRefused,
    InvalidResponse,
    MessageError,
    OCPPError,
    QueueFull,
    Stopped,
    TransportError,
    UnknownClient,
    UnsupportedFeature,
    UsageError,
    ValidationError,
    errors,
)
from ocppj.cluster.errors_json import error_from_json, error_to_json

NOW = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=timezone.utc)


def told(error, **attributes):
    for name, value in attributes.items():
        setattr(error, name, value)
    return error


def there_and_back(error):
    return error_from_json(json.loads(json.dumps(error_to_json(error))))


def invalid():
    reason = MessageError(ErrorCode.TYPE_CONSTRAINT_VIOLATION, "status is no text", message_id="5", message_type=3)
    reason.payload = {"status": 5}
    return told(InvalidResponse(reason, "5"), client_id="CP_1", action="Reset", time=NOW)


ABOUT = {"client_id": "CP_1", "action": "Reset", "time": NOW}
ERRORS = [
    told(OCPPError("SecurityError", "not you", {"why": ["so"]}, "5"), client_id="CP_1", action="Reset"),
    OCPPError("OfTheVendor"),
    told(CallTimeout("no answer within 5 seconds", "5"), **ABOUT),
    told(ConnectionLost("the connection was lost", "5"), **ABOUT),
    told(Stopped("stopped before the answer came", "5"), **ABOUT),
    CallCanceled("the request was canceled"),
    CallFailed("because", "5", ErrorCode.INTERNAL_ERROR),
    told(ClusterUnavailable("away"), maybe_sent=True),
    ValidationError(ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION, "type", "type is missing"),
    UnsupportedFeature("no profile has it"),
    QueueFull("1000 requests wait"),
    UnknownClient("no client 'CP_1' is connected"),
    TransportError("closed"),
    UsageError("a request with the id '5' is waiting already"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_comes_back_as_it_was(error):
    again = there_and_back(error)
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_an_invalid_answer_comes_back():
    error = invalid()
    again = there_and_back(error)
    assert type(again) is InvalidResponse
    assert str(again) == str(error)
    assert (again.payload, again.client_id, again.time) == ({"status": 5}, "CP_1", NOW)
    assert vars(again.error) == vars(error.error)


def test_each_class_can_come_back():
    for name in errors.__all__:
        kind = getattr(errors, name)
        if isinstance(kind, type) and issubclass(kind, errors.OcppjError):
            data = {"class": name, "text": "why", "error": {"class": "MessageError", "text": "so"}}
            assert isinstance(error_from_json(data), errors.OcppjError)


def test_one_that_needs_more_becomes_the_one_above_it():
    assert type(there_and_back(HandshakeRefused(503, "busy"))) is TransportError


def test_an_error_of_a_program_becomes_text():
    class OfMine(ConnectionLost):
        pass

    assert type(there_and_back(OfMine("gone"))) is ConnectionLost
    again = there_and_back(ValueError("password=geheim12 is wrong"))
    assert type(again) is CallFailed
    assert "ValueError" in str(again)
    assert len(error_to_json(ValueError("x" * 10_000))["text"]) <= 500


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"class": "SystemExit", "text": "ended"},
        {"class": "ErrorCode", "text": "ended"},
        {"class": "mask_secrets", "text": "ended"},
        {"class": "__builtins__", "text": "ended"},
        {"class": 5, "text": "ended"},
        {"class": "NoSuchError", "text": "ended"},
        {"class": "InvalidResponse", "text": "ended"},
        {"class": "InvalidResponse", "text": "ended", "error": {"class": "CallTimeout", "text": "x"}},
        {"class": "CallTimeout", "text": "ended", "time": "yesterday"},
        {"class": "OCPPError", "text": "ended", "details": "none"},
        None,
        [],
    ],
    ids=str,
)
def test_what_cannot_be_read_is_a_call_that_failed(data):
    assert type(error_from_json(data)) is CallFailed


def test_attributes_that_are_not_known_are_dropped():
    data = {
        "class": "CallTimeout",
        "text": "late",
        "args": [1],
        "__class__": "X",
        "__dict__": {},
        "_x": 1,
        "message_id": 5,
    }
    error = error_from_json(data)
    assert type(error) is CallTimeout
    assert vars(error) == vars(CallTimeout("late"))
