"""One central system for OCPP 1.6, 2.0.1 and 2.1 at once: what it does is written once for all of them. See README."""

from __future__ import annotations

import argparse
import itertools
import logging
import sys
import threading
from datetime import datetime, timezone
from functools import partial
from typing import Any, Dict, Iterable, Optional, Tuple

from ocppj import OcppjError, Server, v16, v21, v201

log = logging.getLogger("central_system")

# The handlers below take the module of a version first: so one handler serves several versions.
VERSIONS: Tuple[Any, ...] = (v16, v201, v21)
WITH_EVENTS: Tuple[Any, ...] = (v201, v21)


class Site:
    """Which tags may charge, and who charges where. It knows nothing of OCPP versions, as the rest of a real system."""

    def __init__(self, blocked: Iterable[str] = ()) -> None:
        self._blocked = frozenset(blocked)
        self._lock = threading.Lock()  # handlers of several stations run at the same time
        self._tags: Dict[str, str] = {}
        self._numbers = itertools.count(1)

    def judge(self, tag: str) -> str:
        return "Blocked" if tag in self._blocked else "Accepted"

    def new_number(self) -> int:
        return next(self._numbers)

    def begin(self, station: str, session: str, tag: str) -> None:
        with self._lock:
            self._tags[f"{station}/{session}"] = tag
        log.info("%s begins %s for %s", station, session, tag)

    def end(self, station: str, session: str) -> None:
        with self._lock:
            tag = self._tags.pop(f"{station}/{session}", "a tag that is not known")  # it began before this program
        log.info("%s ends %s for %s", station, session, tag)


class CentralSystem:
    """Has the handlers of a server."""

    def __init__(self, site: Site) -> None:
        # Each connection negotiates its version, and has the profiles of that version. Every payload is checked.
        self.server = Server(profiles=[profile for types in VERSIONS for profile in types.PROFILES])
        self._site = site
        on: Any = self.server.on  # a type checker knows no common type of several versions
        after: Any = self.server.after
        for types in VERSIONS:
            on(types.BootNotificationRequest)(partial(self.boot, types))
            on(types.HeartbeatRequest)(partial(self.heartbeat, types))
            on(types.StatusNotificationRequest)(partial(self.acknowledge, types.StatusNotificationResponse))
            on(types.MeterValuesRequest)(partial(self.acknowledge, types.MeterValuesResponse))
            on(types.SecurityEventNotificationRequest)(partial(self.security_event, types))
            after(types.BootNotificationRequest)(self.booted)
        for types in WITH_EVENTS:
            on(types.AuthorizeRequest)(partial(self.authorize, types))
            on(types.TransactionEventRequest)(partial(self.event, types))
        on(v16.AuthorizeRequest)(self.authorize_16)
        on(v16.StartTransactionRequest)(self.start_16)
        on(v16.StopTransactionRequest)(self.stop_16)

    # For all versions.

    def boot(self, types: Any, station: str, request: Any) -> Any:
        return types.BootNotificationResponse(current_time=datetime.now(timezone.utc), interval=60, status="Accepted")

    def booted(self, station: str, request: Any) -> None:
        try:
            log.info("%s speaks OCPP %s, heartbeat %s s", station, self.server.version_of(station), self.ask(station))
        except OcppjError as error:  # refused, not answered, or the connection was lost
            log.warning("%s does not tell its heartbeat: %s", station, error)

    def ask(self, station: str) -> Optional[str]:
        """Return the heartbeat interval of a station: a setting in 1.6, a variable since 2.0.1."""
        version = self.server.version_of(station)
        if version == "1.6":
            settings = self.server.call(station, v16.GetConfigurationRequest(["HeartbeatInterval"]), timeout=10)
            return settings.configuration_key[0].value if settings.configuration_key else None
        types: Any = v201 if version == "2.0.1" else v21
        data = types.GetVariableData(types.Component("OCPPCommCtrlr"), types.Variable("HeartbeatInterval"))
        results = self.server.call(station, types.GetVariablesRequest([data]), timeout=10).get_variable_result
        return str(results[0].attribute_value)

    def heartbeat(self, types: Any, station: str, request: Any) -> Any:
        return types.HeartbeatResponse(current_time=datetime.now(timezone.utc))

    def acknowledge(self, response: Any, station: str, request: Any) -> Any:
        return response()

    def security_event(self, types: Any, station: str, request: Any) -> Any:
        log.warning("%s reports: %s", station, request.type)
        return types.SecurityEventNotificationResponse()

    # For 2.0.1 and 2.1.

    def authorize(self, types: Any, station: str, request: Any) -> Any:
        status = self._site.judge(request.id_token.id_token)
        return types.AuthorizeResponse(id_token_info=types.IdTokenInfo(status=status))

    def event(self, types: Any, station: str, request: Any) -> Any:
        tag = request.id_token.id_token if request.id_token else None
        session = request.transaction_info.transaction_id
        if request.event_type == "Started":
            self._site.begin(station, session, tag or "a car without a tag")
        elif request.event_type == "Ended":
            self._site.end(station, session)
        info = types.IdTokenInfo(status=self._site.judge(tag)) if tag else None
        return types.TransactionEventResponse(id_token_info=info)

    # For 1.6.

    def authorize_16(self, station: str, request: v16.AuthorizeRequest) -> v16.AuthorizeResponse:
        return v16.AuthorizeResponse(id_tag_info=v16.IdTagInfo(status=self._site.judge(request.id_tag)))

    def start_16(self, station: str, request: v16.StartTransactionRequest) -> v16.StartTransactionResponse:
        number = self._site.new_number()
        self._site.begin(station, str(number), request.id_tag)
        info = v16.IdTagInfo(status=self._site.judge(request.id_tag))
        return v16.StartTransactionResponse(transaction_id=number, id_tag_info=info)

    def stop_16(self, station: str, request: v16.StopTransactionRequest) -> v16.StopTransactionResponse:
        self._site.end(station, str(request.transaction_id))
        return v16.StopTransactionResponse()


def main() -> None:
    parser = argparse.ArgumentParser(description="A central system for OCPP 1.6, 2.0.1 and 2.1.")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets other machines connect")
    parser.add_argument("--port", type=int, default=9000, help="0 takes any free port")
    parser.add_argument("--block", action="append", default=[], help="a tag that may not charge; may be repeated")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        CentralSystem(Site(options.block)).server.start(options.port, host=options.host)  # until Ctrl-C or SIGTERM
    except OcppjError as error:  # the port is taken, for example
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
