"""Texts that are almost frames: what the text hook makes of them, and what the peer and our own calls get."""

import threading

import pytest

from ocppj import ErrorCode, InvalidResponse, ManualClock, OCPPError, TransactionRetries, UsageError, WouldDeadlock
from tests.fixtures import VERSIONS, cleanup, clear_cache, make_client, make_server, side_of  # noqa: F401
from tests.helpers import Recorder, eventually, seconds
from tests.peers import RawServer, Sockets

EACH_VERSION = pytest.mark.parametrize("version", VERSIONS)
#: A CALL of an action that no version has: its answer shows that all before was read.
PROBE = [2, "probe", "NoSuchAction", {}]


@pytest.fixture
def transport():
    return Sockets()


def probe(side):
    """Return once the peer's texts are read. Nothing may have been sent for them."""
    assert side.raw.ask(PROBE)[:2] == [4, "probe"]
    assert side.raw.nothing_came()


def request_data(side, version):
    """Have ``side`` handle DataTransfer. Return what records the data that came."""
    package, data = VERSIONS[version], Recorder()

    @side.endpoint.on(package.DataTransferRequest)
    def handle(*arguments):
        data(arguments[-1].data)
        return package.DataTransferResponse(status="Accepted")

    return data


# The text hook


@EACH_VERSION
@pytest.mark.parametrize(
    ("text", "wrong", "right"),
    [
        ('[2,"1","DataTransfer",{"vendorId":"V","messageId":,"data":"a"}]', '"messageId":,', ""),
        ('[,{},2,"1","DataTransfer",{"vendorId":"V","data":"a"}]', ",{},", ""),
        ('[2,"1","DataTransfer",{"vendorId":"V","data":"a"}', '"a"}', '"a"}]'),
        ('[2,"1","DataTransfer",{"vendorId":"V","data":"\x00a"}]', "\x00", ""),
        ('[2,"1","DataTransfer",{"vendorId":"\\V","data":"a"}]', "\\", ""),
        ("[2,'1','DataTransfer',{'vendorId':'V','data':'a'}]", "'", '"'),
        ('[2,"1","DataTransfer",{"vendorId":"V","data":"a"}]\x00', "\x00", ""),
    ],
    ids=range(7),
)
def test_the_text_hook_repairs_a_call(side_of, version, text, wrong, right):
    side = side_of(version, validate="strict")
    data = request_data(side, version)
    side.raw.send(text)
    if version != "1.6":
        assert side.raw.receive()[1] == "-1"
    probe(side)
    hook = Recorder()

    def repair(*arguments):
        hook(*arguments)
        return arguments[-1].replace(wrong, right)

    assert side.endpoint.set_text_hook(repair) is repair
    assert side.raw.ask(text) == [3, "1", {"status": "Accepted"}]
    assert hook.calls == [side.args(text)]
    assert data.calls == [("a",)]


@EACH_VERSION
def test_the_text_hook_repairs_an_answer(side_of, version):
    side = side_of(version)
    side.endpoint.set_text_hook(lambda *arguments: arguments[-1].replace(":,", ':"Accepted"'))
    future, message_id = clear_cache(side, version)
    side.raw.send(f'[3,"{message_id}",{{"status":,}}]')
    assert future.result(seconds(10)).status == "Accepted"


@EACH_VERSION
def test_observers_see_the_text_as_it_came_and_the_invalid_message_hook_as_it_was_read(side_of, version):
    side = side_of(version)
    frames, invalid = Recorder(), Recorder()
    side.endpoint.add_observer(frames)
    side.endpoint.set_invalid_message_hook(invalid)
    side.endpoint.set_text_hook(lambda *arguments: arguments[-1].upper())
    side.raw.send("rubbish")
    probe_id = "PROBE"
    answers = [side.raw.receive()[1] for _ in range(1 if version != "1.6" else 0)]
    assert answers == ["-1"] * (version != "1.6")
    assert side.raw.ask(PROBE)[1] == probe_id
    assert next(frame.text for (frame,) in frames.calls if frame.direction == "in") == "rubbish"
    assert invalid.calls[0][-2:] == ("RUBBISH", None)


def fail(*arguments):
    raise RuntimeError("as planned")


def leave(*arguments):
    raise SystemExit


