"""The programs of docs/first-central-system.md and docs/first-charge-point.md work as their pages say."""

import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Dict
from urllib.parse import urlsplit

import pytest

from ocppj import Client, Server, v16
from ocppj.testing import ScriptedCSMS, TestPKI, default_response
from tests.helpers import eventually

DOCS = Path(__file__).resolve().parent.parent / "docs"


def program(page: str, number: int = 0) -> Dict[str, Any]:
    """Run a block of a page as a module, and return its names."""
    code = re.findall(r"^```python\n(.*?)^```$", (DOCS / page).read_text("utf-8"), re.DOTALL | re.MULTILINE)
    names: Dict[str, Any] = {"__name__": "program"}
    exec(code[number], names)
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


def test_what_was_stored_offline_comes_after_a_restart_over_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pki").mkdir()
    pki = TestPKI("pki")
    server = Server(profiles=v16.PROFILES, security_profile=2, ssl_context=pki.server_context())
    server.set_basic_auth_handler({"CP_1": "a long random password"})
    got = []

    @server.set_request_handler
    def answer(client_id: str, request: Any, message_id: str, action: str) -> Any:
        got.append(request.meter_value[0].sampled_value[0].value if action == "MeterValues" else action)
        return default_response(request, datetime.now(timezone.utc))

    with server.listen(port=0, host="127.0.0.1"):
        url = server.url  # nothing listens there afterwards
    first = program("first-charge-point.md", 1)
    with first["client"].connect(url, retry=True, wait=False):
        first["send_meter_value"](250)
    second = program("first-charge-point.md", 1)
    send = second["send_meter_value"]

    def send_once(energy: int) -> None:
        if energy:
            eventually(lambda: len(got) == 3)
            raise KeyboardInterrupt
        send(energy)

    second["send_meter_value"] = send_once
    with server.listen(port=urlsplit(url).port or 0, host="127.0.0.1"), pytest.raises(KeyboardInterrupt):
        second["run"](url, 0)
    assert got == ["BootNotification", "250", "0"]
