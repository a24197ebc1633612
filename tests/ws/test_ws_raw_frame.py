"""Frames that are sent as they are: what the peer makes of them, over every transport."""

import contextlib
import struct

import pytest

from ocppj.errors import TransportError, UsageError
from ocppj.ws.client import WebSocketClient
from ocppj.ws.connection.raw_frame import RawFrame, check_frame
from tests.helpers import seconds
from tests.ws.support import OCPP, Log, RawClient, RawServer

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
TWO = struct.pack("!H", 1000)


@pytest.fixture(params=["server", "client"])
def ends(request, pair):
    """The channel of one side, and the log of the other."""
    server, server_log = pair.server(max_message_size=1000)
    _, client_log = pair.client(server.url, max_message_size=1000)
    if request.param == "server":
        return server_log.channel(), client_log
    return client_log.channel(), server_log


WHOLE = {
    "text": ([(TEXT, "ä€".encode(), True)], ["ä€"]),
    "empty": ([(TEXT, b"", True)], [""]),
    "two parts": ([(TEXT, b"a", False), (CONTINUATION, b"b", True)], ["ab"]),
    "parts within a character": ([(TEXT, b"\xc3", False), (CONTINUATION, b"\xa4", True)], ["ä"]),
    "a ping between": ([(TEXT, b"a", False), (PING, b"p", True), (CONTINUATION, b"b", True)], ["ab"]),
    "empty parts": ([(TEXT, b"", False), (CONTINUATION, b"", False), (CONTINUATION, b"", True)], [""]),
    "pong": ([(PONG, b"not asked for", True)], []),
    "ping": ([(PING, b"x" * 125, True)], []),
}


@pytest.mark.parametrize("name", WHOLE)
def test_legal_frames_are_what_they_are(ends, name):
    channel, log = ends
    frames, texts = WHOLE[name]
    for each in frames:
        channel.send_frame(*each)
    channel.send("and then")
    assert log.wait_texts(len(texts) + 1) == [*texts, "and then"]
    assert not log.disconnected.calls


ILLEGAL = {
    "a continuation of nothing": ([(CONTINUATION, b"x", True)], 1002),
    "text in a text": ([(TEXT, b"x", False), (TEXT, b"y", True)], 1002),
    "binary": ([(BINARY, b"x", True)], 1003),
    "binary in parts": ([(BINARY, b"x", False)], 1003),
    "not UTF-8": ([(TEXT, b"\xff", True)], 1007),
    "half a character": ([(TEXT, b"\xc3", True)], 1007),
    "too long": ([(TEXT, b"x" * 1001, True)], 1009),
    "too long together": ([(TEXT, b"x" * 600, False), (CONTINUATION, b"x" * 600, False)], 1009),
    "a part of a ping": ([(PING, b"x", False)], 1002),
    "a long ping": ([(PING, b"x" * 126, True)], 1002),
    "a part of a Close": ([(CLOSE, TWO, False)], 1002),
    "half a code": ([(CLOSE, b"\x03", True)], 1002),
    "no such code": ([(CLOSE, struct.pack("!H", 999), True)], 1002),
    "a code that is never sent": ([(CLOSE, struct.pack("!H", 1006), True)], 1002),
    "a reason that is not UTF-8": ([(CLOSE, TWO + b"\xff", True)], 1007),
    **{f"opcode {opcode:#x}": ([(opcode, b"", True)], 1002) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
}


@pytest.mark.parametrize("name", ILLEGAL)
def test_illegal_frames_end_the_connection(ends, name):
    channel, log = ends
    frames, code = ILLEGAL[name]
    for each in frames:
        channel.send_frame(*each)
    close = log.close()
    assert (close.code, close.by_peer) == (code, False)
    assert close.error is not None
    assert log.texts == []


@pytest.mark.parametrize("name", ["text in a text", "no such code"])
def test_the_side_that_sent_it_learns_the_code(pair, name):
    _, server_log, _, client_log = pair.both()
    frames, code = ILLEGAL[name]
    for each in frames:
        client_log.channel().send_frame(*each)
    close = client_log.close()
    assert (close.code, close.by_peer) == (code, True)
    server_log.close()


def test_a_text_between_the_parts_of_another_is_illegal(ends):
    channel, log = ends
    channel.send_frame(TEXT, b"begun", False)
    channel.send("another")
    assert log.close().code == 1002
    assert log.texts == []


@pytest.mark.parametrize(("data", "code", "reason"), [(b"", 1005, ""), (struct.pack("!H", 4001) + b"x", 4001, "x")])
def test_a_close_is_answered_and_ends_both_sides(pair, data, code, reason):
    _, server_log, _, client_log = pair.both()
    channel = client_log.channel()
    channel.send_frame(CLOSE, data)
    close = server_log.close()
    assert (close.code, close.reason, close.by_peer) == (code, reason, True)
    assert client_log.close().code == code
    with pytest.raises(TransportError):
        channel.send("late")
    with pytest.raises(TransportError):
        channel.send_frame(TEXT, b"late")


def test_a_frame_after_the_close_is_dropped(ends):
    channel, log = ends
    channel.send_frame(CLOSE, TWO)
    with contextlib.suppress(TransportError):  # the peer may be faster
        channel.send_frame(TEXT, b"after the end")
    assert log.close().code == 1000
    assert log.texts == []


def test_a_message_that_is_begun_must_be_ended_in_time(pair):
    server, server_log = pair.server(message_timeout=seconds(0.2))
    _, client_log = pair.client(server.url)
    client_log.channel().send_frame(TEXT, b"begun", False)
    close = server_log.close()
    assert (close.code, close.by_peer) == (1008, False)
    assert client_log.close().code == 1008


def test_a_large_frame_goes_through(pair):
    _, server_log, _, client_log = pair.both(max_message_size=10**6)
    for channel, log in ((server_log.channel(), client_log), (client_log.channel(), server_log)):
        for size in (125, 126, 65535, 65536, 10**6):
            channel.send_frame(TEXT, b"x" * size)
        assert [len(text) for text in log.wait_texts(5)] == [125, 126, 65535, 65536, 10**6]


@pytest.mark.parametrize(
    "arguments",
    [(-1, b""), (16, b""), (True, b""), ("1", b""), (None, b""), (1, "text"), (1, None), (1, 5), (1, b"", 1)],
    ids=str,
)
def test_what_is_no_frame(arguments):
    with pytest.raises(UsageError):
        check_frame(*arguments, *[True] * (3 - len(arguments)))


@pytest.mark.parametrize("data", [bytearray(b"abc"), memoryview(b"abc")], ids=["bytearray", "memoryview"])
def test_data_of_other_types(data):
    assert check_frame(1, data, True) == RawFrame(1, b"abc", True)


def test_a_server_does_not_mask_and_a_client_does(make):
    server, log = make()
    with RawClient(server.url) as raw:
        raw.upgrade()
        log.channel().send_frame(0x3, b"reserved", False)
        assert raw.read(10) == b"\x03\x08reserved"

    def script(peer):
        peer.answer()
        first, second = peer.read(2)
        mask, data = peer.read(4), peer.read(3)
        seen.append((first, second, bytes(each ^ mask[index] for index, each in enumerate(data))))

    seen = []
    with RawServer(script) as peer:
        client = WebSocketClient(reconnect=False)
        client_log = Log(client)
        client.connect(peer.url, "CP_1", OCPP)
        client_log.channel().send_frame(BINARY, b"abc")
        assert peer.done.wait(seconds(10))
        client.stop()
    assert seen == [(0x82, 0x83, b"abc")]