@pytest.mark.parametrize(
    "hook",
    [fail, leave, *(lambda *arguments, result=result: result for result in (None, 5, b"[]", ["[]"], True))],
    ids=range(7),
)
def test_a_text_hook_that_fails_or_returns_no_text_harms_nothing(side_of, hook, caplog):
    side = side_of("1.6")
    data = request_data(side, "1.6")
    side.endpoint.set_text_hook(hook)
    for n in range(3):
        assert side.raw.ask([2, str(n), "DataTransfer", {"vendorId": "V", "data": "a"}])[:2] == [3, str(n)]
    assert len(data.calls) == 3
    records = [each for each in caplog.records if "the text hook" in each.getMessage()]
    assert [each.levelname for each in records] == ["ERROR"] * 3
    assert all(each.getMessage().startswith("CP_1: ") for each in records)


@pytest.mark.parametrize("text", ["rubbish", '[2,"1","DataTransfer",{}]', "[]"])
def test_an_empty_text_of_the_hook_is_ignored(side_of, text, caplog):
    side = side_of("2.0.1", max_bad_messages=2)
    side.endpoint.set_text_hook(lambda *arguments: arguments[-1] if "probe" in arguments[-1] else "")
    for _ in range(5):
        side.raw.send(text)
    probe(side)
    assert "ignored an empty frame" in caplog.text


def test_the_text_hook_runs_where_the_connection_is_read(side_of):
    side = side_of("1.6")
    seen = Recorder()

    @side.endpoint.set_text_hook
    def hook(*arguments):
        with pytest.raises(WouldDeadlock):
            side.call(VERSIONS["1.6"].ClearCacheRequest())
        seen()
        return arguments[-1]

    probe(side)
    assert len(seen.calls) == 1


def test_the_text_hook_may_stop_the_endpoint(side_of):
    side = side_of("1.6")
    stopped = threading.Event()

    @side.endpoint.set_text_hook
    def hook(*arguments):
        side.endpoint.stop()
        stopped.set()
        return arguments[-1]

    side.raw.send(PROBE)
    assert stopped.wait(seconds(10))
    side.raw.wait_closed()


async def later(*arguments):
    return ""


@pytest.mark.parametrize("wrong", [5, "f", lambda: "", later, lambda a, b, c: ""], ids=range(5))
def test_what_is_no_text_hook_is_refused(side_of, wrong):
    with pytest.raises(UsageError, match="function|async|f\\("):
        side_of("1.6").endpoint.set_text_hook(wrong)


@EACH_VERSION
def test_the_text_hook_and_the_invalid_message_hook_can_be_taken_away(side_of, version):
    side = side_of(version)
    side.endpoint.set_text_hook(lambda *arguments: "rubbish")
    side.endpoint.set_invalid_message_hook(lambda *arguments: OCPPError("SecurityError", message_id="mine"))
    assert side.raw.ask(PROBE)[:3] == [4, "mine", "SecurityError"]
    side.endpoint.set_text_hook(None)
    assert side.raw.ask(PROBE)[:3] == [4, "mine", "SecurityError"]
    side.endpoint.set_invalid_message_hook(None)
    probe(side)


# The invalid-message hook names the CALL that it answers

BROKEN_CALLS = [
    '[2,"19","MeterValues",{"connectorId":1,"transactionId":,"meterValue":[]}]',
    '[2,"19","MeterValues",{"meterValue":[,{}]}]',
    '[2,"19","DataTransfer",{"vendorId":"V"}',
    '[2,"19","Heartbeat"',
    '[2,19,"Heartbeat",{}]',
    '["2","19","Heartbeat",{}]',
    '[2,"19","A",' + "[" * 50 + "]" * 50 + "]",
]


@EACH_VERSION
def test_the_hook_answers_a_call_that_cannot_be_read(side_of, version):
    side = side_of(version, max_bad_messages=3, validate="strict")

    def hook(*arguments):
        error = arguments[-3]
        assert (error.message_id, error.message_type) == (None, None)
        assert (error.visible_type, error.visible_id) == (2, "19")
        return OCPPError(ErrorCode.FORMAT_VIOLATION, "mend it", {"a": 1}, message_id=error.visible_id)

    side.endpoint.set_invalid_message_hook(hook)
    spelling = "FormationViolation" if version == "1.6" else "FormatViolation"
    for text in BROKEN_CALLS:  # what is answered counts as no bad frame
        assert side.raw.ask(text) == [4, "19", spelling, "mend it", {"a": 1}]
    assert not side.raw.closed.is_set()


