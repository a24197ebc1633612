"""``tools/generate.py``: the names in the generated modules, their text, and what the generator refuses."""

import importlib
import json
import subprocess
import sys
import types
from pathlib import Path
from typing import Any, Dict

import pytest

TOOLS = Path(__file__).resolve().parent.parent / "tools"
if str(TOOLS) not in sys.path:
    sys.path.insert(0, str(TOOLS))

generate = importlib.import_module("generate")
schema_model = importlib.import_module("schema_model")


def message(**more: Any) -> Dict[str, Any]:
    return {
        "$schema": "http://json-schema.org/draft-06/schema#",
        "type": "object",
        "additionalProperties": False,
        **more,
    }


def write(folder: Path, **files: Any) -> Path:
    folder.mkdir()
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


# --- names


@pytest.mark.parametrize(
    ("wire", "attribute"),
    [
        ("idTag", "id_tag"),
        ("connectorId", "connector_id"),
        ("chargePointSerialNumber", "charge_point_serial_number"),
        ("meterSerialNumber", "meter_serial_number"),
        ("csChargingProfiles", "cs_charging_profiles"),
        ("iccid", "iccid"),
        ("imsi", "imsi"),
        ("evseId", "evse_id"),
        ("EVSEId", "evse_id"),
        ("ocppCSMSURL", "ocpp_csms_url"),
        ("statusInfo", "status_info"),
        ("SoC", "soc"),
        ("responderURL", "responder_url"),
        ("iso15118SchemaVersion", "iso15118_schema_version"),
        ("limit_L2", "limit_l2"),
        ("v2xBaseline", "v2x_baseline"),
        ("t", "t"),
        ("type", "type"),
        ("from", "from_"),
        ("import", "import_"),
        ("field", "field_"),
        ("wire", "wire_"),
        ("fromWire", "from_wire_"),
    ],
)
def test_attribute_names(wire: str, attribute: str) -> None:
    assert schema_model.attribute_name(wire, types.SimpleNamespace(FIELDS={})) == attribute


@pytest.mark.parametrize("text", ["kWh", "fullSoC", "numEPriceLevels", "theCSMSURL", "", "-", "16A", "a°b", "W/m2"])
def test_a_text_without_a_rule_is_refused(text: str) -> None:
    with pytest.raises(schema_model.GenerateError, match="table of exceptions"):
        schema_model.snake_case(text)


@pytest.mark.parametrize(
    ("text", "member"),
    [
        ("Energy.Active.Import.Register", "ENERGY_ACTIVE_IMPORT_REGISTER"),
        ("L1-N", "L1_N"),
        ("SoC", "SOC"),
        ("kWh", "KWH"),
        ("kvarh", "KVARH"),
        ("SHA256", "SHA256"),
        ("EVCommunicationError", "EV_COMMUNICATION_ERROR"),
        ("SuspendedEVSE", "SUSPENDED_EVSE"),
        ("AC_three_phase", "AC_THREE_PHASE"),
        ("RPM", "RPM"),
    ],
)
def test_member_names(text: str, member: str) -> None:
    assert schema_model.member_name(text, generate.VERSIONS["1.6"].names) == member


# --- written and refused


def a_version(**tables: Any) -> Any:
    names = types.SimpleNamespace(
        __name__="names",
        **{
            "INLINE": {},
            "DEFINITIONS": {},
            "WIDENED": {},
            "ENUM_MEMBERS": {},
            "FIELDS": {},
            "PROFILES": {"Core": ("Ping",)},
            "SENT_BY_CHARGE_POINT": (),
            "SENT_BY_BOTH": (),
            **tables,
        },
    )
    return schema_model.Version("1.6", "v16", "V16", names, "the charge point", "the central system")


def build(tmp_path: Path, version: Any, **schemas: Any) -> Path:
    source = write(tmp_path / "schemas", **{"PingRequest": message(), "PingResponse": message(), **schemas})
    generate.generate(version, source, tmp_path / "out")
    return tmp_path / "out"


ENUM = {"type": "string", "enum": ["A", "B"]}


