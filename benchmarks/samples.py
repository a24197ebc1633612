"""The messages that all benchmarks send: payloads of OCPP 1.6, and their answers. Imports nothing of ours."""

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

#: Fixed answers, for servers that do not read the payload.
NOW = "2026-01-02T03:04:05.678Z"
ANSWERS: Dict[str, Dict[str, Any]] = {
    "Heartbeat": {"currentTime": NOW},
    "MeterValues": {},
    "BootNotification": {"currentTime": NOW, "interval": 300, "status": "Accepted"},
}


class Message(NamedTuple):
    """A request of a charge point. Of its answer: start of the payload, end of the text, keys of the payload."""

    payload: Dict[str, Any]
    head: bytes
    tail: bytes
    keys: FrozenSet[str]


MESSAGES: Dict[str, Message] = {
    "Heartbeat": Message({}, b'{"currentTime":"', b'"}]', frozenset(ANSWERS["Heartbeat"])),
    "MeterValues": Message(METER_VALUES, b"{}", b"]", frozenset()),
    "BootNotification": Message(BOOT_NOTIFICATION, b"{", b"}]", frozenset(ANSWERS["BootNotification"])),
}