@EACH_VERSION
@pytest.mark.parametrize("text", ["rubbish", "{}", '[9,"1"]', '[2,"1"]', '[2,"1","NoSuchAction",{}]'])
def test_the_hook_may_name_any_id(side_of, version, text):
    side = side_of(version)
    side.endpoint.set_invalid_message_hook(lambda *arguments: OCPPError("SecurityError", message_id="mine"))
    assert side.raw.ask(text) == [4, "mine", "SecurityError", "", {}]


#: Heads of answers, and of a SEND.
NEVER_ANSWERED = [
    '[3,"x",{"status":,}]',
    '[4,"-1","RpcFrameworkError","",{}',
    '[5,"x","RpcFrameworkError","",{}',
    '[6,"x","NotifyPeriodicEventStream",{}',
    '[3,"x',
    "[4",
    "[3,7,{}]",
    '["3","x",{}]',
    '[4,"",""]',
    '[3,"x",' + "[" * 50 + "]" * 50 + "]",
    '\ufeff[ 4 , "-1" ,',
]


@EACH_VERSION
@pytest.mark.parametrize("with_hook", [False, True])
def test_no_error_is_sent_for_what_can_be_seen_to_be_an_answer(side_of, version, with_hook):
    """Two peers would answer one another's errors for ever."""
    side = side_of(version, validate="strict")
    if with_hook:
        side.endpoint.set_invalid_message_hook(lambda *arguments: OCPPError("SecurityError", message_id="x"))
    for text in NEVER_ANSWERED:
        side.raw.send(text)
    future, message_id = clear_cache(side, version)
    side.raw.send([3, message_id, {"status": "Accepted"}])
    assert future.result(seconds(10)).status == "Accepted"
    assert side.raw.nothing_came()


@EACH_VERSION
@pytest.mark.parametrize("answers", [False, True], ids=["by the rules", "by the hook"])
@pytest.mark.parametrize("spoil", ["{{{}", "[2{}", '[2,"x","Nope",{}', '[2,"x",7,[{}]]', "x"])
def test_no_error_is_sent_for_an_answer_that_the_text_hook_has_spoilt(side_of, version, spoil, answers):
    side = side_of(version, validate="strict")
    future, message_id = clear_cache(side, version)

    @side.endpoint.set_text_hook
    def hook(*arguments):
        return arguments[-1] if message_id in arguments[-1] else spoil.format(arguments[-1])

    if answers:
        side.endpoint.set_invalid_message_hook(lambda *arguments: OCPPError("SecurityError", message_id="x"))
    for text in ('[4,"-1","RpcFrameworkError","",{}]', '[3,"x",{}]', "[3", "[ 5,"):
        side.raw.send(text)
    side.raw.send([3, message_id, {"status": "Accepted"}])
    assert future.result(seconds(10)).status == "Accepted"
    assert side.raw.nothing_came()


@pytest.mark.parametrize("message_id", ["", "x" * 37, 5, ["1"]])
def test_an_id_of_the_hook_that_is_none_is_logged_and_not_used(side_of, message_id, caplog):
    side = side_of("2.0.1")
    side.endpoint.set_invalid_message_hook(lambda *arguments: OCPPError("SecurityError", message_id=message_id))
    assert side.raw.ask("rubbish")[:3] == [4, "-1", "SecurityError"]
    assert side.raw.ask('[2,"1"]')[:3] == [4, "1", "SecurityError"]
    assert "which is none" in caplog.text


@EACH_VERSION
def test_a_call_that_is_being_handled_keeps_its_answer(side_of, version):
    """Its broken copy is answered, and so is the first."""
    package = VERSIONS[version]
    side = side_of(version)
    release = threading.Event()

    @side.endpoint.on(package.DataTransferRequest)
    def handle(*arguments):
        assert release.wait(seconds(10))
        return package.DataTransferResponse(status="Accepted")

    side.endpoint.set_invalid_message_hook(
        lambda *arguments: OCPPError(ErrorCode.FORMAT_VIOLATION, message_id=arguments[-3].visible_id)
    )
    side.raw.send([2, "1", "DataTransfer", {"vendorId": "V"}])
    assert side.raw.ask('[2,"1","DataTransfer",{"vendorId":"V"')[:2] == [4, "1"]
    assert side.raw.ask([2, "1", "DataTransfer", {"vendorId": 5}])[:2] == [4, "1"]
    release.set()
    assert side.raw.receive() == [3, "1", {"status": "Accepted"}]


