"""A web service under gunicorn with a central system: one worker of threads.

    mounted_server.py mounted      on the web service's own port
    mounted_server.py beside       on a port of its own, with `listen()`

It writes the ports of both, and the process of the worker. The page is ``/page/ping``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from typing import Any, Callable, Dict

from harness import ROOT

sys.path.insert(0, str(ROOT))

from ceiling import Pause
from gunicorn.app.base import BaseApplication
from ours import answer_all

from ocppj import Server, v16

THREADS = 4


def page(environ: Dict[str, Any], start_response: Callable[..., Any]) -> Any:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "4")])
    return [b"pong"]


class Service(BaseApplication):  # type: ignore[misc]
    """Gunicorn, with its settings given here."""

    def __init__(self, way: str) -> None:
        self._way = way
        super().__init__()

    def load_config(self) -> None:
        settings = {
            "bind": "127.0.0.1:0",
            "worker_class": "gthread",
            "threads": THREADS,
            "loglevel": "warning",
            "post_worker_init": self._announce,
        }
        for name, value in settings.items():
            self.cfg.set(name, value)
        if "control_socket_disable" in self.cfg.settings:
            self.cfg.set("control_socket_disable", True)

    def load(self) -> Any:
        self._server = Server(profiles=v16.PROFILES)
        answer_all(self._server, Pause())
        if self._way == "mounted":
            return self._server.wsgi_app(page, path="/{id}")
        return page

    def _announce(self, worker: Any) -> None:
        """Tell the ports. It runs in the worker, which ends with the input."""
        web = worker.sockets[0].getsockname()[1]
        ocpp = web
        if self._way == "beside":
            self._server.listen(host="127.0.0.1")
            ocpp = int(self._server.url.split(":")[2].split("/")[0])
        threading.Thread(target=end_with_input, daemon=True).start()
        print(json.dumps({"ready": {"web": web, "ocpp": ocpp, "pid": os.getpid()}}), flush=True)


def end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("way", choices=["mounted", "beside"])
    way = parser.parse_args().way
    sys.argv = sys.argv[:1]  # gunicorn reads it, too
    Service(way).run()


if __name__ == "__main__":
    main()
