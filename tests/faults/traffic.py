"""Calls in both directions through a `Proxy`, and the books about how each of them ended.

Every CALL of a `Fleet`, of its server and of its clients alike, gets its id from one `Ledger`. The ledger counts how
often the request was written, delivered to a handler's side, answered there, and its answer read; how often its
future ended, and how often a handler was told of its end. `Ledger.violations` says what does not add up. It holds the
last ``capacity`` requests in arrays of a fixed size, so that hours of traffic take no more memory than seconds.
"""

import logging
import threading
import time
from collections import Counter, deque
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any, Callable, Deque, Dict, Iterator, List, Optional

from ocppj import Client, NotRunning, Server, TransportError, UnknownClient, v16
from ocppj.exchange.handlers import Frame
from ocppj.ws.backoff import Backoff
from tests.faults.proxy import Plan, Proxy
from tests.helpers import eventually, seconds
from tests.inside.endpoints import deadlines_of_requests, open_calls, tables
from tests.inside.faults import check_that_nothing_is_left, unfinished

__all__ = ["Caller", "Fleet", "Ledger", "data", "errors_logged", "quick_backoff", "run_threads"]


def quick_backoff() -> Backoff:
    """Return delays of 10 to 80 ms."""
    return Backoff(retry_back_off_wait_minimum=0.01, retry_back_off_random_range=0.02, retry_back_off_repeat_times=1)


def data(text: str) -> v16.DataTransferRequest:
    return v16.DataTransferRequest(vendor_id="V", data=text)


def done(text: Optional[str]) -> v16.DataTransferResponse:
    return v16.DataTransferResponse(status="Accepted", data=text)


class Ledger:
    """What happened to each request, by its id: a number. Thread-safe."""

    #: The columns. ``apologies`` are CALLERRORs sent in place of an answer that could not be written.
    COLUMNS = ("sent", "delivered", "replied", "apologies", "answered", "ended", "response", "error", "canceled")

    def __init__(self, capacity: int = 1 << 16, resend: bool = False) -> None:
        self.resend = resend  # whether a request may be written, and then answered, more than once
        self.kinds: "Counter[str]" = Counter()  # how futures and calls ended
        self.durations: Deque[float] = deque(maxlen=10_000)  # seconds that the last answered `call`s took
        self.begun = 0
        self._capacity = capacity
        self._lock = threading.Lock()
        self._local = threading.local()
        self._counts = {column: bytearray(capacity) for column in self.COLUMNS}
        self._totals: "Counter[str]" = Counter()  # of the columns, with the requests that were forgotten since
        self._how: List[Optional[str]] = [None] * capacity
        self._found: List[str] = []  # violations of requests that were forgotten since

    def new_id(self) -> str:
        """Return the next id: what endpoints use as their generator."""
        with self._lock:
            number = self.begun
            self.begun += 1
            slot = number % self._capacity
            if number >= self._capacity:
                self._found += self._judge(number - self._capacity)
            for column in self._counts.values():
                column[slot] = 0
            self._how[slot] = None
        self._local.last = str(number)
        return str(number)

    def forget_last(self) -> None:
        """Have `last` return ``None`` until this thread begins a request."""
        self._local.last = None

    def last(self) -> Optional[str]:
        """Return the id of the request that this thread began last."""
        last: Optional[str] = self._local.last
        return last

    def note(self, column: str, message_id: str) -> None:
        with self._lock:
            self._totals[column] += 1
            if int(message_id) >= self.begun - self._capacity:
                self._counts[column][int(message_id) % self._capacity] += 1

    def ended(self, message_id: str, how: str) -> None:
        """Take note that a future ended, or a call returned or raised."""
        self.note("ended", message_id)
        with self._lock:
            self.kinds[how] += 1
            self._how[int(message_id) % self._capacity] = how

    def observe(self, frame: Frame) -> None:
        """Count a frame: an observer of both sides. Frames that are cut up or corrupted are counted nowhere."""
        kind, message_id = frame.text[1:2], frame.text.split('"', 2)[1:2]
        if not message_id or not message_id[0].isdigit() or not frame.sent:
            return
        if kind == "2":
            column = "sent" if frame.direction == "out" else "delivered"
        elif frame.direction == "in":
            column = "answered"
        else:
            column = "apologies" if "the answer could not be sent" in frame.text else "replied"
        self.note(column, message_id[0])

    def watch(self, endpoint: Any) -> None:
        """Note what ``endpoint``'s handlers are told of the ends of requests, and its frames."""
        endpoint.add_observer(self.observe)
        if isinstance(endpoint, Client):
            endpoint.set_response_handler(lambda response, message_id: self.note("response", message_id))
            endpoint.set_error_handler(lambda error, details: self.note("error", error.message_id))
            endpoint.set_canceled_request_handler(lambda message_id, request, error: self.note("canceled", message_id))
        else:
            endpoint.set_response_handler(lambda client, response, message_id: self.note("response", message_id))
            endpoint.set_error_handler(lambda client, error, details: self.note("error", error.message_id))
            endpoint.set_canceled_request_handler(
                lambda client, message_id, request, error: self.note("canceled", message_id)
            )

    def count(self, column: str) -> int:
        """Return the sum of a column over all requests there were."""
        with self._lock:
            return self._totals[column]

    def violations(self, older_than: int = 0) -> List[str]:
        """Return what does not add up, of requests that are not among the last ``older_than``."""
        with self._lock:
            first = max(0, self.begun - self._capacity)
            now = [line for number in range(first, self.begun - older_than) for line in self._judge(number)]
            return self._found + now

    def settled(self) -> List[str]:
        """Return the violations when handlers, who are told after a future has ended, had time to be told."""
        with suppress(AssertionError):
            eventually(lambda: not self.violations())
        return self.violations()

    def _judge(self, number: int) -> Iterator[str]:
        """Yield what is wrong with one request. Lock held."""
        slot = number % self._capacity
        row = {column: counts[slot] for column, counts in self._counts.items()}
        how = self._how[slot]
        told = row["response"] + row["error"] + row["canceled"]
        faults = {
            "it did not end": row["ended"] == 0,
            "its future ended twice": row["ended"] > 1,
            "it was written more than once": row["sent"] > 1 and not self.resend,
            "it was delivered more often than written": row["delivered"] > row["sent"],
            "it was answered more often than delivered": row["replied"] > row["delivered"],
            "its answer was read more often than given": row["answered"] > row["replied"] + row["apologies"],
            "more than one answer was read": row["answered"] > 1 and not self.resend,
            "handlers were told of more than one end": told > 1,
            "it was answered, and no handler was told": how == "answered" and row["response"] != 1,
            "it was written, and no handler was told how it ended": row["sent"] > 0 and told == 0 and how != "Stopped",
            "a handler was told of an answer, the future of none": how not in (None, "answered") and row["response"],
        }
        for fault, here in faults.items():
            if here:
                yield f"request {number} ({how}): {fault}: { {name: n for name, n in row.items() if n} }"


