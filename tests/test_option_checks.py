"""The table of options: each option of each constructor has a row, and a bad value is refused where it is given."""

import functools
import inspect
import math
import random
import selectors
import sys
import threading
from numbers import Integral
from typing import get_type_hints

import pytest

from ocppj import (
    Backoff,
    Client,
    DefaultClientDispatcher,
    DefaultServerDispatcher,
    Deflate,
    Endpoint,
    FIFOClientQueue,
    FIFOQueueMap,
    Server,
    SharedReaders,
    Signer,
    SQLiteQueue,
    SQLiteQueueMap,
    TransactionRetries,
    UsageError,
    Verifier,
    v16,
)
from ocppj.option_checks import OPTIONS, Seconds, Whole, check_option, check_options, row_of, shown
from ocppj.ws.client import WebSocketClient
from ocppj.ws.memory import MemoryClient, MemoryNetwork, MemoryServer
from ocppj.ws.options import ClientCoreOptions, ClientOptions, ServerCoreOptions, ServerOptions
from ocppj.ws.server import WebSocketServer

#: Each constructor: the options that it needs, and those that it hands on.
CONSTRUCTORS = {
    Client: ({"id": "CP_1"}, ClientOptions),
    Server: ({}, ServerOptions),
    Endpoint: ({}, None),
    WebSocketClient: ({}, ClientCoreOptions),
    WebSocketServer: ({}, ServerCoreOptions),
    MemoryClient: ({"network": MemoryNetwork()}, ClientCoreOptions),
    MemoryServer: ({"network": MemoryNetwork()}, ServerCoreOptions),
    SharedReaders: ({}, None),
    DefaultClientDispatcher: ({}, None),
    DefaultServerDispatcher: ({}, None),
    FIFOClientQueue: ({}, None),
    FIFOQueueMap: ({}, None),
    SQLiteQueue: ({"path": "requests.db"}, None),
    SQLiteQueueMap: ({"path": "requests.db"}, None),
    TransactionRetries: ({}, None),
    Backoff: ({}, None),
    Deflate: ({}, None),
}


class Other:
    """An object that no option takes."""

    def __repr__(self):
        return "Other()"


@functools.total_ordering
class Number:
    """An integer as those of numpy are: no ``int``."""

    def __index__(self):
        return 7

    def __eq__(self, other):
        return other == 7

    def __lt__(self, other):
        return other > 7


Integral.register(Number)


BAD = {
    "an object": Other(),
    "a class": Other,
    "too large": 10**400,
    "too large to be written": 10**5000,
    "a fraction": 0.5,
    "infinite": math.inf,
    "no number": math.nan,
    "negative": -1,
    "text": "5",
    "bytes": b"5",
    "empty": "",
    "true": True,
    "list": [5],
    "none": None,
    "a long text": "x" * 10_000,
    "zero": 0,
}


def options_of(kind):
    """Return the names of all options of a constructor."""
    _, handed_on = CONSTRUCTORS[kind]
    named = [
        each.name
        for each in inspect.signature(kind).parameters.values()
        if each.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    return [*named, *(get_type_hints(handed_on) if handed_on else [])]


EACH = [(kind, name) for kind in CONSTRUCTORS for name in dict.fromkeys(options_of(kind))]
IDS = [f"{kind.__name__}-{name}" for kind, name in EACH]


def make(kind, **options):
    needed, _ = CONSTRUCTORS[kind]
    return kind(**{**needed, **options})


@pytest.mark.parametrize(("kind", "name"), EACH, ids=IDS)
def test_each_option_has_a_row_and_refuses_bad_values(kind, name):
    row = row_of(kind.__name__, name)
    assert row is not None, f"give {name} a row in ocppj/option_checks.py"
    refused = 0
    for value in BAD.values():
        if row.fits(value):
            continue
        refused += 1
        with pytest.raises(UsageError) as caught:
            make(kind, **{name: value})
        story = str(caught.value)
        assert story.startswith(f"{name} is {row.takes}, not "), story
        assert len(story) < 600
    assert refused


@pytest.mark.parametrize(("kind", "name"), EACH, ids=IDS)
def test_the_defaults_fit(kind, name):
    parameter = inspect.signature(kind).parameters.get(name)
    if parameter is not None and parameter.default is not parameter.empty:
        check_option(kind.__name__, name, parameter.default)


@pytest.mark.parametrize(("kind", "name"), EACH, ids=IDS)
def test_no_value_that_a_row_takes_is_refused_later_with_another_error(kind, name, tmp_path, monkeypatch):
    """A value that the table lets pass makes a constructor, or is a `UsageError` of a rule between options."""
    monkeypatch.chdir(tmp_path)
    row = row_of(kind.__name__, name)
    for value in BAD.values():
        if row.fits(value):
            try:
                made = make(kind, **{name: value})
            except UsageError:
                continue
            if isinstance(made, (Client, Server)):
                made.stop()


@pytest.mark.parametrize("kind", [Client, Server])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_waiting_calls", "5"),
        ("max_waiting_calls", None),
        ("max_depth", 0),
        ("repeat_answers", "5"),
        ("repeat_answers_for", 10**400),
        ("timeout", 10**400),
        ("ping_interval", 10**400),
        ("max_bad_messages", 0),
    ],
)
def test_what_made_each_frame_fail_is_refused_by_name(kind, name, value):
    with pytest.raises(UsageError, match=f"^{name} is "):
        make(kind, profiles=v16.PROFILES, **{name: value})


