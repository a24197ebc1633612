"""Frames that are almost right: which modes read them, and what is told of it."""

import sys
from types import SimpleNamespace

import pytest

from ocppj import Endpoint, ErrorCode, InvalidResponse, MessageError, Validation
from ocppj.exchange.leniency import LenientReader
from tests.fixtures import NOW, VERSIONS, cleanup, clear_cache, make_client, make_server, side_of  # noqa: F401
from tests.helpers import Recorder, seconds
from tests.peers import Sockets

EACH_VERSION = pytest.mark.parametrize("version", VERSIONS)
ACCEPTED = {"status": "Accepted"}


@pytest.fixture
def transport():
    return Sockets()


def record_data(side, version):
    """Have ``side`` handle DataTransfer and Heartbeat. Return what records the data that came, or that none did."""
    package, data = VERSIONS[version], Recorder()

    @side.endpoint.on(package.DataTransferRequest)
    def transfer(*arguments):
        data(arguments[-1].data)
        return package.DataTransferResponse(status="Accepted")

    @side.endpoint.on(package.HeartbeatRequest)
    def beat(*arguments):
        data("beat")
        return package.HeartbeatResponse(current_time=NOW)

    return data


def warnings(caplog):
    """Return what was told of frames that are almost right."""
    texts = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    return [text for text in texts if "almost right" in text]


def refuses(side, version, text):
    """Tell whether ``text`` is refused: nothing is handled, and at most an error is sent."""
    data = record_data(side, version)
    side.raw.send(text)
    answers = [side.raw.ask([2, "probe", "NoSuchAction", {}])]
    while answers[-1][1] != "probe":
        answers.append(side.raw.receive())
    return not data.calls and all(answer[0] == 4 for answer in answers)


TRANSFER = '[2,"1","DataTransfer",{"vendorId":"V","data":"%s"}]'
#: A text with control characters or a byte-order mark, and the data that it brings.
TEXTS = [
    (TRANSFER % "a\x00b", "a\x00b"),
    (TRANSFER % "a\nb\tc\r", "a\nb\tc\r"),
    (TRANSFER % "\x01\x1b[0m\x1f", "\x01\x1b[0m\x1f"),
    (TRANSFER % '\\"\x00[{\\\\', '"\x00[{\\'),
    ("\ufeff" + TRANSFER % "a", "a"),
    (" \ufeff\x00" + TRANSFER % "\ufeff", "\ufeff"),
    (TRANSFER % "a" + "\x00", "a"),
    (TRANSFER % "a" + "\r\n\x00\x00\x1a", "a"),
    ((TRANSFER % "a").replace(",", "\x00,\x0b\x7f\x85"), "a"),
]


@EACH_VERSION
@pytest.mark.parametrize("mode", [None, "standard", "warn", "off"])
def test_control_characters_and_a_byte_order_mark_are_read(side_of, version, mode, caplog):
    side = side_of(version, validate=mode)
    seen = record_data(side, version)
    for text, _ in TEXTS:
        assert side.raw.ask(text) == [3, "1", ACCEPTED], text
    assert seen.calls == [(data,) for _, data in TEXTS]
    assert len(warnings(caplog)) == 1, "one line for this peer"
    assert "CP_1" in warnings(caplog)[0]


@EACH_VERSION
def test_they_are_refused_in_strict(side_of, version, caplog):
    side = side_of(version, validate="strict")
    for text, _ in TEXTS:
        assert refuses(side, version, text), text
    assert not warnings(caplog)


@EACH_VERSION
@pytest.mark.parametrize("wrap", ["\ufeff{}", "{}\x00", "{}\n\x00"])
def test_an_answer_may_have_them_too(side_of, version, wrap, caplog):
    side = side_of(version)
    future, message_id = clear_cache(side, version)
    side.raw.send(wrap.replace("{}", f'[3,"{message_id}",{{"status":"Accepted"}}]'))
    assert future.result(seconds(10)).status == "Accepted"
    assert len(warnings(caplog)) == 1


@pytest.mark.parametrize(
    "text",
    [
        '[2,"1","DataTransfer",{"vendorId":,}]\x00',
        '\ufeff[2,"1","DataTransfer",{"vendorId":"V"}',
        '[2,"1","Data\\Transfer",{"vendorId":"\x00"}]',
        '[2,"1","DataTransfer",{"vendorId":"V\x00]',
        '\x00"',
        "\x00" * 5,
        "\ufeff" + "[" * 50 + "]" * 50,
    ],
    ids=range(7),
)
@pytest.mark.parametrize("mode", ["standard", "warn", "off"])
def test_other_faults_of_such_a_text_are_not_forgiven(side_of, mode, text):
    assert refuses(side_of("1.6", validate=mode), "1.6", text)


