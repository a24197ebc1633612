"""What docs/flask.md and docs/django.md say to copy is in the examples, and the smallest service works."""

import re
import threading
from pathlib import Path
from typing import Any, Dict, Set

import pytest

from ocppj import Client, v16

ROOT = Path(__file__).resolve().parent.parent.parent
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def lines_of(example: str) -> Set[str]:
    files = (ROOT / "examples" / example).rglob("*.py")
    return {line.strip() for file in files for line in file.read_text("utf-8").splitlines()}


@pytest.mark.parametrize("name", ["flask", "django"])
def test_what_a_page_says_to_copy_is_in_the_example(name: str) -> None:
    page = (ROOT / "docs" / f"{name}.md").read_text("utf-8")
    blocks = [block for block in BLOCK.findall(page) if "Flask(__name__)" not in block]  # not the smallest service
    shown = {line.strip() for block in blocks for line in block.splitlines()}
    assert len(shown) > 5
    assert sorted(shown - lines_of(f"{name}_service")) == []


def test_the_smallest_service_resets_a_charger() -> None:
    pytest.importorskip("flask")
    serving = pytest.importorskip("werkzeug.serving")
    names: Dict[str, Any] = {"__name__": "smallest"}
    exec(BLOCK.findall((ROOT / "docs" / "flask.md").read_text("utf-8"))[0], names)
    pages = names["app"].test_client()
    assert pages.get("/").text == "No charger is connected."
    assert pages.post("/chargers/CP_1/reset").status_code == 404
    client = Client("CP_1", profiles=v16.PROFILES)
    client.on(v16.ResetRequest)(lambda request: v16.ResetResponse(status="Accepted"))
    web = serving.make_server("127.0.0.1", 0, names["app"], threaded=True)
    thread = threading.Thread(target=web.serve_forever)
    thread.start()
    try:
        with client.connect(f"ws://127.0.0.1:{web.server_port}/ocpp"):
            boot = v16.BootNotificationRequest(charge_point_vendor="Acme", charge_point_model="One")
            assert client.call(boot).status == "Accepted"
            assert 'action="/chargers/CP_1/reset"' in pages.get("/").text
            assert pages.post("/chargers/CP_1/reset").text == "CP_1 says Accepted"
    finally:
        names["server"].stop()
        web.shutdown()
        thread.join()
        web.server_close()
