"""Decoding payloads that break the rules: conversions, unknown properties, and classes of the program's own."""

import copy
import pickle
import sys
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from enum import IntEnum
from typing import Any, Dict, List, Optional, Union

import pytest

from ocppj import Payload, TextEnum, UsageError, v16, wire
from ocppj.payloads import lenient
from ocppj.payloads.lenient import Unreadable, decode_leniently

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


class Colour(TextEnum):
    RED = "Red"
    SEVEN = "7"


class Level(IntEnum):
    LOW = 1


@dataclass
class Part(Payload):
    at: datetime = field(metadata=wire("at"))
    name: Optional[str] = field(default=None, metadata=wire("name"))


@dataclass
class Lists(Payload):
    numbers: Optional[List[int]] = field(default=None, metadata=wire("numbers"))
    texts: Optional[List[str]] = field(default=None, metadata=wire("texts"))


@dataclass
class Whole(Payload):
    number: int = field(metadata=wire("number"))
    ratio: Optional[float] = field(default=None, metadata=wire("ratio"))
    text: Optional[str] = field(default=None, metadata=wire("text"))
    flag: Optional[bool] = field(default=None, metadata=wire("flag"))
    colour: Optional[Union[Colour, str]] = field(default=None, metadata=wire("colour"))
    level: Optional[Level] = field(default=None, metadata=wire("level"))
    parts: Optional[List[Part]] = field(default=None, metadata=wire("parts"))
    texts: Optional[List[str]] = field(default=None, metadata=wire("texts"))
    colours: Optional[List[Union[Colour, str]]] = field(default=None, metadata=wire("colours"))
    flags: Optional[List[bool]] = field(default=None, metadata=wire("flags"))
    either: Union[int, float, None] = field(default=None, metadata=wire("either"))
    data: Any = field(default=None, metadata=wire("data"))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("number", "7", 7),
        ("number", " 7 ", 7),
        ("number", "-7.0", -7),
        ("number", "7e2", 700),
        ("number", 7.0, 7),
        ("number", "7.5", 7.5),
        ("number", "", ""),
        ("number", "0x10", "0x10"),
        ("number", "1_000", "1_000"),
        ("number", "1" * 41, "1" * 41),
        ("number", "٣", "٣"),
        ("number", True, True),
        ("number", [1], [1]),
        ("ratio", "21.4", 21.4),
        ("ratio", 21, 21),
        ("ratio", "NaN", "NaN"),
        ("ratio", "1e999", "1e999"),
        ("ratio", "21,4", "21,4"),
        ("either", "1.0", 1.0),
        ("either", "1", 1),
        ("text", 7, "7"),
        ("text", 1.5, "1.5"),
        ("text", False, "false"),
        ("text", {"a": 1}, {"a": 1}),
        ("flag", "true", True),
        ("flag", "FALSE", False),
        ("flag", "1", True),
        ("flag", 0, False),
        ("flag", 1.0, True),
        ("flag", 2, 2),
        ("flag", "yes", "yes"),
        ("flag", [], []),
        ("colour", "Red", Colour.RED),
        ("colour", "Mauve", "Mauve"),
        ("colour", 7, Colour.SEVEN),
        ("colour", [1], [1]),
        ("level", 1, Level.LOW),
        ("level", 5, "5"),
        ("texts", "one", ["one"]),
        ("texts", 7, ["7"]),
        ("texts", [1, "two", True], ["1", "two", "true"]),
        ("texts", {"a": 1}, {"a": 1}),
        ("colours", "Red", [Colour.RED]),
        ("colours", ["Red", "Mauve", None], [Colour.RED, "Mauve", None]),
        ("flags", ["true", 0, "x"], [True, False, "x"]),
        ("parts", {"at": "20260102T030405"}, [Part(AT)]),
        ("parts", [{"at": "2026-01-02 03:04:05", "name": 1}, 7], [Part(AT, "1"), 7]),
        ("parts", "text", "text"),
        ("parts", [], []),
        ("data", {"x": [1, None]}, {"x": [1, None]}),
        ("data", None, None),
    ],
)
def test_a_value_is_converted_where_its_meaning_is_plain(name, value, expected):
    data = {"number": 1, name: value}
    before = copy.deepcopy(data)
    read = getattr(decode_leniently(Whole, data), name)
    assert (read, type(read)) == (expected, type(expected))
    assert data == before


