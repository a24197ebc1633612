"""The programs of docs/first-central-system.md and docs/first-charge-point.md work as their pages say."""

import re
from pathlib import Path
from typing import Any, Dict

import pytest

from ocppj import Client, v16
from ocppj.testing import ScriptedCSMS

DOCS = Path(__file__).resolve().parent.parent / "docs"


def program(page: str) -> Dict[str, Any]:
    """Run the block of a page as a module, and return its names."""
    code = re.findall(r"^```python\n(.*?)^```$", (DOCS / page).read_text("utf-8"), re.DOTALL | re.MULTILINE)
    names: Dict[str, Any] = {"__name__": "program"}
    exec(code[0], names)
    return names


def test_the_central_system(capsys: pytest.CaptureFixture) -> None:
    server = program("first-central-system.md")["server"]
    client = Client("CP_1", profiles=v16.PROFILES)
    with server.listen(port=0, host="127.0.0.1"), client.connect(server.url):
        boot = client.call(v16.BootNotificationRequest(charge_point_vendor="Acme", charge_point_model="One"))
        assert boot.status == "Accepted"
        assert client.call(v16.HeartbeatRequest()).current_time
        client.call(v16.StatusNotificationRequest(connector_id=1, error_code="NoError", status="Available"))
    printed = capsys.readouterr().out.splitlines()
    assert sorted(printed) == ["CP_1 connector 1 is Available", "CP_1 has connected", "CP_1 is a Acme One"]


def test_the_charge_point(capsys: pytest.CaptureFixture) -> None:
    names = program("first-charge-point.md")
    with ScriptedCSMS() as csms:
        names["run"](csms.url)
        assert csms.order() == ["BootNotification", "StatusNotification", "Heartbeat"]
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("boot: Accepted heartbeat each")
    assert printed[1].startswith("time: ")


def test_it_obeys_a_reset() -> None:
    client = program("first-charge-point.md")["client"]
    with ScriptedCSMS() as csms, client.connect(csms.url):
        assert csms.call(v16.ResetRequest(type="Soft")).status == "Accepted"
