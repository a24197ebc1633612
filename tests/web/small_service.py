"""A service for tests of hosts: a few pages and a central system, and nothing but WSGI. A host imports ``application``.

Each charger is sent to the page, and the page to each charger:

/pid                the process that answered
/chargers           the chargers of that process
/call/THEIR_ID      the button: what the charger answers to ClearCache
/call-all           how many chargers accepted ClearCache
/seen/THEIR_ID      which DataTransfer messages came from that charger, in order
"""

import json
import logging
import os
from collections import defaultdict
from datetime import datetime, timezone
from typing import Any, DefaultDict, List

from ocppj import OcppjError, Server, v16
from ocppj.testing import default_response

logging.basicConfig(level=logging.INFO)  # the log of the host has what the library says
seen: DefaultDict[str, List[str]] = defaultdict(list)  # by charger; each has one thread of handlers
server = Server(profiles=v16.PROFILES, max_attempts_per_second=None, max_attempts_per_second_per_address=None)


@server.set_request_handler
def answer(charger: str, request: Any, message_id: str, action: str) -> Any:
    if isinstance(request, v16.DataTransferRequest):
        seen[charger].append(str(request.data))
    return default_response(request, datetime.now(timezone.utc))


def call(charger: str) -> str:
    try:
        return str(server.call(charger, v16.ClearCacheRequest(), timeout=20).status)
    except OcppjError as error:
        return f"{type(error).__name__}: {error}"


def call_all() -> int:
    futures = server.broadcast(v16.ClearCacheRequest(), timeout=20)
    return sum(future.exception() is None for future in futures.values())


def pages(environ: Any, start_response: Any) -> Any:
    _, page, *rest = environ["PATH_INFO"].split("/")
    charger = rest[0] if rest else ""
    made = {
        "pid": os.getpid,
        "chargers": server.client_ids,
        "call": lambda: call(charger),
        "call-all": call_all,
        "seen": lambda: seen[charger],
    }
    status = "200 OK" if page in made else "404 Not Found"
    body = json.dumps(made[page]() if page in made else None).encode()
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


application = server.wsgi_app(pages, path="/ocpp/{id}")
