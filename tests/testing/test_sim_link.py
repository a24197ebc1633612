"""The connection of a simulated station: made, refused, lost, regained, closed."""

import pytest

from ocppj import Refusal
from tests.testing.sim_model import Model


@pytest.fixture
def model():
    made = Model()
    yield made
    made.stop()


def switch_on(model, url):
    model.run(model.core.power.switch_on, url)


def attempts_of_a_station():
    """Return when a station tries to connect that is refused again and again."""
    model, attempts = Model(), []

    @model.server.set_check_client_handler
    def refuse(request):
        attempts.append(model.clock.monotonic())
        return False

    with model.server.listen(port=0):
        switch_on(model, model.server.url)
        model.pass_time(100)
        model.stop()
    return attempts


def test_the_waits_between_attempts_grow_and_are_the_same_in_each_run():
    attempts = [attempts_of_a_station(), attempts_of_a_station()]
    waits = [later - earlier for earlier, later in zip(attempts[0], attempts[0][1:])]
    assert 1 <= waits[0] <= 3
    assert waits == sorted(waits)
    assert len(waits) >= 4
    assert attempts[0] == attempts[1]


def test_a_station_waits_as_long_as_the_server_asks_for(model):
    refusals = [Refusal(503, retry_after=100)]
    model.server.set_check_client_handler(lambda request: refusals.pop() if refusals else True)
    with model.server.listen(port=0):
        switch_on(model, model.server.url)
        model.pass_time(99)
        assert not model.core.link.up
        model.pass_time(1)
        assert model.core.online


def test_a_connection_that_is_closed_at_once_is_not_made_again_at_once(model):
    connections = []

    @model.server.set_new_client_handler
    def close(client_id):
        connections.append(model.clock.monotonic())
        model.server.disconnect(client_id)

    with model.server.listen(port=0):
        switch_on(model, model.server.url)
        model.pass_time(100)
        assert 3 <= len(connections) <= 8
        assert connections[-1] - connections[-2] > connections[1] - connections[0] >= 1


def test_after_an_answer_the_waits_begin_anew(model):
    with model.server.listen(port=0):
        switch_on(model, model.server.url)
        for _ in range(5):
            model.run(model.core.link.cut)
            model.pass_time(3)
            assert model.core.link.up
            model.run(model.core.behaviour.heartbeat)


def test_a_new_connection_is_made(model):
    with model.server.listen(port=0):
        switch_on(model, model.server.url)
        model.run(model.core.link.reconnect)
        model.pass_time(3)
        assert model.core.link.up
        assert model.core.summary.connections == 2


def test_no_connection_is_made_after_the_end(model):
    with model.server.listen(port=0):
        model.core.link.end()
        switch_on(model, model.server.url)
        model.pass_time(10)
        assert model.core.summary.connections == 0