# Answers that cannot be read

BROKEN_ANSWERS = [
    '[3,"{id}",{"status":,}]',
    '[3,"{id}",{"status":"Accepted"}',
    '[3,"{id}",{"status":"\\qAccepted"}]',
    '[3,"{id}",[,{}]]',
    '[3,"{id}"',
    ' [ 3 , "{id}" , ',
    '\ufeff[3,"{id}",{"status":,}]',
    '\x00[3,"{id}",{"status":,}]',
    '["3","{id}",{"status":"Accepted"}]',
    '[3.0,"{id}",{"status":"Accepted"}]',
    '[3,"{id}",' + "[" * 50 + "]" * 50 + "]",
    '[4,"{id}","GenericError","",{}',
    '[4,"{id}","GenericError",,{}]',
    '[4,"{id}","Gener',
    '["4","{id}","GenericError","",{}]',
    "[3,'{id}',{'status':'Accepted'}]",
    "['4','{id}','GenericError','',{}]",
]


@EACH_VERSION
def test_an_answer_that_cannot_be_read_ends_its_call_at_once(side_of, version):
    side = side_of(version, validate="strict")
    canceled = Recorder()
    side.endpoint.set_canceled_request_handler(canceled)
    for number, text in enumerate(BROKEN_ANSWERS):
        future, message_id = clear_cache(side, version)
        text = text.replace("{id}", message_id)
        side.raw.send(text)
        error = future.exception(seconds(10))
        assert isinstance(error, InvalidResponse), text
        assert error.message_id == message_id
        assert error.error.visible_id == message_id
        assert canceled.wait(number + 1)[number][-1] is error
        if version == "2.1" and error.error.visible_type == 3:
            assert side.raw.receive()[:3] == [5, message_id, "RpcFrameworkError"]
        side.raw.send(text)  # once more: it is not pending
    future, message_id = clear_cache(side, version)  # the lane is free
    side.raw.send([3, message_id, {"status": "Accepted"}])
    assert future.result(seconds(10)).status == "Accepted"
    assert side.raw.nothing_came()


def test_an_id_may_be_written_with_escape_sequences_or_as_a_number(side_of):
    ids = iter(["a\u00e9/\U0001f50c", "4711", "\U0001f50c" * 36, "-5"])
    texts = [r'[3,"a\u00e9\/\ud83d\udd0c",', "[3,4711,{}]", '[3,"' + r"\ud83d\udd0c" * 36 + '"', "[3 , -5 , "]
    side = side_of("1.6", message_id_generator=lambda: next(ids), validate="strict")
    for text in texts:
        future = clear_cache(side, "1.6")[0]
        side.raw.send(text)
        assert isinstance(future.exception(seconds(10)), InvalidResponse)


def start_of(version):
    package, now = VERSIONS[version], "2026-01-02T03:04:05Z"
    if version == "1.6":
        return package.StartTransactionRequest(connector_id=1, id_tag="A", meter_start=0, timestamp=now)
    return package.TransactionEventRequest("Started", now, "Authorized", 0, package.Transaction("T"))


@EACH_VERSION
@pytest.mark.parametrize(
    "text",
    ['[4,"{id}","InternalError","",{}', '[4,"{id}","InternalError",,{}]', '[4,"{id}"]', '[4,"{id}",5,"",{}]'],
    ids=range(4),
)
def test_a_transaction_message_is_sent_again_after_a_callerror_that_cannot_be_read(
    make_client, transport, cleanup, version, text
):
    """The peer has refused it, whatever else it says: OCPP 1.6 edition 2 section 3.7; Part 2 E13."""
    raw, clock = RawServer(transport, [f"ocpp{version}"]), ManualClock()
    cleanup.append(raw.stop)
    retries = TransactionRetries(message_attempts=3, message_attempt_interval=10)
    client = make_client(raw.url, profiles=VERSIONS[version].PROFILES, clock=clock, retries=retries)
    raw.wait_connected()
    future = client.send_request(start_of(version))
    for wait in (10, 20, 0):
        frame = raw.receive()
        assert frame[1] == future.message_id
        assert not future.done()
        raw.send(text.replace("{id}", future.message_id))
        assert raw.ask(PROBE)[:2] == [4, "probe"]
        clock.advance(wait)
    assert isinstance(future.exception(seconds(10)), InvalidResponse)
    assert raw.nothing_came()


