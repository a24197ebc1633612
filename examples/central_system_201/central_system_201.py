"""A central system for OCPP 2.0.1: transactions by TransactionEvent, and variables in place of settings. See README."""

from __future__ import annotations

import argparse
import logging
import sys
import threading
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Dict, Optional, Tuple

from ocppj import OcppjError, Server, v201

log = logging.getLogger("central_system")

ENERGY = "Energy.Active.Import.Register"


@dataclass
class Charging:
    """A transaction, as far as its events have told it."""

    token: str = ""
    energy: float = 0.0  # Wh
    next_event: int = 0


class Transactions:
    """The transactions of all charging stations. Handlers of several stations run at the same time, hence the lock.

    It keeps those that have ended, too: their last event may come again. A real system keeps them in a database.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: Dict[Tuple[str, str], Charging] = {}

    def take(self, station: str, event: v201.TransactionEventRequest) -> Optional[Charging]:
        """Note an event; return the transaction so far, or ``None`` if this event was there before."""
        key = (station, event.transaction_info.transaction_id)
        energy = energy_of(event)
        with self._lock:
            charging = self._known.setdefault(key, Charging())
            if event.seq_no < charging.next_event:  # a station that got no answer sends its event again
                return None
            charging.next_event = event.seq_no + 1
            charging.token = charging.token or (event.id_token.id_token if event.id_token else "")
            charging.energy = charging.energy if energy is None else energy
            return charging


def energy_of(event: v201.TransactionEventRequest) -> Optional[float]:
    """Return the last reading of the energy meter in an event, in Wh. It is the default measurand."""
    for meter_value in reversed(event.meter_value or []):
        for sample in meter_value.sampled_value:
            if (sample.measurand or ENERGY) == ENERGY and sample.phase is None:
                unit = sample.unit_of_measure or v201.UnitOfMeasure()
                return sample.value * 10.0 ** (unit.multiplier or 0) * (1000 if unit.unit == "kWh" else 1)
    return None


class CentralSystem:
    """Has the handlers of a server."""

    def __init__(self) -> None:
        # Every payload is checked against the schemas before a handler sees it.
        self.server = Server(profiles=v201.PROFILES)
        self._transactions = Transactions()
        self.server.on(v201.BootNotificationRequest)(self.boot)
        self.server.after(v201.BootNotificationRequest)(self.ask)
        self.server.on(v201.HeartbeatRequest)(self.heartbeat)
        self.server.on(v201.StatusNotificationRequest)(self.status)
        self.server.on(v201.AuthorizeRequest)(self.authorize)
        self.server.on(v201.TransactionEventRequest)(self.event)
        self.server.on(v201.SecurityEventNotificationRequest)(self.security_event)

    def boot(self, station: str, request: v201.BootNotificationRequest) -> v201.BootNotificationResponse:
        about = request.charging_station
        log.info("%s is a %s %s, and boots: %s", station, about.vendor_name, about.model, request.reason)
        return v201.BootNotificationResponse(current_time=datetime.now(timezone.utc), interval=60, status="Accepted")

    def ask(self, station: str, request: v201.BootNotificationRequest) -> None:
        """Ask for a variable. It runs when the answer to the boot is on the wire."""
        interval = v201.GetVariableData(v201.Component("OCPPCommCtrlr"), v201.Variable("HeartbeatInterval"))
        try:
            response = self.server.call(station, v201.GetVariablesRequest([interval]), timeout=10)
        except OcppjError as error:  # refused, not answered, or the connection was lost
            log.warning("%s does not tell its variables: %s", station, error)
            return
        for result in response.get_variable_result:
            log.info("%s has %s = %s", station, result.variable.name, result.attribute_value or result.attribute_status)

    def heartbeat(self, station: str, request: v201.HeartbeatRequest) -> v201.HeartbeatResponse:
        return v201.HeartbeatResponse(current_time=datetime.now(timezone.utc))

    def status(self, station: str, request: v201.StatusNotificationRequest) -> v201.StatusNotificationResponse:
        log.info("%s EVSE %s is %s", station, request.evse_id, request.connector_status)
        return v201.StatusNotificationResponse()

    def authorize(self, station: str, request: v201.AuthorizeRequest) -> v201.AuthorizeResponse:
        return v201.AuthorizeResponse(id_token_info=v201.IdTokenInfo(status="Accepted"))

    def event(self, station: str, request: v201.TransactionEventRequest) -> v201.TransactionEventResponse:
        charging = self._transactions.take(station, request)
        if charging is not None:
            number = request.transaction_info.transaction_id
            log.info("%s %s: %s at %g Wh for %s", station, number, request.event_type, charging.energy, charging.token)
        # An event with a token wants to know whether that may charge. Others get an empty answer.
        info = v201.IdTokenInfo(status="Accepted") if request.id_token else None
        return v201.TransactionEventResponse(id_token_info=info)

    def security_event(
        self, station: str, request: v201.SecurityEventNotificationRequest
    ) -> v201.SecurityEventNotificationResponse:
        log.warning("%s reports: %s %s", station, request.type, request.tech_info or "")
        return v201.SecurityEventNotificationResponse()


def main() -> None:
    parser = argparse.ArgumentParser(description="A central system for OCPP 2.0.1.")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets other machines connect")
    parser.add_argument("--port", type=int, default=9000, help="0 takes any free port")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        CentralSystem().server.start(options.port, host=options.host)  # until Ctrl-C or SIGTERM
    except OcppjError as error:  # the port is taken, for example
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
