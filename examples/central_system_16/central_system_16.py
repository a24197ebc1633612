"""A central system for OCPP 1.6: it accepts chargers, asks each for its settings, and logs what happens. See README."""

from __future__ import annotations

import argparse
import itertools
import logging
import sys
from datetime import datetime, timezone
from typing import Container, Optional

from ocppj import OcppjError, Server, v16

log = logging.getLogger("central_system")


def build_server(tags: Optional[Container[str]] = None) -> Server:
    """Return a server that does not listen yet.

    Args:
        tags: The tags that may charge; ``None``: all may.
    """
    # Every payload is checked against the schemas before a handler sees it. What is wrong gets an error as its answer.
    server = Server(profiles=v16.PROFILES)
    # Handlers of several chargers run at the same time. `next` of a count is safe there; a database is better.
    transaction_ids = itertools.count(1)

    def judge(tag: str) -> v16.IdTagInfo:
        return v16.IdTagInfo(status="Accepted" if tags is None or tag in tags else "Invalid")

    @server.on(v16.BootNotificationRequest)
    def boot(client_id: str, request: v16.BootNotificationRequest) -> v16.BootNotificationResponse:
        log.info("%s is a %s %s", client_id, request.charge_point_vendor, request.charge_point_model)
        return v16.BootNotificationResponse(current_time=datetime.now(timezone.utc), interval=60, status="Accepted")

    # It runs when the answer is on the wire: many chargers take no request before that.
    @server.after(v16.BootNotificationRequest)
    def booted(client_id: str, request: v16.BootNotificationRequest) -> None:
        try:
            response = server.call(client_id, v16.GetConfigurationRequest(), timeout=10)
        except OcppjError as error:  # refused, not answered, or the connection was lost
            log.warning("%s does not tell its settings: %s", client_id, error)
            return
        for setting in response.configuration_key or []:
            log.info("%s has %s = %s", client_id, setting.key, setting.value)

    @server.on(v16.HeartbeatRequest)
    def heartbeat(client_id: str, request: v16.HeartbeatRequest) -> v16.HeartbeatResponse:
        return v16.HeartbeatResponse(current_time=datetime.now(timezone.utc))

    @server.on(v16.StatusNotificationRequest)
    def status(client_id: str, request: v16.StatusNotificationRequest) -> v16.StatusNotificationResponse:
        log.info("%s connector %s is %s", client_id, request.connector_id, request.status)
        return v16.StatusNotificationResponse()

    @server.on(v16.AuthorizeRequest)
    def authorize(client_id: str, request: v16.AuthorizeRequest) -> v16.AuthorizeResponse:
        return v16.AuthorizeResponse(id_tag_info=judge(request.id_tag))

    @server.on(v16.StartTransactionRequest)
    def start_transaction(client_id: str, request: v16.StartTransactionRequest) -> v16.StartTransactionResponse:
        transaction_id = next(transaction_ids)
        log.info("%s starts transaction %s for %s", client_id, transaction_id, request.id_tag)
        # The transaction gets an id even if the tag is refused: it is the charger that has to end it.
        return v16.StartTransactionResponse(transaction_id=transaction_id, id_tag_info=judge(request.id_tag))

    @server.on(v16.MeterValuesRequest)
    def meter_values(client_id: str, request: v16.MeterValuesRequest) -> v16.MeterValuesResponse:
        for meter_value in request.meter_value:
            for sample in meter_value.sampled_value:
                log.info("%s meter: %s %s", client_id, sample.value, sample.unit or "Wh")
        return v16.MeterValuesResponse()

    @server.on(v16.StopTransactionRequest)
    def stop_transaction(client_id: str, request: v16.StopTransactionRequest) -> v16.StopTransactionResponse:
        log.info("%s ends transaction %s at %s Wh", client_id, request.transaction_id, request.meter_stop)
        return v16.StopTransactionResponse()

    @server.on(v16.SecurityEventNotificationRequest)
    def security_event(
        client_id: str, request: v16.SecurityEventNotificationRequest
    ) -> v16.SecurityEventNotificationResponse:
        log.warning("%s reports: %s %s", client_id, request.type, request.tech_info or "")
        return v16.SecurityEventNotificationResponse()

    return server


def main() -> None:
    parser = argparse.ArgumentParser(description="A central system for OCPP 1.6.")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets other machines connect")
    parser.add_argument("--port", type=int, default=9000, help="0 takes any free port")
    parser.add_argument("--tag", action="append", help="a tag that may charge; may be repeated; without it all may")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        build_server(options.tag).start(options.port, host=options.host)  # until Ctrl-C or SIGTERM
    except OcppjError as error:  # the port is taken, for example
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
