"""A central system for OCPP 1.6. It accepts every charge point, asks each for its settings, and logs what happens.

python examples/central_system.py --port 9000
python examples/charge_point.py ws://127.0.0.1:9000 CP_1
"""

import argparse
import itertools
import logging
import threading
from datetime import datetime, timezone

from ocppj import OcppjError, Server, v16

log = logging.getLogger("central_system")


def build_server() -> Server:
    server = Server(profiles=v16.PROFILES)
    transaction_ids = itertools.count(1)

    @server.set_new_client_handler
    def connected(client_id: str) -> None:
        log.info("%s is here", client_id)

    @server.set_disconnected_client_handler
    def disconnected(client_id: str) -> None:
        log.info("%s is gone", client_id)

    @server.on(v16.BootNotificationRequest)
    def boot(client_id: str, request: v16.BootNotificationRequest) -> v16.BootNotificationResponse:
        log.info("%s is a %s %s", client_id, request.charge_point_vendor, request.charge_point_model)
        return v16.BootNotificationResponse(current_time=datetime.now(timezone.utc), interval=60, status="Accepted")

    @server.after(v16.BootNotificationRequest)
    def booted(client_id: str, request: v16.BootNotificationRequest) -> None:
        try:
            response = server.call(client_id, v16.GetConfigurationRequest(), timeout=10)
        except OcppjError as error:  # refused, not answered, or the connection was lost
            log.info("%s does not tell its settings: %s", client_id, error)
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
        return v16.AuthorizeResponse(id_tag_info=v16.IdTagInfo(status="Accepted"))

    @server.on(v16.StartTransactionRequest)
    def start_transaction(client_id: str, request: v16.StartTransactionRequest) -> v16.StartTransactionResponse:
        transaction_id = next(transaction_ids)
        log.info("%s starts transaction %s for %s", client_id, transaction_id, request.id_tag)
        return v16.StartTransactionResponse(transaction_id=transaction_id, id_tag_info=v16.IdTagInfo(status="Accepted"))

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

    return server


def main() -> None:
    parser = argparse.ArgumentParser(description="A central system for OCPP 1.6.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9000, help="0 takes any free port")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    with build_server().listen(port=options.port, host=options.host) as server:
        log.info("listening on %s", server.url)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            log.info("stopping")


if __name__ == "__main__":
    main()
