"""``jsonschema-rs`` and the faster checks of this library have the same results as ``jsonschema``.

``OCPPJ_FUZZ_SEED`` chooses other payloads. ``OCPPJ_FUZZ_PAYLOADS`` is the least number of payloads. With a smaller
number only a share of the schemas is tested, a different one on each version of Python.
"""

import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import pytest

from ocppj import Feature, ValidationError, v16
from ocppj.rpc.accelerated import build_quick_check, simplify_schema
from ocppj.rpc.validation import check_payload, get_quick_check, use_accelerators
from tests.fuzz.mutations import mutated, samples
from tests.versions.strategies import ROOT, load

SEED = int(os.environ.get("OCPPJ_FUZZ_SEED", "20260102"))
ALL = 20_000
COUNT = int(os.environ.get("OCPPJ_FUZZ_PAYLOADS", ALL))
#: The schemas are checked in so many parts, for several processors.
PARTS = 8
#: Seconds. The test takes 20 seconds of a processor that does nothing else.
TIMEOUT = 600

PATHS = sorted(ROOT.glob("ocppj/v*/schemas/*.json"))


def as_feature(schema: Dict[str, Any]) -> Feature:
    return Feature("Any", v16.ResetRequest, None, schema)


def as_given(schema: Dict[str, Any]) -> Feature:
    """Return a feature for which ``jsonschema`` alone checks payloads, with the unchanged schema."""
    not_plain = {**schema, "not": {"type": "array"}}
    assert simplify_schema(not_plain) is None, "only jsonschema checks it"
    return as_feature(not_plain)


def show(path: Path, payload: Any) -> str:
    return f"{path.parent.parent.name}/{path.stem}: {json.dumps(payload)[:2000]}"


def fault(feature: Feature, payload: Any) -> Optional[Tuple[Any, str, str]]:
    try:
        check_payload(feature, False, payload)
    except ValidationError as error:
        return error.code, error.path, error.description
    return None


def mutate_samples(schema: Dict[str, Any], count: int, number: int) -> List[Any]:
    chance = random.Random(number)
    whole = [{}, *samples(schema, 4, number)]
    return whole + [mutated(chance, chance.choice(whole)) for _ in range(count)]


@pytest.fixture
def accelerators() -> Iterator[None]:
    yield
    use_accelerators(True)


def test_every_bundled_schema_is_plain() -> None:
    assert [path for path in PATHS if simplify_schema(load(path)) is None] == []


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.timeout(TIMEOUT)
def test_all_results_are_the_same(accelerators: None, part: int) -> None:
    if build_quick_check({}, bool, bool) is None:
        pytest.skip("jsonschema-rs 0.49 or newer (the extra fast, from Python 3.10 on) is not installed")
    begun, seen, valid, left = time.monotonic(), 0, 0, 0
    print(f"OCPPJ_FUZZ_SEED={SEED}")
    step = max(1, ALL // COUNT)
    paths = PATHS[sys.version_info[1] % step :: step][part::PARTS]
    count = -(-COUNT // PARTS)
    share = -(-count // len(paths))
    for path in paths:
        schema = load(path)
        feature = as_feature(schema)
        use_accelerators(True)
        quick = get_quick_check(feature, False)
        use_accelerators(False)
        short, exact = get_quick_check(feature, False), get_quick_check(as_given(schema), False)
        for payload in mutate_samples(schema, share, SEED):
            wanted = exact(payload)
            try:
                assert bool(quick(payload)) == wanted, show(path, payload)
            except ValueError:  # a lone surrogate
                left += 1
            assert bool(short(payload)) == wanted, show(path, payload)
            seen += 1
            valid += wanted
    taken = time.monotonic() - begun
    print(f"{seen} payloads, {valid} of them valid, {left} left to jsonschema, {taken:.1f} s")
    assert seen >= count
    assert seen * 0.05 < valid < seen * 0.95
    assert left < seen * 0.05
    assert left or COUNT < ALL, "the quick check is jsonschema-rs: only it cannot handle lone surrogates"


@pytest.mark.timeout(TIMEOUT)
def test_faults_are_described_alike(accelerators: None) -> None:
    told = 0
    for path in PATHS[::3]:
        schema = load(path)
        feature, whole = as_feature(schema), as_given(schema)
        payloads = mutate_samples(schema, 6, SEED + 1)
        use_accelerators(True)
        fast = [fault(feature, payload) for payload in payloads]
        use_accelerators(False)
        slow = [fault(feature, payload) for payload in payloads]
        given = [fault(whole, payload) for payload in payloads]
        assert fast == slow == given
        told += len(fast) - fast.count(None)
    assert told > len(PATHS) / 3
