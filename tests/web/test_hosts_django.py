"""The service of examples/django_service, started by gunicorn and by ``manage.py runserver``."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Iterator
from urllib.parse import urlencode

import pytest

from ocppj import Server, SQLiteQueueMap, v16
from ocppj.testing import SimulatedStation
from tests.helpers import eventually, seconds
from tests.web.hosts import (
    ROOT,
    Host,
    Reply,
    Start,
    django_runserver,
    gunicorn,
    needs_linux,
    require,
    starting,
    surroundings,
)

require("django", "gunicorn")
pytestmark = needs_linux

PASSWORD = "a long and random one"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Start]:
    """Return what starts a host in a copy of the example, whose database is ready."""
    folder = tmp_path / "service"
    shutil.copytree(ROOT / "examples" / "django_service", folder)
    migrate = [sys.executable, "manage.py", "migrate", "--run-syncdb"]
    subprocess.run(migrate, cwd=folder, env=surroundings(), check=True, timeout=seconds(30), stdout=subprocess.DEVNULL)
    yield from starting(folder)


def send(host: Host, path: str, **form: str) -> Reply:
    """Send a form with the token that Django gave the page."""
    page = host.get("/")
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert found, page.text
    headers: Dict[str, str] = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Cookie": page.headers["Set-Cookie"].partition(";")[0],
    }
    return host.request("POST", path, urlencode({**form, "csrfmiddlewaretoken": found.group(1)}), headers)


def press(host: Host, path: str, **form: str) -> str:
    """Send a form, and return what the page says then."""
    reply = send(host, path, **form)
    said = re.search(r'<p role="status">(.*)</p>', reply.text)
    return said.group(1) if said else reply.text


@pytest.mark.parametrize(
    ("command_of", "app"),
    [(gunicorn, "chargers.wsgi:application"), (django_runserver, "manage.py")],
    ids=["gunicorn", "runserver"],
)
def test_session_by_the_buttons(service: Start, command_of: Any, app: str) -> None:
    host = service(command_of, app, ready_path="/health")
    assert press(host, "/chargers", name="CP_1", password=PASSWORD) == "CP_1 may connect"
    with SimulatedStation("CP_1", password=PASSWORD, speed=600).start(host.url) as station:
        assert station.wait(lambda: station.accepted, within=seconds(10))
        station.plug_in()
        assert press(host, "/chargers/CP_1/start", tag="TAG-7") == "CP_1 says Accepted"
        eventually(lambda: host.get("/health").json() == {"chargers": 1, "charging": 1})
        assert "Stop TAG-7" in host.get("/").text
        assert press(host, "/chargers/CP_1/stop", charging="1") == "CP_1 says Accepted"
        eventually(lambda: host.get("/health").json() == {"chargers": 1, "charging": 0})
    assert press(host, "/chargers/CP_9/start", tag="TAG-7") == "There is no charger CP_9"
    assert send(host, "/chargers/CP_1/start", tag="TAG-7" * 5).status == 400
    assert send(host, "/chargers/CP_1/stop", charging="the last").status == 400
    assert send(host, "/chargers", name="CP_3", password="short").status == 400
    assert host.bad_lines() == []


def test_button_gets_503_while_the_worker_before_has_the_commands(service: Start, tmp_path: Path) -> None:
    host = service(gunicorn, "chargers.wsgi:application", ready_path="/health")
    press(host, "/chargers", name="CP_1", password=PASSWORD)
    queues = SQLiteQueueMap(str(tmp_path / "service" / "commands.db"), capacity=100)
    with Server(profiles=v16.PROFILES, queues=queues) as before:
        before.listen(host="127.0.0.1")
        said = send(host, "/chargers/CP_1/start", tag="TAG-7")
        assert (said.status, said.headers["Retry-After"]) == (503, "1")
        assert "commands.db" not in said.text
    assert send(host, "/chargers/CP_1/start", tag="TAG-7").status == 202
