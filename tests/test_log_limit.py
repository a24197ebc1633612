"""Log lines that a peer can cause: few, and short."""

import logging
import re
import threading
from pathlib import Path

import pytest

import ocppj
from ocppj import Client, ManualClock, OCPPError, Server, v16
from ocppj.dispatch.timeouts import Timeouts
from ocppj.errors import HandshakeRefused, SubprotocolError, printable
from ocppj.log_limit import CAPACITY, LINES, LONGEST, WINDOW, LimitedLog, SafeLog, bounded, safe_log
from ocppj.settings import get_logger
from ocppj.ws.memory import MemoryNetwork
from tests.helpers import eventually, seconds
from tests.peers import Memory, Sockets

INVALID = "%s: invalid message: %s"


class Log:
    """A logger that keeps its lines."""

    def __init__(self):
        self.lines = []

    def _write(self, text, *arguments, **options):
        self.lines.append(text % arguments)

    debug = info = warning = error = exception = _write


class Limited:
    def __init__(self, **options):
        self.clock = ManualClock()
        self.log = Log()
        self.limited = LimitedLog(lambda: self.log, self.clock.monotonic, **options)

    def write(self, count, text=INVALID, about="CP_1", **options):
        for number in range(count):
            self.limited.warning(text, about, number, **options)
        lines, self.log.lines = self.log.lines, []
        return lines


@pytest.fixture
def limited():
    return Limited()


def test_ten_lines_are_written_and_the_rest_is_counted(limited):
    assert limited.write(13_000) == [f"CP_1: invalid message: {number}" for number in range(LINES)]
    limited.clock.advance(WINDOW)
    left_out = "CP_1: 12990 more lines like this were left out: invalid message: ..."
    assert limited.write(1) == [left_out, "CP_1: invalid message: 0"]
    limited.clock.advance(WINDOW)
    assert limited.write(1) == ["CP_1: invalid message: 0"], "nothing was left out"


def test_the_number_of_lines_may_be_another_one():
    assert Limited(lines=1).write(20) == ["CP_1: invalid message: 0"]


def test_peers_and_kinds_are_counted_apart(limited):
    assert len(limited.write(11)) == LINES
    assert len(limited.write(11, about="CP_2")) == LINES
    assert len(limited.write(11, "%s: another: %s")) == LINES
    assert len(limited.write(11, kind="a third")) == LINES
    assert len(limited.write(11, source="192.0.2.1")) == LINES
    assert limited.write(11) == []


def test_addresses_may_share_a_source(limited):
    for port in range(20):
        limited.limited.warning("%s: refused: %s", f"192.0.2.1:{port}", "x", source="192.0.2.1")
    assert len(limited.log.lines) == LINES


def test_a_report_tells_what_was_left_out(limited):
    limited.write(12)
    limited.limited.report()
    assert limited.log.lines == [], "the minute is not over"
    limited.limited.report(last=True)
    assert limited.log.lines == ["CP_1: 2 more lines like this were left out: invalid message: ..."]
    limited.limited.report(last=True)
    assert len(limited.log.lines) == 1


def test_a_timer_reports_in_time():
    clock, log = ManualClock(), Log()
    timeouts = Timeouts(clock)
    limited = LimitedLog(lambda: log, clock.monotonic, timeouts.add)
    for number in range(LINES):
        limited.warning(INVALID, "CP_1", number)
    assert timeouts.pending() == 0, "nothing was left out"
    for number in range(5):
        limited.warning(INVALID, "CP_1", number)
    assert timeouts.pending() == 1
    clock.advance(WINDOW)
    assert log.lines[LINES:] == ["CP_1: 5 more lines like this were left out: invalid message: ..."]
    timeouts.stop()


def test_what_is_remembered_is_bounded(limited):
    for number in range(CAPACITY + 1000):
        limited.limited.warning("%s: refused", f"10.0.{number >> 8}.{number & 255}")
    assert len(limited.log.lines) == CAPACITY + LINES
    limited.clock.advance(WINDOW)
    limited.log.lines.clear()
    limited.limited.warning("%s: refused", "10.9.9.9")
    assert limited.log.lines == [
        f"others: {1000 - LINES} more lines like this were left out: refused",
        "10.9.9.9: refused",
    ]


REFUSED = "%s: refused: %s"


def refuse(limited, address, identity):
    options = {"source": f"{address} {identity}", "most": 1, "group": address}
    limited.limited.warning(REFUSED, address, identity, **options)


