"""`ocppj.payloads.jsontext`: values, texts and errors are the same with ``orjson`` and without."""

import dataclasses
import enum
import json
import math
import random
import re
import sys
import time
import uuid
from collections import Counter, OrderedDict
from datetime import datetime, timezone
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, Callable, Iterator, Tuple
from unittest.mock import Mock

import pytest

from ocppj import EncodingError
from ocppj.payloads import jsontext
from tests.helpers import seconds


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    yield
    jsontext.use_orjson(True)


def outcome(function: Callable[[Any], Any], value: Any) -> Tuple[str, Any]:
    try:
        return "value", function(value)
    except (EncodingError, ValueError, RecursionError) as error:
        return "error", type(error)


def same(one: Any, other: Any) -> bool:
    """Tell whether two values are equal, types and the sign of zero included."""
    return repr(one) == repr(other)


def both(function: Callable[[Any], Any], value: Any) -> Tuple[Tuple[str, Any], Tuple[str, Any]]:
    """Return the result with ``orjson`` and the one without."""
    jsontext.use_orjson(True)
    fast = outcome(function, value)
    jsontext.use_orjson(False)
    return fast, outcome(function, value)


TEXTS = [
    "1e400 -1e400 1e-400 1.7976931348623159e308 5e-324 -0 -0.0 0e1 1E2 1e23 9007199254740993.0 21.4 1.0",
    "9223372036854775807 9223372036854775808 18446744073709551615 18446744073709551616 -9223372036854775809",
    "123456789012345678901234567890 1234567890123456789.5 0.1234567890123456789 1" + "0" * 5000,
    'NaN Infinity -Infinity 1. .5 01 +1 tru null {"a":1,"a":2} "\\ud800" "\\ud83d\\ude00" "\\u0000" "\t" "\x7f" "\\x"',
    '"\u2028" "\ud800" [1,] [1]x \ufeff[1] \x0b[1] \xa0[1] {1:2} {"a"} [] {} "1234567890123456789012345"',
]


@pytest.mark.parametrize("text", ["", *(each for line in TEXTS for each in line.split(" ")), " [1] ", "[1] x"])
@pytest.mark.parametrize("frame", ["{}", '[2,"1","A",{{"b":{}}}]'])
def test_decoding_is_the_same(text: str, frame: str) -> None:
    fast, slow = both(jsontext.decode, frame.format(text))
    assert fast[0] == slow[0]
    assert same(fast[1], slow[1])