#: Valid JSON, almost a CALL, and the id of its answer.
CALLS = [
    ('["2","1","DataTransfer",{"vendorId":"V","data":"a"}]', "1", "a"),
    ('[2.0,"1","DataTransfer",{"vendorId":"V","data":"a"}]', "1", "a"),
    ('[2,19,"DataTransfer",{"vendorId":"V","data":"a"}]', "19", "a"),
    ('["2",-7,"Heartbeat",{}]', "-7", "beat"),
    ('[2,"1","dataTransfer",{"vendorId":"V","data":"a"}]', "1", "a"),
    ('[2,"1","HEARTBEAT",{}]', "1", "beat"),
    ('[2,"1"," HeartbeatRequest",{}]', "1", "beat"),
    ('[2,"1","Heartbeat.req",null]', "1", "beat"),
    ('[2,"1","DataTransfer",{"vendorId":"V","data":"a"},{}]', "1", "a"),
    ('[2,"1","Heartbeat",{},null,null]', "1", "beat"),
    ('[2,"1","Heartbeat"]', "1", "beat"),
    ('[2,"1","Heartbeat",[]]', "1", "beat"),
    ('["2",3,"heartbeat",[],5]\x00', "3", "beat"),
]


@EACH_VERSION
@pytest.mark.parametrize("mode", ["warn", "off"])
def test_a_frame_that_is_almost_a_call_is_mended(side_of, version, mode, caplog):
    side = side_of(version, validate=mode)
    seen = record_data(side, version)
    for text, message_id, _ in CALLS:
        before = len(warnings(caplog))
        assert side.raw.ask(text)[:2] == [3, message_id], text
        told = warnings(caplog)
        assert before == 0 or len(told) <= before + 1
        assert len(told) == len(set(told)), "each fault once"
    assert seen.calls == [(data,) for *_, data in CALLS]
    for fault in (
        "type",
        "id is a number",
        "DataTransfer",
        "Heartbeat",
        "more elements",
        "missing",
        "a list",
        "control",
    ):
        assert [fault in text for text in told].count(True) == 1, fault


@EACH_VERSION
@pytest.mark.parametrize("mode", [None, "strict"])
def test_it_is_refused_in_standard_and_strict(side_of, version, mode):
    side = side_of(version, validate=mode)
    for text, *_ in CALLS:
        assert refuses(side, version, text), text


#: Almost an answer to the request of the id.
ANSWERS = [
    '["3","{}",{"status":"Accepted"}]',
    '[3.0,"{}",{"status":"Accepted"}]',
    '[3,"{}","ClearCache",{"status":"Accepted"}]',
    '[3,"{}",{"status":"Accepted"},null]',
    '\ufeff["3","{}","ClearCache",{"status":"Accepted"},5]',
]


@EACH_VERSION
@pytest.mark.parametrize("mode", ["warn", "off"])
def test_a_frame_that_is_almost_an_answer_is_mended(side_of, version, mode):
    side = side_of(version, validate=mode)
    for text in ANSWERS:
        future, message_id = clear_cache(side, version)
        side.raw.send(text.replace("{}", message_id, 1))
        assert future.result(seconds(10)).status == "Accepted", text


@EACH_VERSION
@pytest.mark.parametrize("mode", [None, "strict"])
def test_it_ends_its_call_with_an_error_in_standard_and_strict(side_of, version, mode):
    side = side_of(version, validate=mode)
    for text in ANSWERS:
        future, message_id = clear_cache(side, version)
        side.raw.send(text.replace("{}", message_id, 1))
        assert isinstance(future.exception(seconds(10)), InvalidResponse), text
        if version == "2.1":
            assert side.raw.receive()[:2] == [5, message_id]


@pytest.mark.parametrize("mode", ["warn", "off"])
@pytest.mark.parametrize("text", ["[3,4711,{}]", '["3",4711]', "[3,4711,[]]", '[3,4711,"Status",[]]'])
def test_the_id_of_an_answer_may_be_a_number_and_its_payload_may_be_missing(side_of, mode, text):
    side = side_of("1.6", validate=mode, message_id_generator=lambda: "4711")
    package = VERSIONS["1.6"]
    future = side.send_request(package.StatusNotificationRequest(1, package.ChargePointErrorCode.NO_ERROR, "Faulted"))
    side.raw.receive()
    side.raw.send(text)
    assert future.result(seconds(10)) == package.StatusNotificationResponse()