def test_a_group_reports_what_was_left_out_in_one_line(limited):
    """5,001 lines, before: one for each identity of the address."""
    for identity in 2 * [f"CP_{number}" for number in range(5000)]:
        refuse(limited, "192.0.2.1", identity)
    assert limited.log.lines == [f"192.0.2.1: refused: CP_{number}" for number in range(LINES)]
    limited.log.lines.clear()
    limited.limited.report(last=True)
    assert limited.log.lines == [f"192.0.2.1: {10_000 - LINES} more lines like this were left out: refused: ..."]


def test_one_source_of_a_group_leaves_the_others_their_lines(limited):
    for identity in 20 * ["CP_0"] + ["CP_1"]:
        refuse(limited, "192.0.2.1", identity)
    assert limited.log.lines == ["192.0.2.1: refused: CP_0", "192.0.2.1: refused: CP_1"]


def test_a_group_leaves_other_groups_their_room(limited):
    for number in range(CAPACITY + 1):
        refuse(limited, "192.0.2.1", f"X{number}")
    limited.log.lines.clear()
    for number in range(5):
        refuse(limited, f"198.51.100.{number}", "CP_1")
    assert limited.log.lines == [f"198.51.100.{number}: refused: CP_1" for number in range(5)]


def test_lines_of_another_level_leave_errors_their_room(limited):
    for number in range(CAPACITY + 1):
        limited.limited.info("%s: connected", f"CP_{number}")
    limited.log.lines.clear()
    for number in range(100):
        limited.limited.error("%s: failed", f"CP_{number}")
    assert limited.log.lines == [f"CP_{number}: failed" for number in range(100)]


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error", "exception"])
def test_each_level_is_limited(level, caplog):
    logger = logging.getLogger("ocppj.test_log_limit")
    caplog.set_level(logging.DEBUG, logger.name)
    limited = LimitedLog(lambda: logger)
    for _ in range(20):
        getattr(limited, level)("%s: told", "CP_1")
    limited.report(last=True)
    expected = logging.ERROR if level == "exception" else getattr(logging, level.upper())
    assert [each.levelno for each in caplog.records] == [expected] * 11
    assert bool(caplog.records[0].exc_info) is (level == "exception")
    assert not caplog.records[-1].exc_info


def test_an_error_may_have_its_exception(caplog):
    error = ValueError("x")
    LimitedLog(lambda: logging.getLogger("ocppj")).error("%s: failed", "CP_1", exc_info=error)
    assert caplog.records[0].exc_info[1] is error


def test_arguments_are_short():
    assert bounded("x" * LONGEST) == "x" * LONGEST
    assert bounded("x" * 1_000_000) == "x" * LONGEST + "... (1000000 characters)"
    error = OCPPError("GenericError", "y" * 1_000_000)
    assert len(bounded(error)) < LONGEST + 30
    for value in (None, True, 5, 10**30, 0.5, error.code, "x"):
        assert bounded(value) is value


def test_arguments_are_printable():
    assert bounded("CP\u202e1") == "CP\\u202e1"
    assert bounded(ValueError("a\nb")) == "a\\nb"
    assert "{} {!r}".format(*[bounded("a\u200b")] * 2) == "a\\u200b 'a\\u200b'"
    assert bounded("Zürich-Übergabe 充电桩 شاحن") == "Zürich-Übergabe 充电桩 شاحن"


def test_an_argument_whose_text_cannot_be_made_is_its_type():
    class Broken:
        def __str__(self):
            raise ValueError

    assert bounded(Broken()) == "a value of the type Broken"


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error", "exception"])
def test_a_safe_log_writes_each_level(level, caplog):
    logger = logging.getLogger("ocppj.test_log_limit")
    caplog.set_level(logging.DEBUG, logger.name)
    try:
        raise KeyError("cause")
    except KeyError as error:
        getattr(SafeLog(lambda: logger), level)("%s: told %d", "CP\u202e1", 5, exc_info=error)
    (record,) = caplog.records
    assert record.getMessage() == "CP\\u202e1: told 5"
    assert record.levelno == (logging.ERROR if level == "exception" else getattr(logging, level.upper()))
    assert record.exc_info[0] is KeyError


def test_threads_write_together(limited):
    barrier = threading.Barrier(4)

    def run():
        barrier.wait(seconds(10))
        for number in range(500):
            limited.limited.warning(INVALID, "CP_1", number)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(limited.log.lines) == LINES
    limited.limited.report(last=True)
    assert limited.log.lines[-1].startswith(f"CP_1: {2000 - LINES} more lines")


# What peers do


FLOODS = {
    "no message": "x",
    "an answer to nothing": '[3,"{}",{{}}]',
    "an error to nothing": '[4,"{}","GenericError","",{{}}]',
    "an unknown action": '[2,"{}","Nothing",{{}}]',
    "a wrong payload": '[2,"{}","Heartbeat",{{"x":1}}]',
    "a CALL of an action without a handler": '[2,"{}","Authorize",{{"idTag":"x"}}]',
    "a failing handler": '[2,"{}","Heartbeat",{{}}]',
    "an empty frame": "",
}


