"""A charging station made with the package ``ocpp``, as its documentation shows. It runs until it is ended.

python package_station.py URL VERSION
"""

import asyncio
import sys
from importlib import import_module

import websockets
from ocpp.routing import after, on

url, version = sys.argv[1:]
name = version.replace(".", "")
module = import_module(f"ocpp.v{name}")
answers = module.call_result


class Station16(module.ChargePoint):
    interval = 300

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.settings = {"HeartbeatInterval": "300", "NumberOfConnectors": "1"}

    async def boot(self):
        request = module.call.BootNotification(charge_point_model="One", charge_point_vendor="Acme")
        return await self.call(request)

    async def tell_status(self):
        for connector in (0, 1):
            await self.call(
                module.call.StatusNotification(connector_id=connector, error_code="NoError", status="Available")
            )

    @on("GetConfiguration")
    def get_configuration(self, key=None):
        known = [each for each in (key or self.settings) if each in self.settings]
        entries = [
            {"key": each, "readonly": each == "NumberOfConnectors", "value": self.settings[each]} for each in known
        ]
        unknown = [each for each in (key or ()) if each not in self.settings]
        return answers.GetConfiguration(configuration_key=entries or None, unknown_key=unknown or None)

    @on("ChangeConfiguration")
    def change_configuration(self, key, value):
        if key not in self.settings:
            return answers.ChangeConfiguration(status="NotSupported")
        if key == "NumberOfConnectors" or not value.isdigit():
            return answers.ChangeConfiguration(status="Rejected")
        self.settings[key] = value
        self.interval = int(value)
        return answers.ChangeConfiguration(status="Accepted")

    @on("TriggerMessage")
    def trigger(self, requested_message, **_):
        return answers.TriggerMessage(status="Accepted" if requested_message == "Heartbeat" else "NotImplemented")

    @after("TriggerMessage")
    async def triggered(self, requested_message, **_):
        if requested_message == "Heartbeat":
            await self.call(module.call.Heartbeat())

    @on("ChangeAvailability")
    def change_availability(self, connector_id, **_):
        return answers.ChangeAvailability(status="Accepted" if connector_id < 2 else "Rejected")

    @on("RemoteStopTransaction")
    def remote_stop(self, **_):
        return answers.RemoteStopTransaction(status="Rejected")

    @on("UnlockConnector")
    def unlock(self, connector_id, **_):
        return answers.UnlockConnector(status="Unlocked" if connector_id == 1 else "NotSupported")

    @on("DataTransfer")
    def data_transfer(self, **_):
        return answers.DataTransfer(status="UnknownVendorId")


class Station2(module.ChargePoint):
    interval = 300

    async def boot(self):
        station = {"model": "One", "vendor_name": "Acme"}
        return await self.call(module.call.BootNotification(charging_station=station, reason="PowerUp"))

    async def tell_status(self):
        from datetime import datetime, timezone

        now = datetime.now(timezone.utc).isoformat()
        await self.call(
            module.call.StatusNotification(timestamp=now, connector_status="Available", evse_id=1, connector_id=1)
        )

    def find(self, data):
        if data["component"]["name"] != "OCPPCommCtrlr":
            return "UnknownComponent"
        return "Accepted" if data["variable"]["name"] == "HeartbeatInterval" else "UnknownVariable"

    @on("GetVariables")
    def get_variables(self, get_variable_data, **_):
        results = []
        for data in get_variable_data:
            result = {"attribute_status": self.find(data), "attribute_type": data.get("attribute_type", "Actual")}
            if result["attribute_status"] == "Accepted":
                result["attribute_value"] = str(self.interval)
            results.append({**result, "component": data["component"], "variable": data["variable"]})
        return answers.GetVariables(get_variable_result=results)

    @on("SetVariables")
    def set_variables(self, set_variable_data, **_):
        results = []
        for data in set_variable_data:
            status = self.find(data)
            if status == "Accepted" and not data["attribute_value"].isdigit():
                status = "Rejected"
            elif status == "Accepted":
                self.interval = int(data["attribute_value"])
            result = {"attribute_status": status, "attribute_type": "Actual"}
            results.append({**result, "component": data["component"], "variable": data["variable"]})
        return answers.SetVariables(set_variable_result=results)

    @on("TriggerMessage")
    def trigger(self, requested_message, **_):
        return answers.TriggerMessage(status="Accepted" if requested_message == "Heartbeat" else "NotImplemented")

    @after("TriggerMessage")
    async def triggered(self, requested_message, **_):
        if requested_message == "Heartbeat":
            await self.call(module.call.Heartbeat())

    @on("DataTransfer")
    def data_transfer(self, **_):
        return answers.DataTransfer(status="UnknownVendorId")


async def work(station):
    """Boot, and send heartbeats."""
    response = await station.boot()
    while response.status != "Accepted":
        await asyncio.sleep(response.interval)
        response = await station.boot()
    station.booted = True
    station.interval = response.interval
    await station.tell_status()
    while True:
        await asyncio.sleep(min(station.interval, response.interval))
        if station.interval <= response.interval:
            await station.call(module.call.Heartbeat())


async def main():
    booted = False
    while True:
        try:
            async with websockets.connect(f"{url}/CP_1", subprotocols=[f"ocpp{version}"]) as connection:
                station = (Station16 if version == "1.6" else Station2)("CP_1", connection, 5)
                if booted:
                    await station.start()
                else:
                    working = asyncio.ensure_future(work(station))
                    try:
                        await station.start()
                    finally:
                        booted = getattr(station, "booted", False)
                        working.cancel()
        except Exception:  # the package ends the connection with it: what is no list, or no JSON ...
            pass
        await asyncio.sleep(0.2)


asyncio.run(main())
