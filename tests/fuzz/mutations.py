"""Payloads that are valid for a schema, and ways to change them."""

import copy
import random
from typing import Any, Callable, Dict, List, Tuple

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.versions.strategies import payloads

_ODD_NUMBERS = [0, -1, 1.0, 1.5, -0.0, 21.4, 21.44, 1e-7, 0.30000000000000004, 100.0, 100.1, 1e300, 2**53 + 1, 2**63]
_ODD_NUMBERS += [2**64, -(2**63) - 1, 10**30, -(10**30), 5e-324, 3, 3.0, 4]
_ODD_TEXTS = [
    "",
    "x",
    "\ud800",
    "\U0001f600" * 20,
    "Available ",
    "accepted",
    "x" * 21,
    "x" * 10_001,
    "0",
    "null",
    "\x00",
]
_ODD_DATES = [
    "2026-01-02T03:04:05",
    "2026-01-02",
    "2026-01-02T03:04:05+0100",
    "2026-01-02T03:04:05.123456789Z",
    "2016-12-31T23:59:60Z",
    "2026-02-30T03:04:05Z",
    "2026-01-02T24:00:00Z",
    "2026-01-02 03:04:05Z",
    "2026-01-02t03:04:05z",
    "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:60Z",
    "2026-01-02T03:04:05-23:59",
    "2026-01-02T03:04:05+24:00",
    "\u0662026-01-02T03:04:05Z",
    "2026-01-02T03:04:05Z\n",
]
_OTHERS: List[Any] = [None, True, False, {}, [], {"a": 1}, [1], [None], [[]], "text", 7, 7.5]

Place = Tuple[Any, Any]  # a dict or a list, and a key or an index of it


def samples(schema: Dict[str, Any], count: int, number: int) -> List[Any]:
    """Return about ``count`` payloads that are valid for ``schema``. The same ``number`` gives the same payloads."""
    found: List[Any] = []

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(payloads(schema, schema))
    def collect(payload: Any) -> None:
        found.append(payload)

    collect()
    return found


def _places(value: Any) -> List[Place]:
    found: List[Place] = []
    waiting = [value]
    while waiting:
        each = waiting.pop()
        keys = list(each) if isinstance(each, dict) else range(len(each)) if isinstance(each, list) else ()
        for key in keys:
            found.append((each, key))
            waiting.append(each[key])
    return found


def _replace(choose: Callable[[random.Random, Any], Any]) -> Callable[[random.Random, Any, Any], None]:
    def mutate(random: random.Random, holder: Any, key: Any) -> None:
        holder[key] = choose(random, holder[key])

    return mutate


def _other(random: random.Random) -> Any:
    return copy.deepcopy(random.choice(_OTHERS))


def _drop(random: random.Random, holder: Any, key: Any) -> None:
    del holder[key]


def _add(random: random.Random, holder: Any, key: Any) -> None:
    if isinstance(holder, dict):
        holder[random.choice(["foo", "", "customData", "status", "\ud800", str(key).upper()])] = _other(random)
    else:
        holder.append(random.choice([_other(random), copy.deepcopy(holder[key])]))


def _rename(random: random.Random, holder: Any, key: Any) -> None:
    if isinstance(holder, dict):
        name = random.choice([key.upper(), key + "s", key[:1].swapcase() + key[1:]])
        holder[name] = holder.pop(key)


def _lengthen(random: random.Random, value: Any) -> Any:
    if isinstance(value, str):
        return ((value or "x") * random.choice([2, 60, 3000]))[:12_000]
    return (value * random.choice([2, 10]))[:30] if isinstance(value, list) else [value]


def _shorten(random: random.Random, value: Any) -> Any:
    return value[: len(value) // random.choice([2, 100])] if isinstance(value, (str, list)) else value


_MUTATIONS = [
    _drop,
    _add,
    _rename,
    _replace(lambda random, value: _other(random)),
    _replace(lambda random, value: None),
    _replace(lambda random, value: random.choice(_ODD_NUMBERS)),
    _replace(lambda random, value: random.choice(_ODD_TEXTS)),
    _replace(lambda random, value: random.choice(_ODD_DATES)),
    _replace(_lengthen),
    _replace(_shorten),
    _replace(lambda random, value: float(value) if type(value) is int and abs(value) < 2**60 else str(value)),
    _replace(lambda random, value: random.choice([[value], {"a": value}, {"value": [value]}])),
]


def mutated(random: random.Random, payload: Dict[str, Any]) -> Dict[str, Any]:
    """Return a copy of ``payload`` with one to three changes. It may break its schema."""
    changed: Dict[str, Any] = copy.deepcopy(payload)
    for _ in range(random.choice([1, 1, 1, 1, 1, 2, 3])):
        places = _places(changed)
        if not places:
            changed["foo"] = _other(random)
            continue
        holder, key = random.choice(places)
        random.choice(_MUTATIONS)(random, holder, key)
    return changed
