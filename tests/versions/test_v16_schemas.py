"""The bundled schemas of OCPP 1.6 demand what those of the package ``ocpp`` demand."""

import json
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest
from strategies import ROOT, load, schema_meaning

from ocppj import v16

ocpp = pytest.importorskip("ocpp", reason="the package ocpp needs Python 3.11")

THEIRS = Path(ocpp.__file__).parent / "v16" / "schemas"
OURS = ROOT / "ocppj" / "v16" / "schemas"

#: Where our schema differs from theirs on purpose: message -> the reason, with the erratum that asks for it.
#: There is none: theirs have OCPP-J 1.6 errata 2.1 to 2.6 and 3.2 already, as the tests below show.
DIFFERENT: Dict[str, str] = {}


def their_file(message: str) -> Path:
    return THEIRS / f"{message[: -len('Request')] if message.endswith('Request') else message}.json"


MESSAGES = sorted(path.stem for path in OURS.glob("*.json"))


def test_both_have_the_same_messages() -> None:
    assert len(MESSAGES) == 78
    assert {their_file(message).name for message in MESSAGES} == {path.name for path in THEIRS.glob("*.json")}


@pytest.mark.parametrize("message", MESSAGES)
def test_same_meaning(message: str) -> None:
    ours, theirs = schema_meaning(load(OURS / f"{message}.json")), schema_meaning(load(their_file(message)))
    if message in DIFFERENT:
        assert ours != theirs, f"{message} is listed as different ({DIFFERENT[message]}), and is not"
    else:
        assert ours == theirs


def _mutations() -> List[Any]:
    return [
        pytest.param(lambda s: s["required"].remove("connectorId"), id="required"),
        pytest.param(lambda s: s["properties"]["connectorId"].update(type="number"), id="type"),
        pytest.param(lambda s: s.pop("additionalProperties"), id="open"),
        pytest.param(lambda s: _unit(s)["enum"].remove("Celcius"), id="enum"),
        pytest.param(lambda s: s["properties"]["meterValue"].pop("minItems"), id="limit"),
        pytest.param(lambda s: _unit(s).update(maxLength=20), id="new limit"),
    ]


def _unit(schema: Dict[str, Any]) -> Dict[str, Any]:
    items = schema["properties"]["meterValue"]["items"]
    unit: Dict[str, Any] = items["properties"]["sampledValue"]["items"]["properties"]["unit"]
    return unit


@pytest.mark.parametrize("mutate", _mutations())
def test_the_comparison_sees_a_difference(mutate: Callable[[Dict[str, Any]], object]) -> None:
    schema = load(OURS / "MeterValuesRequest.json")
    before = schema_meaning(json.loads(json.dumps(schema)))
    mutate(schema)
    assert schema_meaning(schema) != before


def test_no_prose_was_taken_over() -> None:
    for message in MESSAGES:
        text = (OURS / f"{message}.json").read_text("utf-8")
        for word in ('"title"', '"description"', '"comment"', '"$id"', '"javaType"'):
            assert word not in text, message


# OCPP-J 1.6 errata, section 2: the faults of the first schemas. They must not come back with another source.


def test_both_spellings_of_celsius() -> None:
    for message in ("MeterValuesRequest", "StopTransactionRequest"):
        schema = v16.DIALECT.load_schema(message)
        values = schema["properties"]["meterValue" if message == "MeterValuesRequest" else "transactionData"]
        units = values["items"]["properties"]["sampledValue"]["items"]["properties"]["unit"]["enum"]
        assert {"Celsius", "Celcius"} <= set(units)


def test_id_tag_info_of_send_local_list() -> None:
    entry = v16.DIALECT.load_schema("SendLocalListRequest")["properties"]["localAuthorizationList"]["items"]
    assert list(entry["properties"]["idTagInfo"]["properties"]) == ["expiryDate", "parentIdTag", "status"]


def test_numbers_that_are_integers() -> None:
    boot = v16.DIALECT.load_schema("BootNotificationResponse")["properties"]
    update = v16.DIALECT.load_schema("UpdateFirmwareRequest")["properties"]
    assert [boot["interval"], update["retries"], update["retryInterval"]] == [{"type": "integer"}] * 3


def test_reason_of_stop_transaction_is_optional() -> None:
    assert "reason" not in v16.DIALECT.load_schema("StopTransactionRequest")["required"]


def test_every_object_is_closed() -> None:
    def check(schema: Any, message: str) -> None:
        if isinstance(schema, dict):
            if schema.get("type") == "object":
                assert schema["additionalProperties"] is False, message
            for each in schema.values():
                check(each, message)

    for message in MESSAGES:
        check(v16.DIALECT.load_schema(message), message)