class Caller:
    """Makes calls over one connection in one way until ``more()`` says false; to be run on a thread."""

    def __init__(self, name: str, ledger: Ledger, more: Callable[[], bool], refused_for: float = 30.0) -> None:
        self._name = name
        self._ledger = ledger
        self._more = more
        self._refused_for = seconds(refused_for)
        self._sent = 0
        self._pause = threading.Event()

    def call(self, call: Callable[[Any], Any]) -> None:
        """Call and wait, one after the other."""
        while self._more():
            self._until_not_refused(lambda: self._call_once(call))

    def send(self, send: Callable[[Any], "Future[Any]"], window: int) -> None:
        """Queue requests, ``window`` of them at a time."""
        room = threading.Semaphore(window)
        while self._more():
            assert room.acquire(timeout=seconds(60)), f"{self._name}: a future does not end"
            self._until_not_refused(lambda: self._send_once(send, room))
        for _ in range(window):
            assert room.acquire(timeout=seconds(60)), f"{self._name}: a future does not end"

    def _until_not_refused(self, attempt: Callable[[], bool]) -> None:
        """Try until there is a connection."""
        deadline = time.monotonic() + self._refused_for
        while not attempt():
            assert time.monotonic() < deadline, f"{self._name}: no connection in {self._refused_for} s"
            self._pause.wait(0.005)

    def _text(self) -> str:
        self._sent += 1
        return f"{self._name} {self._sent}"

    def _call_once(self, call: Callable[[Any], Any]) -> bool:
        text = self._text()
        self._ledger.forget_last()
        began = time.monotonic()
        try:
            how = "answered" if call(data(text)).data == text else "an answer to something else"
            self._ledger.durations.append(time.monotonic() - began)
        except Exception as error:
            how = type(error).__name__
        message_id = self._ledger.last()
        if message_id is not None:
            self._ledger.ended(message_id, how)
            if how != "answered":
                self._pause.wait(0.01)  # else there would be hundreds of them before the loss is noticed
        return message_id is not None

    def _send_once(self, send: Callable[[Any], "Future[Any]"], room: threading.Semaphore) -> bool:
        text = self._text()
        self._ledger.forget_last()
        try:
            future = send(data(text))
        except (UnknownClient, NotRunning, TransportError) as error:
            message_id = self._ledger.last()
            if message_id is not None:  # it was refused after it got its id
                self._ledger.ended(message_id, type(error).__name__)
                room.release()
            return message_id is not None
        future.add_done_callback(lambda future: self._note_end(future, text, room))
        return True

    def _note_end(self, future: Any, text: str, room: threading.Semaphore) -> None:
        error = future.exception()
        how = "an answer to something else"
        if error is not None:
            how = type(error).__name__
        elif future.result().data == text:
            how = "answered"
        self._ledger.ended(future.message_id, how)
        room.release()


