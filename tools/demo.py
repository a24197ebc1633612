"""A whole charging session over a real WebSocket on this machine. Each message is printed.

Run by ``make demo``. Exits with 0 only if every answer and the order of the messages are as expected, and no thread is
left.
"""

import sys
import threading
from datetime import datetime, timezone
from typing import Dict, List, Optional, Tuple

from ocppj import Client, Frame, Server, v16
from ocppj.testing import Journal, Transcript

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


def now() -> datetime:
    """Return the time, as messages have it."""
    return datetime.now(timezone.utc)


def check(holds: bool, what: str) -> None:
    """Raise, with the text ``what``, unless it holds."""
    if not holds:
        raise AssertionError(what)


class Printer:
    """Prints the frames that a server sends and receives."""

    def __init__(self) -> None:
        self.journal = Journal()
        self.transcript = Transcript.for_terminal("CSMS")

    def __call__(self, frame: Frame) -> None:
        print(*self.transcript.lines(self.journal.add_frame(frame)), sep="\n", flush=True)

    def calls(self) -> List[Tuple[str, Optional[str]]]:
        """Return the sender and the action of each CALL, in order."""
        calls = [seen for seen in self.journal.entries() if seen.kind == "CALL"]
        return [(seen.client_id if seen.direction == "in" else "CSMS", seen.action) for seen in calls]

    def answers(self) -> List[str]:
        return [seen.kind for seen in self.journal.entries() if seen.is_answer]

    def faults(self) -> List[str]:
        """Return which rules the frames broke."""
        return [fault for seen in self.journal.entries() for fault in seen.faults]


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
    """Run the session, and check what was seen of it."""
    printer = Printer()
    server = Server(profiles=v16.PROFILES, timeout=PATIENCE)
    server.add_observer(printer)
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
    check(printer.calls() == EXPECTED, f"the messages were {printer.calls()}")
    check(printer.answers() == ["RESULT"] * len(EXPECTED), f"the answers were {printer.answers()}")
    check(not printer.faults(), f"the messages break rules: {printer.faults()}")
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith("ocppj-")]
    check(not left, f"threads left behind: {left}")
    print(f"\nTransaction 7 charged 1.05 kWh. {2 * len(EXPECTED)} messages, all as they should be.")


if __name__ == "__main__":
    try:
        run()
    except Exception as error:
        sys.exit(f"\nThe session failed: {type(error).__name__}: {error}")
