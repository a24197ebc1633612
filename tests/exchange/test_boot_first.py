"""Until its BootNotification is accepted, a client sends nothing else: over sockets, in every version."""

import logging
import threading
from contextlib import ExitStack

import pytest

from ocppj import (
    CallTimeout,
    Client,
    ConnectionLost,
    DefaultClientDispatcher,
    FIFOClientQueue,
    InvalidResponse,
    ManualClock,
    OCPPError,
    SQLiteQueue,
    Stopped,
    TransactionRetries,
    UsageError,
    v16,
)
from ocppj.ws.backoff import Backoff
from tests.fixtures import BOOTED_WIRE, NOW, VERSIONS, boot_of
from tests.helpers import eventually, seconds
from tests.inside.endpoints import deadlines, deadlines_of_requests, is_pending, open_calls
from tests.peers import RawServer, Sockets
from tests.test_custom_parts import EagerClientDispatcher


def transaction_of(version, number):
    """A message about a transaction; the number can be read on the wire."""
    if version == "1.6":
        return v16.StopTransactionRequest(meter_stop=number, timestamp=NOW, transaction_id=7)
    module = VERSIONS[version]
    return module.TransactionEventRequest(
        event_type="Updated",
        timestamp=NOW,
        trigger_reason="MeterValuePeriodic",
        seq_no=number,
        transaction_info=module.Transaction(transaction_id="T"),
    )


def number_of(frame):
    return frame[3].get("meterStop", frame[3].get("seqNo"))


class Site:
    """A client of one version, and a central system that says what the test tells it to."""

    def __init__(self, stack, path, version, **options):
        self.version, self.module = version, VERSIONS[version]
        self.clock = ManualClock()
        self.raw = stack.enter_context(RawServer(Sockets(), [f"ocpp{version}"]))
        options.setdefault("queue", SQLiteQueue(path))
        self.client = Client(
            "CP_1",
            profiles=self.module.PROFILES,
            clock=self.clock,
            timeout=30,
            backoff=Backoff(1, 0, 0),
            **options,
        )
        stack.callback(self.client.stop)
        self.futures = []

    def connect(self):
        self.client.connect(self.raw.url)
        self.raw.wait_connected()
        return self

    def reconnect(self):
        """Break the connection, and wait for the next."""
        self.raw.channel.abort()
        assert self.clock.wait_for_waiters(1, seconds(10))
        eventually(lambda: not self.client.is_connected())

        def regained():
            self.clock.advance(1)
            return self.client.is_connected()

        eventually(regained)
        self.raw.wait_connected()

    def send(self, *numbers, **options):
        self.futures += [self.client.send_request(transaction_of(self.version, each), **options) for each in numbers]

    def boot(self, **options):
        return self.client.send_request(boot_of(self.module), **options)

    def answer_boot(self, status="Accepted"):
        """Answer the next frame, which is a boot."""
        frame = self.raw.receive()
        assert frame[2] == "BootNotification"
        self.raw.send([3, frame[1], {**BOOTED_WIRE, "status": status}])
        return frame

    def accept(self, *statuses):
        """Boot, and have it answered with ``statuses`` (by default, accepted)."""
        for status in statuses or ["Accepted"]:
            future = self.boot()
            self.answer_boot(status)
            assert future.result(seconds(10)).status == status

    def answer(self, frame):
        payload = {"idTagInfo": {"status": "Accepted"}} if self.version == "1.6" else {}
        self.raw.send([3, frame[1], payload])

    def refuse(self, frame, code="SecurityError"):
        self.raw.send([4, frame[1], code, "not booted", {}])

    def serve(self, count):
        """Answer the next ``count`` messages about the transaction. Return their numbers."""
        numbers = []
        for _ in range(count):
            frame = self.raw.receive()
            numbers.append(number_of(frame))
            self.answer(frame)
        return numbers

    def only_boots_came(self):
        """Tell whether nothing but a boot goes out now: one that is sent would come after what was sent before."""
        future = self.boot()
        frame = self.raw.receive()
        self.refuse(frame, "GenericError")
        with pytest.raises(OCPPError):
            future.result(seconds(10))
        return frame[2] == "BootNotification"


@pytest.fixture
def stack():
    with ExitStack() as stack:
        yield stack


@pytest.fixture(params=list(VERSIONS))
def version(request):
    return request.param


@pytest.fixture
def make(stack, tmp_path, version):
    return lambda **options: Site(stack, tmp_path / "requests.db", version, **options)