@pytest.mark.parametrize("frame", FLOODS.values(), ids=FLOODS)
def test_a_flood_is_a_few_lines(frame):
    """13,000 lines a second, before."""
    log, network = Log(), MemoryNetwork()
    server = Server(profiles=v16.PROFILES, ws_server=network.server(), logger=log, max_bad_messages=10**6)

    @server.on(v16.HeartbeatRequest)
    def fail(client_id, request):
        raise ValueError("x" * 10_000)

    server.listen()
    raw = network.client()
    answered = threading.Semaphore(0)
    raw.set_message_handler(lambda channel, text: answered.release())
    raw.connect(server.url, "CP_1", ["ocpp1.6"])
    count = 300
    for number in range(count):
        raw.send(frame.format(number))
    raw.send('[2,"last","Heartbeat",{}]')
    eventually(lambda: any("handler of Heartbeat failed" in line for line in log.lines) or not server.client_ids())
    raw.stop()
    server.stop()
    assert len(log.lines) <= 2 * (LINES + 1) + 6, log.lines[:40]
    assert max(map(len, log.lines)) < 3000


def test_refused_handshakes_are_a_few_lines(caplog):
    network = MemoryNetwork()
    server = Server(profiles=v16.PROFILES, ws_server=network.server())
    server.set_check_client_handler(lambda request: request.identity == "CP_1")
    server.listen()
    for number in range(100):
        with pytest.raises(HandshakeRefused):
            network.client().connect(server.url, f"X{number}", ["ocpp1.6"])
    for _ in range(100):
        with pytest.raises(SubprotocolError):
            network.client().connect(server.url, "CP_1", ["soap"])
    server.stop()
    lines = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
    about = [line for line in lines if "refused with 404" in line or "no common subprotocol" in line]
    assert len([line for line in about if "left out" in line]) == 2
    assert len(about) == (LINES + 1) + 2, about  # many clients at one address, and one
    assert any("90 more lines like this were left out: refused with 404" in line for line in about)


UNSEEN = "CP\u202e_\u200b1"


def refuse_settings(client_id):
    raise ValueError(f"no settings for {client_id}")


@pytest.mark.parametrize("stack", [Memory, Sockets])
def test_an_identity_is_escaped_in_each_line(stack, caplog):
    caplog.set_level(logging.DEBUG, "ocppj")
    stack = stack()
    server = Server(profiles=v16.PROFILES, ws_server=stack.server(), validate=refuse_settings)
    ended = threading.Semaphore(0)

    @server.on(v16.HeartbeatRequest)
    def fail(client_id, request):
        raise ValueError(f"a fault of {client_id}")

    @server.set_disconnected_client_handler
    def note(client_id, close):
        ended.release()
        raise ValueError(f"gone: {client_id}")

    server.listen(port=0, host="127.0.0.1")
    client = Client(UNSEEN, profiles=v16.PROFILES, ws_client=stack.client(), validate=refuse_settings)
    client.connect(server.url)
    with pytest.raises(OCPPError):
        client.call(v16.HeartbeatRequest())
    with pytest.raises(OCPPError):
        server.call(UNSEEN, v16.ClearCacheRequest())
    server.disconnect(UNSEEN, 4000, UNSEEN)
    assert ended.acquire(timeout=seconds(10))
    client.stop()
    server.stop()
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("ocppj.")]
    assert [line for line in lines if printable(line) != line] == []
    assert len([line for line in lines if "CP\\u202e_\\u200b1" in line]) >= 6


def test_each_line_of_the_library_is_written_by_a_safe_log():
    """`get_logger` is for programs: what it returns escapes nothing."""
    package = Path(ocppj.__file__).parent
    users = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if re.search(r"\bget_logger\(\)|endpoint\.log\.|\bself\.log\.", path.read_text(encoding="utf-8"))
    }
    users.remove("settings.py")  # which defines it
    assert users == {"ws/handshake/policy.py", "ws/connection/channel.py"}, "whose log is a LimitedLog"


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error", "exception"])
def test_a_record_names_the_place_that_it_is_about(level, caplog):
    caplog.set_level(logging.DEBUG, "ocppj")
    for log in (safe_log, LimitedLog(get_logger)):
        getattr(log, level)("%s: something", "CP_1")
    assert {(record.filename, record.funcName) for record in caplog.records} == {
        ("test_log_limit.py", "test_a_record_names_the_place_that_it_is_about")
    }
