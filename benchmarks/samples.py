"""The messages that all benchmarks send: payloads of OCPP 1.6 and what their answers look like. Imports nothing."""

from typing import Any, Dict, FrozenSet, List, NamedTuple

SAMPLES: List[Dict[str, Any]] = [
    {
        "value": "1437.2",
        "context": "Sample.Periodic",
        "format": "Raw",
        "measurand": "Energy.Active.Import.Register",
        "location": "Outlet",
        "unit": "Wh",
    },
    {"value": "230.1", "context": "Sample.Periodic", "measurand": "Voltage", "phase": "L1", "unit": "V"},
    {"value": "15.9", "context": "Sample.Periodic", "measurand": "Current.Import", "phase": "L1", "unit": "A"},
]
METER_VALUES: Dict[str, Any] = {
    "connectorId": 1,
    "transactionId": 7,
    "meterValue": [{"timestamp": "2026-01-02T03:04:05.678Z", "sampledValue": SAMPLES}],
}
BOOT_NOTIFICATION: Dict[str, Any] = {"chargePointVendor": "Example", "chargePointModel": "Model"}

#: A fixed answer for servers that look at nothing.
NOW = "2026-01-02T03:04:05.678Z"
ANSWERS: Dict[str, Dict[str, Any]] = {
    "Heartbeat": {"currentTime": NOW},
    "MeterValues": {},
    "BootNotification": {"currentTime": NOW, "interval": 300, "status": "Accepted"},
}


class Message(NamedTuple):
    """A request of a charge point, and its answer: how its payload begins, how the text ends, the payload's keys."""

    payload: Dict[str, Any]
    head: bytes
    tail: bytes
    keys: FrozenSet[str]


MESSAGES: Dict[str, Message] = {
    "Heartbeat": Message({}, b'{"currentTime":"', b'"}]', frozenset(ANSWERS["Heartbeat"])),
    "MeterValues": Message(METER_VALUES, b"{}", b"]", frozenset()),
    "BootNotification": Message(BOOT_NOTIFICATION, b"{", b"}]", frozenset(ANSWERS["BootNotification"])),
}
