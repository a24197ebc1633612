"""permessage-deflate (RFC 7692): which offers are accepted, and how compressed messages are read."""

import itertools
import socket
import threading
import time
import tracemalloc
import zlib

import pytest
from wsproto.frame_protocol import FrameProtocol

from ocppj.ws.connection.deflate import MOST_WITH_CONTEXT, PIECE, Deflate, agree, choose_deflate
from tests.helpers import eventually, seconds
from tests.ws.support import RawClient, frame

DEFLATE = "permessage-deflate"
TAIL = b"\0\0\xff\xff"


def extensions(head):
    """Return the extensions that the response names; ``None`` if it names none."""
    lines = [line.partition(": ") for line in head.split("\r\n")]
    values = [value for name, _, value in lines if name.lower() == "sec-websocket-extensions"]
    assert len(values) <= 1
    return {part.strip() for part in values[0].split(";")} if values else None


ACCEPTED = [
    ("", ""),
    ("; client_max_window_bits", "; client_max_window_bits"),
    ("; client_max_window_bits=10", "; client_max_window_bits=10"),
    ("; client_max_window_bits=8", ""),  # a hint; whatever the client's window, ours is large enough
    ('; server_max_window_bits="9"', "; server_max_window_bits=9"),
    (
        ";server_no_context_takeover;client_no_context_takeover",
        "; server_no_context_takeover; client_no_context_takeover",
    ),
    ("; SERVER_max_window_bits = 15", "; server_max_window_bits=15"),
]
DECLINED = [
    *["; client_max_window_bits=x", "; client_max_window_bits=7", "; client_max_window_bits=16"],
    *["; client_max_window_bits=", "; client_max_window_bits=09", "; client_max_window_bits=-9"],
    *["; server_max_window_bits", "; server_max_window_bits=8", "; server_max_window_bits=99999999999999999999"],
    *["; client_no_context_takeover=1", "; server_no_context_takeover=", "; unknown", "; unknown=1", "; "],
    *["; client_max_window_bits; client_max_window_bits=9", "; client_max_window_bits=\u0661\u0660"],
    *["; server_no_context_takeover; server_no_context_takeover"],
]


@pytest.mark.parametrize(("offer", "plain"), ACCEPTED)
def test_offers_that_can_be_accepted(offer, plain):
    assert choose_deflate([DEFLATE + offer]) == DEFLATE + plain


@pytest.mark.parametrize("offer", DECLINED)
def test_offers_that_must_be_declined(offer):
    assert choose_deflate([DEFLATE + offer]) is None
    assert choose_deflate([DEFLATE + offer, DEFLATE + "; server_max_window_bits=10"]) == (
        DEFLATE + "; server_max_window_bits=10"
    )


def test_the_first_good_offer_counts():
    assert (
        choose_deflate(["x-webkit-deflate-frame", DEFLATE.upper(), DEFLATE + "; server_max_window_bits=9"]) == DEFLATE
    )
    assert choose_deflate([]) is None
    assert choose_deflate(["bbf-usp-protocol", "permessage-deflate2"]) is None


@pytest.mark.parametrize("offer", [*DECLINED[:-3], "; " * 3])
def test_a_bad_offer_is_declined_and_the_connection_goes_on(make, offer):
    server, log = make()
    with RawClient(server.url) as client:
        head = client.upgrade(Sec_WebSocket_Extensions=DEFLATE + offer)
        assert " 101 " in head
        assert extensions(head) is None
        client.send(frame(1, b"plain"))
        assert log.wait_texts(1) == ["plain"]
        server.send("CP_1", "answer")
        assert client.read_frame() == (1, b"answer")


FLAGS = ["", "; client_no_context_takeover", "; server_no_context_takeover"]
SIZES = ["", "; server_max_window_bits=9", "; client_max_window_bits=9", "; client_max_window_bits=8"]


