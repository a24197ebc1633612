"""A central system made with the package ``ocpp``, as its documentation shows: it prints its port, and runs on."""

import asyncio
import sys
from datetime import datetime, timezone

from ocpp import v16, v21, v201
from ocpp.routing import on
from websockets.asyncio.server import serve


def now():
    return datetime.now(timezone.utc).isoformat()


class Station16(v16.ChargePoint):
    transactions = 0

    @on("BootNotification")
    async def boot(self, **_):
        return v16.call_result.BootNotification(current_time=now(), interval=300, status="Accepted")

    @on("Heartbeat")
    async def heartbeat(self, **_):
        return v16.call_result.Heartbeat(current_time=now())

    @on("Authorize")
    async def authorize(self, id_tag, **_):
        status = "Invalid" if id_tag.startswith("X") else "Accepted"
        return v16.call_result.Authorize(id_tag_info={"status": status})

    @on("StatusNotification")
    async def status(self, **_):
        return v16.call_result.StatusNotification()

    @on("MeterValues")
    async def meter_values(self, **_):
        return v16.call_result.MeterValues()

    @on("StartTransaction")
    async def start_transaction(self, id_tag, **_):
        Station16.transactions += 1
        info = {"status": "Invalid" if id_tag.startswith("X") else "Accepted"}
        return v16.call_result.StartTransaction(transaction_id=self.transactions, id_tag_info=info)

    @on("StopTransaction")
    async def stop_transaction(self, **_):
        return v16.call_result.StopTransaction()

    @on("DataTransfer")
    async def data_transfer(self, **_):
        return v16.call_result.DataTransfer(status="UnknownVendorId")


def station2(version):
    class Station2(version.ChargePoint):
        @on("BootNotification")
        async def boot(self, **_):
            return version.call_result.BootNotification(current_time=now(), interval=300, status="Accepted")

        @on("Heartbeat")
        async def heartbeat(self, **_):
            return version.call_result.Heartbeat(current_time=now())

        @on("Authorize")
        async def authorize(self, id_token, **_):
            return version.call_result.Authorize(id_token_info={"status": self.judge(id_token)})

        @on("StatusNotification")
        async def status(self, **_):
            return version.call_result.StatusNotification()

        @on("MeterValues")
        async def meter_values(self, **_):
            return version.call_result.MeterValues()

        @on("TransactionEvent")
        async def transaction_event(self, id_token=None, **_):
            info = None if id_token is None else {"status": self.judge(id_token)}
            return version.call_result.TransactionEvent(id_token_info=info)

        @on("NotifyEvent")
        async def notify_event(self, **_):
            return version.call_result.NotifyEvent()

        @on("DataTransfer")
        async def data_transfer(self, **_):
            return version.call_result.DataTransfer(status="UnknownVendorId")

        def judge(self, token):
            known = token["type"] == "NoAuthorization" or token["id_token"] == "04A1B2C3"
            return "Accepted" if known else "Invalid"

    return Station2


STATIONS = {"ocpp1.6": Station16, "ocpp2.0.1": station2(v201), "ocpp2.1": station2(v21)}


async def connected(connection):
    kind = STATIONS.get(connection.subprotocol)
    if kind is None:
        await connection.close(1002, "no common version")
        return
    await kind(connection.request.path.rpartition("/")[2], connection).start()


async def main():
    async with serve(connected, "127.0.0.1", int(sys.argv[1]), subprotocols=[*STATIONS]) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        print(f"listening on ws://127.0.0.1:{port}", flush=True)
        await server.serve_forever()


asyncio.run(main())
