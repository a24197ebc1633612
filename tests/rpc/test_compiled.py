"""`ocppj.rpc.compiled`: what the made check says. (Verdicts on thousands of payloads: tests/fuzz.)"""

import linecache
from math import inf

import pytest

from ocppj import Endpoint, Feature, PendingRequestState, ValidationError, v16
from ocppj.payloads.model import TextEnum
from ocppj.rpc.compiled import compile_check
from ocppj.rpc.faults import MISSING, TYPE, UNKNOWN, VALUE
from ocppj.rpc.validation import check_payload, get_quick_check, use_accelerators


class Text(TextEnum):
    COLOR = "color"
    RED = "red"


def check(schema, value):
    return compile_check("Any", {"type": "object", "properties": {"a": schema}})({"a": value})


NUMBERS = {"type": "array", "items": {"type": "integer"}}


@pytest.mark.parametrize(
    ("schema", "value", "is_valid"),
    [
        ({"type": "integer"}, 1, True),
        ({"type": "integer"}, 1.0, True),
        ({"type": "integer"}, 10**30, True),
        ({"type": "integer"}, 1.5, False),
        ({"type": "integer"}, float("inf"), False),
        ({"type": "integer"}, True, False),
        ({"type": "number"}, False, False),
        ({"type": "number"}, 2.5, True),
        ({"type": "number"}, "2.5", False),
        ({"type": "boolean"}, True, True),
        ({"type": "boolean"}, 1, False),
        ({"type": "null"}, None, True),
        ({"type": "null"}, 0, False),
        ({"type": "string", "maxLength": 2}, "\U0001f50c\U0001f50c", True),
        ({"type": "string", "maxLength": 2}, "\ud800\ud800\ud800", False),
        ({"type": "string", "enum": ["x", 7]}, "x", True),
        ({"type": "string", "enum": ["x", 7]}, 7, False),
        ({"type": "string", "enum": ["x"]}, ["x"], False),
        ({"type": "string", "format": "date-time"}, "2026-01-02T03:04:05Z", True),
        ({"type": "string", "format": "date-time"}, "2024-02-29T00:00:00+01:00", True),
        ({"type": "string", "format": "date-time"}, "2026-02-29T00:00:00Z", False),
        ({"type": "string", "format": "date-time"}, "2026-01-02T03:04:05Z\n", False),
        ({"type": "string", "pattern": "^a"}, "ab", True),
        ({"type": "string", "pattern": "^a"}, "ba", False),
        ({"type": "number", "minimum": 0, "maximum": 9.5}, 9.5, True),
        ({"type": "number", "minimum": 0, "maximum": 9.5}, 9.51, False),
        ({"type": "number", "minimum": 0}, -1, False),
        ({"type": "number", "multipleOf": 0.1}, 21.4, True),
        ({"type": "number", "multipleOf": 0.1}, 21.45, False),
        ({"type": "number", "exclusiveMinimum": 0}, 0, False),
        ({"type": "array", "minItems": 1, "items": NUMBERS}, [[], [1, 2]], True),
        ({"type": "array", "minItems": 1, "items": NUMBERS}, [[], [1, "2"]], False),
        ({"type": "array", "minItems": 1}, [], False),
        ({"type": "array", "maxItems": 1}, [1, 1], False),
        ({"type": "array", "uniqueItems": True}, [1, True], True),
        ({"type": "array", "uniqueItems": True}, [1, 1.0], False),
        ({"type": "object", "required": ["b"]}, {"b": 1, "c": 2}, True),
        ({"type": "object", "required": ["b"]}, {"c": 2}, False),
        ({"type": ["integer", "null"]}, None, True),
        ({"enum": [1, "x"]}, "x", True),
        ({"enum": [1, "x"]}, True, False),
        ({}, object(), True),
    ],
)  # fmt: skip
def test_what_a_value_may_be(schema, value, is_valid):
    assert check(schema, value) is is_valid


@pytest.mark.parametrize(
    ("payload", "is_valid"),
    [
        ({"b": 1}, True),
        ({"a": "x", "b": 1}, True),
        ({}, False),
        ({"b": 1, "c": 1}, False),
        ({"b": 1, 2: 3}, False),
        ([], False),
    ],
)
def test_which_properties_an_object_may_have(payload, is_valid):
    closed = {"type": "object", "properties": {"a": {"type": "string"}, "b": {}}, "required": ["b"]}
    assert compile_check("Any", {**closed, "additionalProperties": False})(payload) is is_valid


def test_lists_may_be_in_lists_however_deep():
    schema, good, bad = {"type": "integer"}, 1, "x"
    for _ in range(29):
        schema, good, bad = {"type": "array", "items": schema}, [good], [bad]
    assert check(schema, good)
    assert not check(schema, bad)


