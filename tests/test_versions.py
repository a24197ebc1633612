"""Three OCPP versions at once: negotiation, what differs between them, and the two message types that 2.1 adds."""

import json
import threading

import pytest

from ocppj import (
    Client,
    ErrorCode,
    InvalidResponse,
    NotRunning,
    OCPPError,
    SubprotocolError,
    UnknownClient,
    UnsupportedFeature,
    UsageError,
    v16,
    v21,
    v201,
)
from tests.fixtures import NOW, cleanup, make_client, make_server, transport  # noqa: F401
from tests.helpers import Recorder, eventually, seconds
from tests.peers import RawClient, RawServer

ALL = [*v16.PROFILES, *v201.PROFILES, *v21.PROFILES]
VERSIONS = {"1.6": v16, "2.0.1": v201, "2.1": v21}
BEAT_WIRE = {"currentTime": "2026-01-02T03:04:05.000Z"}
STREAM = v21.NotifyPeriodicEventStream(data=[v21.StreamDataElement(t=0.0, v="21.4")], id=7, pending=0, basetime=NOW)


@pytest.fixture
def server(make_server):
    return make_server(profiles=ALL)


@pytest.fixture
def raw_of(transport, cleanup):
    """A raw client that speaks one version."""

    def make(url, version, identity="CP_1"):
        raw = RawClient(transport, url, identity, [f"ocpp{version}"])
        cleanup.append(raw.stop)
        return raw

    return make


@pytest.fixture
def raw_server_of(transport, cleanup):
    def make(version):
        raw = RawServer(transport, [f"ocpp{version}"])
        cleanup.append(raw.stop)
        return raw

    return make


# Negotiation


def test_three_clients_of_three_versions_on_one_server(server, make_client):
    seen = Recorder()
    for version, package in VERSIONS.items():

        @server.on(package.HeartbeatRequest)
        def beat(client_id, request, version=version, package=package):
            seen(client_id, version, type(request) is package.HeartbeatRequest)
            assert type(server.call(client_id, package.ResetRequest(type=reset(version)))) is package.ResetResponse
            return package.HeartbeatResponse(current_time=NOW)

    def reset(version):
        return "Soft" if version == "1.6" else "Immediate"

    for version, package in VERSIONS.items():
        client = make_client(identity=f"CP_{version}", profiles=package.PROFILES)
        client.on(package.ResetRequest)(lambda request, package=package: package.ResetResponse(status="Accepted"))
        client.connect(server.url)
        answer = client.call(package.HeartbeatRequest())
        assert type(answer) is package.HeartbeatResponse
        assert client.version == server.version_of(f"CP_{version}") == version
    assert seen.calls == [(f"CP_{version}", version, True) for version in VERSIONS]


def test_a_client_offers_its_versions_in_order_and_learns_which_was_chosen(server, make_client, make_server):
    assert make_client(server.url, "A", profiles=ALL).version == "1.6"
    assert make_client(server.url, "B", profiles=[*v21.PROFILES, *v16.PROFILES]).version == "2.1"
    older = make_server(profiles=v201.PROFILES)
    assert make_client(older.url, "C", profiles=[*v21.PROFILES, *v201.PROFILES, *v16.PROFILES]).version == "2.0.1"
    with pytest.raises(SubprotocolError):
        make_client(older.url, "D", profiles=v16.PROFILES)


def test_the_servers_own_order_counts_if_it_is_told_so(make_server, make_client):
    server = make_server(profiles=[*v21.PROFILES, *v16.PROFILES], ws={"prefer": "server"})
    assert make_client(server.url, profiles=[*v16.PROFILES, *v21.PROFILES]).version == "2.1"


def test_a_message_of_another_version_is_refused_by_name(server, make_client):
    client = make_client(server.url, profiles=v201.PROFILES)
    with pytest.raises(UnsupportedFeature, match="2.0.1"):
        server.call("CP_1", v16.ResetRequest(type="Soft"))
    with pytest.raises(UnsupportedFeature):
        client.send_request(v21.HeartbeatRequest())


