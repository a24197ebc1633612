"""permessage-deflate on the client's side (RFC 7692): what it offers, what it accepts, and that messages pass."""

import zlib

import pytest

from ocppj import Deflate
from ocppj.errors import TransportError, UsageError
from ocppj.ws.connection.deflate import offer_deflate, read_answer
from tests.helpers import seconds
from tests.ws.support import Pair, RawServer, close_frame, frame
from tests.ws.test_ws_client import make  # noqa: F401 - a fixture

OCPP16 = ["ocpp1.6"]
LONG = '[2,"1","DataTransfer",{"vendorId":"x","data":"' + "again and " * 200 + '"}]'


def inflate(data, inflater=None):
    return (inflater or zlib.decompressobj(-15)).decompress(data + b"\x00\x00\xff\xff").decode()


def deflate(text, bits=15, squeeze=None):
    squeeze = squeeze or zlib.compressobj(wbits=-bits)
    return (squeeze.compress(text.encode()) + squeeze.flush(zlib.Z_SYNC_FLUSH))[:-4]


@pytest.mark.parametrize(
    ("options", "offer"),
    [
        ({}, "permessage-deflate; client_max_window_bits"),
        ({"client_max_window_bits": 10}, "permessage-deflate; client_max_window_bits=10"),
        ({"server_max_window_bits": 9}, "permessage-deflate; server_max_window_bits=9; client_max_window_bits"),
        (
            {"no_context_takeover": True},
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits",
        ),
    ],
)
def test_what_is_offered(options, offer):
    assert offer_deflate(Deflate(**options)) == offer


@pytest.mark.parametrize(
    ("answers", "plain"),
    [
        ([], None),
        (["permessage-deflate"], "permessage-deflate; client_max_window_bits=15"),
        (["permessage-deflate; client_max_window_bits=9"], "permessage-deflate; client_max_window_bits=9"),
        (["permessage-deflate; server_max_window_bits=8"], "permessage-deflate; client_max_window_bits=15"),
        (
            ["Permessage-Deflate; server_no_context_takeover; server_max_window_bits=10"],
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=10; client_max_window_bits=15",
        ),
    ],
)
def test_an_answer_that_is_accepted(answers, plain):
    assert read_answer(answers, Deflate()) == plain


@pytest.mark.parametrize(
    "answer",
    [
        "x-webkit-deflate-frame",
        "permessage-deflate, permessage-deflate",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; client_max_window_bits=8",
        "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=13",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; unknown",
    ],
)
def test_an_answer_that_is_refused(answer):
    with pytest.raises(TransportError, match=r"not offered|zlib cannot"):
        read_answer([part.strip() for part in answer.split(",")], Deflate(server_max_window_bits=12))


def test_an_answer_without_an_offer_is_refused():
    with pytest.raises(TransportError, match="was not offered"):
        read_answer(["permessage-deflate"], None)


def test_a_value_that_is_no_compression(make):
    with pytest.raises(UsageError, match="compression"):
        make(compression="zlib")


@pytest.fixture
def pair():
    from tests.peers import Sockets

    made = Pair(Sockets(), "per-connection")
    yield made
    made.stop()


SETTINGS = [
    True,
    Deflate(no_context_takeover=True),
    Deflate(server_max_window_bits=9, client_max_window_bits=9),
    Deflate(client_max_window_bits=12),
]


@pytest.mark.parametrize("theirs", [True, Deflate(no_context_takeover=True), Deflate(11, 10)])
@pytest.mark.parametrize("ours", SETTINGS)
def test_messages_cross_with_our_own_server(pair, ours, theirs):
    server, heard = pair.server(compression=theirs)
    client, got = pair.client(server.url, compression=ours)
    texts = [LONG + str(number) for number in range(5)] + ["é€\U0001f50c", "x" * 300_000]
    for text in texts:
        client.send(text)
        server.send("CP_1", text)
    assert heard.wait_texts(len(texts)) == texts
    assert got.wait_texts(len(texts)) == texts


def test_a_server_that_does_not_compress(pair):
    server, heard = pair.server(compression=False)
    client, _ = pair.client(server.url, compression=True)
    client.send(LONG)
    assert heard.wait_texts(1) == [LONG]


def test_what_crosses_is_compressed(make):
    def script(peer):
        peer.answer(extra="Sec-WebSocket-Extensions: permessage-deflate\r\n")
        inflater, squeeze = zlib.decompressobj(-15), zlib.compressobj(wbits=-15)
        peer.seen = []
        for _ in range(2):
            first = peer.read(1)
            peer.buffer = first + peer.buffer
            _, data = peer.read_frame()
            peer.seen.append((first[0], len(data), inflate(data, inflater)))
            peer.send(frame(1, deflate(LONG, squeeze=squeeze), masked=False, rsv1=True))
        peer.read_close()
        peer.send(close_frame(1000, masked=False))

    with RawServer(script) as server:
        client, log = make(compression=True)
        client.connect(server.url, "CP_1", OCPP16)
        for count in (1, 2):
            client.send(LONG)
            assert log.wait_texts(count) == [LONG] * count
        client.stop()
        assert server.done.wait(seconds(10))
        assert server.error is None
    assert "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits" in server.requests[0]
    assert [first for first, _, _ in server.seen] == [0xC1, 0xC1]
    assert [text for _, _, text in server.seen] == [LONG, LONG]
    assert server.seen[1][1] < server.seen[0][1] < len(LONG) / 10, "the context is kept"


def test_a_server_that_sends_a_deflate_bomb_is_refused(make):
    def script(peer):
        peer.answer(extra="Sec-WebSocket-Extensions: permessage-deflate\r\n")
        peer.send(frame(1, deflate("a" * 3_000_000), masked=False, rsv1=True))
        peer.code = peer.read_close()

    with RawServer(script) as server:
        client, _ = make(compression=True)
        client.connect(server.url, "CP_1", OCPP16)
        assert server.done.wait(seconds(10))
        assert server.code == 1009


def test_the_connection_is_not_made_with_parameters_that_were_not_offered(make):
    with RawServer(lambda p: p.answer(extra="Sec-WebSocket-Extensions: permessage-deflate; what=1\r\n")) as server:
        client, _ = make(compression=True)
        with pytest.raises(TransportError, match="parameters of permessage-deflate that were not offered"):
            client.connect(server.url, "CP_1", OCPP16)
