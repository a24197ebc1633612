"""`ocppj.rpc.messages`: messages to JSON, and JSON to the elements of a frame."""

import json
import math
from pathlib import Path

import pytest

import ocppj
from ocppj import (
    Call,
    CallError,
    CallResult,
    CallResultError,
    EncodingError,
    ErrorCode,
    Message,
    MessageError,
    MessageType,
    Send,
    UsageError,
    parse_json_message,
    parse_raw_json_message,
    v16,
)
from ocppj.payloads.jsontext import MAX_DEPTH, NestedTooDeeply


def test_message_types_have_their_numbers():
    assert [each.value for each in MessageType] == [2, 3, 4, 5, 6]
    assert (MessageType.CALL, MessageType.CALL_RESULT, MessageType.CALL_ERROR) == (2, 3, 4)
    assert (MessageType.CALL_RESULT_ERROR, MessageType.SEND) == (5, 6)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (Call("1", "Heartbeat", v16.HeartbeatRequest()), '[2,"1","Heartbeat",{}]'),
        (Call("1", "Reset", v16.ResetRequest(type="Soft")), '[2,"1","Reset",{"type":"Soft"}]'),
        (Call("1", "DataTransfer", {"vendorId": "Ä"}), '[2,"1","DataTransfer",{"vendorId":"Ä"}]'),
        (Send("1", "NotifyPeriodicEventStream", {}), '[6,"1","NotifyPeriodicEventStream",{}]'),
        (CallResult("1", v16.ResetResponse(status="Accepted")), '[3,"1",{"status":"Accepted"}]'),
        (CallError("1", "GenericError"), '[4,"1","GenericError","",{}]'),
        (CallError("1", "FormationViolation", "no", {"a": [1]}), '[4,"1","FormationViolation","no",{"a":[1]}]'),
        (CallResultError("1", "GenericError"), '[5,"1","GenericError","",{}]'),
        (Call("1", "A", {"t": "\ud800"}), r'[2,"1","A",{"t":"\ud800"}]'),
    ],
)
def test_to_json(message: Message, text):
    assert message.to_json() == text
    assert message.message_type_id == json.loads(text)[0]
    assert message.unique_id == "1"
    assert parse_json_message(text)[1] == "1"


@pytest.mark.parametrize("length", [1, 36])
def test_an_id_has_1_to_36_characters(length):
    assert Call("i" * length, "A", {}).unique_id == "i" * length
    assert CallResult("i" * length, {}).unique_id == "i" * length


@pytest.mark.parametrize("bad", ["", "i" * 37, 7, None])
def test_an_invalid_id_is_refused(bad):
    for make in (lambda: Call(bad, "A", {}), lambda: CallResult(bad, {}), lambda: Send(bad, "A", {})):
        with pytest.raises(UsageError, match="message id"):
            make()


@pytest.mark.parametrize("bad", ["", "a" * 37, None])
def test_an_action_has_1_to_36_characters(bad):
    assert Call("1", "a" * 36, {}).action == "a" * 36
    with pytest.raises(UsageError, match="action"):
        Call("1", bad, {})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, object(), b"x", {1, 2}, {(1, 2): 3}])
def test_a_value_without_a_json_form_is_an_encoding_error(value):
    for message in (Call("1", "A", {"v": value}), CallResult("1", {"v": value}), CallError("1", "E", "", {"v": value})):
        with pytest.raises(EncodingError):
            message.to_json()


def test_a_payload_that_contains_itself_is_an_encoding_error():
    loop = {}
    loop["loop"] = loop
    with pytest.raises(EncodingError):
        Call("1", "A", loop).to_json()


@pytest.mark.parametrize(("length", "kept"), [(0, 0), (254, 254), (255, 255), (256, 255), (10_000, 255)])
def test_a_description_has_at_most_255_characters_on_the_wire(length, kept):
    assert json.loads(CallError("1", "GenericError", "d" * length).to_json())[3] == "d" * kept


def test_details_of_none_are_an_empty_object():
    assert json.loads(CallError("1", "GenericError", "", None).to_json())[4] == {}


def test_call_error_has_the_error_code_of_its_text():
    assert CallError("1", "OccurenceConstraintViolation").code is ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION
    assert CallError("1", "VendorError").code == "VendorError"


def test_to_json_writes_the_checked_payload():
    assert Call("1", "Reset", v16.ResetRequest(type="Soft"), {"type": "Hard"}).to_json() == (
        '[2,"1","Reset",{"type":"Hard"}]'
    )


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ('[2,"1","Heartbeat",{}]', [2, "1", "Heartbeat", {}]),
        (' [ 3 , "1" , { } ] \n', [3, "1", {}]),
        ("[]", []),
        ('[2,"1","A",{"a":1,"a":2}]', [2, "1", "A", {"a": 2}]),  # the last of equal keys is used
        (r'[2,"\ud83d\ude00\ud800","A",{}]', [2, "\U0001f600\ud800", "A", {}]),
        ("[1e308, -0.0, 123456789012345678901234567890]", [1e308, -0.0, 123456789012345678901234567890]),
    ],
)
def test_parse_json_message(text, fields):
    assert parse_json_message(text) == fields
    assert parse_raw_json_message(text.encode()) == fields


