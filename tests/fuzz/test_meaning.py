"""What `Endpoint` makes of frames, held against the verdict of ``jsonschema``, in every mode and version.

``OCPPJ_FUZZ_SEED`` chooses other frames than those of every run.
"""

import json
import os
import random
from collections import Counter
from typing import Any, Dict, Iterator, List, Optional

import pytest

from ocppj import (
    Call,
    CallResult,
    Endpoint,
    ErrorCode,
    MessageError,
    PendingRequestState,
    Send,
    UsageError,
    Validation,
    ValidationError,
    v16,
    v21,
    v201,
)
from ocppj.payloads.datetimes import parse_datetime
from ocppj.payloads.lenient import decode_leniently
from ocppj.rpc.dialect import DIALECTS, Dialect
from ocppj.rpc.features import Feature
from ocppj.rpc.messages import parse_json_message, write_json
from ocppj.rpc.validation import check_payload, forgive_payload, use_accelerators
from tests.fuzz.mutations import mutated, samples
from tests.versions.strategies import ROOT, load

SEED = int(os.environ.get("OCPPJ_FUZZ_SEED", "20260102"))
PROFILES = [*v16.PROFILES, *v201.PROFILES, *v21.PROFILES]
IDS = ["i" * 36, "i" * 37, "", "\ud800", "\ud800" * 36, "2", 7, None, ["1"], True]
ACTIONS = ["Nothing", "Reset-Signed", "Heartbeat", 7, None, ["Reset"]]
PAYLOADS: List[Any] = [None, [], 7, "x", {"signature": "x"}]
SIGNED = {"payload": "e30", "protected": "e30", "signature": "AA"}
MODES = [
    Validation(),
    Validation("strict", "strict"),
    Validation("strict", outgoing="off"),
    Validation("warn", "warn"),
    Validation("off", "off"),
    Validation("off", outgoing="warn", actions={"Heartbeat": "strict", "BootNotification": "strict", "Reset": "warn"}),
]


class Case:
    """A frame about ``feature``: an answer, or a CALL or SEND."""

    def __init__(self, feature: Feature, answer: bool, elements: List[Any]) -> None:
        self.feature = feature
        self.answer = answer
        self.frame: List[Any] = parse_json_message(write_json(elements))
        self.pending = PendingRequestState()
        if answer:
            self.pending.add("1", object.__new__(feature.request_type))
        self.kind: Any = CallResult if answer else Call if feature.response_type else Send
        payload = self.frame[-1] if self.frame else None
        self.payload: Any = {} if payload is None else payload
        mended = self.payload
        if isinstance(mended, dict):
            mended, _ = forgive_payload(feature, answer, mended)
        self.faults = {"strict": self._fault(self.payload), "standard": self._fault(mended, False)}

    def _fault(self, payload: Any, with_text_rules: bool = True) -> Optional[ErrorCode]:
        """Return the code of the fault of the payload. Call it when the accelerators are off."""
        try:
            check_payload(self.feature, self.answer, payload, with_text_rules)
        except ValidationError as error:
            return error.code
        return None

    def fault(self, mode: str) -> Optional[ErrorCode]:
        """Return the code of the fault for which that mode refuses the payload."""
        return self.faults["strict"] if not isinstance(self.payload, dict) else self.faults.get(mode)

    @property
    def usual(self) -> bool:
        """Whether the frame is valid except for its payload."""
        number = {CallResult: 3, Call: 2, Send: 6}[self.kind]
        head = [number, "1"] if self.answer else [number, self.frame[1], self.feature.name]
        readable = len(self.frame) > 1 and isinstance(self.frame[1], str) and 1 <= len(self.frame[1]) <= 36
        signed = isinstance(self.payload, dict) and SIGNED.keys() <= self.payload.keys()
        return readable and repr(self.frame[:-1]) == repr(head) and not (signed and self.answer)


def number(chance: random.Random, usual: int) -> Any:
    return chance.choice([usual] * 60 + [float(usual), True, str(usual), 2, 3, 4, 5, 6, -2, usual + 0.5, None, 2**70])


