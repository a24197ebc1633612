"""``max_outgoing_size``: a frame that the peer would not take is an error where it is made."""

import pytest

from ocppj import Client, ErrorCode, MessageTooLarge, OCPPError, Server, SQLiteQueue, SQLiteQueueMap, v16
from ocppj.exchange.outgoing import OutgoingSize
from tests.fixtures import (  # noqa: F401
    BOOT_WIRE,
    BOOTED,
    cleanup,
    make_client,
    make_server,
    make_side,
    raw_client,
    raw_server,
    transport,
)
from tests.helpers import eventually, seconds
from tests.peers import RawClient, RawServer, Sockets

LIMIT = 1000


def data(text):
    return v16.DataTransferRequest(vendor_id="V", data=text)


@pytest.mark.parametrize("character", ["x", "é", "€", "\U0001f50c"])
def test_bytes_in_utf_8_are_counted(character):
    size = len(character.encode())
    OutgoingSize(12).check(character * (12 // size))
    with pytest.raises(MessageTooLarge, match="the frame has 1[3-6] bytes, and max_outgoing_size allows 12"):
        OutgoingSize(12).check(character * (12 // size + 1))


@pytest.mark.parametrize("most", [1, 3, 4, 1000])
def test_a_text_that_surely_fits_does(most):
    size = OutgoingSize(most)
    size.check("\U0001f50c" * size.surely)


def test_without_a_limit_all_fits():
    size = OutgoingSize(None)
    size.check("x" * 5_000_000)
    assert size.surely > 5_000_000


def test_a_request_that_is_too_large_is_an_error_of_its_caller(make_side):
    side = make_side(max_outgoing_size=LIMIT).connect()
    for send in (side.call, side.send_request):
        with pytest.raises(MessageTooLarge, match="max_outgoing_size allows 1,000"):
            send(data("x" * LIMIT))
    future = side.send_request(data("x" * 100))
    frame = side.raw.receive()
    assert frame[3]["data"] == "x" * 100, "nothing came before"
    side.raw.send([3, frame[1], {"status": "Accepted"}])
    assert future.result(seconds(10)).status == "Accepted"


def test_the_default_is_a_mebibyte(make_side):
    side = make_side().connect()
    with pytest.raises(MessageTooLarge, match="max_outgoing_size allows 1,048,576"):
        side.call(data("x" * 1024 * 1024))
    side.send_request(data("x" * (1024 * 1024 - 200)))
    assert len(side.raw.receive()[3]["data"]) == 1024 * 1024 - 200


def test_a_broadcast_that_is_too_large_is_sent_to_nobody(make_server, raw_client):
    server = make_server(max_outgoing_size=LIMIT)
    raw = raw_client(server.url)
    eventually(lambda: server.client_ids() == ["CP_1"])
    with pytest.raises(MessageTooLarge):
        server.broadcast(data("x" * LIMIT))
    server.broadcast(data("x"))
    assert raw.receive()[3]["data"] == "x"


def test_an_answer_that_is_too_large_is_replaced_by_an_error(make_side, caplog):
    side = make_side(max_outgoing_size=LIMIT)

    @side.endpoint.on(v16.DataTransferRequest)
    def transfer(*arguments):
        return v16.DataTransferResponse(status="Accepted", data="x" * int(arguments[-1].data))

    side.connect()
    assert side.raw.ask([2, "1", "DataTransfer", {"vendorId": "V", "data": "100"}])[0] == 3
    answer = side.raw.ask([2, "2", "DataTransfer", {"vendorId": "V", "data": "1000"}])
    assert answer == [4, "2", "InternalError", "the answer could not be made", {}]
    assert "the answer to DataTransfer cannot be sent: the frame has 1," in caplog.text
    assert side.raw.ask([2, "3", "DataTransfer", {"vendorId": "V", "data": "100"}])[0] == 3


def test_so_is_one_that_the_program_gives_later(make_side):
    side, ids = make_side(max_outgoing_size=LIMIT), []
    side.endpoint.on(v16.DataTransferRequest, pass_id=True)(lambda *arguments: ids.append(arguments[-1]))
    side.connect()
    side.raw.send([2, "1", "DataTransfer", {"vendorId": "V"}])
    side.raw.send([2, "2", "DataTransfer", {"vendorId": "V"}])
    eventually(lambda: ids == ["1", "2"])
    with pytest.raises(MessageTooLarge):
        side.send_response("1", v16.DataTransferResponse(status="Accepted", data="x" * LIMIT))
    assert side.raw.receive()[:3] == [4, "1", "InternalError"]
    with pytest.raises(MessageTooLarge):
        side.send_error("2", ErrorCode.SECURITY_ERROR, "no", {"why": "x" * LIMIT})
    assert side.raw.receive() == [4, "2", "SecurityError", "no", {}]


def test_an_error_that_is_too_large_is_sent_without_its_details(make_side):
    side = make_side(max_outgoing_size=LIMIT)

    @side.endpoint.on(v16.DataTransferRequest)
    def refuse(*arguments):
        raise OCPPError("SecurityError", "no", {"why": "x" * LIMIT})

    side.connect()
    answer = side.raw.ask([2, "1", "DataTransfer", {"vendorId": "V"}])
    assert answer == [4, "1", "SecurityError", "no", {}]


@pytest.fixture
def stored(tmp_path):
    """Return a file in which an earlier process, which had no limit, has left two requests, and their ids."""
    path = tmp_path / "requests.db"
    client = Client(
        "CP_1", profiles=v16.PROFILES, queue=SQLiteQueue(path), max_outgoing_size=None, handshake_timeout=seconds(5)
    )
    client.connect("ws://127.0.0.1:9/", retry=True, wait=False)
    futures = [client.send_request(data(text)) for text in ("x" * LIMIT, "behind")]
    client.stop()
    return path, [future.message_id for future in futures]


def test_a_stored_request_that_is_too_large_is_set_aside(stored, cleanup, caplog):
    path, (large, behind) = stored
    with RawServer(Sockets()) as raw:
        queue = SQLiteQueue(path)
        client = Client("CP_1", profiles=v16.PROFILES, queue=queue, boot_first=False, max_outgoing_size=LIMIT)
        cleanup.append(client.stop)
        client.connect(raw.url)
        assert raw.receive()[1] == behind
        [aside] = queue.list_set_aside()
        assert aside.message_id == large
        assert aside.reason.startswith("it cannot be sent: the frame has 1,")
        errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
        assert any(large in line and "was set aside, and is not sent: it cannot be sent" in line for line in errors)


def test_so_is_one_for_a_client_that_is_away(tmp_path, cleanup):
    path = tmp_path / "commands.db"
    server = Server(profiles=v16.PROFILES, queues=SQLiteQueueMap(path), max_outgoing_size=None).listen(host="127.0.0.1")
    cleanup.append(server.stop)
    large, behind = [server.send_request("CP_1", data(text), offline=True) for text in ("x" * LIMIT, "behind")]
    server.stop()
    queues = SQLiteQueueMap(path)
    server = Server(profiles=v16.PROFILES, queues=queues, max_outgoing_size=LIMIT)
    cleanup.append(server.stop)
    server.on(v16.BootNotificationRequest)(lambda client_id, request: BOOTED)
    server.listen(host="127.0.0.1")
    with RawClient(Sockets(), server.url) as raw:
        raw.send([2, "1", "BootNotification", BOOT_WIRE])
        assert {raw.receive()[1], raw.receive()[1]} == {"1", behind.message_id}
        assert [each.message_id for each in queues.list_set_aside()] == [large.message_id]
