"""``ocppj schema``."""

import json
from typing import Any

import pytest

from ocppj.cli.main import main
from tests.cli.commands import ocppj


def show(capsys: Any, *words: str) -> str:
    assert main(["schema", *words]) == 0
    return str(capsys.readouterr().out)


def test_the_actions_of_a_version(capsys: Any) -> None:
    ran = ocppj("schema", "1.6")
    assert (ran.code, len(ran.lines), ran.lines[0]) == (0, 39, "Authorize")
    assert json.loads(show(capsys, "v16", "--json")) == ran.lines


def test_a_schema_as_it_is_bundled(capsys: Any) -> None:
    request, response = show(capsys, "2.0.1", "Reset"), show(capsys, "2.0.1", "Reset", "--response")
    assert json.loads(request)["required"] == ["type"]
    assert json.loads(response)["required"] == ["status"]
    assert json.loads(show(capsys, "2.0.1", "ResetResponse")) == json.loads(response)
    assert "***" not in show(capsys, "1.6", "ChangeConfiguration") + show(capsys, "2.1", "SetNetworkProfile")


def test_an_example_is_valid(capsys: Any) -> None:
    text = show(capsys, "2.0.1", "TransactionEvent", "--example")
    assert ocppj("validate", "2.0.1", "TransactionEvent", stdin=text).code == 0
    full = json.loads(show(capsys, "2.0.1", "TransactionEvent", "--example", "--full"))
    assert set(json.loads(text)) < set(full)


def test_fields(capsys: Any) -> None:
    lines = show(capsys, "1.6", "BootNotification", "--fields").splitlines()
    assert lines[0] == "BootNotificationRequest of OCPP 1.6"
    assert lines[1].split() == ["field", "type", "required", "limits", "values"]
    row = "chargePointVendor string yes at most 20 characters"
    assert row in [" ".join(line.split()) for line in lines]
    rows = json.loads(show(capsys, "1.6", "BootNotificationResponse", "--fields", "--json"))
    assert rows[0] == {
        "path": "status",
        "type": "string",
        "is_required": True,
        "limits": "",
        "values": ["Accepted", "Pending", "Rejected"],
    }


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["1.6", "TransactionEvent"], "OCPP 2.0.1 and 2.1 have it"),
        (["1.6", "Rset"], "similar ones: Reset"),
        (["1.7"], "it is one of 1.6, 2.0.1, 2.1"),
        (["1.6", "--fields"], "name an action"),
        (["1.6", "Reset", "--full"], "--full is for --example"),
        (["1.6", "Reset", "--example", "--fields"], "not allowed with argument"),
    ],
)
def test_wrong_usage(capsys: Any, words: "list[str]", expected: str) -> None:
    assert main(["schema", *words]) == 2
    assert expected in capsys.readouterr().err
