"""The short way of ordinary messages and the long way say the same of every frame, in every mode and version.

``OCPPJ_FUZZ_SEED`` chooses other frames than those of every run.
"""

import os
import random
from typing import Any, Iterator, List, Optional, Tuple

import pytest

from ocppj import (
    Call,
    MessageError,
    Payload,
    PendingRequestState,
    Send,
    UsageError,
    Validation,
    ValidationError,
    v16,
    v21,
    v201,
)
from ocppj.payloads.lenient import read_leniently
from ocppj.rpc.dialect import DIALECTS, Dialect
from ocppj.rpc.features import Feature
from ocppj.rpc.messages import parse_json_message, write_json
from ocppj.rpc.ordinary import OrdinaryMessages
from ocppj.rpc.validation import use_accelerators
from tests.fuzz.mutations import mutated, samples
from tests.versions.strategies import ROOT, load

SEED = int(os.environ.get("OCPPJ_FUZZ_SEED", "20260102"))
PROFILES = [*v16.PROFILES, *v201.PROFILES, *v21.PROFILES]
IDS = ["i" * 36, "i" * 37, "", "\ud800", "\ud800" * 36, "2", 7, None, ["1"], True]
ACTIONS = ["Nothing", "Reset-Signed", "Heartbeat", 7, None, ["Reset"]]
PAYLOADS: List[Any] = [None, [], 7, "x", {"signature": "x"}]
SIGNED = {"payload": "e30", "protected": "e30", "signature": "AA"}
MODES = [
    "strict",
    Validation(outgoing="off"),
    "warn",
    "off",
    Validation("off", outgoing="warn", actions={"Heartbeat": "strict", "BootNotification": "strict", "Reset": "warn"}),
]


def seen(value: Any) -> Any:
    """Return what there is to see of ``value``, with the types of all that is inside."""
    if isinstance(value, list):
        return [seen(each) for each in value]
    inside = getattr(value, "__dict__", None) if isinstance(value, (Payload, Call, MessageError)) else None
    if inside is not None or hasattr(value, "unique_id"):
        return type(value), {name: seen(each) for name, each in sorted(vars(value).items()) if name != "wire_payload"}
    return type(value), repr(value)


def number(chance: random.Random, usual: int) -> Any:
    return chance.choice([usual] * 12 + [float(usual), True, str(usual), 2, 3, 4, 5, 6, -2, usual + 0.5, None, 2**70])


def frames(chance: random.Random, dialect: Dialect, folder: str) -> Iterator[Tuple[Feature, bool, List[Any]]]:
    """Yield features, whether the frame is an answer, and the frame's elements."""
    features = {feature.name: feature for profile in PROFILES if profile.dialect is dialect for feature in profile}
    for place, path in enumerate(sorted((ROOT / "ocppj" / folder / "schemas").glob("*.json"))):
        name, answer = path.stem, path.stem.endswith("Response")
        feature = features[
            name[: -len("Response")] if answer else name[: -len("Request")] if name[-7:] == "Request" else name
        ]
        whole = [{}, *samples(load(path), 1, SEED + place)]
        for count in range(4):
            payload = mutated(chance, chance.choice(whole)) if count else whole[-1]
            if chance.random() < 0.05:
                payload = chance.choice([*PAYLOADS, {**whole[-1], **SIGNED}, {**whole[-1], **SIGNED}])
            message_id = chance.choice(["1"] * 20 + IDS)
            usual = 3 if answer else 2 if feature.response_type else chance.choice([2, 6])
            action = [] if answer else [chance.choice([feature.name] * 20 + ACTIONS)]
            frame = [number(chance, usual), message_id, *action, payload]
            if chance.random() < 0.05:
                frame = chance.choice([frame[:-1], [*frame, {}]])
            yield feature, answer, frame


def long_way(endpoint: OrdinaryMessages, frame: List[Any], pending: Any, dialect: Dialect) -> Any:
    try:
        return endpoint.parse_message(frame, pending, dialect)
    except MessageError as error:
        return error


def answered(endpoint: OrdinaryMessages, feature: Feature, payload: Any, dialect: Dialect) -> bool:
    """See that the answer of ``payload`` is written alike on both ways; tell whether there was a short one."""
    kind: Any = feature.response_type
    if kind is None or not isinstance(payload, dict):
        return False
    try:
        response = kind.from_wire(payload)
    except ValidationError:
        response = read_leniently(kind, payload)
    call = Call("1", feature.name, {})
    text = endpoint._result_text(call, response, dialect)
    told: Optional[str]
    try:
        told = endpoint.create_call_result(response, "1", dialect, feature.name).to_json()
    except UsageError:
        told = None
    assert text is None or text == told
    return text is not None


@pytest.fixture(params=[True, False], ids=["fast", "plain"])
def accelerators(request: Any) -> Iterator[None]:
    use_accelerators(request.param)
    yield
    use_accelerators(True)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("dialect", "folder"), list(zip(DIALECTS, ("v16", "v201", "v21"))), ids=["v16", "v201", "v21"])
def test_both_ways_lead_to_the_same(accelerators: None, dialect: Dialect, folder: str) -> None:
    print(f"OCPPJ_FUZZ_SEED={SEED}")
    endpoints = [OrdinaryMessages(PROFILES, validate=mode) for mode in MODES]
    total = calls = results = texts = 0
    for feature, answer, elements in frames(random.Random(SEED), dialect, folder):
        frame = parse_json_message(write_json(elements))
        pending = PendingRequestState()
        if answer:
            pending.add("1", object.__new__(feature.request_type))
        for endpoint in endpoints:
            endpoint._read_types(dialect)
            call, result = endpoint._read_call(frame, dialect), endpoint._read_result(frame, pending, dialect)
            assert call is None or result is None
            told = seen(long_way(endpoint, frame, pending, dialect))
            assert call is None or seen(call) == told
            assert result is None or seen(result) == told
            assert not isinstance(call, Send)
            total += 1
            calls += call is not None
            results += result is not None
            texts += answer and answered(endpoint, feature, elements[-1], dialect)
    print(f"{total} frames, of which short: {calls} calls, {results} results, {texts} texts")
    assert min(calls, results, texts) > total * 0.01
    assert calls + results < total * 0.9
