"""``TestPKI``: certificates that the library's own server and client take."""

import gc
import ssl
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Optional

import pytest

from ocppj import Client, HandshakeRefused, Server, TransportError, UsageError, client_tls_context, v16
from ocppj.testing.pki import TestPKI
from tests.helpers import seconds

pytest.importorskip("trustme")
NOW = datetime(2026, 1, 2, tzinfo=timezone.utc)
HEARTBEAT = v16.HeartbeatRequest()


@pytest.fixture(scope="module")
def pki() -> Any:
    with TestPKI() as pki:
        yield pki


def serve(pki: TestPKI, profile: int) -> Server:
    server = Server(
        profiles=v16.PROFILES,
        ssl_context=pki.server_context(require_client_certificate=profile == 3),
        security_profile=profile,
    )
    server.on(v16.HeartbeatRequest)(lambda client_id, request: v16.HeartbeatResponse(current_time=NOW))
    if profile == 2:
        server.set_basic_auth_handler(lambda client_id, password: password == b"secret of CP_1!!")
    return server.listen(port=0)


def talk(server: Server, context: ssl.SSLContext, identity: str, password: Optional[str] = None) -> Any:
    """Connect, and return the answer to a Heartbeat."""
    auth: Any = {} if password is None else {"basic_auth": (identity, password)}
    client = Client(identity, profiles=v16.PROFILES, ssl_context=context, reconnect=False, **auth)
    with client.connect(server.url):
        return client.call(HEARTBEAT, timeout=seconds(10))


@pytest.mark.parametrize("key_type", ["ECDSA", "RSA"])
def test_profile_3(key_type: str) -> None:
    with TestPKI(key_type=key_type) as pki, serve(pki, 3) as server:
        assert talk(server, pki.client_context("CP_1"), "CP_1").current_time
        assert talk(server, pki.client_context("/Straße 7"), "/Straße 7").current_time
        with pytest.raises(HandshakeRefused):  # the certificate of another station
            talk(server, pki.client_context("CP_1"), "CP_2")
        with pytest.raises(TransportError):
            talk(server, pki.client_context(), "CP_1")


def test_profile_2(pki: TestPKI) -> None:
    with serve(pki, 2) as server:
        assert talk(server, pki.client_context(), "CP_1", "secret of CP_1!!").current_time
        with pytest.raises(HandshakeRefused):
            talk(server, pki.client_context(), "CP_1", "another")


def test_an_expired_certificate(pki: TestPKI) -> None:
    with serve(pki, 3) as server, pytest.raises(TransportError):
        talk(server, client_tls_context(pki.ca, pki.station("CP_1", expired=True)), "CP_1")


def test_certificates_of_another_authority(pki: TestPKI) -> None:
    with TestPKI() as other, serve(pki, 3) as server:
        with pytest.raises(TransportError):
            talk(server, other.client_context("CP_1"), "CP_1")
        with serve(other, 3) as foreign, pytest.raises(TransportError):
            talk(foreign, pki.client_context("CP_1"), "CP_1")


def test_other_hosts() -> None:
    with TestPKI(hosts=["csms.example"]) as pki, serve(pki, 3) as server, pytest.raises(TransportError):
        talk(server, pki.client_context("CP_1"), "CP_1")


def test_python_takes_them_with_its_own_contexts(pki: TestPKI) -> None:
    # Python 3.13 looks at certificates more strictly than this library does.
    context = ssl.create_default_context(cafile=pki.ca)
    context.load_cert_chain(pki.station("CP_1"))
    with serve(pki, 3) as server:
        assert talk(server, context, "CP_1").current_time


def test_the_subject() -> None:
    with TestPKI(organization="Operator") as pki, serve(pki, 3) as server:
        subjects = []

        @server.set_check_client_handler
        def check(request: Any) -> bool:
            subjects.append((request.subject("organizationName"), request.subject("commonName")))
            return True

        talk(server, pki.client_context("CP_1"), "CP_1")
    assert [tuple(map(list, each)) for each in subjects] == [(["Operator"], ["CP_1"])]


def test_a_certificate_is_made_once(pki: TestPKI) -> None:
    assert pki.station("CP_1") == pki.station("CP_1") != pki.station("CP_2")
    assert pki.station("CP_1").read_bytes() != pki.station("CP_2").read_bytes()


def test_the_temporary_folder_is_removed() -> None:
    with TestPKI() as pki:
        folder = pki.ca.parent
        assert folder.is_dir()
    assert not folder.exists()
    pki.close()

    folder = TestPKI().ca.parent
    gc.collect()
    assert not folder.exists()


def test_a_folder_of_the_caller_stays(tmp_path: Path) -> None:
    with TestPKI(tmp_path) as pki:
        pki.station("CP_1")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["ca.pem", "server.pem", "station-1.pem"]


@pytest.mark.parametrize("identity", ["", "x" * 65])
def test_an_identity_that_no_certificate_can_have(pki: TestPKI, identity: str) -> None:
    with pytest.raises(UsageError, match=f"^a commonName has 1 to 64 characters, not {len(identity)}$"):
        pki.station(identity)


def test_a_wrong_key_type() -> None:
    with pytest.raises(UsageError, match="""^key_type is "ECDSA" or "RSA", not 'DSA'$"""):
        TestPKI(key_type="DSA")


def test_without_trustme(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trustme", None)
    with pytest.raises(UsageError, match=r"need the package trustme: pip install 'ocppj\[testing\]'$"):
        TestPKI()


def test_an_empty_text_is_no_folder() -> None:
    with pytest.raises(UsageError, match="folder is the name of a folder, not an empty text"):
        TestPKI("")