class Fleet:
    """A server and ``count`` clients that reach it through a proxy; every CALL is answered by its own data.

    Leaving its context stops everything, and checks that nothing is left.
    """

    def __init__(
        self, count: int, plan: Plan, ledger: Ledger, timeout: float, seed: Optional[int] = None, **options: Any
    ) -> None:
        self.ledger = ledger
        self.reconnects: "Counter[str]" = Counter()
        self._stack = ExitStack()
        common: Dict[str, Any] = dict(
            profiles=v16.PROFILES, timeout=timeout, message_id_generator=ledger.new_id, close_timeout=0.5, **options
        )
        self.server = Server(**common)
        self.server.on(v16.DataTransferRequest)(lambda client_id, request: done(request.data))
        self.clients = [
            Client(f"CP_{n}", backoff=quick_backoff(), resend=ledger.resend, **common) for n in range(count)
        ]
        for endpoint in (self.server, *self.clients):
            ledger.watch(endpoint)
        self._stack.callback(self.server.stop)
        self.server.listen(host="127.0.0.1")
        self.proxy = self._stack.enter_context(Proxy(int(self.server.url.rsplit(":", 1)[1]), plan, seed))
        for client in self.clients:
            self._stack.callback(client.stop)
            self._serve(client)

    def _serve(self, client: Client) -> None:
        client.on(v16.DataTransferRequest)(lambda request: done(request.data))
        client.set_reconnected_handler(lambda: self.reconnects.update([client.id]))

    def connect(self) -> None:
        """Connect all clients; what the proxy does to their first attempts is put up with."""

        def connect(client: Client) -> bool:
            with suppress(TransportError):
                client.connect(self.proxy.url)
                return True
            return False

        for client in self.clients:
            eventually(lambda client=client: connect(client), 30)  # type: ignore[misc]

    def callers(self, more: Callable[[], bool], window: int = 10) -> List[Callable[[], None]]:
        """Return what calls in four ways over each connection until ``more()`` is false, to be run on threads."""
        ways: List[Callable[[], None]] = []
        for client in self.clients:
            to_client = f"server to {client.id}"
            ways += [
                partial(self._caller(f"{client.id} call", more).call, client.call),
                partial(self._caller(f"{client.id} send", more).send, client.send_request, window),
                partial(self._caller(f"{to_client} call", more).call, partial(self.server.call, client.id)),
                partial(
                    self._caller(f"{to_client} send", more).send, partial(self.server.send_request, client.id), window
                ),
            ]
        return ways

    def _caller(self, name: str, more: Callable[[], bool]) -> Caller:
        return Caller(name, self.ledger, more)

    def check_idle(self) -> None:
        """Check, while everybody is connected still, that no table holds a request that has ended."""
        for endpoint in (self.server, *self.clients):
            eventually(lambda endpoint=endpoint: open_calls(endpoint) == 0)  # type: ignore[misc]
            # A canceled deadline leaves its table at once.
            eventually(lambda endpoint=endpoint: deadlines_of_requests(endpoint) == 0)  # type: ignore[misc]
        for endpoint in (self.server, *self.clients):
            held = unfinished(endpoint)
            assert not held, (endpoint, held)
        assert set(tables(self.server)["senders"]) <= {client.id for client in self.clients}

    def close(self) -> None:
        """Stop everything, clients first, and check that the server's tables are empty."""
        for client in self.clients:
            client.stop()
        check_that_nothing_is_left(self.server)
        self._stack.close()

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is None:
            self.close()
        else:
            self._stack.close()


def run_threads(targets: List[Callable[[], None]], timeout: float) -> None:
    """Run all ``targets`` at once, and raise what one of them raised."""
    errors: List[BaseException] = []

    def run(target: Callable[[], None]) -> None:
        try:
            target()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(target,), daemon=True) for target in targets]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds(timeout)
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
        assert not thread.is_alive(), f"a caller does not end: {errors}"
    if errors:
        raise errors[0]


@contextmanager
def errors_logged() -> Iterator[List[str]]:
    """Have the library log errors alone, and collect their text.

    Lost connections are warnings; an error or a traceback is a fault of the library. pytest would hold on to the
    records of warnings, and so to every object in the tracebacks of their exceptions.
    """
    errors: List[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            errors.append(self.format(record))

    logger, handler = logging.getLogger("ocppj"), Handler(logging.ERROR)
    level = logger.level
    logger.setLevel(logging.ERROR)
    logger.addHandler(handler)
    try:
        yield errors
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
