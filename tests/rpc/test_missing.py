"""What `UnsupportedFeature` says: the real reason, and what to do."""

from dataclasses import dataclass

import pytest

from ocppj import Client, Endpoint, Profile, Server, UnsupportedFeature, v16, v21, v201
from ocppj.payloads.model import Payload
from ocppj.rpc.dialect import V16, V21, V201
from tests.helpers import eventually, seconds

RESET = {v16: v16.ResetRequest(type="Soft"), v201: v201.ResetRequest(type="Immediate")}
RESET[v21] = v21.ResetRequest(type="Immediate")


@dataclass
class Own(Payload):
    """A message of the program's own."""


@pytest.mark.parametrize(
    ("profiles", "dialect", "request_type", "reason"),
    [
        # The connection is in another version.
        (
            [*v16.PROFILES, *v201.PROFILES],
            V201,
            v16.ResetRequest,
            "the connection is in OCPP 2.0.1, and v16.ResetRequest is a message of OCPP 1.6: use v201.ResetRequest",
        ),
        (
            [*v201.PROFILES, *v21.PROFILES],
            V21,
            v201.ResetRequest,
            "the connection is in OCPP 2.1, and v201.ResetRequest is a message of OCPP 2.0.1: use v21.ResetRequest",
        ),
        (
            [*v16.PROFILES, *v201.PROFILES],
            V16,
            v201.TransactionEventRequest,
            "the connection is in OCPP 1.6, and v201.TransactionEventRequest is a message of OCPP 2.0.1: "
            "there is no TransactionEvent in that version",
        ),
        # The endpoint does not speak that version at all.
        (
            v201.PROFILES,
            None,
            v16.ResetRequest,
            "this endpoint has profiles of OCPP 2.0.1, and v16.ResetRequest is a message of OCPP 1.6: "
            "add v16.PROFILES, or use v201.ResetRequest",
        ),
        (
            [*v201.PROFILES, *v21.PROFILES],
            None,
            v16.StartTransactionRequest,
            "this endpoint has profiles of OCPP 2.0.1 and 2.1, and v16.StartTransactionRequest is a message of "
            "OCPP 1.6: add v16.PROFILES",
        ),
        (
            [],
            None,
            v21.ResetRequest,
            "this endpoint has no profiles, and v21.ResetRequest is a message of OCPP 2.1: add v21.PROFILES",
        ),
        # The version is right, and no profile has it.
        (
            [v16.CORE],
            V16,
            v16.GetLocalListVersionRequest,
            "no profile has v16.GetLocalListVersionRequest (OCPP 1.6): add v16.LOCAL_AUTH_LIST_MANAGEMENT",
        ),
        (
            [v201.PROVISIONING],
            None,
            v201.TransactionEventRequest,
            "no profile has v201.TransactionEventRequest (OCPP 2.0.1): add v201.TRANSACTIONS",
        ),
        (
            [v21.PROVISIONING],
            V21,
            v21.TransactionEventRequest,
            "no profile has v21.TransactionEventRequest (OCPP 2.1): add v21.TRANSACTIONS",
        ),
        # It is no request.
        (v16.PROFILES, V16, v16.ResetResponse, "v16.ResetResponse is no request: it is a response"),
        (v201.PROFILES, None, v201.ResetResponse, "v201.ResetResponse is no request: it is a response"),
        (v21.PROFILES, V21, v21.EVSE, "v21.EVSE is no request"),
        # It is of no version that there is.
        (v16.PROFILES, V16, Own, "no profile has Own: the connection is in OCPP 1.6"),
        (v16.PROFILES, None, Own, "no profile has Own: this endpoint has profiles of OCPP 1.6"),
        ([], None, Own, "no profile has Own: this endpoint has no profiles"),
    ],
    ids=lambda value: value if isinstance(value, str) else getattr(value, "__name__", ""),
)
def test_the_reason(profiles, dialect, request_type, reason):
    endpoint = Endpoint(profiles)
    request = request_type.__new__(request_type)  # its type alone counts
    with pytest.raises(UnsupportedFeature) as caught:
        endpoint.create_call(request, dialect)
    assert str(caught.value) == reason


def test_the_reason_for_a_response():
    with pytest.raises(UnsupportedFeature, match=r"v16\.ResetRequest is no response: it is a request"):
        Endpoint(v16.PROFILES).create_call_result(v16.ResetRequest(type="Soft"), "1", V16)


def test_on_says_it_too():
    with pytest.raises(UnsupportedFeature, match=r"add v16\.PROFILES, or use v201\.ResetRequest"):
        Client("CP_1", profiles=v201.PROFILES).on(v16.ResetRequest)
    with pytest.raises(UnsupportedFeature, match=r"is no request: it is a response"):
        Server(profiles=v201.PROFILES).after(v201.ResetResponse)
    with pytest.raises(UnsupportedFeature, match=r"add v16\.SMART_CHARGING"):
        Server(profiles=[v16.CORE]).on(v16.ClearChargingProfileRequest)


@pytest.mark.parametrize("spoken", [v16, v201, v21], ids=["1.6", "2.0.1", "2.1"])
def test_a_station_that_speaks_another_version(spoken):
    every = [*v16.PROFILES, *v201.PROFILES, *v21.PROFILES]
    server = Server(profiles=every, timeout=seconds(10))
    with server.listen(host="127.0.0.1"), Client("CP_1", profiles=spoken.PROFILES).connect(server.url):
        eventually(server.client_ids)
        for module, request in RESET.items():
            if module is not spoken:
                with pytest.raises(UnsupportedFeature) as caught:
                    server.call("CP_1", request)
                name = spoken.__name__.rpartition(".")[2]
                assert f"the connection is in OCPP {server.version_of('CP_1')}" in str(caught.value)
                assert str(caught.value).endswith(f"use {name}.ResetRequest")


def test_an_empty_profile_of_a_version_has_nothing():
    with pytest.raises(UnsupportedFeature, match=r"no profile has v16\.ResetRequest .*: add v16\.CORE"):
        Server(profiles=[Profile("Empty", V16)]).on(v16.ResetRequest)
