"""Damaged frames, by chance: each mode does the same with ``orjson`` and without, and nothing ends the connection.

``OCPPJ_FUZZ_SEED`` chooses damages other than those of every run.
"""

import os
import random

import pytest

from ocppj import Server
from ocppj.payloads import jsontext
from tests.fixtures import NOW, VERSIONS, cleanup  # noqa: F401
from tests.peers import Memory, RawClient

SEED = int(os.environ.get("OCPPJ_FUZZ_SEED", "20260102"))
COUNT = 300
FRAMES = [
    '[2,"1","DataTransfer",{"vendorId":"V","messageId":"\\u00e9","data":"a \\\\ b"}]',
    '[2,"1","Heartbeat",{}]',
    '["2",7,"heartbeat",[]]\x00',
    '[3,"1",{"status":"Accepted"}]',
    '[4,"-1","RpcFrameworkError","",{}]',
    '\ufeff[2,"1","DataTransfer.req",{"vendorId":"\x00"},null]',
]
PIECES = [*'[]{},:"\\ 1234567890', *["\x00", "\ufeff", "\n", "null", ":,", "[,", '"2"', "2.0", "{}", "\\u12", "\\x"]]


@pytest.fixture(autouse=True)
def as_it_was():
    yield
    jsontext.use_orjson(True)


def damage(chance):
    text = chance.choice(FRAMES)
    for _ in range(chance.choice([0, 1, 1, 2, 3])):
        at = chance.randrange(len(text) + 1)
        text = text[:at] + chance.choice(PIECES) + text[at + chance.choice([0, 0, 1, 2]) :]
    return text


def answers(cleanup, package, version, mode, texts):
    """Return what a server of that mode sends for each text, and what reaches its handlers."""
    transport, handled = Memory(), []
    options = {"validate": mode, "max_bad_messages": 10**6, "ws_server": transport.server()}
    server = Server(profiles=package.PROFILES, **options)
    cleanup.append(server.stop)
    server.set_text_hook(lambda client_id, text: text)

    @server.on(package.DataTransferRequest)
    def transfer(client_id, request):
        handled.append(request.to_wire())
        return package.DataTransferResponse(status="Accepted")

    @server.on(package.HeartbeatRequest)
    def beat(client_id, request):
        handled.append("beat")
        return package.HeartbeatResponse(current_time=NOW)

    server.listen(host="127.0.0.1")
    raw = RawClient(transport, server.url, subprotocols=[f"ocpp{version}"])
    cleanup.append(raw.stop)
    sent = []
    # The jobs of a connection run in order. So the answer to the second CALL comes last.
    for number, text in enumerate(texts):
        raw.send(text)
        raw.send([2, f"probe {number}", "DataTransfer", {"vendorId": "probe"}])
        frame = raw.receive()
        while frame[1] != f"probe {number}":
            sent.append((number, frame))
            frame = raw.receive()
    return sent, handled


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("mode", ["strict", "standard", "warn", "off"])
def test_damaged_frames_are_read_alike(cleanup, version, mode):
    chance = random.Random(f"{SEED} {version} {mode}")
    texts = [text for text in (damage(chance) for _ in range(COUNT)) if text]
    outcomes = []
    for orjson in (True, False):
        jsontext.use_orjson(orjson)
        outcomes.append(answers(cleanup, VERSIONS[version], version, mode, texts))
    assert outcomes[0] == outcomes[1]
    sent, handled = outcomes[0]
    assert len(handled) > COUNT + 10, "some are read"
    assert all(frame[0] == 4 for _, frame in sent if frame[1] == "-1")
