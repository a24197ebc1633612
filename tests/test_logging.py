"""Which logger gets which line, and what a record tells: docs/logging.md."""

import json
import logging
import re
from datetime import datetime, timezone

import pytest

import ocppj
from ocppj import (
    Client,
    HandshakeRefused,
    OCPPError,
    Server,
    SQLiteQueueMap,
    v16,
)
from ocppj.ws.memory import MemoryNetwork
from tests.fixtures import BOOT, HEARTBEAT
from tests.helpers import eventually, seconds
from tests.test_readme import BLOCK, ROOT

PAGE = (ROOT / "docs" / "logging.md").read_text("utf-8")
#: The lines of the table: level, loggers, example.
ROWS = [
    (level, re.findall(r"`(ocppj[.\w]*)`", loggers), line)
    for level, loggers, line in re.findall(r"^\| ([A-Z]+) \| ([^|]*) \| ([^|]*) \|", PAGE, re.MULTILINE)
]
ABOUT = ("client_id", "action", "message_id")


class Lines(logging.Handler):
    """Keeps records, as (level, logger, text, client id, action)."""

    def __init__(self):
        super().__init__(logging.DEBUG)
        self.records = []

    def emit(self, record):
        self.records.append(record)

    def told(self):
        return [
            (each.levelname, each.name, each.getMessage(), each.client_id, each.action) for each in list(self.records)
        ]

    def has(self, level, name, text):
        """Whether there is such a line whose text matches ``text`` as a pattern."""
        return any(each[:2] == (level, name) and re.search(text, each[2]) for each in self.told())


@pytest.fixture
def lines():
    logger, handler = logging.getLogger("ocppj"), Lines()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(before)


@pytest.fixture
def given():
    """A logger that is no child of "ocppj", and its lines."""
    logger, handler = logging.Logger("given", logging.DEBUG), Lines()
    logger.addHandler(handler)
    return logger, handler


def play(tmp_path, **options):
    """Have a server and a client of it log something of each kind."""
    network = MemoryNetwork()
    queues = SQLiteQueueMap(str(tmp_path / "queue.db"))
    server = Server(profiles=v16.PROFILES, ws_server=network.server(), queues=queues, timeout=seconds(10), **options)
    options = {**options, "timeout": seconds(10), "reconnect": False, "profiles": v16.PROFILES}

    @server.on(v16.BootNotificationRequest)
    def boot(client_id, request):
        now = datetime(2026, 1, 2, tzinfo=timezone.utc)
        return v16.BootNotificationResponse(current_time=now, interval=300, status="Accepted")

    @server.on(v16.HeartbeatRequest)
    def beat(client_id, request):
        raise ValueError("no")

    server.set_check_client_handler(lambda request: request.identity != "BAD")
    with server.listen(port=0, host="127.0.0.1"):
        with Client("CP_1", ws_client=network.client(), **options).connect(server.url) as client:
            client.call(BOOT)
            for request in (HEARTBEAT, v16.AuthorizeRequest(id_tag="tag")):
                with pytest.raises(OCPPError):
                    client.call(request)
            with pytest.raises(OCPPError):
                server.call("CP_1", v16.ChangeConfigurationRequest(key="AuthorizationKey", value="Hush-7Tx"))
            client.send_raw("[2")
        for identity in ("BAD", "BAD", "BAD"):
            other = Client(identity, ws_client=network.client(), **options)
            with pytest.raises(HandshakeRefused):
                other.connect(server.url)
        eventually(lambda: not server.client_ids())


def example(line):
    """Return the example of a row as a pattern: numbers, addresses and what is left out may differ."""
    line = re.sub(r"192\.0\.2\.\d+:\d+|ws://[\d.:]+", "ADDRESS", line.split(", with the")[0])
    pattern = re.escape(line).replace("ADDRESS", "[^ ]+").replace(re.escape("..."), ".*")
    return pattern.replace('"1"', '"[-0-9a-f]+"')


#: Rows of the page that `play` does not make.
ELSEWHERE = ("wait since earlier", "connecting again", "could not be written", "a stored request is")
ELSEWHERE += ("which another process holds", "before anything came")


def test_the_lines_of_the_page_are_written_by_those_loggers(tmp_path, lines):
    play(tmp_path)
    assert len(ROWS) == 19
    rows = [row for row in ROWS if not any(words in row[2] for words in ELSEWHERE)]
    assert len(rows) == len(ROWS) - len(ELSEWHERE)
    missing = [row for row in rows if not any(lines.has(row[0], name, f"^{example(row[2])}") for name in row[1])]
    assert missing == []
    assert {each[1] for each in lines.told()} <= {f"ocppj.{part}" for part in ("server", "client", "ws", "queue")}


def test_each_record_tells_what_it_is_about(tmp_path, lines):
    play(tmp_path)
    assert all(hasattr(each, name) for each in lines.records for name in ABOUT)
    told = lines.told()
    assert {each[3] for each in told if each[2].startswith("CP_1: ")} == {"CP_1"}
    failed = next(each for each in lines.records if "the handler of Heartbeat failed" in each.getMessage())
    shown = [each for each in lines.records if each.name == "ocppj.client" and each.levelname == "DEBUG"]
    (asked,) = (each for each in shown if '"Heartbeat"' in each.getMessage())
    assert (failed.action, failed.message_id) == ("Heartbeat", asked.message_id)
    answers = [each.action for each in shown if each.getMessage().startswith(("CP_1: in: [3", "CP_1: in: [4"))]
    assert answers == ["BootNotification", "Heartbeat", "Authorize"]