def test_the_boot_goes_past_what_is_stored(make):
    site = make().connect()
    site.send(1, 2, 3)
    assert site.only_boots_came()
    site.accept()
    assert site.serve(3) == [1, 2, 3]
    for future in site.futures:
        future.result(seconds(10))


def test_the_boot_goes_past_six_hundred_of_an_earlier_process(make, tmp_path, version, stack):
    client = Client("CP_1", profiles=VERSIONS[version].PROFILES, queue=SQLiteQueue(tmp_path / "requests.db"))
    client.connect("ws://127.0.0.1:9", retry=True, wait=False)
    for number in range(600 if version == "1.6" else 20):
        client.send_request(transaction_of(version, number))
    client.stop()
    site = make().connect()
    answers = []
    thread = threading.Thread(target=lambda: answers.append(site.client.call(boot_of(VERSIONS[version]))), daemon=True)
    thread.start()
    site.answer_boot()
    thread.join(seconds(10))
    assert answers
    assert site.serve(20) == list(range(20))


@pytest.mark.parametrize("status", ["Pending", "Rejected"])
def test_requests_are_held_until_a_boot_is_accepted(make, status):
    site = make().connect()
    site.send(1)
    site.accept(status, status)
    assert site.only_boots_came()
    site.accept()
    assert site.serve(1) == [1]


@pytest.mark.parametrize("status", ["Pending", "Rejected"])
def test_a_later_boot_that_is_not_accepted_holds_again(make, status):
    site = make().connect()
    site.accept()
    site.send(1)
    assert site.serve(1) == [1]
    site.accept(status)
    site.send(2)
    assert site.only_boots_came()
    site.accept()
    assert site.serve(1) == [2]


def test_what_is_pending_when_a_hold_begins_goes_on(make):
    site = make().connect()
    site.accept()
    site.send(1, 2)
    frame = site.raw.receive()
    boot = site.boot()
    site.answer(frame)  # and the boot is third in the queue
    second = site.raw.receive()
    site.answer(second)
    site.answer_boot("Pending")
    boot.result(seconds(10))
    assert [future.exception(seconds(10)) for future in site.futures] == [None, None]


def test_a_reconnect_needs_no_new_boot_and_a_new_session_does(make):
    site = make().connect()
    site.accept()
    site.reconnect()
    site.send(1)
    assert site.serve(1) == [1]
    site.futures[0].result(seconds(10))
    site.client.stop()
    site.connect()
    site.send(2)
    assert site.only_boots_came()


def test_a_hold_outlasts_a_reconnect(make):
    site = make().connect()
    site.accept("Pending")
    site.send(1)
    site.reconnect()
    assert site.only_boots_came()
    site.accept()
    assert site.serve(1) == [1]


def test_the_boot_may_be_queued_before_there_is_a_connection(make):
    site = make()
    url = site.raw.url
    site.client.connect(url, retry=True, wait=False)
    site.send(1)
    boot = site.boot()
    site.raw.wait_connected()
    site.answer_boot()
    boot.result(seconds(10))
    assert site.serve(1) == [1]


# What may be sent before


def test_what_was_asked_for_goes_past_the_others(make):
    site = make().connect()
    site.accept("Pending")
    site.send(1)
    status = site.module.HeartbeatRequest()
    future = site.client.send_request(status, before_boot=True)
    frame = site.raw.receive()
    assert frame[2] == "Heartbeat"
    site.raw.send([3, frame[1], {"currentTime": "2026-01-02T03:04:05Z"}])
    future.result(seconds(10))
    answers = []
    thread = threading.Thread(target=lambda: answers.append(site.client.call(status, before_boot=True)), daemon=True)
    thread.start()
    site.raw.send([3, site.raw.receive()[1], {"currentTime": "2026-01-02T03:04:05Z"}])
    thread.join(seconds(10))
    assert answers
    assert site.only_boots_came()


def test_a_message_about_a_transaction_overtakes_no_other(make):
    site = make().connect()
    site.send(1)
    site.send(2, before_boot=True)
    assert site.only_boots_came()
    site.accept()
    assert site.serve(2) == [1, 2]


# SecurityError before the boot


@pytest.mark.parametrize("retries", [None, TransactionRetries(1, 60), TransactionRetries(3, 0)], ids=["no", "1", "3"])
def test_a_stored_request_outlives_a_security_error_before_the_boot(make, retries):
    site = make(boot_first=False, retries=retries).connect()
    site.send(1, 2)
    first = site.raw.receive()
    site.refuse(first)
    assert site.only_boots_came()
    assert not site.futures[0].done()
    site.accept()
    again = site.raw.receive()
    assert again == first, "it keeps its id and its place"
    site.answer(again)
    assert site.serve(1) == [2]


