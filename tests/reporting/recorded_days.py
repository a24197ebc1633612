"""Recordings for tests of reports: made of nothing but numbers, the same each time."""

import json
from datetime import datetime, timedelta, timezone
from typing import Any, Dict, List, Optional

from ocppj.payloads.datetimes import parse_datetime
from ocppj.recording import Recorded

BEGIN = datetime(2026, 11, 30, 8, 0, 0, tzinfo=timezone.utc)
#: What a peer may send to break a page.
EVIL = '</script><script>document.title="broken"</script><img src=x onerror=alert(1)>\u202egpj.exe"\'&'


class Day:
    """Adds lines to a recording, and has the clock go on."""

    def __init__(self, begin: datetime = BEGIN) -> None:
        self.now = begin
        self.lines: List[Dict[str, Any]] = []
        self.quiet: List["Line"] = []  # those that send heartbeats while time passes
        self._id = 0
        self._connection = 0

    @property
    def text(self) -> str:
        return "".join(json.dumps(each) + "\n" for each in self.lines)

    @property
    def recorded(self) -> List[Recorded]:
        return [_recorded(**each) for each in self.lines]

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def pass_time(self, seconds: float) -> None:
        """Have the clock go on, and the stations send heartbeats."""
        self.wait(seconds)
        for line in self.quiet:
            line.heartbeat()

    def time(self, after: float = 0.0) -> str:
        return (self.now + timedelta(seconds=after)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def station(self, client: str, version: str = "1.6") -> "Line":
        self._connection += 1
        return Line(self, client, version, self._connection)

    def next_id(self) -> str:
        self._id += 1
        return f"m{self._id}"

    def add(self, **fields: Any) -> None:
        self.lines.append({"time": self.time(), **fields})


def _recorded(time: str, client: str, version: str, connection: int, **more: Any) -> Recorded:
    about = parse_datetime(time), more.get("from", ""), client, version, more.get("text", "")
    return Recorded(*about, more.get("event", ""), connection, more.get("reason", ""), more.get("sent", True))


class Line:
    """A connection of a station."""

    def __init__(self, day: Day, client: str, version: str, number: int) -> None:
        self.day = day
        self._about = {"client": client, "version": version, "connection": number}
        day.add(event="connected", **self._about)

    def frame(self, sender: str, text: str, **more: Any) -> None:
        self.day.add(**{"from": sender, "text": text, **self._about, **more})

    def call(
        self,
        action: str,
        payload: Dict[str, Any],
        answer: Optional[Dict[str, Any]] = None,
        *,
        sender: str = "station",
        latency: float = 0.05,
    ) -> None:
        """Add a CALL and its answer. ``None``: there is none."""
        name = self.day.next_id()
        self.frame(sender, json.dumps([2, name, action, payload]))
        if answer is not None:
            self.day.wait(latency)
            self.frame("csms" if sender == "station" else "station", json.dumps([3, name, answer]))
        self.day.wait(0.2)

    def error(self, action: str, payload: Dict[str, Any], code: str, sender: str = "station") -> None:
        name = self.day.next_id()
        self.frame(sender, json.dumps([2, name, action, payload]))
        self.day.wait(0.02)
        self.frame("csms" if sender == "station" else "station", json.dumps([4, name, code, "no", {}]))
        self.day.wait(0.2)

    def end(self, reason: str = "1006 the network failed") -> None:
        self.day.add(event="disconnected", reason=reason, **self._about)

    def boot(self, interval: int = 300) -> None:
        if self._about["version"] == "1.6":
            payload: Dict[str, Any] = {"chargePointVendor": "Vendor", "chargePointModel": "One"}
        else:
            payload = {"reason": "PowerUp", "chargingStation": {"vendorName": "Vendor", "model": "Two"}}
        answer = {"status": "Accepted", "currentTime": self.day.time(), "interval": interval}
        self.call("BootNotification", payload, answer, latency=0.12)

    def heartbeat(self, latency: float = 0.03) -> None:
        self.call("Heartbeat", {}, {"currentTime": self.day.time()}, latency=latency)


def charge_16(line: Line, number: int, minutes: int = 60, kw: float = 11.0) -> None:
    """A charging session of 1.6, with a reading each five minutes."""
    day = line.day
    line.call("Authorize", {"idTag": f"TAG{number}"}, {"idTagInfo": {"status": "Accepted"}}, latency=0.2)
    start = {"connectorId": 1, "idTag": f"TAG{number}", "meterStart": 1000, "timestamp": day.time()}
    line.call("StartTransaction", start, {"transactionId": number, "idTagInfo": {"status": "Accepted"}})
    wh = 1000.0
    for minute in range(5, minutes, 5):
        day.pass_time(300)
        power = kw if minute < minutes * 0.7 else kw * (minutes - minute) / (minutes * 0.3)
        wh += power * 1000 / 12
        samples = [
            {"value": f"{wh:.0f}", "measurand": "Energy.Active.Import.Register", "unit": "Wh"},
            {"value": f"{power:.2f}", "measurand": "Power.Active.Import", "unit": "kW"},
        ]
        value = [{"timestamp": day.time(), "sampledValue": samples}]
        latency = 0.02 + (minute % 7) * 0.013
        line.call("MeterValues", {"connectorId": 1, "transactionId": number, "meterValue": value}, {}, latency=latency)
    day.pass_time(300)
    stop = {"transactionId": number, "meterStop": int(wh), "timestamp": day.time(), "reason": "EVDisconnected"}
    line.call("StopTransaction", stop, {"idTagInfo": {"status": "Accepted"}})


def charge_2(line: Line, name: str, minutes: int = 40, kw: float = 50.0) -> None:
    """A charging session of 2.x, whose readings are of energy only."""
    day, wh = line.day, 0.0
    for number, minute in enumerate(range(0, minutes + 1, 5)):
        kind = "Started" if not minute else "Ended" if minute == minutes else "Updated"
        sample = {"value": wh / 1000, "unitOfMeasure": {"unit": "Wh", "multiplier": 3}}
        event: Dict[str, Any] = {
            "eventType": kind,
            "timestamp": day.time(),
            "triggerReason": "CablePluggedIn" if not minute else "MeterValuePeriodic",
            "seqNo": number,
            "transactionInfo": {"transactionId": name},
            "evse": {"id": 2, "connectorId": 1},
            "meterValue": [{"timestamp": day.time(), "sampledValue": [sample]}],
        }
        if not minute:
            event["idToken"] = {"idToken": "CARD7", "type": "ISO14443"}
        if kind == "Ended":
            event["transactionInfo"]["stoppedReason"] = "EVDisconnected"
        line.call("TransactionEvent", event, {}, latency=0.04 + number * 0.01)
        day.pass_time(300)
        wh += kw * 1000 / 12 * (1 - minute / (minutes * 1.3))


def demo() -> str:
    """A morning: three stations, two sessions, errors, a lost connection, a silence, and a peer that means harm."""
    day = Day()
    one, two = day.station("CP_1"), day.station("CS_2", "2.0.1")
    one.boot()
    two.boot()
    one.call("StatusNotification", {"connectorId": 1, "status": "Available", "errorCode": "NoError"}, {})
    day.quiet = [two]
    charge_16(one, 7)
    day.quiet = [one]
    charge_2(two, "tx-2")
    key = {"key": "AuthorizationKey", "value": "hunter2hunter2"}
    one.call("ChangeConfiguration", key, {"status": "Accepted"}, sender="csms")
    one.call("StatusNotification", {"connectorId": 1, "status": "Sleeping", "errorCode": "NoError"}, {})
    one.error("DataTransfer", {"vendorId": EVIL}, "NotSupported")
    one.call("Reset", {"type": "Soft"}, None, sender="csms")
    one.end()
    day.quiet = [two]
    for _ in range(3):
        day.pass_time(300)
    again, evil = day.station("CP_1"), day.station(f"CP_{EVIL}")
    again.boot()
    evil.boot()
    evil.frame("station", f"{EVIL} is no message")
    again.heartbeat(latency=2.5)
    day.quiet = [two, evil]
    for _ in range(5):
        day.pass_time(300)
    again.heartbeat()
    return day.text


def large(messages: int, stations: int = 20) -> List[Recorded]:
    """Many messages: heartbeats and readings, each 500th an error."""
    day = Day()
    lines = [day.station(f"CP_{number}") for number in range(1, stations + 1)]
    for line in lines:
        line.boot()
    number = 0
    while len(day.lines) < messages:
        number += 1
        line = lines[number % stations]
        if number % 250 == 0:
            line.error("DataTransfer", {"vendorId": "Vendor", "data": f"needle{number}"}, "NotImplemented")
        elif number % 3 == 0:
            samples = [{"value": str(1000 + number), "measurand": "Energy.Active.Import.Register", "unit": "Wh"}]
            value = [{"timestamp": day.time(), "sampledValue": samples}]
            line.call("MeterValues", {"connectorId": 1, "meterValue": value}, {}, latency=0.01 + number % 97 / 1000)
        else:
            line.heartbeat(latency=0.005 + number % 89 / 500)
    return day.recorded