def test_identities_that_2_x_does_not_allow(server, raw_of, make_client):
    for identity in ("A" * 49, "AA:BB"):
        raw = raw_of(server.url, "2.0.1", identity)
        assert raw.wait_closed().code == 1008
        raw_of(server.url, "1.6", identity)
        eventually(lambda identity=identity: identity in server.client_ids())
        with pytest.raises(UsageError, match="2.1"):
            make_client(identity=identity, profiles=v21.PROFILES).connect(server.url)
    raw_of(server.url, "2.0.1", "A" * 48)
    eventually(lambda: "A" * 48 in server.client_ids())


# What differs


@pytest.mark.parametrize("version", VERSIONS)
def test_errors_are_spelt_as_the_version_spells_them(server, raw_of, version):
    package = VERSIONS[version]
    server.on(package.HeartbeatRequest)(lambda client_id, request: package.HeartbeatResponse(current_time=NOW))
    raw = raw_of(server.url, version)
    first, second = ("FormationViolation", "OccurenceConstraintViolation")
    if version != "1.6":
        first, second = ("FormatViolation", "OccurrenceConstraintViolation")
    assert raw.ask([2, "1", "Heartbeat", {"foo": 1}])[2] == first
    assert raw.ask([2, "2", "BootNotification", {}])[2] == second
    assert raw.ask([2, "3", "NoSuchAction", {}])[2] == "NotImplemented"
    assert raw.ask([2, "4", "ClearCache", {}])[2] == "NotSupported"
    assert raw.ask([2, "5", "Heartbeat", {}]) == [3, "5", BEAT_WIRE]


@pytest.mark.parametrize("frame", ["rubbish", "{}", "[]", '[2, 5, "Heartbeat", {}]', '[2, "", "Heartbeat", {}]'])
@pytest.mark.parametrize("version", VERSIONS)
def test_what_cannot_be_classified_is_answered_under_minus_one_in_2_x(server, raw_of, version, frame):
    raw = raw_of(server.url, version)
    raw.send(frame)
    if version != "1.6":
        kind, message_id, code, description, details = raw.receive()
        assert (kind, message_id, code, details) == (4, "-1", "RpcFrameworkError", {})
        assert frame not in description
        raw.send([4, "-1", "RpcFrameworkError", "", {}])  # the same from the peer is answered with nothing
    assert raw.ask([2, "1", "NoSuchAction", {}])[1] == "1"
    assert raw.nothing_came()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_repeated_id_is_refused_as_the_version_says(server, raw_of, version):
    package = VERSIONS[version]
    server.on(package.HeartbeatRequest, pass_id=True)(lambda client_id, request, message_id: None)
    raw = raw_of(server.url, version)
    raw.send([2, "1", "Heartbeat", {}])
    code = "ProtocolError" if version == "1.6" else "RpcFrameworkError"
    assert raw.ask([2, "1", "DataTransfer", {"vendorId": "V"}])[:3] == [4, "1", code]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("answering", [False, True])
def test_unknown_message_types_are_ignored_unless_asked_for(make_server, raw_of, version, answering):
    raw = raw_of(make_server(profiles=ALL, answer_unknown_types=answering).url, version)
    unknown = [[9, "1", "x"], [0, "1"]]
    if version != "2.1":
        unknown += [[5, "1", "GenericError", "", {}], [6, "1", "NotifyPeriodicEventStream", {}]]
    for frame in unknown:
        raw.send(frame)
        if answering and version != "1.6":
            assert raw.receive()[:3] == [4, "1", "MessageTypeNotSupported"]
    raw.send('[9, 5, "x"]')
    assert raw.ask([2, "2", "NoSuchAction", {}])[1] == "2"
    assert raw.nothing_came()


# SEND