@EACH_VERSION
@pytest.mark.parametrize("tail", ['"InternalError"', '"InternalError","d",{"a":1},5', '"InternalError"]\x00'])
def test_an_error_may_lack_its_description(side_of, version, tail):
    side = side_of(version, validate="warn")
    future, message_id = clear_cache(side, version)
    side.raw.send(f'[4,"{message_id}",{tail}' + "]" * ("]" not in tail))
    assert str(future.exception(seconds(10)).code) == "InternalError"


#: What no mode reads.
NEVER = [
    "['2','1','Heartbeat',{}]",
    '[2,"1",Heartbeat,{}]',
    '[2,"1","Heartbeat",{}',
    '[2,"1","Heartbeat",{},]',
    '[2,"1","Heartbeat",{}][2,"2","Heartbeat",{}]',
    '"[2,\\"1\\",\\"Heartbeat\\",{}]"',
    '{"messageTypeId":2,"messageId":"1","action":"Heartbeat","payload":{}}',
    '[[2,"1","Heartbeat",{}]]',
    '[2,"","Heartbeat",{}]',
    '[2,"' + "x" * 37 + '","Heartbeat",{}]',
    "[2," + "1" * 40 + ',"Heartbeat",{}]',
    '[2,1.5,"Heartbeat",{}]',
    '[2,null,"Heartbeat",{}]',
    '[2,true,"Heartbeat",{}]',
    '[true,"1","Heartbeat",{}]',
    '["two","1","Heartbeat",{}]',
    '[2.5,"1","Heartbeat",{}]',
    '["22","1","Heartbeat",{}]',
    '["\u00b2","1","Heartbeat",{}]',
    '[2,"1",{}]',
    '[2,"1"]',
    "[2]",
    "[]",
    '[2,"1","Heart beat",{}]',
    '[2,"1","Heartbeats",{}]',
    '[2,"1","request",{}]',
    '[2,"1","Heartbeat","{}"]',
    '[2,"1","Heartbeat",[{}]]',
    '[2,"1","DataTransfer",{"vendorId":NaN}]',
    '[1e400,"1","Heartbeat",{}]',
]


@EACH_VERSION
def test_what_no_mode_reads(side_of, version):
    side = side_of(version, validate="off")
    for text in NEVER:
        assert refuses(side, version, text), text


def test_the_mode_may_be_that_of_the_peer(side_of):
    side = side_of("2.0.1", validate=lambda client_id: "warn" if client_id == "CP_1" else "strict")
    record_data(side, "2.0.1")
    assert side.raw.ask('["2",1,"heartbeat"]')[:2] == [3, "1"]
    other = side_of("2.0.1", validate=lambda client_id: "strict")
    assert refuses(other, "2.0.1", '["2",1,"heartbeat"]')


def test_the_mode_is_that_of_what_comes_in(side_of):
    side = side_of("1.6", validate=Validation(incoming="off", outgoing="strict"))
    record_data(side, "1.6")
    assert side.raw.ask('["2",1,"heartbeat"]')[:2] == [3, "1"]
    assert refuses(side_of("1.6", validate=Validation(outgoing="off")), "1.6", '["2",1,"heartbeat"]')


def test_frames_that_are_forgiven_are_no_bad_frames(side_of):
    side = side_of("1.6", validate="warn", max_bad_messages=2)
    record_data(side, "1.6")
    for n in range(6):
        side.raw.send("rubbish")
        assert side.raw.ask(f'["2",{n},"heartbeat"]\x00')[:2] == [3, str(n)]


def test_the_invalid_message_hook_sees_what_is_wrong_after_the_mending(side_of):
    side = side_of("1.6", validate="warn")
    hook = Recorder()
    side.endpoint.set_invalid_message_hook(hook)
    assert side.raw.ask('["2",7,"heartbeat",5]')[:3] == [4, "7", "FormationViolation"]
    *_, error, text, fields = hook.calls[0]
    assert (error.message_id, text) == ("7", '["2",7,"heartbeat",5]')
    assert fields == [2, "7", "Heartbeat", 5]


@pytest.mark.parametrize("mode", ["strict", "standard", "warn", "off"])
def test_a_text_that_nothing_is_forgiven_in_is_not_read_again(mode):
    seen = []

    def profile(frame, event, argument):
        if event == "call":
            seen.append(frame.f_code.co_name)

    endpoint, text = Endpoint(VERSIONS["1.6"].PROFILES, validate=mode), "[2," + '"x",' * 1000
    reader, error = LenientReader(endpoint, None), MessageError(ErrorCode.RPC_FRAMEWORK_ERROR, "no JSON")
    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        reading = reader.read(SimpleNamespace(client_id="CP_1", dialect=endpoint.dialects[0]), text, None, error)
    finally:
        sys.setprofile(before)
    assert reading == (None, None, error)
    assert "decode" not in seen