def test_an_unreadable_date_time_is_told_of_and_kept():
    unreadable: List[Unreadable] = []
    whole = decode_leniently(Whole, {"number": 1, "parts": [{"at": "soon"}, {"at": 5}, {"at": None}]}, unreadable)
    assert unreadable == [("Part.at", "soon"), ("Part.at", 5)]
    assert [part.at for part in whole.parts] == [None, None, None]
    assert [part.extra for part in whole.parts] == [{"at": "soon"}, {"at": 5}, {}]
    assert whole.to_wire() == {"number": 1, "parts": [{"at": "soon"}, {"at": 5}, {}]}
    whole.parts[0].at = AT
    assert whole.to_wire()["parts"][0] == {"at": "2026-01-02T03:04:05.000Z"}


# extra


def test_extra_is_no_field():
    one, other = decode_leniently(Whole, {"number": 1, "more": 2}), Whole(1)
    assert (one.extra, other.extra) == ({"more": 2}, {})
    assert one == other
    assert repr(one) == repr(other)
    assert replace(one).extra == {}
    for twin in (copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert (twin, twin.extra) == (one, {"more": 2})


def test_extra_takes_no_room_until_it_is_used():
    assert "extra" not in vars(Whole(1))
    assert "extra" not in vars(decode_leniently(Whole, {"number": 1}))
    assert "extra" not in vars(Whole.from_wire({"number": 1, "more": 2}))


def test_extra_can_be_set_and_is_written():
    request = v16.HeartbeatRequest()
    request.extra = {"a": [AT, {"b": Colour.RED}]}
    assert request.to_wire() == {"a": ["2026-01-02T03:04:05.000Z", {"b": "Red"}]}
    request.extra = {"c": 1}
    assert request.to_wire() == {"c": 1}
    assert v16.HeartbeatRequest().to_wire() == {}


@pytest.mark.parametrize(
    "change",
    [
        lambda extra: extra.__setitem__("a", 1),
        lambda extra: extra.update(a=1),
        lambda extra: extra.setdefault("a", 1),
    ],
    ids=["item", "update", "setdefault"],
)
def test_the_empty_extra_is_shared_and_cannot_be_changed(change):
    with pytest.raises(UsageError, match="assign a dict"):
        change(v16.HeartbeatRequest().extra)
    assert v16.ResetRequest(type="Soft").extra == {}
    read = decode_leniently(v16.HeartbeatRequest, {"a": 0})
    change(read.extra)
    assert "a" in read.extra


@dataclass
class OwnExtra(Payload):
    extra: Optional[str] = field(default=None, metadata=wire("extra"))


@dataclass
class Open(Payload):
    name: str = field(metadata=wire("name"))
    rest: Dict[str, Any] = field(default_factory=dict, metadata=wire("*"))


def test_a_class_may_have_a_field_called_extra():
    own = decode_leniently(OwnExtra, {"extra": 7, "more": 1})
    assert (own.extra, own.to_wire()) == ("7", {"extra": "7"})
    assert OwnExtra().extra is None


def test_a_class_for_all_properties_keeps_them_in_its_field():
    read = decode_leniently(Open, {"name": 1, "a": {"b": 2}})
    assert (read.name, read.rest, read.extra) == ("1", {"a": {"b": 2}}, {})
    assert read.to_wire() == {"name": "1", "a": {"b": 2}}


# What a peer can make of few characters


@dataclass
class Crowd(Payload):
    parts: List[Part] = field(metadata=wire("parts"))
    counts: List[int] = field(default_factory=list, metadata=wire("counts"))


def test_so_many_odd_objects_are_decoded_and_the_others_stay():
    good = {"at": "2026-01-02T03:04:05Z"}
    read = decode_leniently(Crowd, {"parts": [good, *[{}] * lenient.MAX_ODD_OBJECTS, {}, {**good, "x": 1}, None, good]})
    assert read.parts[: lenient.MAX_ODD_OBJECTS + 1] == [Part(AT), *[Part(None)] * lenient.MAX_ODD_OBJECTS]
    assert read.parts[lenient.MAX_ODD_OBJECTS + 1 :] == [{}, {**good, "x": 1}, None, Part(AT)]
    assert len(read.to_wire()["parts"]) == lenient.MAX_ODD_OBJECTS + 5


def test_a_list_of_other_things_keeps_them():
    read = decode_leniently(Crowd, {"parts": [1, "x", [], None, {}], "counts": ["1", 2, 3.0, None, "x", [4], True]})
    assert read.parts == [1, "x", [], None, Part(None)]
    assert read.counts == [1, 2, 3, None, "x", [4], True]


# Classes of the program's own


@dataclass(frozen=True)
class Frozen(Payload):
    number: int = field(metadata=wire("number"))
    at: Optional[datetime] = field(default=None, metadata=wire("at"))
    made: bool = field(default=False, init=False, compare=False, metadata=wire("made"))

    def __post_init__(self) -> None:
        assert self.number is None or isinstance(self.number, int)
        object.__setattr__(self, "made", True)


def test_a_constructor_is_called_without_what_it_does_not_expect():
    with pytest.raises(TypeError):
        decode_leniently(Frozen, {"number": 1, "made": False})  # it is no argument: as `Payload.from_wire`
    read = decode_leniently(Frozen, {"number": [1], "at": "x", "more": 1})
    assert (read.number, read.at, read.made, read.extra) == ([1], None, True, {"at": "x", "more": 1})


@dataclass
class OwnWay(Payload):
    name: str = field(metadata=wire("name"))

    @classmethod
    def from_wire(cls, data: Any) -> "OwnWay":
        return cls(data["NAME"])


def test_a_class_that_decodes_in_its_own_way_does_so():
    assert decode_leniently(OwnWay, {"NAME": "a"}) == OwnWay("a")
    assert decode_leniently(OwnWay, {"name": 7}) == OwnWay("7")


@pytest.mark.parametrize(
    ("name", "items", "expected"),
    [
        ("texts", [1] * 10_000, ["1"] * 10_000),
        ("texts", [1.5] * 10_000, ["1.5"] * 10_000),
        ("numbers", ["7"] * 10_000, [7] * 10_000),
        ("numbers", [{}] * 10_000, [{}] * 10_000),
        ("texts", [[]] * 10_000, [[]] * 10_000),
    ],
    ids=["integers as texts", "numbers as texts", "texts as integers", "objects stay", "lists stay"],
)
def test_a_list_whose_items_are_alike_is_converted_as_a_whole(name, items, expected):
    """No function runs for each item: a list of a million short items would take longer than a valid one."""
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event == "call"

    decode_leniently(Lists, {name: items[:10]})  # the class is analysed
    sys.setprofile(count)
    try:
        lists = decode_leniently(Lists, {name: items})
    finally:
        sys.setprofile(None)
    assert getattr(lists, name) == expected
    assert calls < 20


@pytest.mark.parametrize("text", ["", " 7 ", "-7", "7.0", "1_0", "x", "\u0667", "7" * 41])
def test_one_text_that_is_no_plain_number_is_read_as_it_is_alone(text):
    alone = decode_leniently(Whole, {"number": text}).number
    lists = decode_leniently(Lists, {"numbers": ["5", text]})
    assert lists.numbers == [5, alone]
