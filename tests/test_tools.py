"""``tools/import_schemas.py``: what it reads, writes and refuses."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Tuple

import pytest

TOOLS = Path(__file__).resolve().parent.parent / "tools"
if str(TOOLS) not in sys.path:
    sys.path.insert(0, str(TOOLS))

import_schemas = importlib.import_module("import_schemas")

DRAFT = "http://json-schema.org/draft-06/schema#"


def message(**more: Any) -> Dict[str, Any]:
    return {"$schema": DRAFT, "type": "object", "additionalProperties": False, **more}


def write(folder: Path, **files: Any) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        (folder / (name.replace("_", ".") + ".json")).write_bytes(data)
    return folder


# --- read and written


@pytest.mark.parametrize(
    "names",
    [
        ("Ping", "PingResponse"),
        ("PingRequest", "PingResponse"),
        ("Ping_req", "Ping_conf"),
    ],
)
def test_all_forms_of_file_names(names: Tuple[str, str], tmp_path: Path) -> None:
    source = write(tmp_path / "in", **{name: message() for name in names})
    assert import_schemas.import_folder(source, tmp_path / "out") == ["PingRequest", "PingResponse"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["PingRequest.json", "PingResponse.json"]


@pytest.mark.parametrize(
    "identifier",
    ["urn:OCPP:Cp:1.6:2020:3:Ping.req", "urn:OCPP:Cp:2:2020:3:PingRequest", "urn:OCPP:1.6:2025:04", "Ping"],
)
def test_ids_that_agree_with_the_file_name(identifier: str, tmp_path: Path) -> None:
    source = write(tmp_path / "in", Ping={**message(), "$id": identifier}, PingResponse=message())
    import_schemas.import_folder(source, tmp_path / "out")


def test_byte_order_mark(tmp_path: Path) -> None:
    text = b"\xef\xbb\xbf" + json.dumps(message()).encode()
    source = write(tmp_path / "in", Ping=text, PingResponse=text)
    import_schemas.import_folder(source, tmp_path / "out")
    assert (tmp_path / "out" / "PingRequest.json").read_bytes()[:1] == b"{"


def test_a_message_without_response(tmp_path: Path) -> None:
    source = write(tmp_path / "in", NotifyPeriodicEventStream=message())
    assert import_schemas.import_folder(source, tmp_path / "out") == ["NotifyPeriodicEventStream"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["NotifyPeriodicEventStream.json"]


def test_normal_form() -> None:
    schema = {
        "definitions": {
            "ZType": {"javaType": "Z", "type": "string", "additionalProperties": False, "enum": ["b", "a"]},
            "AType": {"description": "...", "type": "integer", "minimum": 0, "default": 3},
        },
        "comment": "...",
        "$id": "urn:x:Ping.req",
        "required": ["two", "one"],
        "properties": {
            "one": {"$ref": "#/definitions/ZType", "description": "..."},
            "two": {"minItems": 1, "items": {"$ref": "#/definitions/AType"}, "additionalItems": False, "type": "array"},
            "title": {"maxLength": 5, "type": "string", "title": "..."},
        },
        **message(),
    }
    assert json.dumps(import_schemas.normalize(schema)) == json.dumps(
        {
            "$schema": DRAFT,
            "type": "object",
            "properties": {
                "one": {"$ref": "#/definitions/ZType"},
                "two": {"type": "array", "items": {"$ref": "#/definitions/AType"}, "minItems": 1},
                "title": {"type": "string", "maxLength": 5},
            },
            "required": ["one", "two"],
            "additionalProperties": False,
            "definitions": {
                "AType": {"type": "integer", "minimum": 0, "default": 3},
                "ZType": {"type": "string", "enum": ["b", "a"]},
            },
        }
    )


def test_only_schemas_that_the_source_lacks_are_removed(tmp_path: Path) -> None:
    target = write(tmp_path / "out", OldRequest={}, OldResponse={}, NotifyPeriodicEventStream={}, notes={})
    import_schemas.import_folder(write(tmp_path / "in", Ping=message(), PingResponse=message()), target)
    assert sorted(path.stem for path in target.iterdir()) == ["PingRequest", "PingResponse", "notes"]


# --- refused


BROKEN = [
    pytest.param(b"{", "not JSON", id="no JSON"),
    pytest.param(b"\xff\xfe{}", "not UTF-8", id="no UTF-8"),
    pytest.param([], "not a JSON object", id="an array"),
    pytest.param(b'{"type": "object", "type": "object"}', "'type' stands twice", id="twice"),
    pytest.param({"type": "object"}, "$schema is None", id="no draft"),
    pytest.param({**message(), "$schema": "http://json-schema.org/draft-04-schema#"}, "$schema is", id="other draft"),
    pytest.param(message(type="array"), "of type 'object', not 'array'", id="not an object"),
    pytest.param(message(definitions=[]), "definitions must be an object", id="definitions"),
    pytest.param(message(oneOf=[]), "unknown keyword 'oneOf'", id="unknown keyword"),
    # OCPP-J 1.6 errata 2.3: a property outside its object.
    pytest.param(
        message(properties={"a": {"type": "object", "parentIdTag": {"type": "string"}}}),
        ": a: unknown keyword 'parentIdTag'",
        id="slipped property",
    ),
    pytest.param(message(properties={"a": {"type": ["string", "null"]}}), ": a: unknown type", id="type list"),
    pytest.param(message(properties={"a": {"type": "text"}}), ": a: unknown type 'text'", id="unknown type"),
    pytest.param(message(properties={"a": True}), ": a: a schema must be an object", id="boolean schema"),
    pytest.param(message(properties=[]), "properties must be an object", id="properties"),
    pytest.param(
        message(properties={"a": {"type": "integer", "maxLength": 5}}),
        ": a: 'maxLength' says nothing about a value of type 'integer'",
        id="idle limit",
    ),
    pytest.param(message(properties={"a": {"enum": ["x"]}}), ": a: 'enum' says nothing", id="no type"),
    pytest.param(message(properties={"a": {"type": "string", "enum": []}}), "enum: must not be empty", id="empty enum"),
    pytest.param(message(properties={"a": {"type": "string", "enum": ["x", "x"]}}), "same text twice", id="enum twice"),
    pytest.param(message(properties={"a": {"type": "string", "enum": [1]}}), "must be a list of texts", id="enum of 1"),
    pytest.param(message(properties={"a": {"type": "string", "maxLength": -1}}), "must be a count", id="negative"),
    pytest.param(message(properties={"a": {"type": "string", "maxLength": True}}), "must be a count", id="true"),
    pytest.param(message(properties={"a": {"type": "number", "minimum": "0"}}), "must be a number", id="text limit"),
    pytest.param(message(properties={"a": {"type": "string", "format": 1}}), "format must be text", id="format"),
    pytest.param(message(properties={"a": {"type": "array", "items": []}}), "items: a schema must be", id="items"),
    pytest.param(message(properties={"a": {"$ref": "#/definitions/B"}}), "leads nowhere", id="dangling"),
    pytest.param(message(properties={"a": {"$ref": "other.json#/B"}}), "leads nowhere", id="other file"),
    pytest.param(
        message(definitions={"B": {"type": "string"}}, properties={"a": {"$ref": "#/definitions/B", "maxLength": 5}}),
        ": a: 'maxLength' beside a $ref",
        id="beside a reference",
    ),
    pytest.param(
        message(properties={"a": {"type": "object", "definitions": {}}}), "belongs to the top", id="inner definitions"
    ),
    pytest.param(message(required=["Now time"]), "requires 'Now time', which is no property", id="required"),
    pytest.param(message(additionalProperties={}), "must be true or false", id="additional"),
    pytest.param({**message(), "$id": "urn:x:Pong.req"}, "name says PingRequest, its id PongRequest", id="other id"),
    pytest.param({**message(), "id": "urn:x:Ping.conf"}, "name says PingRequest, its id PingResponse", id="other kind"),
]


@pytest.mark.parametrize(("content", "complaint"), BROKEN)
def test_an_invalid_file_is_refused(
    content: Any, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(tmp_path / "in", Ping=content, PingResponse=message())
    assert import_schemas.main([str(source), str(tmp_path / "out")]) == 1
    told = capsys.readouterr().err
    assert "Ping.json" in told
    assert complaint in told
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        ((), "has no schema files"),
        (("Ping",), "there is no response of Ping"),
        (("PingResponse",), "there is no request of Ping"),
        (("Ping", "PingRequest", "PingResponse"), "Ping.json holds PingRequest already"),
        (("Ping", "PingResponse", "read-me"), "not named after a message"),
    ],
)
def test_a_folder_with_wrong_files_is_refused(names: Tuple[str, ...], complaint: str, tmp_path: Path) -> None:
    source = write(tmp_path / "in", **{name: message() for name in names})
    with pytest.raises(import_schemas.SchemaError, match=complaint):
        import_schemas.import_folder(source, tmp_path / "out")


def test_wrong_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(import_schemas.SchemaError, match="not a folder"):
        import_schemas.import_folder(tmp_path / "in", tmp_path)
    source = write(tmp_path / "in", Ping=message(), PingResponse=message())
    with pytest.raises(import_schemas.SchemaError, match="is the source itself"):
        import_schemas.import_folder(source, source)
    assert (source / "Ping.json").exists()


def test_the_importer_is_a_command(tmp_path: Path) -> None:
    script = str(TOOLS / "import_schemas.py")
    source = write(tmp_path / "in", Ping=message(), PingResponse=message())
    done = subprocess.run(
        [sys.executable, script, source, tmp_path / "out"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("2 schemas written to ")
