"""Records a charge, plays it against a central system that has changed, and shows what that answers otherwise."""

from __future__ import annotations

import itertools
import tempfile
from datetime import datetime, timezone
from pathlib import Path

from ocppj import Client, Recorder, Server, v16
from ocppj.recording import read_recording
from ocppj.replaying import StationReplay, read_conversations


def now() -> datetime:
    return datetime.now(timezone.utc)


def build_server(interval: int, first_transaction: int) -> Server:
    server = Server(profiles=v16.PROFILES)
    transaction_ids = itertools.count(first_transaction)

    @server.on(v16.BootNotificationRequest)
    def boot(client_id: str, request: v16.BootNotificationRequest) -> v16.BootNotificationResponse:
        return v16.BootNotificationResponse(current_time=now(), interval=interval, status="Accepted")

    @server.on(v16.StartTransactionRequest)
    def start(client_id: str, request: v16.StartTransactionRequest) -> v16.StartTransactionResponse:
        accepted = v16.IdTagInfo(status="Accepted")
        return v16.StartTransactionResponse(id_tag_info=accepted, transaction_id=next(transaction_ids))

    @server.on(v16.StopTransactionRequest)
    def stop(client_id: str, request: v16.StopTransactionRequest) -> v16.StopTransactionResponse:
        print(f"{client_id} ends transaction {request.transaction_id}")
        return v16.StopTransactionResponse()

    return server


def charge(url: str) -> None:
    with Client("CP_1", profiles=v16.PROFILES).connect(url) as client:
        client.call(v16.BootNotificationRequest(charge_point_vendor="Acme", charge_point_model="One"))
        request = v16.StartTransactionRequest(connector_id=1, id_tag="TAG", meter_start=0, timestamp=now())
        started = client.call(request)
        client.call(v16.StopTransactionRequest(transaction_id=started.transaction_id, meter_stop=1500, timestamp=now()))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.jsonl"
        server = build_server(interval=300, first_transaction=1)
        with Recorder(path) as recorder:
            server.add_observer(recorder)
            with server.listen(port=0, host="127.0.0.1"):
                charge(server.url)
        print(f"recorded {recorder.lines} lines")
        conversations, _ = read_conversations(read_recording(path))
    changed = build_server(interval=60, first_transaction=100)
    with changed.listen(port=0, host="127.0.0.1"):
        outcome = StationReplay(changed.url, conversations).run()
    for difference in outcome.differences:
        print(difference)


if __name__ == "__main__":
    main()
