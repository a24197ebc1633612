"""A web service whose central system listens on a port of its own: ``OCPP_PORT``. A host imports ``application``.

/pid                the process that answered
/chargers           the chargers of that process, or 503 with the reason
/call/THEIR_ID      what the charger answers to ClearCache
"""

import json
import os
from typing import Any

from ocppj import NotRunning, OcppjError, Server, SQLiteQueueMap, v16

server = Server(profiles=v16.PROFILES, queues=SQLiteQueueMap("commands.db"))
server.listen(int(os.environ["OCPP_PORT"]), host="127.0.0.1", wait=True, health_path="/health")


def call(charger: str) -> str:
    try:
        return str(server.call(charger, v16.ClearCacheRequest(), timeout=20).status)
    except OcppjError as error:
        return f"{type(error).__name__}: {error}"


def application(environ: Any, start_response: Any) -> Any:
    _, page, *rest = environ["PATH_INFO"].split("/")
    made = {"pid": os.getpid, "chargers": server.client_ids, "call": lambda: call(rest[0])}
    try:
        status, value = "200 OK", made[page]()
    except NotRunning as error:
        status, value = "503 Service Unavailable", str(error)
    body = json.dumps(value).encode()
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