def test_what_it_does_not_know_is_decided_by_the_walk():
    """It says no to text of a subclass of ``str``, which a program may send. The payload is valid all the same."""

    class Text(str):
        __slots__ = ()

    assert not check({"type": "string"}, Text("x"))
    use_accelerators(False)
    try:
        endpoint = Endpoint(v16.PROFILES, validate="strict")
        call = endpoint.create_call(v16.AuthorizeRequest(Text("tag")))
        assert endpoint.parse_message([2, "1", "Authorize", {"idTag": Text("tag")}], PendingRequestState())
    finally:
        use_accelerators(True)
    assert call.wire_payload == {"idTag": "tag"}


ITEM = {
    "type": "object",
    "properties": {
        "n": {"type": "integer", "maximum": 9},
        "some": {"type": "array", "maxItems": 2, "items": {"type": "object", "required": ["x"]}},
    },
    "additionalProperties": False,
}
LISTS = {"type": "object", "properties": {"all": {"type": "array", "items": ITEM}}}


@pytest.mark.parametrize(
    ("item", "worst"),
    [
        ({"n": 5, "some": [{"x": 1}]}, None),
        ({"n": 10}, (VALUE, 3)),
        ({"n": "x"}, (TYPE, 3)),
        (7, (TYPE, 2)),
        ({"some": [7]}, (TYPE, 4)),
        ({"some": [{}]}, (MISSING, 5)),
        ({"some": [{"x": 1}] * 3}, (MISSING, 3)),
        ({"m": 1}, (UNKNOWN, 3)),
    ],
)
def test_faults_of_lower_ranks_or_nearer_to_the_top_alone_may_count(item, worst):
    """``worst`` is the rank and the depth of the fault. The payload has the depth 0."""
    for rank in (UNKNOWN, MISSING, TYPE, VALUE):
        for levels in (1, 2, 3, 4, 5, 6, inf):
            counts = worst is not None and (worst[0] < rank or (worst[0] == rank and worst[1] < levels))
            is_valid = bool(compile_check("Any", LISTS, rank, levels)({"all": [item]}))
            assert is_valid != counts, (rank, levels)


def test_it_says_in_which_lists_it_has_stopped():
    good, bad = {"some": [{"x": 1}]}, {"some": [{"x": 1}, {}]}
    payload = {"all": [good, bad, bad]}
    refusal = compile_check("Any", LISTS)(payload)
    assert not refusal
    assert (refusal.items, refusal.item) == (payload["all"], bad)
    assert (refusal.inside.items, refusal.inside.item) == (bad["some"], {})
    assert refusal.inside.inside is False
    assert compile_check("Any", LISTS)({"all": {}}) is False


def test_its_lines_are_known_to_linecache():
    compile_check("Shown", {"type": "object", "properties": {"a": {"type": "string"}}})
    assert linecache.getline("<ocppj: check of Shown>", 1) == "def check(value):\n"


def test_lines_of_the_same_title_are_both_known():
    for name in ("a", "b", "a"):
        compile_check("Twice", {"type": "object", "required": [name]})
    lines = [linecache.getline(f"<ocppj: check of Twice{number}>", 4) for number in ("", " (2)", " (3)")]
    assert lines == ["    if 'a' not in value:\n", "    if 'b' not in value:\n", ""]


@pytest.mark.parametrize("name", ["\x00", "\ud800", "\n"])
def test_a_feature_may_have_any_name(name):
    assert compile_check(name, {"type": "object"})({})


def test_a_limit_may_have_any_number_of_digits():
    assert check({"type": "integer", "maximum": 10**5000}, 10**4999)
    assert not check({"type": "integer", "minimum": -(10**5000)}, -(10**5001))


@pytest.mark.parametrize("accelerated", [True, False])
def test_a_schema_may_be_made_of_members_of_an_enum(accelerated):
    schema = {
        "type": "object",
        "properties": {Text.COLOR: {"type": "string", "enum": [Text.RED]}, "b": {"type": "integer"}},
        "required": [Text.COLOR],
        "additionalProperties": False,
    }
    request = v16.AuthorizeRequest
    feature = Feature("Enums", request, v16.AuthorizeResponse, request_schema=schema)
    use_accelerators(accelerated)
    try:
        assert get_quick_check(feature, False)({"color": "red"})
        for payload, path in ({"color": "x"}, "color"), ({"color": "red", "b": "x"}, "b"), ({}, "color"):
            assert not get_quick_check(feature, False)(payload)
            with pytest.raises(ValidationError) as caught:
                check_payload(feature, False, payload)
            assert caught.value.path == path
            assert "Text." not in caught.value.description
    finally:
        use_accelerators(True)
