"""The tree of exceptions, as its module draws it, and the error codes."""

import pickle
import re

import pytest

import ocppj
from ocppj import errors
from ocppj.errors import (
    CallCanceled,
    CallFailed,
    CallTimeout,
    ErrorCode,
    HandshakeRefused,
    InvalidResponse,
    MessageError,
    OCPPError,
)
from ocppj.ws.base import Close


def drawn_tree():
    """Yield (class, parent) as the module's docstring draws them."""
    above = {}
    for line in errors.__doc__.splitlines():
        match = re.match(r"    ([│├└─ ]*)(\w+)", line)
        if match:
            depth = len(match[1]) // 4
            above[depth] = match[2]
            yield match[2], above.get(depth - 1, "Exception") if depth else "Exception"


def test_the_tree_is_as_drawn():
    drawn = dict(drawn_tree())
    raised = {name for name in errors.__all__ if isinstance(getattr(errors, name), type)} - {"ErrorCode"}
    assert set(drawn) == raised
    for name, parent in drawn.items():
        assert getattr(errors, name).__bases__[0].__name__ == parent


@pytest.mark.parametrize("name", sorted(set(errors.__all__) - {"parse_error_code", "printable"}))
def test_every_exception_is_a_public_name(name):
    assert getattr(ocppj, name) is getattr(errors, name)


def test_the_usual_except_clauses_catch_them():
    assert issubclass(errors.CallTimeout, TimeoutError)
    assert issubclass(errors.ConnectionLost, ConnectionError)
    assert issubclass(errors.TransportError, ConnectionError)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("FormationViolation", ErrorCode.FORMAT_VIOLATION),
        ("FormatViolation", ErrorCode.FORMATION_VIOLATION),
        ("OccurenceConstraintViolation", ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION),
        ("OccurrenceConstraintViolation", ErrorCode.OCCURENCE_CONSTRAINT_VIOLATION),
        ("RpcFrameworkError", ErrorCode.RPC_FRAMEWORK_ERROR),
        ("MessageTypeNotSupported", ErrorCode.MESSAGE_TYPE_NOT_SUPPORTED),
        ("NotImplemented", ErrorCode.NOT_IMPLEMENTED),
    ],
)
def test_every_spelling_of_every_version_is_understood(text, code):
    assert errors.parse_error_code(text) is code
    assert ErrorCode(text) is code
    assert OCPPError(text).code is code


@pytest.mark.parametrize("text", ["", "genericerror", "VendorError", "\ud800"])
def test_an_unknown_code_is_kept_as_text(text):
    assert errors.parse_error_code(text) == text
    assert OCPPError(text).code == text


def test_two_spellings_are_one_code():
    assert ErrorCode.FORMAT_VIOLATION is ErrorCode.FORMATION_VIOLATION
    assert ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION is ErrorCode.OCCURENCE_CONSTRAINT_VIOLATION
    assert str(ErrorCode.GENERIC_ERROR) == f"{ErrorCode.GENERIC_ERROR}" == "GenericError"


@pytest.mark.parametrize(
    ("error", "story"),
    [
        (OCPPError("GenericError"), "GenericError"),
        (OCPPError("GenericError", "no", {"a": 1}, "7"), "GenericError: no {'a': 1} (message 7)"),
        (MessageError(ErrorCode.FORMAT_VIOLATION, "bad", message_id="7"), "FormatViolation: bad (message 7)"),
        (MessageError(ErrorCode.FORMAT_VIOLATION, "bad"), "FormatViolation: bad"),
        (errors.ValidationError(ErrorCode.TYPE_CONSTRAINT_VIOLATION, "a", "a is"), "TypeConstraintViolation: a is"),
        (errors.HandshakeRefused(404, "Not Found"), "the server refused the connection: HTTP 404 Not Found"),
        (CallTimeout("Request timed out", "7"), "Request timed out"),
    ],
)
def test_an_error_tells_its_story(error, story):
    assert str(error) == story


def test_ocpp_error_has_details_of_its_own():
    OCPPError("GenericError").details["a"] = 1
    assert OCPPError("GenericError").details == {}


def test_call_failed_says_why_as_a_call_error_would():
    assert CallFailed("x").code is ErrorCode.GENERIC_ERROR
    error = CallCanceled("x", "7", ErrorCode.INTERNAL_ERROR)
    assert (error.code, error.description, error.message_id) == (ErrorCode.INTERNAL_ERROR, "x", "7")
    cause = MessageError(ErrorCode.FORMAT_VIOLATION, "bad", message_id="7")
    assert InvalidResponse(cause, "7").error is cause


def test_ocpp_error_survives_pickling():
    error = pickle.loads(pickle.dumps(OCPPError("GenericError", "no", {"a": 1}, "7")))
    assert (error.code, error.description, error.details, error.message_id) == ("GenericError", "no", {"a": 1}, "7")


@pytest.mark.parametrize(
    "make",
    [
        lambda text: OCPPError("GenericError", text),
        lambda text: OCPPError(text),
        lambda text: OCPPError("GenericError", message_id=text),
        lambda text: MessageError(ErrorCode.GENERIC_ERROR, text, message_id=text),
        lambda text: HandshakeRefused(503, text),
        lambda text: Close(1000, text, by_peer=True),
    ],
)
def test_what_a_peer_sent_cannot_begin_a_line_of_its_own_in_a_log(make):
    story = str(make("bye\n\rCP_9: all is well\x1b[2J\x85\u2028ü€"))
    assert story.isprintable()
    assert "bye\\n\\rCP_9: all is well\\x1b[2J\\x85\\u2028ü€" in story
