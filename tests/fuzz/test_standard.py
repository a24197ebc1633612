"""The verdicts of ``strict`` and ``standard``, held against that of the schema alone, in every version.

``OCPPJ_FUZZ_SEED`` chooses other payloads than those of every run.
"""

import os
import random
import re
from typing import Any, Iterator, List, Optional, Tuple

import pytest

from ocppj import Call, Endpoint, MessageError, PendingRequestState, ValidationError, v16, v21, v201
from ocppj.payloads.datetimes import parse_datetime
from ocppj.rpc.dialect import DIALECTS, Dialect
from ocppj.rpc.features import Feature
from ocppj.rpc.validation import check_payload, use_accelerators
from tests.fuzz.mutations import mutated, samples
from tests.versions.strategies import ROOT, load

SEED = int(os.environ.get("OCPPJ_FUZZ_SEED", "20260102"))
PROFILES = [*v16.PROFILES, *v201.PROFILES, *v21.PROFILES]
#: The properties that the text of OCPP has rules for.
RULED = {"connectorId", "stackLevel", "chargingSchedulePeriod", "sampledValue", "evseId", "severity"}
RULED |= {"chargingPriority", "attributeValue", "id"}
Verdict = Optional[Tuple[Any, str, str]]


@pytest.fixture(params=[True, False], ids=["fast", "plain"])
def accelerated(request: Any) -> Iterator[bool]:
    use_accelerators(request.param)
    yield request.param
    use_accelerators(True)


def requests(dialect: Dialect, folder: str) -> Iterator[Tuple[Feature, Any]]:
    """Yield a feature and a JSON object for its request, many times. Most objects break the schema somewhere."""
    chance = random.Random(SEED)
    features = {feature.name: feature for profile in PROFILES if profile.dialect is dialect for feature in profile}
    for place, path in enumerate(sorted((ROOT / "ocppj" / folder / "schemas").glob("*Request.json"))):
        feature = features[path.stem[: -len("Request")]]
        for payload in samples(load(path), 2, SEED + place):
            for changes in range(4):
                changed = payload
                for _ in range(changes):
                    changed = mutated(chance, changed)
                changed = spoilt(chance, changed) if chance.random() < 0.5 else changed
                if isinstance(changed, dict):
                    yield feature, changed


def spoilt(chance: random.Random, value: Any) -> Any:
    """Return ``value`` with some of the faults that are forgiven."""
    if isinstance(value, dict):
        more = {chance.choice(["customData", "statusInfo", "transactionId"]): None} if chance.random() < 0.1 else {}
        return {**more, **{name: spoilt(chance, each) for name, each in value.items()}}
    if isinstance(value, list):
        return [] if chance.random() < 0.1 else [spoilt(chance, each) for each in value]
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT.*", value):
        return chance.choice([value.replace("Z", ""), value.replace("T", " "), value.replace("-", "").replace(":", "")])
    if isinstance(value, float):
        return value * (1 + 1e-8)
    return value


def mended(value: Any, part: Any, root: Any) -> Any:
    """Return ``value`` without anything that may be forgiven; ``part`` is its schema, in ``root``.

    It mends too much: what the schema would allow, too. What is required is never left out.
    """
    if "$ref" in part:
        part = root["definitions"][part["$ref"].rpartition("/")[2]]
    if isinstance(value, dict):
        parts, required = part.get("properties", {}), part.get("required", ())
        return {
            name: mended(each, parts.get(name, {}), root)
            for name, each in value.items()
            if name in required or not (each is None or each == [])
        }
    if isinstance(value, list):
        return [mended(each, part.get("items", {}), root) for each in value]
    if isinstance(value, str) and re.match(r"\d{4}-?\d\d-?\d\d[Tt ]\d\d", value) and not is_rfc(value):
        return "2026-01-02T03:04:05Z"
    if isinstance(value, float) and abs(value) < 1e15:
        return round(value, 1) if abs(round(value, 1) - value) < 1e-6 * abs(value) else value
    return value


def is_rfc(text: str) -> bool:
    try:
        parse_datetime(text)
    except ValueError:
        return False
    return True


def check(feature: Feature, payload: Any) -> Verdict:
    """Return the verdict of the schema alone."""
    try:
        check_payload(feature, False, payload, False)
    except ValidationError as error:
        return error.code, error.path, error.description
    return None


def read(endpoint: Endpoint, feature: Feature, payload: Any, dialect: Dialect) -> Tuple[Verdict, Any]:
    number = 6 if feature.response_type is None else 2
    try:
        message = endpoint.parse_message([number, "1", feature.name, payload], PendingRequestState(), dialect)
    except MessageError as error:
        cause: Any = error.__cause__
        return (error.code, cause.path, error.description), None
    assert isinstance(message, Call)
    return None, message.payload


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("dialect", "folder"), list(zip(DIALECTS, ("v16", "v201", "v21"))), ids=["v16", "v201", "v21"])
def test_strict_and_standard_differ_from_the_schema_only_where_they_say_so(
    accelerated: bool, dialect: Dialect, folder: str
) -> None:
    strict, standard = Endpoint(PROFILES, validate="strict"), Endpoint(PROFILES, validate="standard")
    kinds: List[str] = []
    for feature, payload in requests(dialect, folder):
        schema = check(feature, payload)
        root: Any = feature.request_schema
        root = root() if callable(root) else root
        clean = mended(payload, root, root)
        of_strict, message = read(strict, feature, payload, dialect)
        of_standard, forgiven = read(standard, feature, payload, dialect)
        if of_strict != schema:
            last = re.split(r"[.\[]", of_strict[1].rstrip("]0123456789["))[-1] if of_strict else ""
            assert last in RULED, "strict adds the rules of the text alone"
            kinds.append("ruled")
        elif message is not None:
            assert message == forgiven == feature.request_type.from_wire(payload)
            kinds.append("valid")
        if schema is None:
            assert of_standard is None, "standard refuses nothing that the schema allows"
        elif of_standard is None:
            assert check(feature, clean) is None, "standard forgives nothing else"
            kinds.append("forgiven")
        elif repr(clean) == repr(payload):
            assert of_standard == schema, "the verdict is the same where there is nothing to forgive"
            kinds.append("refused")
    assert {"valid", "forgiven", "refused"} <= set(kinds)
    assert folder != "v16" or "ruled" in kinds
