"""The bundled schemas of each OCPP version have the same meaning as those of the package ``ocpp``."""

import json
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest
from strategies import load, schema_meaning
from versions import VERSIONS, Version, each_message, each_version

V16 = VERSIONS[0]

ocpp = pytest.importorskip("ocpp", reason="the package ocpp needs Python 3.11")

#: Where our schema differs from theirs on purpose: (version, message) -> the reason, with the erratum that asks for it.
#: There is none: theirs have OCPP-J 1.6 errata 2.1 to 2.6 and 3.2 already, as the tests below show.
DIFFERENT: Dict[Any, str] = {}


def their_folder(version: Version) -> Path:
    return Path(ocpp.__file__).parent / version.name / "schemas"


def their_file(version: Version, message: str) -> Path:
    whole = their_folder(version) / f"{message}.json"
    return whole if whole.exists() else their_folder(version) / f"{message[: -len('Request')]}.json"


@each_version
def test_both_have_the_same_messages(version: Version) -> None:
    assert len(version.message_names) == version.messages
    ours = {their_file(version, message).name for message in version.message_names}
    assert ours == {path.name for path in their_folder(version).glob("*.json")}


@each_message
def test_same_meaning(version: Version, message: str) -> None:
    ours, theirs = schema_meaning(version.schema(message)), schema_meaning(load(their_file(version, message)))
    if (version.number, message) in DIFFERENT:
        assert ours != theirs, f"{message} is listed as different, and is not"
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
def test_the_comparison_detects_a_difference(mutate: Callable[[Dict[str, Any]], object]) -> None:
    schema = json.loads(json.dumps(V16.schema("MeterValuesRequest")))
    before = schema_meaning(json.loads(json.dumps(schema)))
    mutate(schema)
    assert schema_meaning(schema) != before


@each_version
def test_the_schemas_have_no_prose(version: Version) -> None:
    for path in (version.folder / "schemas").iterdir():
        text = path.read_text("utf-8")
        for word in ('"title"', '"description"', '"comment"', '"$id"', '"javaType"'):
            assert f'{word}: "' not in text, path


@each_version
def test_every_object_except_custom_data_is_closed(version: Version) -> None:
    def check(name: str, schema: Any) -> None:
        if isinstance(schema, dict):
            if schema.get("type") == "object":
                assert (schema.get("additionalProperties") is False) == (name != "CustomDataType"), name
            for inner, each in schema.items():
                check(inner, each)

    for message in version.message_names:
        check(message, version.schema(message))


# OCPP-J 1.6 errata, section 2: the faults of the first schemas. Another source must not have them again.


def test_both_spellings_of_celsius() -> None:
    for message in ("MeterValuesRequest", "StopTransactionRequest"):
        schema = V16.schema(message)
        values = schema["properties"]["meterValue" if message == "MeterValuesRequest" else "transactionData"]
        units = values["items"]["properties"]["sampledValue"]["items"]["properties"]["unit"]["enum"]
        assert {"Celsius", "Celcius"} <= set(units)


def test_id_tag_info_of_send_local_list() -> None:
    entry = V16.schema("SendLocalListRequest")["properties"]["localAuthorizationList"]["items"]
    assert list(entry["properties"]["idTagInfo"]["properties"]) == ["expiryDate", "parentIdTag", "status"]


def test_numbers_that_are_integers() -> None:
    boot = V16.schema("BootNotificationResponse")["properties"]
    update = V16.schema("UpdateFirmwareRequest")["properties"]
    assert [boot["interval"], update["retries"], update["retryInterval"]] == [{"type": "integer"}] * 3


def test_reason_of_stop_transaction_is_optional() -> None:
    assert "reason" not in V16.schema("StopTransactionRequest")["required"]
