"""The options that type checkers know are those that the constructors take."""

import inspect
from typing import get_type_hints

import pytest

from ocppj.ws.client import WebSocketClient
from ocppj.ws.connecting.session import ClientCore
from ocppj.ws.memory import MemoryClient, MemoryNetwork
from ocppj.ws.options import ClientCoreOptions, ClientOptions, MemoryClientOptions, ServerCoreOptions, ServerOptions
from ocppj.ws.server import WebSocketServer
from ocppj.ws.serving.registry import ServerCore

#: `Client` has an option of its own for these; those of a server are for tests.
NOT_HANDED_ON = {WebSocketClient: {"reconnect", "clock"}, WebSocketServer: {"patience", "linger"}}


def taken_by(kind, core_options):
    """Return the names that the constructor of ``kind`` takes; ``core_options`` are those of its base."""
    parameters = inspect.signature(kind).parameters.values()
    named = {each.name for each in parameters if each.kind is each.KEYWORD_ONLY}
    has_others = any(each.kind is each.VAR_KEYWORD for each in parameters)
    return named | (set(get_type_hints(core_options)) if has_others else set())


@pytest.mark.parametrize(
    ("options", "kind", "core_options"),
    [
        (ClientCoreOptions, ClientCore, {}),
        (ServerCoreOptions, ServerCore, {}),
        (ClientOptions, WebSocketClient, ClientCoreOptions),
        (ServerOptions, WebSocketServer, ServerCoreOptions),
        (MemoryClientOptions, MemoryClient, ClientCoreOptions),
    ],
)
def test_the_options_are_those_of_the_constructor(options, kind, core_options):
    assert set(get_type_hints(options)) == taken_by(kind, core_options) - NOT_HANDED_ON.get(kind, set())


@pytest.mark.parametrize("make", [MemoryNetwork().server, MemoryNetwork().client, WebSocketServer, WebSocketClient])
def test_an_unknown_option_is_named(make):
    with pytest.raises(TypeError, match="colour"):
        make(colour="red")