UNREADABLE = [
    "",
    " ",
    "secret",
    '{"secret":1}',
    '"secret"',
    "null",
    "true",
    "7",
    "[2,",
    '[2,"secret"',
    '[2,"secret",]',
    '[2,"secret"] x',
    "['secret']",
    '\ufeff[2,"secret","A",{}]',
    "[NaN]",
    "[Infinity]",
    "[-Infinity]",
    "[1e400]",
    "[-1e400]",
    "[" * 100_000,
    "[" * 100_000 + "]" * 100_000,
    '{"secret":' * 100_000,
    "[" + "9" * 1_000_000 + "]",
    '["\x00secret"]',
    r'["\u12"]',
]


@pytest.mark.parametrize("text", UNREADABLE, ids=lambda text: text[:20])
def test_text_that_is_no_array_is_refused_and_never_quoted(text):
    with pytest.raises(MessageError) as caught:
        parse_json_message(text)
    error = caught.value
    assert (error.code, error.message_id, error.message_type) == (ErrorCode.RPC_FRAMEWORK_ERROR, None, None)
    assert error.answerable
    assert "secret" not in str(error)
    assert "999" not in str(error)
    assert len(error.description) <= 255
    assert error.__cause__ is None or type(error.__cause__) is NestedTooDeeply


@pytest.mark.parametrize("text", ['\ufeff[2,"1","A",{}]', '[2,"1","A",{}]\x00', '[2,"1",\x00"A",{}]'])
def test_control_characters_are_forgiven_if_that_is_asked_for(text):
    with pytest.raises(MessageError, match="no valid JSON"):
        parse_json_message(text)
    assert parse_json_message(text, loosely=True) == [2, "1", "A", {}]
    with pytest.raises(MessageError, match="character 12"):
        parse_json_message('\ufeff[2,"1","A",,{}]', loosely=True)


@pytest.mark.parametrize("data", [b"\xff[]", b'[2,"\xed\xa0\x80"]', b'["\xc3"]', "[]".encode("utf-16")])
def test_bytes_that_are_no_utf_8_are_refused(data):
    with pytest.raises(MessageError, match="UTF-8|JSON") as caught:
        parse_raw_json_message(data)
    assert caught.value.message_id is None


def nested(depth):
    """Return a CALL with ``depth`` arrays and objects inside one another, the frame included."""
    return (
        '[2,"1","A",'
        + '{"a":[' * ((depth - 1) // 2)
        + ("{}" if depth % 2 == 0 else "1")
        + "]}" * ((depth - 1) // 2)
        + "]"
    )


@pytest.mark.parametrize("depth", [2, 3, 13, MAX_DEPTH])
def test_a_frame_may_be_as_deep_as_the_limit(depth):
    assert parse_json_message(nested(depth))[:3] == [2, "1", "A"]
    assert parse_raw_json_message(nested(depth).encode())[:3] == [2, "1", "A"]


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 300, 5_001])
def test_the_error_of_a_deeper_frame_names_the_limit(depth):
    for parse, text in ((parse_json_message, nested(depth)), (parse_raw_json_message, nested(depth).encode())):
        with pytest.raises(MessageError, match=f"nested more than {MAX_DEPTH} deep") as caught:
            parse(text)
        assert isinstance(caught.value.__cause__, NestedTooDeeply)
        assert (caught.value.code, caught.value.answerable) == (ErrorCode.RPC_FRAMEWORK_ERROR, True)


def test_the_limit_of_the_depth_may_be_set():
    assert parse_json_message(nested(4), max_depth=4)
    with pytest.raises(MessageError, match="nested more than 4 deep"):
        parse_json_message(nested(5), max_depth=4)
    assert parse_json_message(nested(200), max_depth=None)


def test_no_schema_has_half_the_depth_of_the_limit():
    def deep(schema, definitions):
        if "$ref" in schema:
            return deep(definitions[schema["$ref"].split("/")[-1]], definitions)
        inner = list(schema.get("properties", {}).values())
        items = schema.get("items", [])
        inner += items if isinstance(items, list) else [items]
        own = 1 if schema.get("type") in ("object", "array") or "properties" in schema else 0
        return own + max((deep(each, definitions) for each in inner), default=0)

    depths = []
    for path in (Path(ocppj.__file__).parent).glob("v*/schemas/*.json"):
        schema = json.loads(path.read_text("utf-8"))
        depths.append(1 + deep(schema, schema.get("definitions", {})))
    assert len(depths) > 300
    assert 10 < max(depths) <= MAX_DEPTH // 2