@pytest.mark.parametrize(
    ("tables", "properties", "complaint"),
    [
        ({}, {"a": ENUM}, r"PingRequest\.a: an inline enum without a name"),
        ({}, {"a": {"type": "array", "items": message()}}, r"PingRequest\.a: an inline object without a name"),
        ({"INLINE": {"PingRequest.b": "B"}}, {}, r"names\.INLINE: 'PingRequest\.b' is not used"),
        ({"DEFINITIONS": {"BType": "B"}}, {}, r"names\.DEFINITIONS: 'BType' is not used"),
        ({"WIDENED": {"B": "why"}}, {}, r"names\.WIDENED: 'B' is not used"),
        ({"FIELDS": {"b": "B"}}, {}, r"names\.FIELDS: 'b' is not used"),
        ({"ENUM_MEMBERS": {"b": "B"}}, {}, r"names\.ENUM_MEMBERS: 'b' is not used"),
        (
            {"DEFINITIONS": {}},
            {"a": {"type": "object", "properties": {"extra": {"type": "string"}}}},
            r"PingRequest\.a: an inline object without a name",
        ),
        (
            {"INLINE": {"PingRequest.a": "A"}},
            {"a": {"type": "object", "properties": {"extra": {"type": "string"}}}},
            "A: two properties become 'extra'",
        ),
        (
            {"INLINE": {"PingRequest.a": "E", "PingRequest.b": "E"}},
            {"a": ENUM, "b": {"type": "string", "enum": ["A", "C"]}},
            r"PingRequest\.b: E has other members than at PingRequest\.a",
        ),
        (
            {"INLINE": {"PingRequest.a": "E", "PingRequest.b": "E"}},
            {"a": {**message(properties={"x": {"type": "integer"}})}, "b": message()},
            r"PingRequest\.b: E has other members than at PingRequest\.a",
        ),
        (
            {"INLINE": {"PingRequest.a": "E", "PingRequest.b": "E"}},
            {"a": ENUM, "b": message()},
            r"PingRequest\.b: the name E is taken by PingRequest\.a",
        ),
        (
            {"INLINE": {"PingRequest.a": "PingRequest"}},
            {"a": ENUM},
            r"PingRequest\.a: the name PingRequest is taken by a message",
        ),
        ({}, {"idTag": {"type": "string"}, "IdTag": {"type": "string"}}, "two properties become 'id_tag'"),
        (
            {"INLINE": {"PingRequest.a": "E"}},
            {"a": {"type": "string", "enum": ["W", "w"]}},
            "E: two texts become the member W",
        ),
        ({"PROFILES": {}}, {}, "Ping: is in 0 profiles"),
        ({"PROFILES": {"Core": ("Ping",), "Other": ("Ping",)}}, {}, "Ping: is in 2 profiles"),
        ({"PROFILES": {"Core": ("Ping", "Pong")}}, {}, "Pong: is in a profile, but has no schema"),
    ],
)
def test_what_the_generator_refuses(
    tables: Dict[str, Any], properties: Dict[str, Any], complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(schema_model.GenerateError, match=complaint):
        build(tmp_path, a_version(**tables), PingRequest=message(properties=properties))
    assert not (tmp_path / "out").exists()


def test_enums_in_another_order_are_equal_and_a_table_may_widen_one(tmp_path: Path) -> None:
    inline = {"PingRequest.a": "E", "PingRequest.b": "E", "PingRequest.c": "F", "PingRequest.d": "F"}
    properties = {
        "a": ENUM,
        "b": {"type": "string", "enum": ["B", "A"]},
        "c": ENUM,
        "d": {"type": "string", "enum": ["A", "C"]},
    }
    version = a_version(INLINE=inline, WIDENED={"F": "why"})
    text = (build(tmp_path, version, PingRequest=message(properties=properties)) / "enums.py").read_text()
    assert (
        'class E(TextEnum):\n    """Used in PingRequest.a and PingRequest.b."""\n\n    A = "A"\n    B = "B"\n' in text
    )
    assert '    A = "A"\n    B = "B"\n    C = "C"\n' in text


def test_a_schema_of_a_later_version(tmp_path: Path) -> None:
    """References, open objects, untyped properties, messages without response."""
    request = message(
        required=["data", "evse"],
        properties={
            "data": {},
            "more": {},
            "anything": {"$ref": "#/definitions/AnythingType"},
            "customData": {"$ref": "#/definitions/CustomDataType"},
            "evse": {"$ref": "#/definitions/EVSEType"},
            "kinds": {"type": "array", "items": {"$ref": "#/definitions/KindEnumType"}},
            "name": {"$ref": "#/definitions/NameType"},
        },
        definitions={
            "CustomDataType": {"type": "object", "properties": {"vendorId": {"type": "string"}}},
            "AnythingType": {"type": "object"},
            "EVSEType": message(properties={"customData": {"$ref": "#/definitions/CustomDataType"}}),
            "KindEnumType": ENUM,
            "NameType": {"type": "string", "maxLength": 5},
        },
    )
    version = a_version(PROFILES={"Core": ("Ping", "Shout")})
    out = build(tmp_path, version, PingRequest=request, Shout=message())
    lines = (out / "messages.py").read_text().splitlines()
    for line in (
        "from typing import Any, Dict, List, Optional, Union",
        "from .datatypes import EVSE, CustomData",
        "from .enums import KindEnum",
        '    data: Any = field(metadata=wire("data"))',
        '    evse: EVSE = field(metadata=wire("evse"))',
        '    more: Any = field(default=None, metadata=wire("more"))',
        '    anything: Optional[Dict[str, Any]] = field(default=None, metadata=wire("anything"))',
        '    custom_data: Optional[CustomData] = field(default=None, metadata=wire("customData"))',
        '    kinds: Optional[List[Union[KindEnum, str]]] = field(default=None, metadata=wire("kinds"))',
        '    name: Optional[str] = field(default=None, metadata=wire("name"))',
        "class Shout(Payload):",
        '    """Shout, sent by the central system."""',
    ):
        assert line in lines
    assert '    Feature.bundled(V16, "Shout", answered=False),\n' in (out / "profiles.py").read_text()
    datatypes = (out / "datatypes.py").read_text()
    assert '    extra: Dict[str, Any] = field(default_factory=dict, metadata=wire("*"))\n' in datatypes


def test_the_docstring_of_a_type_with_many_places_counts_them(tmp_path: Path) -> None:
    properties = {f"p{number}": {"$ref": "#/definitions/EType"} for number in range(21)}
    request = message(properties=properties, definitions={"EType": ENUM})
    text = (build(tmp_path, a_version(), PingRequest=request) / "enums.py").read_text()
    assert '    """Used in 21 places."""\n' in text


def test_the_generator_is_a_command(tmp_path: Path) -> None:
    script = str(TOOLS / "generate.py")
    done = subprocess.run(
        [sys.executable, script, "1.6", "--output", tmp_path], capture_output=True, text=True, check=True
    )
    assert str(tmp_path / "messages.py") in done.stdout
    failed = subprocess.run(
        [sys.executable, script, "1.6", "--schemas", tmp_path, "--output", tmp_path], capture_output=True, text=True
    )
    assert failed.returncode == 1
    assert failed.stderr.startswith("generate: ")
    assert "has no schemas" in failed.stderr
