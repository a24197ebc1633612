"""A charge point for OCPP 1.6 whose transactions survive power cuts and days without a network. See README.

In 1.6 the transaction id comes with the answer to StartTransaction. So each message of a transaction goes into a
journal first. It is sent from there once the id is known. Ctrl-C ends the program.
"""

from __future__ import annotations

import argparse
import json
import signal
import sqlite3
import threading
import uuid
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, List, Tuple

import ocppj
from ocppj import v16

STEP = 250  # Wh between two meter values
NO_ID = -1  # stands for the id of a transaction whose StartTransaction has failed
TABLES = """
CREATE TABLE IF NOT EXISTS transactions (name TEXT PRIMARY KEY, id INTEGER, meter INTEGER, ended INTEGER DEFAULT 0);
CREATE TABLE IF NOT EXISTS messages (number INTEGER PRIMARY KEY, name TEXT, message_id TEXT, type TEXT, data TEXT);
"""


def now() -> datetime:
    return datetime.now(timezone.utc)


class Journal:
    """Transactions, and messages that are not in the queue yet. What a method has written is on disk."""

    def __init__(self, path: Path) -> None:
        self._file = sqlite3.connect(str(path), check_same_thread=False)
        self._file.executescript(TABLES)
        self._lock = threading.Lock()

    def _run(self, statement: str, *values: object) -> List[Tuple[Any, ...]]:
        with self._lock, self._file:
            return self._file.execute(statement, values).fetchall()

    def add(self, name: str, message_id: str, request: ocppj.Request[Any], meter: int) -> None:
        """Store a message of the transaction ``name``, and what the meter shows."""
        kind, ends = type(request).__name__, isinstance(request, v16.StopTransactionRequest)
        row = (name, message_id, kind, json.dumps(request.to_wire()))
        with self._lock, self._file:  # all of them, or none
            self._file.execute("INSERT OR IGNORE INTO transactions (name) VALUES (?)", (name,))
            self._file.execute("UPDATE transactions SET meter = ?, ended = ? WHERE name = ?", (meter, ends, name))
            self._file.execute("INSERT INTO messages (name, message_id, type, data) VALUES (?, ?, ?, ?)", row)

    def set_id(self, name: str, transaction_id: int) -> None:
        self._run("UPDATE transactions SET id = ? WHERE name = ?", transaction_id, name)

    def unfinished(self) -> List[Tuple[Any, ...]]:
        return self._run("SELECT name, meter FROM transactions WHERE NOT ended")

    def ready(self) -> List[Tuple[Any, ...]]:
        """Return the messages that can be sent, the oldest first, with the ids of their transactions."""
        return self._run(
            "SELECT number, message_id, type, data, id FROM messages JOIN transactions USING (name)"
            " WHERE id IS NOT NULL OR type = 'StartTransactionRequest' ORDER BY number"
        )

    def forget(self, number: int) -> None:
        self._run("DELETE FROM messages WHERE number = ?", number)


class ChargePoint:
    """Charges cars, with a network or without one."""

    def __init__(self, client_id: str, folder: Path) -> None:
        self.client = ocppj.Client(
            client_id,
            profiles=v16.PROFILES,
            queue=ocppj.SQLiteQueue(folder / "requests.db", capacity=5000, overflow=ocppj.ThinOut()),
            retries=ocppj.TransactionRetries(),
        )
        self._journal = Journal(folder / "journal.db")
        self._sending = threading.Lock()
        self.client.set_response_handler(self.answered)
        self.client.set_error_handler(lambda error, details: self.failed(error))
        self.client.set_canceled_request_handler(lambda message_id, request, error: self.failed(error))

    def answered(self, response: object, message_id: str) -> None:
        """Note the id of a transaction. The answer may be to a request of an earlier process."""
        if isinstance(response, v16.StartTransactionResponse):
            print(f"transaction {response.transaction_id} has its id")
            self._journal.set_id(message_id, response.transaction_id)
            self.send()

    def failed(self, error: ocppj.OCPPError | ocppj.CallFailed) -> None:
        if error.action == "StartTransaction" and error.message_id:
            self._journal.set_id(error.message_id, NO_ID)
            self.send()

    def tell(self, name: str, request: ocppj.Request[Any], meter: int, message_id: str = "") -> None:
        self._journal.add(name, message_id or str(uuid.uuid4()), request, meter)
        self.send()

    def send(self) -> None:
        """Put into the queue what can be sent."""
        with self._sending:
            self._move_to_the_queue()

    def _move_to_the_queue(self) -> None:
        for number, message_id, kind, data, transaction_id in self._journal.ready():
            fields = json.loads(data)
            if "transactionId" in fields:
                fields["transactionId"] = transaction_id
            try:
                self.client.send_request(getattr(v16, kind).from_wire(fields), message_id=message_id)
            except ocppj.QueueFull:  # it stays in the journal
                return
            except ocppj.UsageError as error:  # it is in the queue: the power went before the next line
                print(f"{message_id}: {error}")
            self._journal.forget(number)

    def end_what_the_power_cut(self) -> None:
        for name, meter in self._journal.unfinished():
            self.tell(name, self._stop(meter, "PowerLoss"), meter)

    def _stop(self, meter: int, reason: str) -> v16.StopTransactionRequest:
        return v16.StopTransactionRequest(transaction_id=NO_ID, meter_stop=meter, timestamp=now(), reason=reason)

    def boot(self) -> None:
        """Boot until it is accepted. What is in the queue waits until then."""
        request = v16.BootNotificationRequest(charge_point_vendor="Acme", charge_point_model="One")
        while True:
            try:
                answer = self.client.call(request)
                print(f"boot: {answer.status}")
                if answer.status == "Accepted":
                    return
                again = float(answer.interval or 3)
            except ocppj.OcppjError as error:
                again = 3.0
                print(f"no boot: {error}")
            threading.Event().wait(again)

    def charge(self, tag: str, samples: int, interval: float) -> None:
        """Run one transaction. Its StartTransaction has its name as message id."""
        name, energy = str(uuid.uuid4()), 0
        start = v16.StartTransactionRequest(connector_id=1, id_tag=tag, meter_start=0, timestamp=now())
        self.tell(name, start, energy, name)
        for _ in range(samples):
            threading.Event().wait(interval)
            energy += STEP
            value = v16.MeterValue(timestamp=now(), sampled_value=[v16.SampledValue(value=str(energy), unit="Wh")])
            values = v16.MeterValuesRequest(connector_id=1, transaction_id=NO_ID, meter_value=[value])
            self.tell(name, values, energy)
            print(f"charged {energy} Wh")
        self.tell(name, self._stop(energy, "EVDisconnected"), energy)


def main() -> None:
    parser = argparse.ArgumentParser(description="A charge point for OCPP 1.6 that is often offline.")
    parser.add_argument("url", help="the central system, such as ws://127.0.0.1:9000")
    parser.add_argument("id", help="the identity of this charge point, such as CP_1")
    parser.add_argument("--folder", type=Path, default=Path(), help="where its files are")
    parser.add_argument("--samples", type=int, default=60, help="meter values of the transaction; 0: no transaction")
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between them")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a service manager ends it as Ctrl-C does
    charge_point = ChargePoint(options.id, options.folder)
    try:
        with charge_point.client.connect(options.url, retry=True, wait=False):
            threading.Thread(target=charge_point.boot, daemon=True).start()
            charge_point.end_what_the_power_cut()
            charge_point.send()
            if options.samples:
                charge_point.charge("TAG-0001", options.samples, options.interval)
            threading.Event().wait()
    except KeyboardInterrupt:
        print("ended")


if __name__ == "__main__":
    main()
