"""Real web servers, each in a process of its own, for tests that drive them as browsers and chargers do."""

import http.client
import importlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Set, Tuple
from urllib.parse import urlencode

import pytest

from tests.helpers import eventually, seconds

ROOT = Path(__file__).resolve().parent.parent.parent
ADDRESS = "127.0.0.1"
#: What no log of a host may have.
BAD_LINE = re.compile(r"Traceback|\bError\b|\bERROR\b|\bCRITICAL\b|Exception")

needs_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are found in /proc")


def require(*packages: str) -> None:
    """Skip the module, saying why, if one of ``packages`` is not installed."""
    for package in packages:
        pytest.importorskip(package, reason=f"{package} is not installed: pip install -e '.[test]'")


def surroundings(more: Optional[Mapping[str, str]] = None) -> Dict[str, str]:
    """Return the environment of a process that imports ocppj from this checkout."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **(more or {})}


class Port:
    """A port of this machine that no other program gets, and that one host after another may listen on.

    The socket is bound and does not listen. Linux lets a host bind the port as well, as both have SO_REUSEADDR.
    """

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((ADDRESS, 0))
        self.number: int = self._socket.getsockname()[1]

    def close(self) -> None:
        self._socket.close()


class Reply(NamedTuple):
    """What a host answered."""

    status: int
    headers: Mapping[str, str]
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


class Host:
    """A web server that runs in ``folder``. It has begun when it has answered a request for ``ready_path``.

    Args:
        command: The program and its arguments.
        port: Where it listens.
        folder: Its working directory, which also gets its log.
        ready_path: An ordinary route.
        environment: Variables beside those of this process.
    """

    def __init__(
        self,
        command: List[str],
        port: Port,
        folder: Path,
        ready_path: str = "/pid",
        environment: Optional[Dict[str, str]] = None,
    ) -> None:
        self.place = port
        self._ready_path = ready_path
        self.port = port.number
        self.url = f"ws://{ADDRESS}:{self.port}/ocpp"
        self._log = folder / f"host-{port.number}.log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env=surroundings(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self._process.pid
        try:
            eventually(lambda: self._answers(ready_path), timeout=20)
        except BaseException as error:
            self.end()
            raise AssertionError(f"{command} does not answer: {error}\n{self.log()}") from error

    def _answers(self, path: str) -> bool:
        assert self._process.poll() is None, "it has ended"
        with suppress(OSError, http.client.HTTPException):
            return self.get(path).status == 200
        return False

    # As a browser

    def get(self, path: str) -> Reply:
        return self.request("GET", path)

    def post(self, path: str, **form: str) -> Reply:
        """Send a form, as a button does."""
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.request("POST", path, urlencode(form), headers)

    def request(
        self, method: str, path: str, body: Optional[str] = None, headers: Optional[Dict[str, str]] = None
    ) -> Reply:
        connection = http.client.HTTPConnection(ADDRESS, self.port, timeout=seconds(20))
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return Reply(response.status, response.headers, response.read().decode())
        finally:
            connection.close()

    # As an operator

    def log(self) -> str:
        return self._log.read_text("utf-8", "replace")

    def bad_lines(self) -> List[str]:
        """Return the lines of the log that look like a failure."""
        return [line for line in self.log().splitlines() if BAD_LINE.search(line)]

    def send_signal(self, number: int) -> None:
        """Send a signal to the process that was started: the master of gunicorn."""
        os.kill(self.pid, number)

    def workers(self) -> Set[int]:
        """Return the children of the process that was started."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return {int(each) for each in children.read_text().split()}

    def reload(self) -> None:
        """Have gunicorn replace its workers, and wait until the old ones are gone and the new ones serve."""
        before = self.workers()
        self.send_signal(signal.SIGHUP)
        eventually(lambda: self.workers() and not (self.workers() & before), timeout=30)
        eventually(lambda: self._answers(self._ready_path), timeout=20)

    def terminate(self, number: int = signal.SIGTERM) -> int:
        """Have it end as at a redeploy; return its exit code."""
        self.send_signal(number)
        return self._process.wait(seconds(20))

    def end(self) -> None:
        """End it for certain, with all its children."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(seconds(20))


Start = Callable[..., Host]


def starting(folder: Path) -> Iterator[Start]:
    """Yield what starts hosts, for a fixture: ``start(command_of, app, port=None, **more)``. They end with the test.

    ``command_of`` is one of the functions below. The ``place`` of a host that has ended is a ``port`` for the next one.
    """
    hosts: List[Host] = []
    ports: List[Port] = []

    def start(
        command_of: Callable[..., List[str]],
        app: str,
        *,
        port: Optional[Port] = None,
        ready_path: str = "/pid",
        environment: Optional[Dict[str, str]] = None,
        **more: Any,
    ) -> Host:
        if port is None:
            port = Port()
            ports.append(port)
        host = Host(command_of(app, port.number, **more), port, folder, ready_path, environment)
        hosts.append(host)
        return host

    yield start
    for each in [*hosts, *ports]:
        (each.end if isinstance(each, Host) else each.close)()


class Browser:
    """A browser that asks for a page again and again, until the ``with`` block ends.

    ``replies`` are the statuses that came, and ``failures`` what went wrong.
    """

    def __init__(self, host: Host, path: str = "/pid") -> None:
        self._host = host
        self._path = path
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._browse, name="browser", daemon=True)
        self.replies: List[int] = []
        self.failures: List[str] = []

    def _browse(self) -> None:
        while not self._over.wait(0.02):
            try:
                self.replies.append(self._host.get(self._path).status)
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(f"{type(error).__name__}: {error}")

    def __enter__(self) -> "Browser":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(seconds(30))


def gunicorn_is_old() -> bool:
    """Return whether gunicorn is older than 27.

    At a reload gunicorn 23 resets the connections of some pages, and calls the end of a gevent worker an error. It does
    so with a service without chargers, too. 27 does not.
    """
    return int(version("gunicorn").split(".")[0]) < 27


def bad_lines(host: Host) -> List[str]:
    """Return the lines that look like a failure. gunicorn 23 calls it an error that it ends a worker itself."""
    return [line for line in host.bad_lines() if not line.endswith("was sent SIGTERM!")]


# How each host is started: f(app, port) returns the command. ``app`` is "module:name", as gunicorn takes it.


def gunicorn(app: str, port: int, worker: str = "gthread", threads: int = 4, more: Tuple[str, ...] = ()) -> List[str]:
    threading = ["--threads", str(threads)] if worker == "gthread" else []
    bind = ["--bind", f"{ADDRESS}:{port}", "--graceful-timeout", "5", *_without_control()]
    return [sys.executable, "-m", "gunicorn", "--worker-class", worker, *threading, *bind, *more, app]


def _without_control() -> List[str]:
    """Return what keeps newer versions from a socket in the user's home, where all processes would meet."""
    has_control = hasattr(importlib.import_module("gunicorn.config"), "ControlSocketDisable")
    return ["--no-control-socket"] if has_control else []


def flask_run(app: str, port: int) -> List[str]:
    return [sys.executable, "-m", "flask", "--app", app, "run", "--host", ADDRESS, "--port", str(port)]


def django_runserver(app: str, port: int) -> List[str]:
    """``app`` is the file ``manage.py``."""
    return [sys.executable, app, "runserver", "--noreload", f"{ADDRESS}:{port}"]
