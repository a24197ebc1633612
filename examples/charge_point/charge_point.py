"""A charge point for OCPP 1.6. It boots, charges one car for a few seconds, and ends. See README.

Ctrl-C unplugs the car: the transaction ends in order.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from datetime import datetime, timezone

from ocppj import Client, OcppjError, v16

STEP = 250  # Wh between two meter values


def now() -> datetime:
    return datetime.now(timezone.utc)


class ChargePoint:
    """Charges cars.

    Args:
        client_id: Its identity.
        interval: Seconds between two meter values.
    """

    def __init__(self, client_id: str, interval: float) -> None:
        # It is there for a few seconds. One that stays connects again by itself: that is the default.
        self.client = Client(client_id, profiles=v16.PROFILES, timeout=10, reconnect=False)
        self._interval = interval
        self._settings = {"HeartbeatInterval": "60", "NumberOfConnectors": "1"}
        self.client.on(v16.GetConfigurationRequest)(self.get_configuration)

    def get_configuration(self, request: v16.GetConfigurationRequest) -> v16.GetConfigurationResponse:
        keys = request.key or list(self._settings)
        known = [key for key in keys if key in self._settings]
        return v16.GetConfigurationResponse(
            configuration_key=[v16.KeyValue(key=key, readonly=True, value=self._settings[key]) for key in known],
            unknown_key=[key for key in keys if key not in self._settings],
        )

    def boot(self) -> None:
        answer = self.client.call(v16.BootNotificationRequest(charge_point_vendor="Acme", charge_point_model="One"))
        print(f"boot: {answer.status}, heartbeat every {answer.interval} s")
        if answer.status != "Accepted":
            sys.exit("the central system does not accept this charge point")

    def charge(self, tag: str, samples: int) -> None:
        """Run one transaction."""
        judged = self.client.call(v16.AuthorizeRequest(id_tag=tag)).id_tag_info.status
        if judged != "Accepted":
            sys.exit(f"{tag} may not charge: {judged}")
        request = v16.StartTransactionRequest(connector_id=1, id_tag=tag, meter_start=0, timestamp=now())
        transaction = self.client.call(request).transaction_id
        print(f"transaction {transaction} begins")
        energy, reason = 0, "EVDisconnected"
        try:
            self.status("Charging")
            for _ in range(samples):
                threading.Event().wait(self._interval)
                energy += STEP
                self.measure(transaction, energy)
        except KeyboardInterrupt:
            reason = "Local"
        self.client.call(
            v16.StopTransactionRequest(transaction_id=transaction, meter_stop=energy, timestamp=now(), reason=reason)
        )
        self.status("Available")
        print(f"transaction {transaction} ends")

    def measure(self, transaction: int, energy: int) -> None:
        value = v16.MeterValue(timestamp=now(), sampled_value=[v16.SampledValue(value=str(energy), unit="Wh")])
        self.client.call(
            v16.MeterValuesRequest(connector_id=1, transaction_id=transaction, meter_value=[value]),
        )
        print(f"charged {energy} Wh")

    def status(self, status: str) -> None:
        self.client.call(v16.StatusNotificationRequest(connector_id=1, error_code="NoError", status=status))


def main() -> None:
    parser = argparse.ArgumentParser(description="A charge point for OCPP 1.6.")
    parser.add_argument("url", help="the central system, such as ws://127.0.0.1:9000")
    parser.add_argument("id", help="the identity of this charge point, such as CP_1")
    parser.add_argument("--tag", default="TAG-0001", help="who charges")
    parser.add_argument("--samples", type=int, default=4, help="how many meter values to send")
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between them")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a service manager ends it as Ctrl-C does
    charge_point = ChargePoint(options.id, options.interval)
    try:
        with charge_point.client.connect(options.url):
            charge_point.boot()
            charge_point.charge(options.tag, options.samples)
    except KeyboardInterrupt:
        sys.exit(130)
    except OcppjError as error:  # no connection, no answer, a refusal
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
