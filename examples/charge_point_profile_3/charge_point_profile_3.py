"""A charging station for OCPP 2.0.1 with security profile 3: TLS, and a certificate in place of a password. See README.

It stays until Ctrl-C or SIGTERM, and connects again by itself when the connection is lost.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from datetime import datetime, timezone

from ocppj import Client, OcppjError, client_tls_context, v201

log = logging.getLogger("charging_station")

INTERVAL = 60.0  # seconds between two boots, or two heartbeats, if the central system does not say
AGAIN = 3.0  # seconds until a boot is tried again that got no answer


class ChargingStation:
    """Boots, says what its connector does, and beats.

    Args:
        identity: Its identity. The certificate must name it.
        ca: The PEM file of the authority that issues the certificate of the central system.
        certificate: The PEM file with the chain and the key of this station.
    """

    def __init__(self, identity: str, ca: str, certificate: str) -> None:
        # With security_profile= the client refuses to connect in a weaker way, such as ws:// or without a certificate.
        self.client = Client(
            identity,
            profiles=v201.PROFILES,
            security_profile=3,
            ssl_context=client_tls_context(ca, certificate),
            timeout=30,
        )
        self._reset = threading.Event()
        self.client.on(v201.ResetRequest)(self.reset)
        self.client.after(v201.ResetRequest)(lambda request: self._reset.set())
        self.client.on(v201.GetVariablesRequest)(self.get_variables)

    def reset(self, request: v201.ResetRequest) -> v201.ResetResponse:
        """Agree. The reset comes when the answer is on the wire."""
        log.info("reset: %s", request.type)
        return v201.ResetResponse(status="Accepted")

    def get_variables(self, request: v201.GetVariablesRequest) -> v201.GetVariablesResponse:
        return v201.GetVariablesResponse([self._variable(each) for each in request.get_variable_data])

    def _variable(self, asked: v201.GetVariableData) -> v201.GetVariableResult:
        known = (asked.component.name, asked.variable.name) == ("SecurityCtrlr", "SecurityProfile")
        return v201.GetVariableResult(
            attribute_status="Accepted" if known else "UnknownVariable",
            component=asked.component,
            variable=asked.variable,
            attribute_value="3" if known else None,
        )

    def run(self, url: str) -> None:
        """Serve until KeyboardInterrupt."""
        reason = "PowerUp"
        while True:
            # The first attempt fails loudly: a certificate that is refused now will be refused again. After a reset
            # the central system is known to be there, and may be away for a while.
            with self.client.connect(url, retry=reason == "RemoteReset"):
                self._serve(reason)
            reason = "RemoteReset"

    def _serve(self, reason: str) -> None:
        self._reset.clear()
        interval = self._boot(reason)
        while not self._reset.wait(interval):
            try:
                log.info("it is %s", self.client.call(v201.HeartbeatRequest()).current_time)
            except OcppjError as error:  # the connection is lost, for example: the client makes another one
                log.warning("no heartbeat: %s", error)

    def _boot(self, reason: str) -> float:
        """Boot until the central system accepts this station, or resets it. Return the seconds between heartbeats."""
        about = v201.ChargingStation(model="One", vendor_name="Acme")
        while True:
            try:
                answer = self.client.call(v201.BootNotificationRequest(charging_station=about, reason=reason))
                log.info("boot: %s, interval %s s", answer.status, answer.interval)
                interval = answer.interval or INTERVAL  # 0 leaves it to the station
                if answer.status == "Accepted":
                    self._say_that_it_is_free()
                    return interval
            except OcppjError as error:
                interval = AGAIN
                log.warning("no boot: %s", error)
            if self._reset.wait(interval):
                return interval

    def _say_that_it_is_free(self) -> None:
        now = datetime.now(timezone.utc)
        self.client.call(
            v201.StatusNotificationRequest(timestamp=now, connector_status="Available", evse_id=1, connector_id=1)
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="A charging station for OCPP 2.0.1 with security profile 3.")
    parser.add_argument("url", help="the central system, such as wss://localhost:9000")
    parser.add_argument("id", help="the identity of this station, such as CS_1")
    parser.add_argument("--ca", required=True, help="PEM file: the authority of the central system")
    parser.add_argument("--certificate", required=True, help="PEM file: the certificates and the key of this station")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a service manager ends it as Ctrl-C does
    try:
        ChargingStation(options.id, options.ca, options.certificate).run(options.url)
    except KeyboardInterrupt:
        log.info("ended")
    except (OcppjError, OSError) as error:  # no connection, a refused certificate; a file that cannot be read
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
