"""What is mended in a payload for the mode ``standard``, and what is not."""

import copy

import pytest

from ocppj.rpc.forgiving import Mender, is_multiple

TIME = {"type": "string", "format": "date-time"}
ITEM = {"type": "object", "properties": {"at": TIME, "n": {"type": "number", "multipleOf": 0.1}}, "required": ["n"]}
SCHEMA = {
    "type": "object",
    "properties": {
        "at": TIME,
        "text": {"type": "string"},
        "any": {},
        "nothing": {"type": "null"},
        "some": {"type": "array", "items": ITEM, "minItems": 1},
        "free": {"type": "array", "items": ITEM},
        "one": ITEM,
    },
    "required": ["text"],
}


@pytest.mark.parametrize(
    ("payload", "mended", "kinds"),
    [
        ({"at": "2026-01-02T03:04:05"}, {"at": "2026-01-02T03:04:05Z"}, {"date-time": "at"}),
        ({"one": {"n": 1, "at": None}}, {"one": {"n": 1}}, {"null": "one.at"}),
        ({"some": [], "one": None}, {}, {"empty list": "some", "null": "one"}),
        ({"some": [{"n": 1}, {"n": 2.00000001}]}, {"some": [{"n": 1}, {"n": 2.0}]}, {"multiple": "some[1].n"}),
        ({"free": [{"n": 1, "at": "20260102T030405Z"}]}, None, {"date-time": "free[0].at"}),
    ],
)
def test_it_is_mended_in_a_copy(payload, mended, kinds):
    before = copy.deepcopy(payload)
    result, found = Mender(SCHEMA).forgive(payload)
    assert payload == before
    assert result is not payload
    assert mended is None or result == mended
    assert {kind: path for kind, (path, _) in found.items()} == kinds


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"at": "2026-01-02T03:04:05Z", "text": "2026-01-02T03:04:05", "free": [], "any": None, "nothing": None},
        {"text": None},
        {"unknown": None, "unknown too": []},
        {"at": "soon", "some": [None], "one": {"n": None}},
        {"one": {"n": 2.01}, "some": [{"n": "2.00000001"}], "free": [[]]},
        {"one": [], "some": {}, "at": 7, "text": 1.5},
    ],
)
def test_anything_else_is_left_as_it_is(payload):
    result, found = Mender(SCHEMA).forgive(payload)
    assert result is payload
    assert found == {}


@pytest.mark.parametrize("value", [1e-9, 1e300, 2.0001, 0.05, float("1e-320")])
def test_a_number_far_off_is_left(value):
    assert not is_multiple(value, 0.1)
    assert Mender(ITEM["properties"]["n"]).forgive(value)[0] == value


def test_all_nulls_are_left_out_of_all_objects():
    items = [{"n": 1, "at": None}, {"n": None, "at": None, "x": None}, {"n": None}, {"at": None, "n": 2.00000001}]
    mended, found = Mender(SCHEMA).forgive({"some": items, "one": None, "text": "x"})
    assert mended == {"some": [{"n": 1}, {"n": None, "x": None}, {"n": None}, {"n": 2.0}], "text": "x"}
    assert mended["some"][2] is items[2]
    assert found == {"null": ("some[0].at", None), "multiple": ("some[3].n", 2.00000001)}


def test_the_first_of_each_kind_is_told():
    _, found = Mender(SCHEMA).forgive({"some": [{"n": 1, "at": None}, {"n": 2, "at": None}], "at": None})
    assert found == {"null": ("some[0].at", None)}
