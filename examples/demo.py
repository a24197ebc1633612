"""A whole charging session over a real WebSocket on this machine. Each message is printed.

Run by ``make demo``. Exits with 0 only if every answer and the order of the messages are as expected, and no thread is
left.
"""

import json
import os
import shutil
import sys
import threading
from datetime import datetime, timezone
from typing import Any, Dict, List, Optional, Tuple

from ocppj import Client, Frame, Server, v16

PATIENCE = 5.0  # seconds that anything here may take

#: The sender and the action of each CALL, in order. Each must be answered with a CALLRESULT.
EXPECTED = [
    ("CP_1", "BootNotification"),
    ("CSMS", "ChangeConfiguration"),
    ("CP_1", "StatusNotification"),
    ("CP_1", "Authorize"),
    ("CP_1", "StartTransaction"),
    ("CP_1", "StatusNotification"),
    ("CP_1", "MeterValues"),
    ("CP_1", "MeterValues"),
    ("CP_1", "MeterValues"),
    ("CSMS", "RemoteStopTransaction"),
    ("CP_1", "StopTransaction"),
    ("CP_1", "StatusNotification"),
]

#: The message types of OCPP-J: the name and the colour of each.
KINDS = {2: ("CALL", "36"), 3: ("RESULT", "32"), 4: ("ERROR", "31")}


def now() -> datetime:
    return datetime.now(timezone.utc)


def check(holds: bool, what: str) -> None:
    if not holds:
        raise AssertionError(what)