ELSEWHERE = [
    '[3,"other",{"id":"{id}",}]',
    '[3,["{id}"],]',
    '[3,"x{id}",{"a":,}]',
    '[3,"{id}x",{"a":,}]',
    '[3,"{id}"x,{"a":,}]',
    '[2,"{id}","Heartbeat",{"a":,}]',
    '["{id}",3,{]',
    '{"3":"{id}",}',
    '3,"{id}",{"a":,}]',
    'x[3,"{id}",{"a":,}]',
    '[[3,"{id}",{"a":,}]',
    '[33,"{id}",{"a":,}]',
    '[-3,"{id}",{"a":,}]',
    '[3.5,"{id}",{"a":,}]',
    '[3 "{id}",{"a":,}]',
    '[3,"a","{id}",{"a":,}]',
    '[9,"{id}",{"a":,}]',
    '[5,"{id}","GenericError",,{}]',
    "{id}",
]


@EACH_VERSION
def test_an_id_that_stands_anywhere_else_ends_nothing(side_of, version):
    side = side_of(version, validate="strict")
    future, message_id = clear_cache(side, version)
    for text in ELSEWHERE:
        side.raw.send(text.replace("{id}", message_id))
    side.raw.send([3, message_id, {"status": "Accepted"}])
    assert future.result(seconds(10)).status == "Accepted"


@pytest.mark.parametrize(
    ("text", "head"),
    [
        ('[2,"19","MeterValues",{"a":,', "; its head: type 2, id '19'"),
        ('[3,"a\\nb\\u001b",', "; its head: type 3, id 'a\\nb\\x1b'"),
        ("[4,", "; its head: type 4, id None"),
        ("rubbish", "character 0"),
    ],
    ids=range(4),
)
def test_the_log_tells_the_head_of_what_cannot_be_read(side_of, text, head, caplog):
    side = side_of("1.6")
    side.raw.send(text)
    probe(side)
    lines = [each.getMessage() for each in caplog.records if "invalid message" in each.getMessage()]
    assert lines[0].endswith(head)


def test_unreadable_answers_count_as_bad_frames(side_of):
    side = side_of("1.6", max_bad_messages=3)
    for _ in range(3):
        future, message_id = clear_cache(side, "1.6")
        side.raw.send(f'[3,"{message_id}",')
        assert isinstance(future.exception(seconds(10)), InvalidResponse)
    assert side.raw.wait_closed().code == 1002
    eventually(lambda: future.done())


@pytest.mark.parametrize("text", ['[3,"never",{}]', '[4,"never","GenericError","",{}]'])
def test_answers_to_nothing_count_as_bad_frames(side_of, text):
    side = side_of("1.6", max_bad_messages=3)
    for _ in range(2):
        side.raw.send(text)
        side.raw.send(text)
        probe(side)  # a good frame: the count begins again
    assert not side.raw.closed.is_set()
    for _ in range(3):
        side.raw.send(text)
    assert side.raw.wait_closed().code == 1002


def test_a_late_answer_is_no_bad_frame(side_of):
    side = side_of("1.6", max_bad_messages=2)
    late = []
    for _ in range(3):
        future, message_id = clear_cache(side, "1.6")
        assert future.cancel()
        late.append(message_id)
    for message_id in late:
        side.raw.send(f'[3,"{message_id}",{{"status":"Accepted"}}]')
    probe(side)
    assert not side.raw.closed.is_set()
    for _ in range(2):  # the same answers once more
        side.raw.send(f'[3,"{late[0]}",{{"status":"Accepted"}}]')
    assert side.raw.wait_closed().code == 1002


def test_refusals_of_answers_count_when_no_call_comes_between(side_of):
    side = side_of("2.1", max_bad_messages=3)
    for number in range(5):
        side.raw.ask([2, f"a{number}", "Reset", {"type": "Immediate"}])
        side.raw.send([5, f"a{number}", "FormatViolation", "", {}])
    assert not side.raw.closed.is_set()
    for number in range(2):  # and the last one above
        side.raw.send([5, f"b{number}", "FormatViolation", "", {}])
    assert side.raw.wait_closed().code == 1002
