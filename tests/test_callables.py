"""An ``async def`` is refused wherever a program hands a function over: nothing would await it."""

from concurrent.futures import Future
from functools import partial

import pytest

from ocppj import Client, Feature, Server, UsageError, set_message_id_generator, v16
from ocppj.callables import check_callable, check_not_async, refuse_coroutine
from ocppj.proxy import Observer, Proxy
from ocppj.signing import Verifier
from ocppj.ws.backoff import Backoff
from ocppj.ws.client import WebSocketClient
from ocppj.ws.memory import MemoryNetwork
from ocppj.ws.server import WebSocketServer


async def coroutine(*arguments):
    """Do nothing."""


async def generator(*arguments):
    yield


class AsyncObject:
    async def __call__(self, *arguments):
        """Do nothing."""

    async def method(self, *arguments):
        """Do nothing."""


ASYNC = {
    "coroutine": coroutine,
    "generator": generator,
    "partial": partial(partial(coroutine, 1), 2),
    "object": AsyncObject(),
    "method": AsyncObject().method,
}

OPTIONS = {
    "client message_id_generator": lambda f: Client("CP", profiles=v16.PROFILES, message_id_generator=f),
    "server message_id_generator": lambda f: Server(profiles=v16.PROFILES, message_id_generator=f),
    "set_message_id_generator": set_message_id_generator,
    "client backoff": lambda f: Client("CP", profiles=v16.PROFILES, backoff=f),
    "memory backoff": lambda f: MemoryNetwork().client(backoff=f),
    "random of the backoff": lambda f: Backoff(random=f),
    "headers": lambda f: Client("CP", profiles=v16.PROFILES, headers=f),
    "basic_auth": lambda f: Client("CP", profiles=v16.PROFILES, basic_auth=f),
    "readers of a client": lambda f: Client("CP", profiles=v16.PROFILES, readers=f),
    "readers of a server": lambda f: Server(profiles=v16.PROFILES, readers=f),
    "validate of a client": lambda f: Client("CP", profiles=v16.PROFILES, validate=f),
    "validate of a server": lambda f: Server(profiles=v16.PROFILES, validate=f),
    "security_profile": lambda f: Server(profiles=v16.PROFILES, security_profile=f),
    "identify": lambda f: Server(profiles=v16.PROFILES).listen(identify=f, host="127.0.0.1"),
    "schema of a request": lambda f: Feature("Reset", v16.ResetRequest, v16.ResetResponse, request_schema=f),
    "schema of a response": lambda f: Feature("Reset", v16.ResetRequest, v16.ResetResponse, response_schema=f),
    "credentials of a proxy": lambda f: Proxy("wss://csms.example", credentials=f),
    "to_ssl_context of a proxy": lambda f: Proxy("wss://csms.example", to_ssl_context=f),
    "recorder of a proxy": lambda f: Proxy("wss://csms.example", recorders=[f]),
    "credentials of an observer": lambda f: Observer("wss://csms.example", credentials=f),
}


class HasAsyncMethods:
    """An observer, a watch, a signer, a verifier and a logger. Its methods are asynchronous, but for ``__call__``."""

    def __call__(self, frame):
        """Do nothing."""

    async def method(self, *arguments):
        """Do nothing."""

    connection_changed = call_began = handler_began = sign = verify = debug = info = warning = error = method
    exception = method


