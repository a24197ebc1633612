"""The tree of exceptions, as its module draws it, and the error codes."""

import copy
import multiprocessing
import pickle
import re
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime, timezone

import pytest

import ocppj
from ocppj import Endpoint, errors, v16
from ocppj.conformance.csms.wire import Ended
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
from ocppj.ws.connection.keepalive import PeerSilent
from ocppj.ws.connection.wire import Violation
from ocppj.ws.handshake.http import BadRequest
from ocppj.ws.handshake.refusal import Refusal
from tests.helpers import seconds


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
        (CallTimeout("no answer", "7"), "no answer (message 7)"),
    ],
)
def test_an_error_tells_its_story(error, story):
    assert str(error) == story


def test_an_error_names_its_request_once():
    error = InvalidResponse(MessageError(ErrorCode.FORMAT_VIOLATION, "bad", message_id="7"), "7")
    error.client_id, error.action = "CP_1", "Reset"
    error.time = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    what = "the answer is invalid: FormatViolation: bad"
    assert str(error) == f"{what} (client CP_1, Reset, message 7, at 2026-01-02 03:04:05 UTC)"
    refused = OCPPError("InternalError", "no", message_id="7")
    refused.client_id, refused.action = "CP_1", "Reset"
    assert str(refused) == "InternalError: no (client CP_1, Reset, message 7)"


@pytest.mark.parametrize("kind", [errors.NotRunning, errors.UnknownClient])
def test_not_connected_is_no_mistake_of_the_request(kind):
    assert issubclass(kind, errors.NotConnected)
    assert not issubclass(kind, errors.UsageError)


def test_ocpp_error_has_details_of_its_own():
    OCPPError("GenericError").details["a"] = 1
    assert OCPPError("GenericError").details == {}


def test_call_failed_says_why_as_a_call_error_would():
    assert CallFailed("x").code is ErrorCode.GENERIC_ERROR
    error = CallCanceled("x", "7", ErrorCode.INTERNAL_ERROR)
    assert (error.code, error.description, error.message_id) == (ErrorCode.INTERNAL_ERROR, "x", "7")
    cause = MessageError(ErrorCode.FORMAT_VIOLATION, "bad", message_id="7")
    assert InvalidResponse(cause, "7").error is cause


# Errors travel: between processes (ProcessPoolExecutor, Celery), and as copies

BAD = MessageError(ErrorCode.FORMAT_VIOLATION, "bad", message_id="7", message_type=2, answerable=True)
#: Arguments for those that do not take one text.
ARGUMENTS = {
    "OCPPError": ("GenericError", "no", {"a": [1, {"b": None}]}, "7"),
    "MessageError": (ErrorCode.FORMAT_VIOLATION, "bad"),
    "CallFailed": ("no", "7", ErrorCode.INTERNAL_ERROR),
    "CallTimeout": ("no", "7", ErrorCode.INTERNAL_ERROR),
    "InvalidResponse": (BAD, "7"),
    "ValidationError": (ErrorCode.TYPE_CONSTRAINT_VIOLATION, "a.b", "a.b is"),
    "HandshakeRefused": (503, "Busy", 7.5),
}
LIBRARY = sorted({name for name, _ in drawn_tree()})


def everything(error):
    """Return what can be seen of an exception. Exceptions in it are told apart by what can be seen of them."""
    values = {name: getattr(error, name, None) for name in dir(error) if not name.startswith("__")}
    seen = {
        name: everything(value) if isinstance(value, BaseException) else value
        for name, value in values.items()
        if not callable(value)
    }
    arguments = [everything(each) if isinstance(each, BaseException) else each for each in error.args]
    return type(error), str(error), arguments, seen, sorted(error.__dict__)


TRAVELS = [
    pytest.param(lambda error: pickle.loads(pickle.dumps(error, 0)), id="pickle 0"),
    pytest.param(lambda error: pickle.loads(pickle.dumps(error)), id="pickle"),
    pytest.param(copy.copy, id="copy"),
    pytest.param(copy.deepcopy, id="deepcopy"),
]


