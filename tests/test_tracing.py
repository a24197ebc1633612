"""`ocppj.tracing`: spans of OpenTelemetry, as its SDK records them."""

import sys
import threading

import pytest

from ocppj import Client, MemoryCluster, MemoryHub, OCPPError, RemoteServer, Server, UsageError, v16
from ocppj.tracing import trace
from tests.fixtures import BEAT, BOOT, BOOTED, HEARTBEAT, NOW, RESET, RESET_DONE
from tests.helpers import eventually, seconds

pytest.importorskip("opentelemetry.sdk", reason="the spans need opentelemetry-sdk: pip install 'ocppj[test]'")

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode


class Spans:
    """The spans that have ended."""

    def __init__(self):
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def wait(self, count):
        eventually(lambda: len(self._exporter.get_finished_spans()) >= count)
        return self._exporter.get_finished_spans()


@pytest.fixture
def spans():
    return Spans()


@pytest.fixture
def server(spans):
    with Server(profiles=v16.PROFILES, timeout=seconds(20)) as server:
        trace(server, spans.provider)
        yield server.listen(host="127.0.0.1")


@pytest.fixture
def client(server):
    with Client("CP_1", profiles=v16.PROFILES, timeout=seconds(20)) as client:
        client.on(v16.ResetRequest)(lambda request: RESET_DONE)
        yield client.connect(server.url)


def test_a_call_in_a_handler_is_a_child_of_the_handler(server, client, spans):
    @server.on(v16.BootNotificationRequest)
    def boot(client_id, request):
        server.call(client_id, RESET)
        return BOOTED

    client.call(BOOT)
    call, handler = spans.wait(2)
    assert (call.name, call.kind, handler.name, handler.kind) == (
        "Reset",
        SpanKind.CLIENT,
        "BootNotification",
        SpanKind.SERVER,
    )
    assert call.parent.span_id == handler.context.span_id
    assert call.context.trace_id == handler.context.trace_id
    assert handler.parent is None
    assert call.status.status_code is handler.status.status_code is StatusCode.UNSET
    message_id = call.attributes["ocpp.message_id"]
    assert dict(call.attributes) == {
        "rpc.system": "ocpp",
        "rpc.method": "Reset",
        "ocpp.action": "Reset",
        "ocpp.client_id": "CP_1",
        "ocpp.version": "1.6",
        "ocpp.message_id": message_id,
    }
    assert message_id != handler.attributes["ocpp.message_id"]


def test_a_handler_leaves_no_span_behind_on_its_thread(server, client, spans):
    server.on(v16.HeartbeatRequest)(lambda client_id, request: BEAT)
    client.call(HEARTBEAT)
    client.call(HEARTBEAT)
    first, second = spans.wait(2)
    assert first.parent is second.parent is None


def test_a_call_is_a_child_of_the_span_of_its_thread(server, client, spans):
    tracer = spans.provider.get_tracer("web")
    with tracer.start_as_current_span("POST /reset") as request:
        future = server.send_request("CP_1", RESET)
    future.result(seconds(10))
    web, call = sorted(spans.wait(2), key=lambda span: span.start_time)
    assert (web.name, call.name) == ("POST /reset", "Reset")
    assert call.parent.span_id == request.get_span_context().span_id
    assert call.end_time >= call.start_time


def test_the_span_of_a_future_ends_with_it(server, client, spans):
    go_on = threading.Event()

    @client.on(v16.ResetRequest)
    def reset(request):
        assert go_on.wait(seconds(20))
        return RESET_DONE

    future = server.send_request("CP_1", RESET)
    assert spans.wait(0) == ()
    go_on.set()
    future.result(seconds(10))
    assert [span.name for span in spans.wait(1)] == ["Reset"]
    server.send_request("CP_1", RESET).cancel()
    assert spans.wait(2)[1].attributes["error.type"] == "CallCanceled"


def test_errors_are_the_status_with_their_code(server, client, spans):
    @client.on(v16.ResetRequest)
    def refuse(request):
        raise OCPPError("SecurityError", "not by you")

    @server.on(v16.HeartbeatRequest)
    def fail(client_id, request):
        raise ValueError("a fault")

    with pytest.raises(OCPPError):
        server.call("CP_1", RESET)
    with pytest.raises(OCPPError):
        client.call(HEARTBEAT)
    call, handler = spans.wait(2)
    assert call.status.status_code is handler.status.status_code is StatusCode.ERROR
    assert "not by you" in call.status.description
    assert (call.attributes["error.type"], handler.attributes["error.type"]) == (
        "SecurityError",
        "ValueError",
    )


def test_a_span_shows_no_secret_and_no_invented_code(server, client, spans):
    @server.on(v16.HeartbeatRequest)
    def fail(client_id, request):
        raise OCPPError("Invented-1", "AuthorizationKey='Hush-7Tx'" + "x" * 300)

    with pytest.raises(OCPPError):
        client.call(HEARTBEAT)
    (handler,) = spans.wait(1)
    assert handler.attributes["error.type"] == "other"
    shown = "Invented-1: AuthorizationKey='***'xxx"
    assert handler.status.description == shown + "x" * (255 - len(shown))


def test_a_client_is_traced_as_well_and_tracing_ends(server, client, spans):
    server.on(v16.HeartbeatRequest)(lambda client_id, request: v16.HeartbeatResponse(current_time=NOW))
    theirs = Spans()
    end = trace(client, theirs.provider)
    client.call(HEARTBEAT)
    (call,) = theirs.wait(1)
    assert (call.name, call.kind, call.attributes["ocpp.client_id"]) == ("Heartbeat", SpanKind.CLIENT, "CP_1")
    end()
    client.call(HEARTBEAT)
    spans.wait(2)
    assert len(theirs.wait(1)) == 1


def test_the_calls_of_a_remote_server_are_traced(spans):
    """In a task, for example, whose span is the parent."""
    hub = MemoryHub()
    server = Server(profiles=v16.PROFILES, cluster=MemoryCluster(hub))
    remote = RemoteServer(MemoryCluster(hub), profiles=v16.PROFILES, timeout=seconds(20))
    client = Client("CP_1", profiles=v16.PROFILES)
    with remote, server.listen(host="127.0.0.1"), client.connect(server.url):
        client.on(v16.ResetRequest)(lambda request: RESET_DONE)
        eventually(lambda: remote.client_ids() == ["CP_1"])
        end = trace(remote, spans.provider)
        with spans.provider.get_tracer("a task").start_as_current_span("task"):
            remote.call("CP_1", RESET)
        call, task = spans.wait(2)
        assert (call.name, call.kind, call.attributes["ocpp.client_id"]) == ("Reset", SpanKind.CLIENT, "CP_1")
        assert call.parent.span_id == task.context.span_id
        end()
        remote.call("CP_1", RESET)
        assert len(spans.wait(2)) == 2


@pytest.mark.parametrize("endpoint", [object(), Server])
def test_what_cannot_be_traced(endpoint):
    with pytest.raises(UsageError, match="for a Server or a Client"):
        trace(endpoint)


def test_the_package_opentelemetry_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(UsageError, match=r"pip install 'ocppj\[otel\]'"):
        trace(Server(profiles=v16.PROFILES))
