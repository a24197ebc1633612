"""The fault that is named is the same that ``jsonschema`` finds when it lists all faults (`tests.fuzz.reference`).

``OCPPJ_FUZZ_SEED`` chooses other payloads. ``OCPPJ_FUZZ_FAULTS`` is the number of payloads in each part of the test.
"""

import copy
import os
import random
from typing import Any, Callable, Dict, Iterator, List

import pytest

from ocppj import Feature, ValidationError, v16
from ocppj.rpc import fault_search
from ocppj.rpc.accelerated import simplify_schema
from ocppj.rpc.compiled import compile_check
from ocppj.rpc.fault_search import Part
from ocppj.rpc.faults import CODES
from ocppj.rpc.validation import check_payload, forgive_and_check, forgive_payload, use_accelerators
from tests.fuzz.mutations import mutated, samples
from tests.fuzz.reference import Verdict, find_fault
from tests.versions.strategies import ROOT, load

SEED = int(os.environ.get("OCPPJ_FUZZ_SEED", "20260102"))
COUNT = int(os.environ.get("OCPPJ_FUZZ_FAULTS", "1000"))
PARTS = 4
PATHS = sorted(ROOT.glob("ocppj/v*/schemas/*.json"))
#: A schema with this has one more rule, which all payloads keep, and which only ``jsonschema`` reads.
MORE: Dict[str, Any] = {"not": {"type": "array"}}


