"""An answer that comes in the moment in which its request is given up: handlers are told of one end, not of two."""

import pytest

from ocppj import CallTimeout, DefaultClientDispatcher, DefaultServerDispatcher
from tests.fixtures import (  # noqa: F401
    BEAT_WIRE,
    HEARTBEAT,
    ClientSide,
    ServerSide,
    cleanup,
    make_client,
    make_server,
    raw_client,
    raw_server,
    transport,
)
from tests.helpers import Recorder, eventually, seconds
from tests.inside.endpoints import open_calls


class _GivesUp:
    """A dispatcher's complete_request before which the request times out: it was pending when its answer was read."""

    def complete_request(self, *ids):
        self.cancel_request(*ids, CallTimeout("too late", ids[-1]))
        return super().complete_request(*ids)


class ClientGivesUp(_GivesUp, DefaultClientDispatcher):
    pass


class ServerGivesUp(_GivesUp, DefaultServerDispatcher):
    pass


@pytest.fixture(params=["client", "server"])
def side(request, make_client, make_server, raw_client, raw_server):
    if request.param == "client":
        return ClientSide(make_client, raw_server, dispatcher=ClientGivesUp()).connect()
    return ServerSide(make_server, raw_client, dispatcher=ServerGivesUp()).connect()


@pytest.mark.parametrize(
    "answer",
    [[3, BEAT_WIRE], [4, "GenericError", "no", {}], [3, {"currentTime": 1}]],
    ids=["result", "error", "invalid"],
)
def test_handlers_are_told_of_one_end(side, answer):
    response, error, canceled = Recorder(), Recorder(), Recorder()
    side.endpoint.set_response_handler(lambda *arguments: response(*arguments))
    side.endpoint.set_error_handler(lambda *arguments: error(*arguments))
    side.endpoint.set_canceled_request_handler(lambda *arguments: canceled(*arguments))
    future = side.send_request(HEARTBEAT)
    message_id = side.raw.receive()[1]
    side.raw.send([answer[0], message_id, *answer[1:]])
    future.exception(seconds(10))
    canceled.wait(1)
    # What would come has come when the answer to the next CALL has gone through the same threads.
    again = side.send_request(HEARTBEAT)
    assert side.raw.receive()[1] == again.message_id
    side.raw.send([3, again.message_id, BEAT_WIRE])
    again.exception(seconds(10))
    canceled.wait(2)
    side.endpoint.stop()
    eventually(lambda: open_calls(side.endpoint) == 0)
    assert [len(each.calls) for each in (response, error, canceled)] == [0, 0, 2]