@pytest.mark.parametrize("depth", [10, 399, 401, 900, 1020, 1024, 1025, 5000, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_depth_is_the_same(depth: int, opening: str, closing: str) -> None:
    fast, slow = both(jsontext.decode, opening * depth + "1" + closing * depth)
    assert fast[0] == slow[0]


def test_decoding_many_damaged_texts_is_the_same() -> None:
    chance = random.Random(7)
    frame = json.dumps(
        [2, "id-1", "MeterValues", {"a": [{"t": "2026-01-02T03:04:05Z", "v": [21.4, -7, 1e3, True, "ü"]}]}]
    )
    read = 0
    for _ in range(5000):
        letters = list(frame)
        for _ in range(chance.choice([1, 1, 2, 3])):
            letters[chance.randrange(len(letters))] = chance.choice('09eE.-+"\\[]{},: nft\u00fc\ud800\x00')
        fast, slow = both(jsontext.decode, "".join(letters))
        assert fast[0] == slow[0] and same(fast[1], slow[1]), "".join(letters)
        read += fast[0] == "value"
    assert 500 < read < 4500


def look(text: str) -> int:
    """Return how deep ``text`` is, character by character, until a bracket closes nothing."""
    level = deepest = 0
    for part in re.sub(r'"(?:[^"\\]|\\.)*"', "", text):
        level += (part in "[{") - (part in "]}")
        deepest = max(deepest, level)
        if level < 0:
            break
    return deepest


@pytest.mark.parametrize(
    ("text", "depth"),
    [
        ("1", 0),
        ("[]", 1),
        ('[2,"1","A",{}]', 2),
        ("[[],[[]],{}]", 3),
        ('["[[[[[[[["]', 1),
        ('["a","","]]","[[",["}"]]', 2),
        (r'["\"",["\\"],"\""]', 2),
        (r'["\"[[[["]', 1),
        (r'["\\",[[1]],"\\"]', 3),
        (r'["\\\"[[[["]', 1),
        (r'{"[":{"\"]":[1]}}', 3),
        ('["\ud800[[[\u20ac"]', 1),
        ("[[[", 3),
        ('[[["[[[[[', 3),
        ("]]][[[[", 0),
    ],
)
def test_the_depth_of_a_text(text: str, depth: int) -> None:
    assert [jsontext.is_deeper(text, limit) for limit in range(6)] == [depth > limit for limit in range(6)]


def test_the_depth_of_many_random_texts() -> None:
    chance = random.Random(3)
    seen = set()
    for _ in range(20_000):
        tokens = [
            chance.choice(["[", "[", "]", "]", "{", "}", ",", "1", "STRING"]) for _ in range(chance.randrange(20))
        ]
        strings = ["".join(chance.choices('[]{}"\\a', k=chance.randrange(6))) for _ in tokens]
        text = "".join(json.dumps(string) if token == "STRING" else token for token, string in zip(tokens, strings))
        depth = look(text)
        seen.add(depth)
        for limit in range(6):
            assert jsontext.is_deeper(text, limit) == (depth > limit), text
    assert seen >= {0, 1, 2, 3, 4}


@pytest.mark.parametrize("depth", [1, 5, 31, 32, 33, 401, 100_000])
def test_the_limit_is_the_same_and_is_checked_before_decoding(depth: int) -> None:
    text = "[" * depth + "1" + "]" * depth
    fast, slow = both(lambda text: jsontext.decode(text, 32), text)
    assert fast == slow
    assert (fast[0] == "value") == (depth <= 32)
    if depth > 32:
        assert fast[1] is jsontext.NestedTooDeeply
        with pytest.raises(jsontext.NestedTooDeeply, match="32"):
            jsontext.decode("[" * depth + "no JSON", 32)


def test_brackets_side_by_side_are_not_deep() -> None:
    assert len(jsontext.decode("[" + ",".join(['{"a":["[[[[["]}'] * 1000) + "]", 3)) == 1000
    assert jsontext.decode('"' + "[" * 1000 + '"', 0) == "[" * 1000


@pytest.mark.parametrize("text", ["[" * 10**6, "]" * 10**6, "[]" * 500_000, '"[' * 500_000, "[" * 31 + "[]" * 400_000])
def test_checking_the_depth_takes_no_longer_than_decoding(text: str) -> None:
    begun = time.process_time()
    jsontext.is_deeper(text, 32)
    assert time.process_time() - begun < seconds(2)


def calls(function: Callable[..., Any], *arguments: Any) -> "Counter[str]":
    """Return how often each function of Python and C is called while ``function`` runs."""
    seen: "Counter[str]" = Counter()

    def profile(frame: Any, event: str, argument: Any) -> None:
        if event == "call":
            seen[frame.f_code.co_name] += 1
        elif event == "c_call":
            seen[argument.__name__] += 1

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        function(*arguments)
    finally:
        sys.setprofile(before)
    return seen


@pytest.mark.parametrize("depth", [33, 100, 4_000])
def test_a_large_limit_of_the_depth_costs_no_more_than_a_small_one(depth: int) -> None:
    deep = "[" * depth + "]" * depth
    assert [jsontext.is_deeper(deep, limit) for limit in (depth - 1, depth, depth + 1)] == [True, False, False]
    assert [jsontext.is_deeper("[]" * 9 + deep[:-1], limit) for limit in (depth - 1, depth)] == [True, False]
    assert calls(jsontext.is_deeper, deep, 5_000)["replace"] < 40, "each goes through the whole text"


def test_a_damaged_text_of_many_strings_is_read_without_a_call_for_each() -> None:
    text = "[\x00" + ",".join(['"a\\"b"', '""'] * 500) + "]"
    assert jsontext.decode_loosely(text) == ['a"b', ""] * 500
    assert sum(calls(jsontext.decode_loosely, text).values()) < 100


class Plain(enum.Enum):
    A = "a"


class Text(str):
    pass


class Real(float):
    pass


@dataclasses.dataclass
class Data:
    a: int = 1


NOON = datetime(2026, 1, 2, 12, tzinfo=timezone.utc)
CYCLE: Any = []
CYCLE.append(CYCLE)


def shown(value: Any) -> str:
    """Return a name for the test of ``value`` that is the same in every process."""
    return re.sub(" at 0x[0-9a-f]+", "", ascii(value))


@pytest.mark.parametrize(
    "value",
    [
        *[math.nan, math.inf, -math.inf, None, "null", {"null": 1}, {1: 2}, {None: 1}, {True: 1}, {1.5: 1}, {(1,): 1}],
        *["\ud800", "\U0001f600", "ü\u2028\x00\x7f", 2**63, 2**64, -(2**63) - 1, 10**30, 1e16, 1e-7, -0.0, 21.4, 100.0],
        *[Plain.A, {"a": Plain.A}, {Plain.A: 1}, uuid.UUID(int=1), Text("x"), {Text("k"): 1}, Real(1.5), (1, (2,))],
        *[OrderedDict(b=1, a=2), NOON, b"x", Decimal(1), Data(), object(), {1, 2}, CYCLE],
    ],
    ids=shown,
)
def test_encoding_is_the_same(value: Any) -> None:
    fast, slow = both(jsontext.encode, [4, "1", value])
    assert fast[0] == slow[0]
    if fast[0] == "value":
        assert same(json.loads(fast[1]), json.loads(slow[1]))
        fast[1].encode("utf-8")


@pytest.mark.parametrize("depth", [10, 250, 256, 800, 100_000])
def test_encoding_deep_values_is_the_same(depth: int) -> None:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    fast, slow = both(jsontext.encode, value)
    assert fast[0] == slow[0]


def test_orjson_is_used_if_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    orjson = pytest.importorskip("orjson", reason="the extra fast is not installed")
    loads, dumps = Mock(side_effect=orjson.loads), Mock(side_effect=orjson.dumps)
    watched = SimpleNamespace(**{**vars(orjson), "loads": loads, "dumps": dumps})
    monkeypatch.setitem(sys.modules, "orjson", watched)
    jsontext.use_orjson(True)
    assert jsontext.encode(jsontext.decode('["x"]')) == '["x"]'
    assert (loads.call_count, dumps.call_count) == (1, 1)
    jsontext.use_orjson(False)
    assert jsontext.encode(jsontext.decode('["x"]')) == '["x"]'
    assert (loads.call_count, dumps.call_count) == (1, 1), "the standard library is used now"


LOOSE = [
    ('{"a":"\x00\x01\n\x1f"}', {"a": "\x00\x01\n\x1f"}),
    ("\ufeff[1]", [1]),
    ("[1]\x00\x00", [1]),
    ('\x00[\x0b"\ufeff"\x7f,\x851]\ufeff', ["\ufeff", 1]),
    ('["\\"\x00\\\\","\x00"]', ['"\x00\\', "\x00"]),
    ("[18446744073709551616,1.5e3]\x00", [18446744073709551616, 1500.0]),
    ('["\\ud800\x00"]', ["\ud800\x00"]),
]


@pytest.mark.parametrize(("text", "value"), LOOSE, ids=range(len(LOOSE)))
def test_control_characters_and_byte_order_marks_are_read_loosely(text: str, value: Any) -> None:
    assert both(jsontext.decode, text)[0][0] == "error"
    fast, slow = both(jsontext.decode_loosely, text)
    assert fast[0] == "value"
    assert same(fast[1], value) and same(slow[1], value)


@pytest.mark.parametrize(
    "text",
    ["", "\x00", "\ufeff", "[1\x00", "tr\x00ue", "[1\x002]", '"\x00', '["\\\x00"]', "[NaN]\x00", "[1]x\x00"],
    ids=range(10),
)
def test_nothing_else_is_read_loosely(text: str) -> None:
    fast, slow = both(jsontext.decode_loosely, text)
    assert (fast[0], slow[0]) == ("error", "error")


@pytest.mark.parametrize(
    "text",
    ["[" * 33 + "]" * 33 + "\x00", "\ufeff" + '{"a":' * 33 + "1" + "}" * 33, "\x00" + "[" * 100_000],
    ids=range(3),
)
def test_a_text_that_is_read_loosely_has_the_same_limit_of_depth(text: str) -> None:
    with pytest.raises(jsontext.NestedTooDeeply, match="32"):
        jsontext.decode_loosely(text, 32)


def test_many_damaged_texts_are_read_loosely_alike_and_as_they_are_if_they_are_valid() -> None:
    chance = random.Random(8)
    frame = json.dumps([2, "id-1", "MeterValues", {"a": [{"t": "2026-01-02T03:04:05Z", "v": [21.4, -7, True, "ü"]}]}])
    read = forgiven = 0
    for _ in range(3000):
        letters = list(frame)
        for _ in range(chance.choice([1, 1, 2, 3])):
            letters.insert(chance.randrange(len(letters) + 1), chance.choice('"\\[]{}, \x00\x01\n\t\x7f\x85\ufeff'))
        text = "".join(letters)
        fast, slow = both(jsontext.decode_loosely, text)
        assert fast[0] == slow[0] and same(fast[1], slow[1]), text
        strict = outcome(jsontext.decode, text)
        assert strict[0] == "error" or same(strict, fast), text
        read += fast[0] == "value"
        forgiven += (fast[0], strict[0]) == ("value", "error")
    assert read > 1000 and forgiven > 500


@pytest.mark.parametrize(
    "text",
    ['\x00["' + "\\" * 500_001, "\x00" + '"\\' * 300_000, "\x00" * 1_000_000, '\x00["' + '\\"' * 500_000],
    ids=range(4),
)
def test_a_hostile_text_takes_no_longer_loosely(text: str) -> None:
    start = time.monotonic()
    assert outcome(jsontext.decode_loosely, text)[0] == "error"
    assert time.monotonic() - start < seconds(3)
