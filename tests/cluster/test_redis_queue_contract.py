"""What every durable map promises, of a `RedisQueueMap`: the tests of `SQLiteQueueMap`, with Redis for a file."""

import pytest

from tests import test_offline
from tests.cluster.redis_queues import map_on, nodes, redis, shared_redis  # noqa: F401
from tests.dispatch.test_queues import (  # noqa: F401
    test_a_full_queue_refuses_and_keeps_what_it_has,
    test_a_map_gets_creates_adds_and_removes,
    test_an_empty_queue,
    test_bundles_and_find_look_and_take_nothing,
    test_first_in_first_out,
    test_many_threads_fill_a_queue_to_its_capacity_and_no_further,
    test_one_of_two_with_the_same_id_is_removed_the_older,
    test_remove_takes_one_from_anywhere,
    test_what_find_calls_may_use_the_queue,
)
from tests.fixtures import cleanup  # noqa: F401
from tests.redis_server import needs_redis
from tests.storage.test_sqlite_queues import (  # noqa: F401
    test_a_closed_map_has_no_queues_to_give,
    test_a_queue_of_ones_own_may_be_added,
    test_a_request_is_withdrawn_wherever_it_is,
    test_clients_that_come_and_go_while_others_send_lose_nothing,
    test_each_client_has_its_own_requests,
    test_remove_forgets_the_queue_and_never_the_rows,
    test_two_threads_that_ask_for_a_client_get_the_same_queue,
)
from tests.storage.test_stored_queue import (  # noqa: F401
    test_a_handler_of_the_log_may_use_the_map,
    test_a_request_that_is_given_up_and_cannot_be_read_stays,
    test_each_client_has_its_own_set_aside,
    test_in_a_map_it_keeps_no_client_away,
)
from tests.test_offline import *  # noqa: F403

pytestmark = needs_redis


@pytest.fixture
def queues(nodes):
    return nodes.add()


@pytest.fixture
def make_map(nodes):
    return nodes.add


@pytest.fixture
def make_queue(nodes):
    return lambda capacity=0: nodes.add(capacity).get_or_create("A")


class Site(test_offline.Site):
    """A server with its requests on Redis."""

    def __init__(self, url, cleanup):
        super().__init__(None, cleanup)
        self.url = url

    def make_queues(self, *arguments, **options):
        return map_on(self.url, *arguments, **options)


@pytest.fixture
def site(redis, cleanup, monkeypatch):
    return Site(redis.url, cleanup)
