"""A charge point for OCPP 1.6. It boots, charges one car for a few seconds, and ends.

python examples/central_system.py --port 9000
python examples/charge_point.py ws://127.0.0.1:9000 CP_1
"""

import argparse
import sys
import threading
from datetime import datetime, timezone

from ocppj import Client, OcppjError, v16


def now() -> datetime:
    return datetime.now(timezone.utc)


def build_client(client_id: str) -> Client:
    client = Client(client_id, profiles=v16.PROFILES, timeout=10, reconnect=False)
    settings = {"HeartbeatInterval": "60", "NumberOfConnectors": "1"}

    @client.on(v16.GetConfigurationRequest)
    def get_configuration(request: v16.GetConfigurationRequest) -> v16.GetConfigurationResponse:
        keys = request.key or list(settings)
        return v16.GetConfigurationResponse(
            configuration_key=[
                v16.KeyValue(key=key, readonly=True, value=settings[key]) for key in keys if key in settings
            ],
            unknown_key=[key for key in keys if key not in settings],
        )

    return client


def charge(client: Client, id_tag: str, samples: int, interval: float) -> int:
    """Run one transaction; return the energy charged, in Wh."""
    booted = client.call(v16.BootNotificationRequest(charge_point_vendor="Acme", charge_point_model="One"))
    print(f"boot: {booted.status}, heartbeat every {booted.interval} s")
    authorized = client.call(v16.AuthorizeRequest(id_tag=id_tag))
    if authorized.id_tag_info.status != "Accepted":
        sys.exit(f"{id_tag} may not charge: {authorized.id_tag_info.status}")
    started = client.call(v16.StartTransactionRequest(connector_id=1, id_tag=id_tag, meter_start=0, timestamp=now()))
    transaction_id = started.transaction_id
    print(f"transaction {transaction_id} begins")
    client.call(v16.StatusNotificationRequest(connector_id=1, error_code="NoError", status="Charging"))
    energy = 0
    for _ in range(samples):
        threading.Event().wait(interval)
        energy += 250
        sample = v16.SampledValue(value=str(energy), unit="Wh")
        client.call(
            v16.MeterValuesRequest(
                connector_id=1,
                transaction_id=transaction_id,
                meter_value=[v16.MeterValue(timestamp=now(), sampled_value=[sample])],
            )
        )
        print(f"charged {energy} Wh")
    client.call(v16.StopTransactionRequest(transaction_id=transaction_id, meter_stop=energy, timestamp=now()))
    client.call(v16.StatusNotificationRequest(connector_id=1, error_code="NoError", status="Available"))
    print(f"transaction {transaction_id} ends")
    return energy


def main() -> None:
    parser = argparse.ArgumentParser(description="A charge point for OCPP 1.6.")
    parser.add_argument("url", help="the central system, such as ws://127.0.0.1:9000")
    parser.add_argument("id", help="the identity of this charge point, such as CP_1")
    parser.add_argument("--tag", default="TAG-0001", help="who charges")
    parser.add_argument("--samples", type=int, default=4, help="how many meter values to send")
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between them")
    options = parser.parse_args()
    try:
        with build_client(options.id).connect(options.url) as client:
            charge(client, options.tag, options.samples, options.interval)
    except OcppjError as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