@pytest.mark.parametrize("offer", ["".join(parts) for parts in itertools.product(FLAGS, SIZES)])
def test_messages_cross_with_all_parameters(make, offer):
    server, log = make()
    texts = [f"{number}:" + "compressible " * 300 for number in range(5)]
    with RawClient(server.url) as client:
        agreed = extensions(client.upgrade(Sec_WebSocket_Extensions=DEFLATE + offer))
        asked = {part.strip() for part in offer.split(";") if part.strip()} - {"client_max_window_bits=8"}
        assert agreed == {DEFLATE} | asked
        bits = -9 if "client_max_window_bits" in offer else -15
        compressor = zlib.compressobj(9, zlib.DEFLATED, bits)
        inflater = zlib.decompressobj(-9 if "server_max_window_bits" in offer else -15)
        for text in texts:
            if "client_no_context" in offer:
                compressor = zlib.compressobj(9, zlib.DEFLATED, bits)
            data = (compressor.compress(text.encode()) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]
            client.send(frame(1, data[:7], fin=False, rsv1=True) + frame(0, data[7:]))
            if "server_no_context" in offer:
                inflater = zlib.decompressobj(-9 if "server_max_window_bits" in offer else -15)
            server.send("CP_1", text)
            assert inflater.decompress(client.read_frame()[1] + TAIL).decode() == text
        assert log.wait_texts(len(texts)) == texts


def test_nothing_is_compressed_without_an_offer(make):
    server, log = make()
    with RawClient(server.url) as client:
        assert extensions(client.upgrade()) is None
        server.send("CP_1", "x" * 1000)
        assert client.read_frame() == (1, b"x" * 1000)
        client.send(frame(1, deflated(b"compressed"), rsv1=True))
        assert client.read_close() == 1002
        client.sock.close()
        assert log.close().code == 1002
        assert log.texts == []


def deflated(data):
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def test_compression(make):
    server, log = make()
    with RawClient(server.url) as client:
        assert "permessage-deflate" in client.upgrade(Sec_WebSocket_Extensions="permessage-deflate")
        client.send(frame(1, deflated(b"compressed"), rsv1=True))
        assert log.wait_texts(1) == ["compressed"]
        log.channel().send("answer" * 100)
        inflater = zlib.decompressobj(-15)
        opcode, data = client.read_frame()
        assert inflater.decompress(data + b"\0\0\xff\xff") == b"answer" * 100


def test_compression_can_be_refused(make):
    server, _ = make(compression=False)
    with RawClient(server.url) as client:
        assert "permessage-deflate" not in client.upgrade(Sec_WebSocket_Extensions="permessage-deflate")


def test_compressed_messages_of_many_threads_stay_in_order(make):
    server, log = make()
    with RawClient(server.url) as client:
        client.upgrade(Sec_WebSocket_Extensions="permessage-deflate")
        channel = log.channel()
        texts = [f"{number} " * 50 for number in range(8)]
        threads = [threading.Thread(target=lambda t=t: [channel.send(t) for _ in range(50)]) for t in texts]
        for thread in threads:
            thread.start()
        inflater = zlib.decompressobj(-15)
        seen = [inflater.decompress(client.read_frame()[1] + b"\0\0\xff\xff").decode() for _ in range(400)]
        for thread in threads:
            thread.join()
        assert sorted(seen) == sorted(texts * 50)


def bomb(size):
    return deflated(b"x" * size)