@pytest.fixture(params=["with few items", "with many items"], autouse=True)
def lists(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """With many items, code that is made for the schema says which of them may have a better fault.

    Without accelerators, it says also where the first one is.
    """
    if request.param == "with many items":
        monkeypatch.setattr(fault_search, "FEW_ITEMS", 0)
        use_accelerators(False)
    yield
    use_accelerators(True)


class Ways:
    """All ways to the fault of a payload for one schema, and the reference."""

    def __init__(self, schema: Dict[str, Any]) -> None:
        simple = simplify_schema(schema)
        assert simple is not None
        assert simplify_schema({**schema, **MORE}) is None
        self.schema = schema
        self.is_plain = simple.is_plain
        self._part = Part(simple.schema)
        self._check = compile_check("Any", simple.schema)
        self._feature = Feature("Any", v16.ResetRequest, None, schema)
        self._other = Feature("Any", v16.ResetRequest, None, {**schema, **MORE})

    def compare(self, payload: Any) -> bool:
        """Hold all ways against the reference. Return whether there is a fault."""
        expected = find_fault(self.schema, payload)
        where = (self.schema.get("$id", self.schema), payload)
        assert named(self._feature, payload) == named(self._feature, payload, was_tried=True) == expected, where
        assert self._part.is_valid(payload) == bool(self._check(payload)) == (expected is None), where
        mended, found = forgive_payload(self._feature, False, payload)
        forgiven = find_fault(self.schema, mended) if found else expected
        assert (
            expected is None
            or named(self._feature, payload, forgive_and_check, refusal=self._check(payload)) == forgiven
        ), where
        if len(repr(payload)) % 4 == 0:
            assert named(self._other, payload) == expected, where
        return expected is not None


def named(feature: Feature, payload: Any, check: Callable[..., object] = check_payload, **options: Any) -> Verdict:
    """Return what ``check`` names, in the form of the reference."""
    try:
        check(feature, False, payload, **options)
    except ValidationError as error:
        return CODES.index(error.code), error.path, error.description
    return None


def crowded(chance: random.Random, value: Any) -> Any:
    """Return a copy of ``value`` with several faults in each list and object, so that many are alike."""
    if isinstance(value, dict):
        kept = {name: crowded(chance, each) for name, each in value.items() if chance.random() < 0.9}
        return {**kept, **({chance.choice("xyz"): 1} if chance.random() < 0.1 else {})}
    if isinstance(value, list):
        items = [crowded(chance, each) for each in value for _ in range(chance.choice([1, 2, 3]))]
        return [] if chance.random() < 0.2 else [*items, *chance.sample([{}, None, 1, "x", [], {"x": {}}], 2)]
    return chance.choice([value] * 8 + [None, 1.5, "x" * 70, [[]], {"a": 1}, "2026-01-02T03:04:05"])


def broken(chance: random.Random, payload: Any) -> Any:
    changed = payload
    for _ in range(chance.choice([1, 2, 4, 8])):
        changed = mutated(chance, changed)
    changed = crowded(chance, changed) if chance.random() < 0.5 else changed
    if chance.random() < 0.2:  # another order of the properties
        changed = dict(chance.sample(list(changed.items()), len(changed)))
    return changed


@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", range(PARTS))
def test_the_fault_is_that_of_the_reference(part: int) -> None:
    """In the bundled schemas, with and without forgiving, and when ``jsonschema`` reads the schema."""
    print(f"OCPPJ_FUZZ_SEED={SEED}")
    chance, seen, at_fault = random.Random(SEED + part), 0, 0
    paths = PATHS[part::PARTS]
    chance.shuffle(paths)
    while seen < COUNT:
        schema = load(paths.pop())
        ways = Ways(schema)
        assert ways.is_plain
        whole = [{}, *samples(schema, 4, SEED)]
        for _ in range(-(-COUNT // len(PATHS[part::PARTS]))):
            at_fault += ways.compare(broken(chance, chance.choice(whole)))
            seen += 1
    assert seen * 0.5 < at_fault < seen


# Schemas with the keywords that only a program's own schemas have


def make_schema(chance: random.Random, depth: int = 0) -> Dict[str, Any]:
    kind = chance.choice(["object", "array"]) if depth < 2 else chance.choice(["string", "number", "integer", "list"])
    if kind == "object":
        names = chance.sample("abcdef", 4)
        parts = {name: make_schema(chance, depth + 1) for name in names}
        required = chance.sample(names, 2) + chance.sample("abcdefgh", 1)
        rules = {"properties": parts, "required": list(dict.fromkeys(required))}
        rules["additionalProperties"] = chance.random() < 0.3
    elif kind == "array":
        rules = {"items": make_schema(chance, depth + 1), "minItems": 1, "maxItems": chance.choice([2, 3, 9])}
        rules["uniqueItems"] = chance.random() < 0.5
    elif kind == "string":
        rules = {"minLength": 2, "maxLength": 3, "pattern": "^[a-z]+$", "enum": ["ab", "abc", "zz", 7]}
    elif kind == "list":
        rules = {"enum": [1, True, None, "x", 2.5]} if chance.random() < 0.5 else {"const": chance.choice([1, "ab", 0])}
        kind = ""
    else:
        rules = {"minimum": -1, "maximum": 3, "exclusiveMinimum": -1, "exclusiveMaximum": 3.5, "multipleOf": 0.5}
    for keyword in list(rules):
        if keyword not in ("properties", "items") and chance.random() < 0.3:
            del rules[keyword]
    if kind and chance.random() < 0.8:
        rules["type"] = chance.choice([kind, [kind, "null"], list({kind: 1, "string": 1, "boolean": 1})])
    return rules


LEAVES: List[Any] = ["ab", "abc", "a", "zzzz", "B1", "", 1, 1.0, True, False, 0, -1, 3, 3.5, 0.25, 7, None, [], {}]


def make_value(chance: random.Random, schema: Dict[str, Any], depth: int = 0) -> Any:
    if "properties" in schema and chance.random() < 0.9:
        parts = schema["properties"]
        names = [name for name in "abcdefgx" if chance.random() < (0.8 if name in parts else 0.05)]
        chance.shuffle(names)
        return {name: make_value(chance, parts.get(name, {}), depth + 1) for name in names}
    if "items" in schema and chance.random() < 0.9:
        items = [make_value(chance, schema["items"], depth + 1) for _ in range(chance.choice([0, 1, 2, 4]))]
        return items + copy.deepcopy(items[:1]) if chance.random() < 0.3 else items
    return chance.choice(LEAVES)


@pytest.mark.timeout(600)
def test_the_fault_in_a_programs_own_schema_is_that_of_the_reference() -> None:
    chance, at_fault, plain = random.Random(SEED), 0, 0
    for _ in range(COUNT // 10):
        schema = {"$schema": "http://json-schema.org/draft-06/schema#", **make_schema(chance), "type": "object"}
        ways = Ways(schema)
        plain += ways.is_plain
        for _ in range(20):
            payload = make_value(chance, schema)
            at_fault += isinstance(payload, dict) and ways.compare(payload)
    assert at_fault > COUNT / 2
    assert plain < COUNT / 10