class Transcript:
    """Prints the frames that a server sends and receives, and records the sender of each CALL."""

    def __init__(self) -> None:
        self.calls: List[Tuple[str, str]] = []
        self.answers: Dict[str, int] = {}
        self.actions: Dict[str, str] = {}
        self.colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        self.width = shutil.get_terminal_size((120, 24)).columns
        self.lock = threading.Lock()

    def __call__(self, frame: Frame) -> None:
        fields = json.loads(frame.text)
        kind, message_id = fields[0], fields[1]
        sender, receiver = (frame.client_id, "CSMS") if frame.direction == "in" else ("CSMS", frame.client_id)
        with self.lock:
            if kind == 2:
                self.actions[message_id] = fields[2]
                self.calls.append((sender, fields[2]))
            else:
                self.answers[message_id] = kind
            action = self.actions.get(message_id, "?")
            body = f"{fields[2]}: {fields[3]}" if kind == 4 else self.short(fields[-1])
            name, colour = KINDS[kind]
            start = f"{self.clock(frame.time)}  {sender:>4} -> {receiver:<4}  "
            label = f"{name:<6}  {action:<21}"
            body = self.cut(body, self.width - len(start) - len(label) - 2)
            print(f"{start}{self.paint(colour, label)}  {body}".rstrip(), flush=True)

    @staticmethod
    def clock(moment: datetime) -> str:
        return moment.astimezone().strftime("%H:%M:%S.%f")[:-3]

    @staticmethod
    def cut(text: str, width: int) -> str:
        return text if len(text) <= width else text[: max(0, width - 3)] + "..."

    def paint(self, colour: str, text: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self.colour else text

    def short(self, value: Any) -> str:
        """Return a payload as ``name=value`` pairs. Of nested objects it shows the innermost, without timestamps."""
        if isinstance(value, list):
            return " ".join(self.short(each) for each in value)
        pairs = []
        for name, each in value.items():
            nested = isinstance(each, dict) or (isinstance(each, list) and each and isinstance(each[0], dict))
            if nested:
                pairs.append(self.short(each))
            elif name != "timestamp":
                pairs.append(f"{name}={each}")
        return " ".join(pairs)


class CentralSystem:
    """Accepts a charge point, and ends a transaction when it has reached one kilowatt-hour."""

    LIMIT = 1000  # Wh

    def __init__(self, server: Server) -> None:
        self.server = server
        self.configured = threading.Event()
        self.meter_stop: Optional[int] = None
        server.on(v16.BootNotificationRequest)(self.boot)
        server.after(v16.BootNotificationRequest)(self.configure)
        server.on(v16.StatusNotificationRequest)(lambda client_id, request: v16.StatusNotificationResponse())
        server.on(v16.AuthorizeRequest)(self.authorize)
        server.on(v16.StartTransactionRequest)(self.start_transaction)
        server.on(v16.MeterValuesRequest)(lambda client_id, request: v16.MeterValuesResponse())
        server.after(v16.MeterValuesRequest)(self.look_at_meter)
        server.on(v16.StopTransactionRequest)(self.stop_transaction)

    def boot(self, client_id: str, request: v16.BootNotificationRequest) -> v16.BootNotificationResponse:
        return v16.BootNotificationResponse(current_time=now(), interval=300, status="Accepted")

    def configure(self, client_id: str, request: v16.BootNotificationRequest) -> None:
        response = self.server.call(
            client_id, v16.ChangeConfigurationRequest(key="MeterValueSampleInterval", value="1")
        )
        check(response.status == "Accepted", f"the configuration was {response.status}")
        self.configured.set()

    def authorize(self, client_id: str, request: v16.AuthorizeRequest) -> v16.AuthorizeResponse:
        return v16.AuthorizeResponse(id_tag_info=v16.IdTagInfo(status="Accepted"))

    def start_transaction(self, client_id: str, request: v16.StartTransactionRequest) -> v16.StartTransactionResponse:
        return v16.StartTransactionResponse(transaction_id=7, id_tag_info=v16.IdTagInfo(status="Accepted"))

    def look_at_meter(self, client_id: str, request: v16.MeterValuesRequest) -> None:
        energy = float(request.meter_value[-1].sampled_value[0].value)
        if energy >= self.LIMIT and request.transaction_id is not None:
            self.server.call(client_id, v16.RemoteStopTransactionRequest(transaction_id=request.transaction_id))

    def stop_transaction(self, client_id: str, request: v16.StopTransactionRequest) -> v16.StopTransactionResponse:
        self.meter_stop = request.meter_stop
        return v16.StopTransactionResponse()


class ChargePoint:
    """Charges one car until the central system stops it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.settings: Dict[str, str] = {}
        self.transaction_id = 0
        self.told_to_stop = threading.Event()
        client.on(v16.ChangeConfigurationRequest)(self.change_configuration)
        client.on(v16.RemoteStopTransactionRequest)(self.remote_stop)
        client.after(v16.RemoteStopTransactionRequest)(lambda request: self.told_to_stop.set())

    def change_configuration(self, request: v16.ChangeConfigurationRequest) -> v16.ChangeConfigurationResponse:
        self.settings[request.key] = request.value
        return v16.ChangeConfigurationResponse(status="Accepted")

    def remote_stop(self, request: v16.RemoteStopTransactionRequest) -> v16.RemoteStopTransactionResponse:
        known = request.transaction_id == self.transaction_id
        return v16.RemoteStopTransactionResponse(status="Accepted" if known else "Rejected")

    def status(self, status: str) -> None:
        self.client.call(
            v16.StatusNotificationRequest(connector_id=1, error_code="NoError", status=status, timestamp=now())
        )

    def boot(self) -> None:
        response = self.client.call(v16.BootNotificationRequest(charge_point_vendor="Acme", charge_point_model="One"))
        check(response.status == "Accepted", f"the boot was {response.status}")

    def charge(self, id_tag: str) -> None:
        self.status("Available")
        authorized = self.client.call(v16.AuthorizeRequest(id_tag=id_tag))
        check(authorized.id_tag_info.status == "Accepted", f"{id_tag} was {authorized.id_tag_info.status}")
        started = self.client.call(
            v16.StartTransactionRequest(connector_id=1, id_tag=id_tag, meter_start=0, timestamp=now())
        )
        self.transaction_id = started.transaction_id
        self.status("Charging")
        for energy in (350, 700, 1050):
            self.measure(energy)
        check(self.told_to_stop.wait(PATIENCE), "nobody stopped the transaction")
        self.client.call(
            v16.StopTransactionRequest(
                transaction_id=self.transaction_id, meter_stop=1050, timestamp=now(), id_tag=id_tag, reason="Remote"
            )
        )
        self.status("Available")

    def measure(self, energy: int) -> None:
        sample = v16.SampledValue(value=str(energy), unit="Wh")
        self.client.call(
            v16.MeterValuesRequest(
                connector_id=1,
                transaction_id=self.transaction_id,
                meter_value=[v16.MeterValue(timestamp=now(), sampled_value=[sample])],
            )
        )


def run() -> None:
    transcript = Transcript()
    server = Server(profiles=v16.PROFILES, timeout=PATIENCE)
    server.add_observer(transcript)
    central_system = CentralSystem(server)
    client = Client("CP_1", profiles=v16.PROFILES, timeout=PATIENCE)
    charge_point = ChargePoint(client)
    with server.listen(port=0, host="127.0.0.1"):
        print(f"CSMS listens on {server.url}\n")
        with client.connect(server.url):
            charge_point.boot()
            check(central_system.configured.wait(PATIENCE), "the central system did not configure the charge point")
            charge_point.charge("TAG-0001")
    check(charge_point.settings == {"MeterValueSampleInterval": "1"}, f"settings: {charge_point.settings}")
    check(central_system.meter_stop == 1050, f"the meter stopped at {central_system.meter_stop}")
    check(transcript.calls == EXPECTED, f"the messages were {transcript.calls}")
    check(list(transcript.answers.values()) == [3] * len(EXPECTED), f"the answers were {transcript.answers}")
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith("ocppj-")]
    check(not left, f"threads left behind: {left}")
    print(f"\nTransaction 7 charged 1.05 kWh. {2 * len(EXPECTED)} messages, all as they should be.")


if __name__ == "__main__":
    try:
        run()
    except Exception as error:
        sys.exit(f"\nThe session failed: {type(error).__name__}: {error}")
