"""What a program registers."""

import dataclasses
from functools import partial

import pytest

from ocppj import Client, Frame, Server, UnsupportedFeature, UsageError, v16
from tests.inside.endpoints import handlers_of

RESET = v16.ResetRequest(type="Soft")


class ServerLike(Server):
    """Shows what was registered. A test calls it as the library does: with the client's id first."""

    def __init__(self):
        super().__init__(profiles=v16.PROFILES)
        self.handlers = handlers_of(self)


class ClientLike(Client):
    def __init__(self):
        super().__init__("CP", profiles=v16.PROFILES)
        self.handlers = handlers_of(self)


def echo(*arguments):
    return arguments


SIDES = pytest.mark.parametrize(("side", "first"), [(ServerLike, ("CP",)), (ClientLike, ())])


@SIDES
def test_on_handles_one_type_and_the_request_handler_the_rest(side, first):
    endpoint = side()
    handlers = endpoint.handlers
    assert (handlers.by_type, handlers.request) == ({}, None)
    assert endpoint.set_request_handler(echo) is echo
    assert endpoint.on(v16.ResetRequest)(echo) is echo
    one, rest = handlers.by_type[v16.ResetRequest], handlers.request
    assert one.function("CP", RESET) == (*first, RESET)
    assert (one.pass_id, one.pass_action, one.pass_signature) == (False, False, False)
    assert rest.function("CP", RESET, "1", "Reset") == (*first, RESET, "1", "Reset")
    assert (rest.pass_id, rest.pass_action, rest.pass_signature) == (True, True, False)


@SIDES
@pytest.mark.parametrize("names", [["pass_id"], ["pass_signature"], ["pass_id", "pass_signature"]], ids=str)
def test_on_can_be_given_the_id_and_the_signature(side, first, names):
    endpoint = side()
    endpoint.on(v16.ResetRequest, **dict.fromkeys(names, True))(echo)
    handler = endpoint.handlers.by_type[v16.ResetRequest]
    assert [name for name in ("pass_id", "pass_signature") if getattr(handler, name)] == names
    assert not handler.pass_action


def test_a_later_registration_replaces_an_earlier_one():
    endpoint = ServerLike()
    endpoint.on(v16.ResetRequest)(lambda *arguments: "old")
    endpoint.on(v16.ResetRequest)(lambda *arguments: "new")
    assert endpoint.handlers.by_type[v16.ResetRequest].function("CP", RESET) == "new"


@SIDES
def test_after_keeps_all(side, first):
    endpoint = side()
    assert endpoint.after(v16.ResetRequest)(echo) is echo
    endpoint.after(v16.ResetRequest)(echo)
    entries = endpoint.handlers.after[v16.ResetRequest]
    assert [each.function("CP", RESET) for each in entries] == [(*first, RESET)] * 2


@pytest.mark.parametrize("register", ["on", "after"])
def test_a_type_that_no_profile_has_is_refused_at_once(register):
    with pytest.raises(UnsupportedFeature, match="ResetResponse"):
        getattr(ServerLike(), register)(v16.ResetResponse)


@pytest.mark.parametrize("register", ["on", "after"])
@pytest.mark.parametrize("wrong", [str, "Reset", RESET, None])
def test_what_is_no_message_type_is_refused_at_once(register, wrong):
    with pytest.raises(UsageError, match="message type"):
        getattr(ServerLike(), register)(wrong)


SETTERS = [
    "set_request_handler",
    "set_response_handler",
    "set_error_handler",
    "set_result_error_handler",
    "set_canceled_request_handler",
    "set_invalid_message_hook",
    "set_ignored_message_handler",
    "add_observer",
]


@pytest.mark.parametrize("setter", SETTERS)
@pytest.mark.parametrize("wrong", ["", "f", 5])
def test_what_is_no_function_is_refused_at_once(setter, wrong):
    with pytest.raises(UsageError, match="function"):
        getattr(ServerLike(), setter)(wrong)


