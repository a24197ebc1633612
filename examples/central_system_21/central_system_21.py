"""A central system for OCPP 2.1: running costs, an energy limit, and streams, which have no answers. See README."""

from __future__ import annotations

import argparse
import logging
import sys
import threading
from datetime import datetime, timezone
from typing import Dict, Optional, Tuple

from ocppj import OCPPError, OcppjError, Server, v21

log = logging.getLogger("central_system")

ENERGY = "Energy.Active.Import.Register"


def meter_of(event: v21.TransactionEventRequest) -> Optional[float]:
    """Return the last reading of the energy meter in an event, in kWh. It is the default measurand, in Wh."""
    for meter_value in reversed(event.meter_value or []):
        for sample in reversed(meter_value.sampled_value):
            if (sample.measurand or ENERGY) == ENERGY and sample.phase is None:
                unit = sample.unit_of_measure or v21.UnitOfMeasure()
                return sample.value * 10.0 ** (unit.multiplier or 0) / (1 if unit.unit == "kWh" else 1000)
    return None


class Bills:
    """What each transaction has used. Handlers of several stations run at the same time, hence the lock."""

    def __init__(self, price: float) -> None:
        self._price = price
        self._lock = threading.Lock()
        self._meters: Dict[Tuple[str, str], Tuple[float, float]] = {}  # the first and the last reading

    def cost(self, station: str, event: v21.TransactionEventRequest) -> float:
        """Return what the transaction costs so far. An event that comes again changes nothing."""
        key, meter = (station, event.transaction_info.transaction_id), meter_of(event)
        with self._lock:
            first, last = self._meters.get(key, (meter or 0.0, 0.0))
            last = max(last, meter or 0.0, first)
            self._meters[key] = first, last
        return round((last - first) * self._price, 4)


class CentralSystem:
    """Has the handlers of a server.

    Args:
        price: Of a kilowatt-hour.
        limit: Wh after which a transaction is to end; ``None``: there is no limit.
    """

    def __init__(self, price: float, limit: Optional[float]) -> None:
        # Every payload is checked against the schemas before a handler sees it.
        self.server = Server(profiles=v21.PROFILES)
        self._bills = Bills(price)
        self._limit = limit
        self.server.on(v21.BootNotificationRequest)(self.boot)
        self.server.on(v21.HeartbeatRequest)(self.heartbeat)
        self.server.on(v21.StatusNotificationRequest)(lambda station, request: v21.StatusNotificationResponse())
        self.server.on(v21.SecurityEventNotificationRequest)(self.security_event)
        self.server.on(v21.AuthorizeRequest)(self.authorize)
        self.server.on(v21.TransactionEventRequest)(self.event)
        self.server.on(v21.OpenPeriodicEventStreamRequest)(self.open_stream)
        self.server.on(v21.NotifyPeriodicEventStream)(self.stream)
        self.server.on(v21.ClosePeriodicEventStreamRequest)(self.close_stream)
        self.server.set_result_error_handler(self.refused)

    def boot(self, station: str, request: v21.BootNotificationRequest) -> v21.BootNotificationResponse:
        log.info("%s is a %s %s", station, request.charging_station.vendor_name, request.charging_station.model)
        return v21.BootNotificationResponse(current_time=datetime.now(timezone.utc), interval=60, status="Accepted")

    def heartbeat(self, station: str, request: v21.HeartbeatRequest) -> v21.HeartbeatResponse:
        return v21.HeartbeatResponse(current_time=datetime.now(timezone.utc))

    def security_event(
        self, station: str, request: v21.SecurityEventNotificationRequest
    ) -> v21.SecurityEventNotificationResponse:
        log.warning("%s reports: %s %s", station, request.type, request.tech_info or "")
        return v21.SecurityEventNotificationResponse()

    def authorize(self, station: str, request: v21.AuthorizeRequest) -> v21.AuthorizeResponse:
        return v21.AuthorizeResponse(id_token_info=v21.IdTokenInfo(status="Accepted"))

    def event(self, station: str, request: v21.TransactionEventRequest) -> v21.TransactionEventResponse:
        cost = self._bills.cost(station, request)
        log.info("%s %s: %s at %.2f", station, request.transaction_info.transaction_id, request.event_type, cost)
        starts = request.event_type == "Started" and self._limit is not None
        return v21.TransactionEventResponse(
            total_cost=cost,
            transaction_limit=v21.TransactionLimit(max_energy=self._limit) if starts else None,
            # An event with a token wants to know whether that may charge.
            id_token_info=v21.IdTokenInfo(status="Accepted") if request.id_token else None,
        )

    def open_stream(
        self, station: str, request: v21.OpenPeriodicEventStreamRequest
    ) -> v21.OpenPeriodicEventStreamResponse:
        return v21.OpenPeriodicEventStreamResponse(status="Accepted")

    def stream(self, station: str, message: v21.NotifyPeriodicEventStream) -> None:
        """Take values of a stream. It is a SEND: the station waits for no answer."""
        log.info("%s stream %s: %s", station, message.id, ", ".join(element.v for element in message.data))

    def close_stream(
        self, station: str, request: v21.ClosePeriodicEventStreamRequest
    ) -> v21.ClosePeriodicEventStreamResponse:
        return v21.ClosePeriodicEventStreamResponse()

    def refused(self, station: str, error: OCPPError, details: object) -> None:
        """Log that a station could not use an answer. In 2.1 it says so, with a CALLRESULTERROR."""
        log.error("%s did not take the answer to %s: %s", station, error.message_id, error)


def main() -> None:
    parser = argparse.ArgumentParser(description="A central system for OCPP 2.1.")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets other machines connect")
    parser.add_argument("--port", type=int, default=9000, help="0 takes any free port")
    parser.add_argument("--price", type=float, default=0.30, help="of a kilowatt-hour")
    parser.add_argument("--limit", type=float, help="Wh after which a transaction is to end")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        CentralSystem(options.price, options.limit).server.start(options.port, host=options.host)  # until Ctrl-C
    except OcppjError as error:  # the port is taken, for example
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