def make_error(name):
    return getattr(errors, name)(*ARGUMENTS.get(name, ("something, ü\n",)))


@pytest.mark.parametrize("travel", TRAVELS)
@pytest.mark.parametrize("name", LIBRARY)
def test_every_error_travels(name, travel):
    error = make_error(name)
    assert everything(travel(error)) == everything(error)


@pytest.mark.parametrize("travel", TRAVELS)
@pytest.mark.parametrize("name", LIBRARY)
def test_every_error_travels_with_what_was_noted_in_it(name, travel):
    error = make_error(name)
    error.client_id, error.action, error.message_id = "CP_1", "Reset", "9"
    error.time = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    error.of_the_program = {"tenant": 7}
    assert everything(travel(error)) == everything(error)
    assert travel(error).of_the_program == {"tenant": 7}


class OneMore(errors.CallTimeout):
    def __init__(self, tenant, *, retries):
        super().__init__(f"no answer for {tenant}", "7")
        self.tenant = tenant
        self.retries = retries


class Refused(OCPPError):
    def __init__(self, tenant):
        super().__init__(ErrorCode.SECURITY_ERROR, "no", {"tenant": tenant})
        self.tenant = tenant


class NoSuchHost(errors.TransportError):
    def __init__(self, host, number):
        super().__init__(number, f"no host {host}")
        self.host = host


class Marked(errors.QueueFull):
    colour = "red"


@pytest.mark.parametrize("travel", TRAVELS)
@pytest.mark.parametrize(
    "error",
    [
        OneMore("t", retries=2),
        Refused("t"),
        NoSuchHost("h", 111),
        Marked("full"),
        errors.TransportError(111, "refused"),
        errors.ConnectionLost("lost", code=ErrorCode.INTERNAL_ERROR),
        errors.UsageError(),
        PeerSilent("silent", "ping_timeout"),
        BadRequest(401, "no", [("WWW-Authenticate", "Basic")], "bad_credentials"),
        Violation(1009, "too long"),
        Ended(1001, "going away", True),
        Refusal(503, 30, {"X-Why": "noon"}, "closed"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_of_programs_travel_too(error, travel):
    assert everything(travel(error)) == everything(error)


def test_an_error_of_a_payload_travels():
    with pytest.raises(errors.EncodingError) as caught:
        Endpoint(v16.PROFILES).create_call(
            v16.StartTransactionRequest(connector_id=1, id_tag="T", meter_start=0, timestamp=datetime(2026, 1, 1))  # noqa: DTZ001
        )
    for travel in (copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))):
        assert everything(travel(caught.value)) == everything(caught.value)


def fail(name):
    error = make_error(name)
    error.client_id = "CP_1"
    raise error


def test_errors_come_out_of_another_process():
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        for name, future in [(name, pool.submit(fail, name)) for name in LIBRARY]:
            error = future.exception(seconds(60))
            expected = make_error(name)
            expected.client_id = "CP_1"
            assert everything(error) == everything(expected)


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


UNSEEN = (
    "\0\n\x1b\x7f\x85\xad\u034f\u061c\u115f\u180e\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202a\u202e\u2060\u2066\u206f"
    "\u3164\ud800\udfff\ufe0f\ufeff\uffa0\ufff9\ufffb\U0001d173\U000e0001\U000e0041\U000e01ef"
)


@pytest.mark.parametrize("character", UNSEEN, ids=ascii)
def test_what_does_not_show_is_an_escape_sequence(character):
    escaped = character.encode("unicode_escape", "surrogatepass").decode()
    assert errors.printable(f"CP_{character}1") == f"CP_{escaped}1"


@pytest.mark.parametrize(
    "text", ["CP_1", "Zürich", "充电桩", "شاحن", "зарядка", "a b", "\\n", "🔌", "\ufffd", "\u0301"]
)
def test_what_shows_is_as_it_was(text):
    assert errors.printable(text) == text