@pytest.mark.parametrize("setter", SETTERS)
def test_a_function_of_the_wrong_shape_is_refused_and_told_the_right_one(setter):
    def too_few():
        """Take nothing."""

    with pytest.raises(UsageError, match="too_few.*to be called as f\\("):
        getattr(ServerLike(), setter)(too_few)


def test_a_handler_written_for_the_other_side_is_refused():
    with pytest.raises(UsageError, match=r"f\(request\)"):
        ClientLike().on(v16.ResetRequest)(lambda client_id, request: None)
    with pytest.raises(UsageError, match=r"f\(client_id, request, message_id\)"):
        ServerLike().on(v16.ResetRequest, pass_id=True)(lambda client_id, request: None)


@SIDES
@pytest.mark.parametrize(
    ("setter", "name"),
    [
        ("set_response_handler", "response"),
        ("set_error_handler", "error"),
        ("set_canceled_request_handler", "canceled"),
        ("set_invalid_message_hook", "invalid_message"),
        ("set_ignored_message_handler", "ignored_message"),
    ],
)
def test_every_setter_returns_the_function_and_adapts_it(side, first, setter, name):
    endpoint = side()
    assert getattr(endpoint, setter)(echo) is echo
    assert getattr(endpoint.handlers, name)("CP", "x", "y") == (*first, "x", "y")


@SIDES
def test_the_log_names_the_function_that_failed(side, first, caplog):
    endpoint = side()

    def fail(*arguments):
        raise RuntimeError("as planned")

    for handler, name in [(fail, fail.__qualname__), (partial(fail, 0), "functools.partial(")]:
        endpoint.set_response_handler(handler)
        endpoint.handlers.call(endpoint.handlers.response, "CP", "x", "y")
        message = caplog.records[-1].getMessage()
        assert message.startswith(name), "a client's handler is wrapped, and a server's is not"
        assert message.endswith(" failed")


def test_observers_add_up_and_frames_do_not_change():
    endpoint, observers = ServerLike(), [print, echo]
    assert [endpoint.add_observer(each) for each in observers] == observers
    assert endpoint.handlers.observers == tuple(observers)
    frame = Frame("in", "CP", "1.6", None, "[]")
    with pytest.raises(dataclasses.FrozenInstanceError):
        frame.text = ""


@SIDES
@pytest.mark.parametrize("setter", [each for each in SETTERS if each.startswith("set_")])
def test_none_takes_away_what_was_set(side, first, setter):
    endpoint = side()
    before = vars(endpoint.handlers).copy()
    setter = getattr(endpoint, setter)
    setter(echo)
    assert vars(endpoint.handlers) != before
    assert setter(None) is None
    assert vars(endpoint.handlers) == before


class Program:
    def handle(self, *arguments):
        """Do nothing."""


@SIDES
def test_what_was_registered_is_taken_away_by_the_same_function(side, first):
    endpoint, program = side(), Program()
    for handler in (echo, program.handle, partial(echo, 0)):
        endpoint.before(handler)
        endpoint.after(v16.ResetRequest, v16.HeartbeatRequest)(handler)
        endpoint.add_observer(handler)
    for handler in (program.handle, endpoint.handlers.observers[2]):
        endpoint.remove_after(handler)
        endpoint.remove_observer(handler)
        endpoint.remove_before(handler)
    assert len(endpoint.handlers.before) == len(endpoint.handlers.observers) == 1
    assert {key: len(entries) for key, entries in endpoint.handlers.after.items()} == {
        v16.ResetRequest: 1,
        v16.HeartbeatRequest: 1,
    }
    endpoint.remove_after(echo)
    assert endpoint.handlers.after == {}, "an ordinary answer looks for nothing"


def test_of_two_registrations_one_is_taken_away():
    endpoint = ServerLike()
    endpoint.before(echo)
    endpoint.before(echo)
    endpoint.remove_before(echo)
    assert len(endpoint.handlers.before) == 1