def cases(chance: random.Random, dialect: Dialect, folder: str) -> Iterator[Case]:
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
            message_id = chance.choice(["1"] * 80 + IDS)
            usual = 3 if answer else 2 if feature.response_type else chance.choice([2, 6])
            action = [] if answer else [chance.choice([feature.name] * 60 + ACTIONS)]
            frame = [number(chance, usual), message_id, *action, payload]
            if chance.random() < 0.05:
                frame = chance.choice([frame[:-1], [*frame, {}]])
            yield Case(feature, answer, frame)


def parsed(endpoint: Endpoint, case: Case, frame: List[Any], dialect: Dialect) -> Any:
    try:
        return endpoint.parse_message(frame, case.pending, dialect)
    except MessageError as error:
        return error


def alike(one: Any, other: Any) -> bool:
    """Tell whether two JSON values mean the same. A date-time has several forms."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, str) and isinstance(other, str) and one != other:
        return parse_datetime(one) == parse_datetime(other)
    return bool(one == other)


def judge(endpoint: Endpoint, mode: str, case: Case, dialect: Dialect) -> str:
    """Check that a frame is parsed correctly. Return the result."""
    told = parsed(endpoint, case, case.frame, dialect)
    if isinstance(told, (Call, CallResult)):
        assert case.fault(mode) is None or not case.usual, "an invalid payload is refused"
        assert type(told) is case.kind or not case.usual
        assert type(case.frame[0]) is int
        assert case.frame[:2] == [told.message_type_id, told.unique_id]
        if isinstance(told, Call):
            profile = endpoint.get_profile_for_feature(told.action, dialect)
            feature = profile.get_feature(told.action) if profile is not None else None
            assert feature is not None
            assert isinstance(told, Send) == (feature.response_type is None)
            assert type(told.payload) is feature.request_type
        if mode == "strict" and case.usual:
            text = told.to_json()
            again = parsed(endpoint, case, json.loads(text), dialect)
            assert (type(again), again) == (type(told), told)
            assert again.to_json() == text
            assert alike(json.loads(text), [*case.frame[:-1], case.payload])
        return "read"
    if case.usual:
        refused = case.fault(mode)
        assert refused is not None, "a payload that is valid, or need not be, is accepted"
        assert told.code is refused
        assert (told.message_id, told.answerable) == (case.frame[1], case.kind is Call)
    return "refused" if told is not None else "ignored"


def answered(endpoint: Endpoint, mode: str, case: Case, dialect: Dialect) -> str:
    """Check that an answer with the payload of ``case`` is created if it may be. Return the result."""
    kind: Any = case.feature.response_type
    if not case.answer or not isinstance(case.frame[-1], dict):
        return "no answer"
    try:
        response = kind.from_wire(case.payload)
    except ValidationError:
        response = decode_leniently(kind, case.payload)
    try:
        data: Dict[str, Any] = response.to_wire()
        check_payload(case.feature, True, data)
        may = True
    except ValidationError:
        may = mode in ("warn", "off")
    except UsageError:
        may = False
    try:
        text = endpoint.create_call_result(response, "1", dialect, case.feature.name).to_json()
    except UsageError:
        assert not may
        return "not written"
    assert may
    assert json.loads(text) == [3, "1", json.loads(write_json(data))]
    return "written"


@pytest.fixture(params=[True, False], ids=["fast", "plain"])
def accelerated(request: Any) -> Iterator[bool]:
    yield request.param
    use_accelerators(True)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("dialect", "folder"), list(zip(DIALECTS, ("v16", "v201", "v21"))), ids=["v16", "v201", "v21"])
def test_frames_are_parsed_as_jsonschema_decides(accelerated: bool, dialect: Dialect, folder: str) -> None:
    print(f"OCPPJ_FUZZ_SEED={SEED}")
    use_accelerators(False)
    all_cases = list(cases(random.Random(SEED), dialect, folder))
    use_accelerators(accelerated)
    endpoints = [(Endpoint(PROFILES, validate=mode), mode) for mode in MODES]
    seen: "Counter[str]" = Counter()
    for case in all_cases:
        for endpoint, validation in endpoints:
            seen[judge(endpoint, validation.mode(case.feature.name, True), case, dialect)] += 1
            seen[answered(endpoint, validation.mode(case.feature.name, False), case, dialect)] += 1
        seen["usual"] += case.usual
    print(dict(seen))
    total = len(all_cases)
    assert seen["usual"] > total * 0.6
    assert min(seen[each] for each in ("read", "refused", "written", "not written")) > total * 0.1
    assert seen["ignored"] > 0