def test_frames_are_logged_without_their_secrets(tmp_path, lines):
    play(tmp_path)
    frames = [
        text for level, _, text, _, action in lines.told() if level == "DEBUG" and action == "ChangeConfiguration"
    ]
    told = {re.sub(r'"[-0-9a-f]{36}"', '"id"', text) for text in frames if "[2," in text}
    assert told == {
        f'CP_1: {direction}: [2,"id","ChangeConfiguration",{{"key":"AuthorizationKey","value":"***"}}]'
        for direction in ("in", "out")
    }
    assert "Hush-7Tx" not in "".join(each[2] for each in lines.told())


def test_a_refusal_is_logged_once_a_minute_with_a_count(tmp_path, lines):
    play(tmp_path)
    refused = [each for each in lines.told() if "refused" in each[2]]
    assert [each[:2] for each in refused] == [("WARNING", "ocppj.ws")] * 2
    assert "refused with 404: unknown client 'BAD'" in refused[0][2]
    assert "2 more lines like this were left out" in refused[1][2]
    assert [each[3] for each in refused] == ["BAD", "BAD"]


def test_identities_that_anybody_can_give_cause_few_lines(lines):
    network = MemoryNetwork()
    server = Server(profiles=v16.PROFILES, ws_server=network.server())
    server.set_check_client_handler(lambda request: False)
    with server.listen(port=0):
        for number in range(30):
            client = Client(f"BAD_{number}", ws_client=network.client(), profiles=v16.PROFILES, reconnect=False)
            with pytest.raises(HandshakeRefused):
                client.connect(server.url)
    refused = [each[2] for each in lines.told() if "refused" in each[2]]
    assert len(refused) == 11
    assert "memory: 20 more lines like this were left out" in refused[-1]


@pytest.mark.parametrize("readers", ["auto", "shared", "per-connection"])
def test_the_logger_of_an_endpoint_takes_all_its_lines(tmp_path, lines, given, readers):
    logger, theirs = given
    network = MemoryNetwork()
    server = Server(
        profiles=v16.PROFILES,
        ws_server=network.server(readers=readers),
        queues=SQLiteQueueMap(str(tmp_path / "queue.db")),
        logger=logger,
    )
    with server.listen(port=0):
        options = {"ws_client": network.client(readers=readers), "profiles": v16.PROFILES, "logger": logger}
        with Client("CP_1", reconnect=False, **options).connect(server.url) as client:
            client.send_raw("no JSON")
            with pytest.raises(OCPPError):
                client.call(HEARTBEAT)
        eventually(lambda: theirs.has("INFO", "given", "^CP_1: connection closed by the peer"))
    assert lines.told() == []
    assert {each[1] for each in theirs.told()} == {"given"}
    assert theirs.has("DEBUG", "given", "^CP_1: closed by"), "of the transport"


def test_the_logger_of_the_process_takes_the_lines_of_those_without_one(tmp_path, lines, given):
    logger, theirs = given
    ocppj.set_logger(logger)
    try:
        play(tmp_path)
    finally:
        ocppj.set_logger(logging.getLogger("ocppj"))
    assert lines.told() == []
    for text in ("^listening on", "^CP_1: in: ", "refused with 404", "^CP_1: closed by"):
        assert any(theirs.has(level, "given", text) for level in ("DEBUG", "INFO", "WARNING"))


class Plain:
    """A logger of another kind."""

    def __init__(self):
        self.lines = []

    def _write(self, text, *arguments, exc_info=None):
        self.lines.append(text % arguments)

    debug = info = warning = error = exception = _write


def test_a_logger_of_another_kind_gets_no_extra_and_no_frames(tmp_path):
    plain = Plain()
    play(tmp_path, logger=plain)
    assert "CP_1: booted: its BootNotification is answered with Accepted" in plain.lines
    assert [line for line in plain.lines if ": in: [" in line or ": out: [" in line] == []


def test_the_page_configures_logging(lines, capsys):
    (code,) = BLOCK.findall(PAGE)
    names = {}
    root = logging.getLogger("ocppj")
    kept, server_level = list(root.handlers), logging.getLogger("ocppj.server").level
    try:
        exec(compile(code, "logging.md", "exec"), names)
        with Server(profiles=v16.PROFILES, ws_server=MemoryNetwork().server()).listen(port=0):
            pass
        assert logging.getLogger("ocppj.server").getEffectiveLevel() == logging.DEBUG
    finally:
        root.handlers[:] = kept
        logging.getLogger("ocppj.server").setLevel(server_level)
    shown = json.loads(capsys.readouterr().err.splitlines()[0])
    assert (shown["logger"], shown["level"]) == ("ocppj.server", "INFO")
    assert shown["text"].startswith("listening on ")