@SIDES
@pytest.mark.parametrize("remove", ["remove_before", "remove_after", "remove_observer"])
@pytest.mark.parametrize("unknown", [print, Program().handle, None, "f"], ids=["print", "method", "None", "text"])
def test_what_is_not_registered_cannot_be_taken_away(side, first, remove, unknown):
    endpoint = side()
    endpoint.before(echo)
    endpoint.after(v16.ResetRequest)(echo)
    endpoint.add_observer(echo)
    with pytest.raises(UsageError, match="is not registered"):
        getattr(endpoint, remove)(unknown)


@SIDES
def test_off_needs_a_handler_and_a_type(side, first):
    endpoint = side()
    endpoint.on(v16.ResetRequest)(echo)
    with pytest.raises(UsageError, match="no handler of HeartbeatRequest"):
        endpoint.off(v16.HeartbeatRequest)
    with pytest.raises(UsageError, match="message type"):
        endpoint.off("Reset")
    with pytest.raises(UsageError, match="message type"):
        endpoint.off()
    with pytest.raises(UnsupportedFeature):
        endpoint.off(v16.ResetResponse)
    endpoint.off(v16.ResetRequest)
    assert endpoint.handlers.by_type == {}


@SIDES
@pytest.mark.parametrize("register", ["on", "after"])
def test_one_wrong_type_among_several_registers_none(side, first, register):
    endpoint = side()
    with pytest.raises(UnsupportedFeature):
        getattr(endpoint, register)(v16.ResetRequest, v16.ResetResponse)(echo)
    assert (endpoint.handlers.by_type, endpoint.handlers.after) == ({}, {})


def test_two_endpoints_share_no_handlers():
    one, other = ServerLike(), ServerLike()
    one.on(v16.ResetRequest)(echo)
    one.after(v16.ResetRequest)(echo)
    assert not other.handlers.by_type
    assert not other.handlers.after


@pytest.mark.parametrize("side", [ServerLike, ClientLike])
def test_a_handler_gets_the_optional_arguments_that_it_must_be_given(side):
    registry = side().handlers
    first = ["CP"] if side is ServerLike else []
    both = registry.adapt(lambda *names: names, "a", optional=("b", "c"))  # *args: no more than before
    assert both("CP", 1, 2, 3) == (*first, 1)
    if side is ServerLike:
        one = registry.adapt(lambda client_id, a, b: (client_id, a, b), "a", optional=("b", "c"))
        kept = registry.adapt(lambda client_id, a, b="kept": (client_id, a, b), "a", optional=("b", "c"))
        every = registry.adapt(lambda client_id, a, b, c: (client_id, a, b, c), "a", optional=("b", "c"))
    else:
        one = registry.adapt(lambda a, b: (a, b), "a", optional=("b", "c"))
        kept = registry.adapt(lambda a, b="kept": (a, b), "a", optional=("b", "c"))
        every = registry.adapt(lambda a, b, c: (a, b, c), "a", optional=("b", "c"))
    assert one("CP", 1, 2, 3) == (*first, 1, 2)
    assert kept("CP", 1, 2, 3) == (*first, 1, "kept")
    assert every("CP", 1, 2, 3) == (*first, 1, 2, 3)


class AsyncObject:
    async def __call__(self, *arguments):
        """Do nothing."""


async def coroutine(*arguments):
    """Do nothing."""


async def generator(*arguments):
    yield


@SIDES
@pytest.mark.parametrize("handler", [coroutine, generator, partial(coroutine, 1), AsyncObject()], ids=range(4))
def test_an_async_function_is_refused(side, first, handler):
    endpoint = side()
    for register in (endpoint.on(v16.ResetRequest), endpoint.after(v16.ResetRequest), endpoint.set_request_handler,
                     endpoint.set_response_handler, endpoint.set_canceled_request_handler, endpoint.add_observer,
                     endpoint.set_invalid_message_hook):  # fmt: skip
        with pytest.raises(UsageError, match="async function"):
            register(handler)