@pytest.mark.parametrize("capacity", [None, "5", 1.5, -1, True])
@pytest.mark.parametrize("kind", [FIFOClientQueue, FIFOQueueMap, SQLiteQueue, SQLiteQueueMap])
def test_a_capacity_is_a_whole_number(kind, capacity):
    with pytest.raises(UsageError, match="^capacity is a whole number, 0 or more, not "):
        make(kind, capacity=capacity)


def test_a_function_is_checked_with_the_name_of_its_option():
    def function(one, two):
        raise AssertionError

    for options in ({"validate": function}, {"datetime_digits": function}, {"known_clients": function}):
        with pytest.raises(UsageError, match=rf"^{next(iter(options))} .*to be called as f\(client_id\)"):
            Server(**options)
    for options in ({"backoff": function}, {"headers": function}, {"readers": function}):
        with pytest.raises(UsageError, match=rf"^{next(iter(options))} .*to be called as f\(\)"):
            WebSocketClient(**options)
    with pytest.raises(UsageError, match=r"^random .*to be called as f\(\)"):
        Backoff(random=function)
    with pytest.raises(UsageError, match=r"^selector .*to be called as f\(\)"):
        SharedReaders(selector=function)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (WebSocketClient, {"headers": ["sesame"]}),
        (WebSocketClient, {"basic_auth": "user:sesame"}),
        (Client, {"id": "CP_1", "basic_auth": "user:sesame"}),
        (Signer, {"private_key": ["sesame"]}),
        (Signer, {"private_key": "", "certificate": ["sesame"]}),
        (Signer, {"private_key": "", "password": ["sesame"]}),
        (Verifier, {"certificates": "sesame"}),
    ],
)
def test_a_secret_is_not_shown(kind, options):
    with pytest.raises(UsageError) as caught:
        kind(**options)
    assert "sesame" not in str(caught.value)
    assert "not a value of the type " in str(caught.value)


def test_integers_of_numpy_are_whole_numbers():
    assert Whole(1).fits(Number())
    assert Seconds().fits(Number())
    assert FIFOClientQueue(Number()).is_full() is False


def test_limits_are_inside():
    longest = min(100 * 365.25 * 86_400, threading.TIMEOUT_MAX)
    assert Seconds().fits(0)
    assert Seconds().fits(longest)
    assert not Seconds(above=True).fits(0)
    assert not Seconds().fits(longest * 1.001)
    assert Whole(2).fits(2)
    assert not Whole(2).fits(1)
    assert Whole(0).fits(sys.maxsize)
    assert not Whole(0).fits(sys.maxsize + 1)
    assert not Whole(0).fits(1.0)


@pytest.mark.parametrize("value", [*BAD.values(), ["x" * 100] * 1000, {"a": 10**5000}], ids=range(len(BAD) + 2))
def test_what_is_shown_is_short(value):
    assert len(shown(value)) < 1000


def test_names_that_are_no_options_pass():
    check_options("Client", {"self": 1, "no_such_option": 2})
    with pytest.raises(UsageError, match="^timeout is "):
        check_options("Client", {"self": 1, "timeout": None})


def test_what_may_be_set_later_is_checked_as_well():
    client = Client("CP_1", profiles=v16.PROFILES)
    with pytest.raises(UsageError, match="^ping_interval is "):
        WebSocketClient().set_ping_interval(10**400)
    with pytest.raises(UsageError, match="^validate is "):
        client.set_message_validation("loose")
    with pytest.raises(UsageError, match="^timeout is "):
        DefaultClientDispatcher().set_timeout(10**400)
    with pytest.raises(UsageError, match="^retry_back_off_wait_minimum is "):
        Backoff().retry_back_off_wait_minimum = 10**400


def test_a_function_of_the_standard_library_is_one():
    check_options("SharedReaders", {"selector": selectors.SelectSelector})
    check_options("Backoff", {"random": random.random})


def test_each_row_says_what_its_option_takes():
    for name, row in OPTIONS.items():
        assert row.takes, name
        assert len(row.takes) < 250, name