@pytest.mark.parametrize("pieces", [1, 2, 1000])
def test_a_deflate_bomb_is_refused_in_time_and_in_bounded_memory(make, pieces):
    server, log = make(max_message_size=1024 * 1024)
    data = bomb(50_000_000)
    assert len(data) < 60_000
    step = -(-len(data) // pieces)
    parts = [data[at : at + step] for at in range(0, len(data), step)]
    frames = b"".join(
        frame(1 if number == 0 else 0, part, fin=number == len(parts) - 1, rsv1=number == 0)
        for number, part in enumerate(parts)
    )
    with RawClient(server.url) as client:
        client.upgrade(Sec_WebSocket_Extensions=DEFLATE)
        tracemalloc.start()
        try:
            begun = time.monotonic()
            client.send(frames)
            assert client.read_close() == 1009
            assert time.monotonic() - begun < seconds(5)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        client.sock.close()
        assert log.close().code == 1009
    assert peak < 5_000_000  # no more is inflated than a message may have, whatever comes at once
    eventually(lambda: server.stats().connections == 0)
    assert server.stats().refused == {"message_too_big": 1}


def test_the_inflated_size_counts_however_it_is_cut(make):
    server, log = make(max_message_size=1000)
    with RawClient(server.url) as client:
        client.upgrade(Sec_WebSocket_Extensions=DEFLATE + "; client_no_context_takeover")
        data = deflated(b"x" * 1000)
        client.send(frame(1, data[:5], fin=False, rsv1=True) + frame(0, data[5:]))
        assert [len(text) for text in log.wait_texts(1)] == [1000]
        data = deflated(b"x" * 1001)
        client.send(frame(1, data[:5], fin=False, rsv1=True) + frame(0, data[5:]))
        assert client.read_close() == 1009
        client.sock.close()
        assert log.close().code == 1009


def test_data_that_cannot_be_inflated_ends_the_connection(make):
    server, log = make()
    with RawClient(server.url) as client:
        client.upgrade(Sec_WebSocket_Extensions=DEFLATE)
        client.send(frame(1, b"\xff\xff\xff\xff", rsv1=True))
        assert client.read_close() == 1007
        client.sock.close()
        assert log.close().code == 1007
    eventually(lambda: server.stats().refused == {"protocol_error": 1})


# What the library's own reading of compressed messages gets wrong ---------------------------------------------------

TAKEOVER = {"takeover": "", "no takeover": "; client_no_context_takeover"}


class Squeezer:
    """Compresses messages as a client that keeps its window from one to the next, or does not."""

    def __init__(self, keeps):
        self._keeps = keeps
        self._new()

    def _new(self):
        self._deflate = zlib.compressobj(9, zlib.DEFLATED, -15)

    def __call__(self, text):
        data = (self._deflate.compress(text.encode()) + self._deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]
        if not self._keeps:
            self._new()
        return data


CONTROLS = {9: [b"", b"ping", b"p" * 125], 10: [b"", b"pong", b"q" * 125]}


def with_controls(parts, place, controls):
    """Return the frames of a compressed message in ``parts``, with control frames before the one at ``place``."""
    frames = []
    for number, part in enumerate(parts):
        if number == place:
            frames += [frame(opcode, data) for opcode, data in controls]
        frames.append(frame(0 if number else 1, part, fin=number == len(parts) - 1, rsv1=number == 0))
    return b"".join(frames)


@pytest.mark.parametrize("offer", TAKEOVER.values(), ids=TAKEOVER)
@pytest.mark.parametrize("opcodes", [(9,), (10,), (9, 10, 9)], ids=str)
def test_control_frames_between_the_fragments_of_a_compressed_message(make, offer, opcodes):
    server, log = make()
    squeeze, texts = Squeezer(not offer), []
    with RawClient(server.url) as client:
        assert DEFLATE in client.upgrade(Sec_WebSocket_Extensions=DEFLATE + offer)
        for data in range(3):
            controls = [(opcode, CONTROLS[opcode][data]) for opcode in opcodes]
            for place in (1, 2, 3, 4):
                texts.append(f"[2,{len(texts)},Heartbeat] " * 20)
                body = squeeze(texts[-1])
                parts = [body[:1], body[1:9], b"", body[9:20], body[20:]]
                client.send(with_controls(parts, place, controls))
                for opcode, payload in controls:
                    if opcode == 9:
                        assert client.read_frame() == (10, payload)
        client.send(frame(1, b"plain, ", fin=False) + frame(9) + frame(0, b"and fragments"))
        assert log.wait_texts(len(texts) + 1) == [*texts, "plain, and fragments"]
    assert server.stats().refused == {}


@pytest.mark.parametrize("offer", TAKEOVER.values(), ids=TAKEOVER)
def test_a_compressed_message_with_pings_between_may_be_cut_at_every_byte(make, offer):
    server, log = make()
    squeeze, texts = Squeezer(not offer), []
    with RawClient(server.url) as client:
        client.upgrade(Sec_WebSocket_Extensions=DEFLATE + offer)
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        received = log.channel().outlet
        size, at = 1, 0
        while at < size:
            texts.append(f"{len(texts)} \u2713 {at * at}")
            body = squeeze(texts[-1])
            data = with_controls([body[:4], body[4:]], 1, [(9, b"why"), (10, b"not")]) + frame(9, b"!")
            size, at = len(data), at + 1
            until = received.received + len(data[:at])
            client.send(data[:at])
            eventually(lambda until=until: received.received == until)
            client.send(data[at:])
            assert [client.read_frame() for _ in range(2)] == [(10, b"why"), (10, b"!")]
        assert log.wait_texts(len(texts)) == texts
    assert len(texts) > 40


def test_a_control_frame_cannot_be_compressed(make):
    for opcode in (9, 10):
        server, log = make()
        with RawClient(server.url) as client:
            client.upgrade(Sec_WebSocket_Extensions=DEFLATE)
            client.send(frame(1, deflated(b"x")[:2], fin=False, rsv1=True) + frame(opcode, b"x", rsv1=True))
            assert client.read_close() == 1002
            client.sock.close()
            assert log.close().code == 1002


def finished(text, level=9):
    deflate = zlib.compressobj(level, zlib.DEFLATED, -15)
    return deflate.compress(text.encode()) + deflate.flush()


@pytest.mark.parametrize("rest", [b"", b"\0"], ids=["bare", "as the RFC has it"])
@pytest.mark.parametrize("offer", TAKEOVER.values(), ids=TAKEOVER)
def test_a_message_may_end_its_deflate_stream(make, offer, rest):
    """RFC 7692 section 7.2.3.4. The next messages are not lost."""
    server, log = make()
    texts = [f"{number} " * 9 for number in range(4)]
    with RawClient(server.url) as client:
        client.upgrade(Sec_WebSocket_Extensions=DEFLATE + offer)
        for text in texts:
            client.send(frame(1, finished(text) + rest, rsv1=True))
        body = finished("two ") + deflated(b"streams")
        client.send(frame(1, body[:5], fin=False, rsv1=True) + frame(0, body[5:]))
        client.send(frame(1, deflated(b"an ordinary one"), rsv1=True))
        assert log.wait_texts(6) == [*texts, "two streams", "an ordinary one"]


def test_messages_about_as_large_as_what_is_inflated_at_once(make):
    """zlib may have taken all input and still have output, which does not belong to the next message."""
    server, log = make(max_message_size=10**6)
    sizes = [step * PIECE + off for step in (1, 2) for off in (-258, -1, 0, 1, 21, 50, 150, 258, 300)]
    with RawClient(server.url) as client:
        client.upgrade(Sec_WebSocket_Extensions=DEFLATE)
        for size in sizes:
            client.send(frame(1, finished("x" * size, level=1), rsv1=True) + frame(1, finished("between"), rsv1=True))
        texts = log.wait_texts(2 * len(sizes))
    assert [len(text) for text in texts[::2]] == sizes
    assert set(texts[1::2]) == {"between"}


@pytest.mark.parametrize("offer", TAKEOVER.values(), ids=TAKEOVER)
@pytest.mark.parametrize("nothing", [b"", b"\0"], ids=["no bytes", "an empty block"])
def test_an_empty_compressed_message_does_no_harm(make, offer, nothing):
    server, log = make()
    squeeze = Squeezer(not offer)
    with RawClient(server.url) as client:
        client.upgrade(Sec_WebSocket_Extensions=DEFLATE + offer)
        for data in (nothing, squeeze("first"), nothing, nothing, squeeze("second")):
            client.send(frame(1, data, rsv1=True))
        client.send(frame(1, b"", fin=False, rsv1=True) + frame(9) + frame(0, squeeze("third")))
        assert log.wait_texts(6) == ["", "first", "", "", "second", "third"]


# How a server may limit what a compressed connection holds

NONE = "; client_no_context_takeover; server_no_context_takeover"
AGREED = [
    (Deflate(), "", 0, ""),
    (Deflate(), "; server_no_context_takeover", 0, "; server_no_context_takeover"),
    (Deflate(), "", MOST_WITH_CONTEXT - 1, ""),
    (Deflate(), "", MOST_WITH_CONTEXT, NONE),
    (Deflate(no_context_takeover=False), "", 10**6, ""),
    (Deflate(no_context_takeover=False), "; client_no_context_takeover", 0, "; client_no_context_takeover"),
    (Deflate(no_context_takeover=True), "", 0, NONE),
    (Deflate(no_context_takeover=True), "; client_no_context_takeover", 0, NONE),
    (Deflate(server_max_window_bits=10), "", 0, "; server_max_window_bits=10"),
    (Deflate(server_max_window_bits=10), "; server_max_window_bits=9", 0, "; server_max_window_bits=9"),
    (Deflate(server_max_window_bits=10), "; server_max_window_bits=12", 0, "; server_max_window_bits=10"),
    (Deflate(client_max_window_bits=10), "", 0, ""),  # it was not offered (RFC 7692 section 7.1.2.2)
    (Deflate(client_max_window_bits=10), "; client_max_window_bits", 0, "; client_max_window_bits=10"),
    (Deflate(client_max_window_bits=10), "; client_max_window_bits=9", 0, "; client_max_window_bits=9"),
    (Deflate(client_max_window_bits=10), "; client_max_window_bits=15", 0, "; client_max_window_bits=10"),
]


@pytest.mark.parametrize(("deflate", "offer", "connections", "agreed"), AGREED)
def test_what_a_server_agrees_to(deflate, offer, connections, agreed):
    chosen = choose_deflate([DEFLATE + offer], deflate, connections)
    assert {part.strip() for part in chosen.split(";")} == {part.strip() for part in (DEFLATE + agreed).split(";")}


SMALL = Deflate(server_max_window_bits=9, client_max_window_bits=9)


@pytest.mark.parametrize("deflate", [True, SMALL, Deflate(no_context_takeover=True)], ids=["full", "small", "none"])
def test_a_peer_is_answered_what_the_option_says_and_messages_pass(make, deflate):
    server, log = make(compression=deflate)
    with RawClient(server.url) as client:
        told = extensions(client.upgrade(Sec_WebSocket_Extensions=DEFLATE + "; client_max_window_bits"))
        keeps, bits = "server_no_context_takeover" not in told, 9 if deflate is SMALL else 15
        assert keeps == ("client_no_context_takeover" not in told) == (deflate in (True, SMALL))
        assert ("server_max_window_bits=9" in told) == ("client_max_window_bits=9" in told) == (deflate is SMALL)
        squeeze, inflate = zlib.compressobj(wbits=-bits), zlib.decompressobj(-bits)
        sizes = []
        for number in range(3):
            text = f"{number}" + "".join(map(chr, range(97, 123))) * 50
            client.send(frame(1, (squeeze.compress(text.encode()) + squeeze.flush(zlib.Z_SYNC_FLUSH))[:-4], rsv1=True))
            assert log.wait_texts(number + 1)[-1] == text
            server.send("CP_1", text)
            _, data = client.read_frame()
            assert inflate.decompress(data + TAIL) == text.encode()
            sizes.append(len(data))
            if not keeps:
                squeeze, inflate = zlib.compressobj(wbits=-bits), zlib.decompressobj(-bits)
        assert (sizes[2] < sizes[0]) == keeps, "with its context the same text is shorter"


def test_compression_may_be_off(make):
    server, _ = make(compression=False)
    with RawClient(server.url) as client:
        assert extensions(client.upgrade(Sec_WebSocket_Extensions=DEFLATE)) is None


def held_between_messages(offer):
    """Return the bytes that a connection holds after a message in each direction."""
    squeeze = zlib.compressobj(wbits=-9)
    data = (squeeze.compress(b"x" * 1000) + squeeze.flush(zlib.Z_SYNC_FLUSH))[:-4]
    protocols = [FrameProtocol(False, agree(offer, 10**6)) for _ in range(10)]
    tracemalloc.start()
    try:
        for protocol in protocols:
            protocol.receive_bytes(frame(1, data, rsv1=True))
            assert [each.payload for each in protocol.received_frames()][-1] == "x" * 1000
            protocol.send_data("y" * 1000)
        return tracemalloc.get_traced_memory()[0] / 10
    finally:
        tracemalloc.stop()


def test_without_context_nothing_is_held_between_messages():
    none, small, full = (
        held_between_messages(choose_deflate([DEFLATE + "; client_max_window_bits"], deflate))
        for deflate in (Deflate(no_context_takeover=True), SMALL, Deflate())
    )
    assert none < 8_000
    assert none < small < 30_000
    assert full > 100_000


def test_a_server_with_many_connections_keeps_no_context(make, monkeypatch):
    monkeypatch.setattr("ocppj.ws.connection.deflate.MOST_WITH_CONTEXT", 2)
    server, log = make()
    clients = [RawClient(server.url) for _ in range(3)]
    told = []
    for number, client in enumerate(clients):
        told.append(extensions(client.upgrade(f"/ocpp/CP_{number}", Sec_WebSocket_Extensions=DEFLATE)))
        log.connected.wait(number + 1)
    for client in clients:
        client.sock.close()
    assert told == [{DEFLATE}, {DEFLATE}, {DEFLATE, *NONE[2:].split("; ")}]