def test_send_goes_past_the_queue_and_is_never_answered(make_client, raw_server_of):
    raw = raw_server_of("2.1")
    client = make_client(raw.url, profiles=v21.PROFILES)
    raw.wait_connected()
    pending, queued = client.send_request(v21.HeartbeatRequest()), client.send_request(v21.HeartbeatRequest())
    heartbeat = raw.receive()
    message_id = client.send(STREAM)
    frame = raw.receive()
    assert frame[:3] == [6, message_id, "NotifyPeriodicEventStream"]
    assert frame[3]["id"] == 7
    raw.send([3, heartbeat[1], BEAT_WIRE])
    assert pending.result(seconds(10)).current_time == NOW
    raw.send([3, raw.receive()[1], BEAT_WIRE])
    assert queued.result(seconds(10)).current_time == NOW


def test_a_send_reaches_its_handler(server, make_client):
    streams = Recorder(v21.HeartbeatResponse(current_time=NOW))  # what it returns is not sent
    server.on(v21.NotifyPeriodicEventStream)(streams)
    client = make_client(profiles=v21.PROFILES)
    frames = Recorder()
    client.add_observer(frames)
    client.connect(server.url)
    client.send(STREAM)
    assert streams.wait() == [("CP_1", STREAM)]
    eventually(lambda: server.client_ids())
    server.on(v21.HeartbeatRequest)(lambda client_id, request: v21.HeartbeatResponse(current_time=NOW))
    client.call(v21.HeartbeatRequest())
    assert [json.loads(call[0].text)[0] for call in frames.calls] == [6, 2, 3]


def test_a_broken_send_is_answered_with_nothing(server, raw_of):
    errors = Recorder()
    server.set_invalid_message_hook(errors)
    raw = raw_of(server.url, "2.1")
    for frame in (
        [6, "1", "NotifyPeriodicEventStream", {}],
        [6, "2", "NotifyPeriodicEventStream"],
        [6, "3", "NoSuchAction", {}],
        [6, "4", "Heartbeat", {}],
    ):
        raw.send(frame)
    raw.send([6, "5", "NotifyPeriodicEventStream", STREAM.to_wire()])  # nobody handles it
    assert raw.ask([2, "6", "NotifyPeriodicEventStream", STREAM.to_wire()])[:3] == [4, "6", "FormatViolation"]
    assert len(errors.calls) == 5
    assert raw.nothing_came()


def test_a_failing_send_handler_harms_nothing(server, raw_of):
    @server.on(v21.NotifyPeriodicEventStream)
    def fail(client_id, request):
        raise OCPPError(ErrorCode.GENERIC_ERROR)

    server.on(v21.HeartbeatRequest)(lambda client_id, request: v21.HeartbeatResponse(current_time=NOW))
    raw = raw_of(server.url, "2.1")
    raw.send([6, "1", "NotifyPeriodicEventStream", STREAM.to_wire()])
    assert raw.ask([2, "2", "Heartbeat", {}]) == [3, "2", BEAT_WIRE]


def test_send_and_call_are_not_mixed_up(server, make_client):
    client = make_client(server.url, profiles=v21.PROFILES)
    with pytest.raises(UsageError, match="send"):
        client.call(STREAM)
    with pytest.raises(UsageError, match="call"):
        client.send(v21.HeartbeatRequest())
    with pytest.raises(UsageError, match="call"):
        server.send("CP_1", v21.HeartbeatRequest())
    with pytest.raises(UnknownClient):
        server.send("nobody", STREAM)
    client.stop()
    with pytest.raises(NotRunning):
        client.send(STREAM)


def test_the_server_can_send_too(server, raw_of):
    raw = raw_of(server.url, "2.1")
    eventually(server.client_ids)
    message_id = server.send("CP_1", STREAM)
    assert raw.receive()[:3] == [6, message_id, "NotifyPeriodicEventStream"]


# CALLRESULTERROR