OBJECTS = {
    "observer": lambda each: Server(profiles=v16.PROFILES).add_observer(each),
    "watch": lambda each: Server(profiles=v16.PROFILES).add_watch(each),
    "signer": lambda each: Client("CP", profiles=v16.PROFILES, signer=each),
    "verifier": lambda each: Server(profiles=v16.PROFILES, verifier=each),
    "logger": lambda each: Server(profiles=v16.PROFILES, logger=each),
    "recorder of a proxy": lambda each: Proxy("wss://csms.example").add_recorder(each),
}
SETTERS = {
    Client: ["set_disconnected_handler", "set_reconnected_handler", "set_attempt_failed_handler", "before"],
    Server: [
        "set_new_client_handler",
        "set_disconnected_client_handler",
        "set_check_client_handler",
        "set_basic_auth_handler",
        "set_check_origin_handler",
        "set_check_certificate_handler",
        "before",
    ],
    WebSocketClient: [
        "set_connected_handler",
        "set_message_handler",
        "set_disconnected_handler",
        "set_attempt_failed_handler",
    ],
    WebSocketServer: [
        "set_connected_handler",
        "set_message_handler",
        "set_disconnected_handler",
        "set_check_client_handler",
        "set_check_certificate_handler",
        "set_basic_auth_handler",
        "set_check_origin_handler",
    ],
}


def make(kind):
    if kind is Client:
        return Client("CP", profiles=v16.PROFILES)
    return kind(profiles=v16.PROFILES) if kind is Server else kind()


@pytest.mark.parametrize("function", ASYNC.values(), ids=ASYNC)
@pytest.mark.parametrize("hand_over", OPTIONS.values(), ids=OPTIONS)
def test_an_option_is_no_async_function(hand_over, function):
    with pytest.raises(UsageError, match="is an async function"):
        hand_over(function)


@pytest.mark.parametrize("function", ASYNC.values(), ids=ASYNC)
@pytest.mark.parametrize(
    ("kind", "setter"),
    [(kind, setter) for kind, setters in SETTERS.items() for setter in setters],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_handler_is_no_async_function(kind, setter, function):
    with pytest.raises(UsageError, match="is an async function"):
        getattr(make(kind), setter)(function)


@pytest.mark.parametrize("hand_over", OBJECTS.values(), ids=OBJECTS)
def test_an_object_has_no_async_methods(hand_over):
    with pytest.raises(UsageError, match="is an async function"):
        hand_over(HasAsyncMethods())


@pytest.mark.parametrize("function", ASYNC.values(), ids=ASYNC)
def test_a_function_that_finds_certificates_is_no_async_function(function):
    pytest.importorskip("joserfc", reason="the extra signing is not installed")
    with pytest.raises(UsageError, match="is an async function"):
        Verifier(function)


@pytest.mark.parametrize("function", ASYNC.values(), ids=ASYNC)
def test_a_callback_of_a_future_is_no_async_function(function):
    network = MemoryNetwork()
    with (
        Server(profiles=v16.PROFILES, ws_server=network.server()).listen() as server,
        Client("CP", profiles=v16.PROFILES, ws_client=network.client()).connect(server.url) as client,
    ):
        future = client.send_request(v16.HeartbeatRequest())
        with pytest.raises(UsageError, match="is an async function"):
            future.add_done_callback(function)


def test_the_error_names_what_was_given_and_the_function():
    with pytest.raises(UsageError, match="^backoff coroutine is an async function"):
        check_not_async("backoff", coroutine)


@pytest.mark.filterwarnings("error")
def test_a_coroutine_that_a_function_returns_is_refused_and_closed():
    with pytest.raises(TypeError, match="^AsyncObject.method returned a coroutine, which nothing awaits"):
        refuse_coroutine(AsyncObject.method, coroutine())


@pytest.mark.parametrize("fine", [None, 1, coroutine, Future()], ids=range(4))
def test_what_is_no_coroutine_passes(fine):
    refuse_coroutine(print, fine)


@pytest.mark.parametrize("fine", [None, {}, "text", len, print, Client, partial(max, 1)], ids=range(7))
def test_what_is_not_async_passes(fine):
    check_not_async("it", fine)


def test_a_function_is_checked_against_its_names():
    assert check_callable(lambda request: None, ["request"]) == 0
    assert check_callable(lambda request, response: None, ["request"], ["response"]) == 1
    with pytest.raises(UsageError, match=r"to be called as f\(request\)"):
        check_callable(lambda: None, ["request"])