def test_so_it_does_a_malformed_one(make):
    """``[4, id, "SecurityError"]`` lacks elements, and says the same."""
    site = make(boot_first=False).connect()
    site.send(1)
    first = site.raw.receive()
    site.raw.send([4, first[1], "SecurityError"])
    assert site.only_boots_came()
    assert not site.futures[0].done()
    site.accept()
    assert site.raw.receive() == first
    site.raw.send([4, first[1], "SecurityError"])  # after the boot it is an answer that breaks the rules
    with pytest.raises(InvalidResponse):
        site.futures[0].result(seconds(10))


def test_a_security_error_uses_up_no_attempt(make):
    site = make(boot_first=False, retries=TransactionRetries(2, 60)).connect()
    site.send(1)
    site.refuse(site.raw.receive())
    site.accept()
    site.refuse(site.raw.receive(), "InternalError")  # the first attempt that counts
    eventually(lambda: not is_pending(site.client) and deadlines_of_requests(site.client) == 1)
    site.clock.advance(60)
    site.answer(site.raw.receive())
    site.futures[0].result(seconds(10))


def test_what_was_let_through_and_refused_is_held_too(make):
    site = make().connect()
    future = site.client.send_request(site.module.HeartbeatRequest(), before_boot=True)
    first = site.raw.receive()
    site.refuse(first)
    assert site.only_boots_came()
    assert not future.done()
    site.accept()
    assert site.raw.receive() == first


def test_a_security_error_after_the_boot_is_an_error(make):
    site = make().connect()
    site.accept()
    site.send(1)
    site.refuse(site.raw.receive())
    with pytest.raises(OCPPError, match="SecurityError"):
        site.futures[0].result(seconds(10))


def test_a_boot_that_the_central_system_has_forgotten_costs_no_request(make, caplog):
    site = make().connect()
    site.accept()
    site.reconnect()
    site.send(1, 2)
    first = site.raw.receive()
    site.refuse(first)
    assert site.only_boots_came()
    assert "is kept: the central system seems to have forgotten the boot" in caplog.text
    assert not site.futures[0].done()
    site.accept()
    assert site.raw.receive() == first
    site.refuse(first)  # over the connection of the boot it is an error
    with pytest.raises(OCPPError, match="SecurityError"):
        site.futures[0].result(seconds(10))
    assert site.serve(1) == [2]


def test_a_boot_that_is_refused_ends(make):
    site = make().connect()
    future = site.boot()
    site.refuse(site.raw.receive())
    with pytest.raises(OCPPError, match="SecurityError"):
        future.result(seconds(10))
    site.accept()


def test_in_memory_a_security_error_is_an_error(make):
    site = make(queue=FIFOClientQueue()).connect()
    site.send(1)
    site.refuse(site.raw.receive())
    with pytest.raises(OCPPError, match="SecurityError"):
        site.futures[0].result(seconds(10))


def test_what_was_kept_is_in_the_file(make, tmp_path):
    site = make(boot_first=False).connect()
    site.send(1)
    frame = site.raw.receive()
    site.refuse(frame)
    assert site.only_boots_came()
    site.client.stop()
    with pytest.raises(Stopped):
        site.futures[0].result(seconds(10))
    site.connect()
    assert site.raw.receive() == frame


# Calls that are held


def held_call(site, **options):
    """Call in another thread; return what tells how it ended."""
    ends = []

    def call():
        try:
            ends.append(site.client.call(transaction_of(site.version, 1), **options))
        except Exception as error:
            ends.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()

    def end():
        thread.join(seconds(10))
        assert ends, "call() did not return"
        return ends[0]

    return end


@pytest.mark.parametrize("timeout", [None, 5])
def test_a_call_that_is_held_ends(make, timeout):
    site = make().connect()
    end = held_call(site, timeout=timeout)
    eventually(lambda: deadlines(site.client) == 2)  # its own, and that of the log
    site.clock.advance(timeout or 30)
    error = end()
    assert isinstance(error, CallTimeout)
    assert "no BootNotification was accepted" in str(error)
    assert site.only_boots_came()


def test_a_call_that_waits_when_the_hold_begins_ends(make):
    """It waits behind a boot that is answered Pending."""
    site = make().connect()
    site.accept()
    site.boot()
    frame = site.raw.receive()
    end = held_call(site)
    eventually(lambda: open_calls(site.client) == 2)
    site.raw.send([3, frame[1], {"currentTime": "2026-01-02T03:04:05Z", "interval": 300, "status": "Pending"}])
    eventually(lambda: site.clock.advance(10) or open_calls(site.client) == 0)
    assert "no BootNotification was accepted" in str(end())