@pytest.mark.parametrize("version", VERSIONS)
def test_an_invalid_answer_is_told_to_the_peer_in_2_1(server, raw_of, version):
    package = VERSIONS[version]
    raw = raw_of(server.url, version)
    eventually(server.client_ids)
    future = server.send_request("CP_1", package.ClearCacheRequest())
    message_id = raw.receive()[1]
    raw.send([3, message_id, {"status": "Perhaps"}])
    assert isinstance(future.exception(seconds(10)), InvalidResponse)
    if version == "2.1":
        kind, sent_id, code, description, details = raw.receive()
        assert (kind, sent_id, code, details) == (5, message_id, "PropertyConstraintViolation", {})
        assert "status" in description
    raw.ask([2, "1", "NoSuchAction", {}])
    assert raw.nothing_came()


def test_the_hook_may_replace_a_callresulterror(server, raw_of):
    server.set_invalid_message_hook(lambda *arguments: OCPPError(ErrorCode.SECURITY_ERROR, "mine", {"a": 1}))
    raw = raw_of(server.url, "2.1")
    eventually(server.client_ids)
    server.send_request("CP_1", v21.ClearCacheRequest())
    message_id = raw.receive()[1]
    raw.send([3, message_id, {}])
    assert raw.receive() == [5, message_id, "SecurityError", "mine", {"a": 1}]


def test_a_hook_that_returns_no_error_replaces_no_callresulterror(server, raw_of):
    server.set_invalid_message_hook(lambda *arguments: "mine")
    raw = raw_of(server.url, "2.1")
    eventually(server.client_ids)
    future = server.send_request("CP_1", v21.ClearCacheRequest())
    message_id = raw.receive()[1]
    raw.send([3, message_id, {}])
    assert raw.receive()[:3] == [5, message_id, "OccurrenceConstraintViolation"]
    assert isinstance(future.exception(seconds(10)), InvalidResponse)


def test_a_callresulterror_reaches_its_handler(server, raw_of):
    refused = Recorder()
    server.set_result_error_handler(refused)
    server.on(v21.HeartbeatRequest)(lambda client_id, request: v21.HeartbeatResponse(current_time=NOW))
    raw = raw_of(server.url, "2.1")
    raw.ask([2, "1", "Heartbeat", {}])
    raw.send([5, "1", "FormatViolation", "what?", {"a": 1}])
    client_id, error, details = refused.wait()[0]
    assert (client_id, error.code, error.description, error.message_id) == (
        "CP_1",
        ErrorCode.FORMAT_VIOLATION,
        "what?",
        "1",
    )
    assert details == {"a": 1}
    raw.send([5, "1"])
    assert raw.ask([2, "2", "NoSuchAction", {}])[1] == "2"
    assert raw.nothing_came()


def test_a_client_of_every_version_speaks_to_a_library_server_of_every_version(make_server, make_client):
    """The whole of it once more through `Client.call`: each pair of version lists settles on the first common one."""
    names = list(VERSIONS)
    for ours in names:
        for theirs in names:
            server = make_server(profiles=VERSIONS[theirs].PROFILES)
            client = make_client(
                profiles=[*VERSIONS[ours].PROFILES, *(() if ours == theirs else VERSIONS[theirs].PROFILES)]
            )
            assert client.connect(server.url).version == theirs
            assert isinstance(client, Client)


def test_sends_that_wait_are_bounded(make_server, raw_of):
    server = make_server(profiles=ALL, max_waiting_calls=3)
    release, handled = threading.Event(), Recorder()

    @server.on(v21.NotifyPeriodicEventStream)
    def slow(client_id, request):
        assert release.wait(seconds(10))
        handled()

    server.on(v21.HeartbeatRequest)(lambda client_id, request: v21.HeartbeatResponse(current_time=NOW))
    raw = raw_of(server.url, "2.1")
    for number in range(20):
        raw.send([6, str(number), "NotifyPeriodicEventStream", STREAM.to_wire()])
    assert raw.ask([2, "full", "Heartbeat", {}])[:3] == [4, "full", "GenericError"]
    release.set()
    eventually(lambda: raw.ask([2, "empty", "Heartbeat", {}])[0] == 3)
    assert len(handled.calls) <= 4
    assert server.stats().refused["waiting_calls"] >= 16 + 1, "what was dropped is counted"