def test_a_held_call_goes_out_in_time(make):
    site = make().connect()
    end = held_call(site)
    site.accept()
    frame = site.raw.receive()
    site.clock.advance(20)  # of the 30 that it has from here on
    site.answer(frame)
    assert not isinstance(end(), Exception)


def test_a_held_call_ends_with_its_connection(make):
    site = make(reconnect=False).connect()
    end = held_call(site)
    eventually(lambda: deadlines(site.client) == 2)
    site.raw.channel.abort()
    assert isinstance(end(), ConnectionLost)


# The option


def test_by_default_only_a_durable_queue_waits_for_the_boot(make):
    site = make(queue=None).connect()
    site.send(1)
    assert site.serve(1) == [1]


def test_a_queue_in_memory_can_wait_for_the_boot(make):
    site = make(queue=None, boot_first=True).connect()
    site.send(1, 2)
    assert site.only_boots_came()
    site.accept()
    assert site.serve(2) == [1, 2]


def test_a_durable_queue_need_not_wait(make):
    site = make(boot_first=False).connect()
    site.send(1)
    assert site.serve(1) == [1]


def test_without_a_boot_notification_nothing_waits(stack, tmp_path):
    profiles = [each for each in v16.PROFILES if not each.supports_feature("BootNotification")]
    raw = stack.enter_context(RawServer(Sockets()))
    options = {"profiles": profiles, "queue": SQLiteQueue(tmp_path / "requests.db")}
    client = stack.enter_context(Client("CP_1", **options).connect(raw.url))
    client.send_request(v16.FirmwareStatusNotificationRequest(status="Idle"))
    assert raw.receive()[2] == "FirmwareStatusNotification"
    client.stop()
    with pytest.raises(UsageError, match="1.6 has a BootNotification"):
        Client("CP_1", boot_first=True, **options).connect(raw.url)


@pytest.mark.parametrize("value", ["yes", 1, 0, []])
def test_the_option_is_a_bool(value):
    with pytest.raises(UsageError, match="boot_first is True or False, or None, not "):
        Client("CP_1", profiles=v16.PROFILES, boot_first=value)


def test_a_dispatcher_of_the_programs_own_may_be_unable_to_hold():
    with pytest.raises(UsageError, match="EagerClientDispatcher"):
        Client("CP_1", profiles=v16.PROFILES, dispatcher=EagerClientDispatcher(), boot_first=True)
    Client("CP_1", profiles=v16.PROFILES, dispatcher=EagerClientDispatcher())
    Client("CP_1", profiles=v16.PROFILES, dispatcher=DefaultClientDispatcher(), boot_first=True)


# The log


def lines(caplog):
    return [(record.levelname, record.getMessage()) for record in caplog.records if "held" in record.getMessage()]


def test_the_log_tells_of_a_hold(make, caplog):
    caplog.set_level(logging.INFO, "ocppj")
    site = make().connect()
    site.send(1, 2)
    [(level, text)] = lines(caplog)
    assert (level, text.split(",")[0]) == ("INFO", "CP_1: 1 requests are held until a BootNotification is accepted")
    for wait, count in [(60, 2), (120, 3), (240, 4)]:
        site.clock.advance(wait - 1)
        assert len(lines(caplog)) == count - 1
        site.clock.advance(1)
        eventually(lambda count=count: len(lines(caplog)) == count)
    assert lines(caplog)[-1] == (
        "WARNING",
        "CP_1: 2 requests are held, for 420 seconds now: no BootNotification was accepted",
    )
    site.accept()
    assert site.serve(2) == [1, 2]
    assert lines(caplog)[-1][0] == "INFO"
    assert "2 requests that were held for 420 seconds" in lines(caplog)[-1][1]
    assert len(lines(caplog)) == 5
    site.clock.advance(10_000)
    assert len(lines(caplog)) == 5


def test_an_ordinary_start_is_silent(make, caplog):
    caplog.set_level(logging.INFO, "ocppj")
    site = make().connect()
    site.accept()
    site.send(1)
    assert site.serve(1) == [1]
    assert lines(caplog) == []


def test_the_log_tells_of_a_security_error(make, caplog):
    site = make(boot_first=False).connect()
    site.send(1)
    site.refuse(site.raw.receive())
    assert site.only_boots_came()
    assert "is kept: it came before a BootNotification was accepted: SecurityError: not booted" in caplog.text
