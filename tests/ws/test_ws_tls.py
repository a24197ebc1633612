"""TLS contexts: what is negotiated with them, over real sockets, and what is said of files that will not do."""

import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ocppj import UsageError, client_tls_context, server_tls_context
from ocppj.ws.tls import CIPHERS
from tests.certificates import PASSWORD, authority, server_file, stranger
from tests.helpers import seconds

OF_THE_DOCUMENTS = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
]


def shake(server_context, client_context, name="localhost"):
    """Shake hands and pass a byte each way; return the sockets' ends: version, cipher, certificates, compression."""
    near, far = socket.socketpair()
    seen = {}

    def serve():
        try:
            near.settimeout(seconds(10))
            with server_context.wrap_socket(near, server_side=True) as sock:
                sock.sendall(sock.recv(1))
                seen["client"] = sock.getpeercert()
        except OSError as error:
            seen["refused"] = error
        finally:
            near.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        far.settimeout(seconds(10))
        with client_context.wrap_socket(far, server_hostname=name) as sock:
            sock.sendall(b"x")
            if sock.recv(1) != b"x":
                raise ssl.SSLEOFError("refused")
            key = ssl.DER_cert_to_PEM_cert(sock.getpeercert(True))
            return {
                "version": sock.version(),
                "cipher": sock.cipher()[0],
                "key": key,
                "zip": sock.compression(),
                **seen,
            }
    finally:
        far.close()
        thread.join(seconds(10))
        assert not thread.is_alive()


def both_kinds():
    return server_tls_context([server_file("RSA"), server_file("EC")])


def wanting(cipher=None, version=None):
    """Return a client that has one suite alone, or one version."""
    context = client_tls_context(authority().path)
    if cipher is not None:
        context.set_ciphers(cipher)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


@pytest.mark.parametrize("cipher", CIPHERS)
def test_each_suite_is_negotiated(cipher):
    found = shake(both_kinds(), wanting(cipher))
    assert (found["version"], found["cipher"], found["zip"]) == ("TLSv1.2", cipher, None)
    pem = server_file("EC" if "ECDSA" in cipher else "RSA").read_text()
    assert found["key"].strip() in pem


def test_the_suites_of_the_documents_are_among_them():
    assert set(OF_THE_DOCUMENTS) <= set(CIPHERS)
    for context in (both_kinds(), client_tls_context()):
        names = [cipher["name"] for cipher in context.get_ciphers()]
        assert [name for name in names if not name.startswith("TLS_")] == list(CIPHERS)
        assert [name for name in names if name.startswith("TLS_")]


def test_the_system_s_authorities_are_the_default(monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority().path))
    shake(both_kinds(), client_tls_context())


def tells_password(act):
    """Run ``act``, of the files that are its arguments, where there is no terminal and the password is typed in."""
    files = [str(path) for path in authority().pair("localhost", password=PASSWORD)]
    code = f"import ssl, sys, ocppj\nchain, key = sys.argv[1:]\n{act}"
    return subprocess.run(
        [sys.executable, "-c", code, *files],
        input=f"{PASSWORD}\n" * 3,
        capture_output=True,
        text=True,
        timeout=seconds(30),
        start_new_session=True,  # without a terminal OpenSSL asks on the standard streams
    )


CONTEXTS = {
    "server": "ocppj.server_tls_context([(chain, key)])",
    "client": "ocppj.client_tls_context(certificate=chain, key=key)",
}


@pytest.mark.parametrize("act", CONTEXTS.values(), ids=CONTEXTS)
def test_openssl_does_not_ask_for_a_password(act):
    """OpenSSL itself would ask on the terminal, and block."""
    told = tells_password(act)
    assert "UsageError: cannot load the certificate" in told.stderr
    assert "pass phrase" not in told.stderr + told.stdout


def test_openssl_itself_would_ask_for_a_password():
    """Else the test before this one shows nothing."""
    told = tells_password("ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(chain, key)")
    assert (told.returncode, "pass phrase" in told.stderr + told.stdout) == (0, True)


def test_tls_1_3_is_preferred():
    assert shake(both_kinds(), wanting())["version"] == "TLSv1.3"


def test_the_servers_order_counts():
    context = wanting()
    context.set_ciphers(":".join(reversed(CIPHERS)))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert shake(both_kinds(), context)["cipher"] == CIPHERS[0]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_older_versions_are_refused(version):
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.load_verify_locations(authority().path)
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = old.maximum_version = version
    with pytest.raises(OSError):
        shake(both_kinds(), old)
    for context in (both_kinds(), client_tls_context()):
        context.set_ciphers("ALL:@SECLEVEL=0")  # not because of the suites alone
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("cipher", ["ECDHE-RSA-AES128-SHA", "AES128-SHA", "AES128-SHA256"])
def test_other_suites_are_refused(cipher):
    with pytest.raises(OSError):
        shake(both_kinds(), wanting(cipher))


def test_a_server_that_is_not_trusted_is_refused():
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(server_tls_context(stranger().both("localhost")), wanting())
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(both_kinds(), client_tls_context())  # the system's authorities


def test_the_servers_name_is_checked():
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(both_kinds(), wanting(), "other.example")
    shake(both_kinds(), client_tls_context(authority().path, check_hostname=False), "other.example")


def test_a_common_name_is_enough():
    """Part 2 A00.FR.309, and A00.FR.511, which advises against a subjectAltName."""
    server = server_tls_context(authority().both("csms.example"))
    shake(server, wanting(), "csms.example")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(server, wanting(), "other.example")


def client_of(issuer, **options):
    certificate, key = issuer.pair("CP_1", **options)
    return client_tls_context(authority().path, certificate, key, options.get("password"))


@pytest.mark.parametrize("kind", ["EC", "RSA"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_client_certificates(kind, version):
    server = server_tls_context(server_file(), client_ca=authority().path, require_client_certificate=True)
    for context, welcome in [
        (client_of(authority(), kind=kind), True),
        (client_of(stranger(), kind=kind), False),
        (client_tls_context(authority().path), False),
    ]:
        context.minimum_version = context.maximum_version = version
        if welcome:
            shake(server, context)
        else:
            with pytest.raises(OSError):
                shake(server, context)


def test_client_certificates_may_be_left_to_the_client():
    server = server_tls_context([server_file()], client_ca=str(authority().path))
    shake(server, client_tls_context(authority().path))
    with pytest.raises(OSError):
        shake(server, client_of(stranger()))


def refused(server, client):
    with pytest.raises(OSError):
        shake(server, client)


def test_an_expired_certificate_is_refused_on_either_side():
    """A00.FR.407; A00.FR.430: a charge point whose own has expired tries all the same."""
    server = server_tls_context(server_file(), client_ca=authority().path, require_client_certificate=True)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = client_of(authority(), expired=True)
        context.minimum_version = context.maximum_version = version
        refused(server, context)
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        shake(server_tls_context(authority().both("localhost", expired=True)), wanting())


@pytest.mark.parametrize("required", [True, False])
def test_a_weak_key_is_refused_on_either_side(required):
    """A00.FR.501, A00.FR.502."""
    server = server_tls_context(server_file(), client_ca=authority().path, require_client_certificate=required)
    own = authority().both("localhost", kind="RSA-1024")
    for make in (lambda: server_tls_context(own), lambda: client_tls_context(certificate=own)):
        with pytest.raises(UsageError, match="KEY_TOO_SMALL"):
            make()
    lax = [ssl.SSLContext(protocol) for protocol in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT)]
    for context in lax:
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.load_cert_chain(own)
        context.load_verify_locations(authority().path)
    with pytest.raises(ssl.SSLCertVerificationError, match="too weak"):
        shake(lax[0], wanting())
    refused(server, lax[1])
    shake(*lax)


# Revocation lists


def revoking(crl, required=True):
    return server_tls_context(
        server_file(), client_ca=authority().path, client_crl=crl, require_client_certificate=required
    )


@pytest.mark.parametrize("required", [True, False])
def test_a_revoked_certificate_is_refused(required):
    """A00.FR.705; 1.6 security whitepaper A00.FR.704."""
    gone, _ = authority().pair("CP_gone")
    server = revoking(authority().revoke(gone), required)
    shake(server, client_of(authority()))
    refused(server, client_tls_context(authority().path, *authority().pair("CP_gone")))
    if not required:
        shake(server, wanting())


def test_a_newer_list_is_loaded_while_the_server_runs():
    certificate, key = authority().pair("CP_renewed")
    server = revoking(str(authority().revoke()))
    shake(server, client_tls_context(authority().path, certificate, key))
    server.load_verify_locations(authority().revoke(certificate))
    refused(server, client_tls_context(authority().path, certificate, key))
    shake(server, client_of(authority()))


def test_no_client_is_accepted_without_a_current_list():
    refused(revoking(authority().revoke(expired=True)), client_of(authority()))
    refused(revoking(stranger().revoke()), client_of(authority()))


def test_lists_that_are_none(tmp_path):
    both = tmp_path / "both.pem"
    both.write_bytes(authority().revoke().read_bytes() + stranger().path.read_bytes())
    for bad in (stranger().path, both):  # whose certificate would be trusted
        with pytest.raises(UsageError, match="revocation lists are wanted, and nothing else: ") as caught:
            revoking(bad)
        assert str(bad) in str(caught.value)
    for bad in (tmp_path / "none.pem", bad_file(tmp_path, "secret-text"), 7):
        with pytest.raises(UsageError, match="cannot load the revocation lists in") as caught:
            revoking(bad)
        assert "secret" not in str(caught.value)
    with pytest.raises(UsageError, match="without client_ca"):
        server_tls_context(server_file(), client_crl=authority().revoke())


def test_files_in_every_form():
    certificate, key = authority().pair("localhost", password=PASSWORD)
    shake(server_tls_context([(certificate, str(key))], password=PASSWORD), wanting())
    shake(server_tls_context([(str(certificate), key)], password=PASSWORD.encode()), wanting())
    shake(server_tls_context(str(server_file())), wanting())
    shake(server_tls_context(iter([server_file()])), wanting())
    client_tls_context(authority().path, authority().both("CP_1"))
    client_of(authority(), password=PASSWORD)


@pytest.mark.parametrize("form", ["file", "file and key", "list of files", "list of pairs"])
def test_both_sides_take_certificates_in_the_same_forms(form):
    chain, key = authority().pair("CP_1")
    given = {"list of pairs": [(chain, key)], "file and key": chain}.get(form, authority().both("CP_1"))
    given = [given] if form == "list of files" else given
    client = client_tls_context(authority().path, given, key if form == "file and key" else None)
    shake(server_tls_context(server_file(), client_ca=authority().path, require_client_certificate=True), client)
    if form != "file and key":
        server_tls_context(given)


def test_a_client_may_have_a_certificate_of_each_kind():
    rsa, ec = (authority().pair("CP_1", kind=kind) for kind in ("RSA", "EC"))
    client = client_tls_context(authority().path, [rsa, ec])
    shake(server_tls_context(server_file(), client_ca=authority().path, require_client_certificate=True), client)


def test_a_certificate_is_renewed_while_the_server_runs():
    server = server_tls_context([server_file("RSA"), server_file("EC")])
    before = shake(server, wanting())["key"]
    renewed = authority().both("localhost", organization="renewed")
    server.load_cert_chain(renewed)
    after = shake(server, wanting())["key"]
    assert before != after
    assert after.strip() in renewed.read_text()


def bad_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "bad.pem"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text", ["", "secret-text", "-----BEGIN CERTIFICATE-----\nc2VjcmV0\n-----END CERTIFICATE-----\n"]
)
def test_files_that_are_no_pem(tmp_path, text):
    path = bad_file(tmp_path, text)
    for make in (
        lambda: server_tls_context(path),
        lambda: server_tls_context(server_file(), client_ca=path),
        lambda: server_tls_context([(server_file(), path)]),
        lambda: client_tls_context(path),
        lambda: client_tls_context(certificate=path),
    ):
        with pytest.raises(UsageError) as caught:
            make()
        assert str(path) in str(caught.value)
        assert "secret" not in str(caught.value)
        assert "c2Vj" not in str(caught.value)


def test_files_that_are_not_there(tmp_path):
    path = tmp_path / "none.pem"
    for make in (
        lambda: server_tls_context(path),
        lambda: server_tls_context(str(path)),
        lambda: server_tls_context(server_file(), client_ca=path),
        lambda: client_tls_context(path),
        lambda: client_tls_context(certificate=server_file(), key=path),
        lambda: client_tls_context(tmp_path),
    ):
        with pytest.raises(UsageError) as caught:
            make()
        assert str(path if make is not None and "none" in str(caught.value) else tmp_path) in str(caught.value)


def test_keys_that_do_not_fit():
    certificate, key = authority().pair("localhost", password=PASSWORD)
    for make in (
        lambda: server_tls_context(certificate),  # there is no key in it
        lambda: server_tls_context((certificate, key)),  # two certificates, not a pair
        lambda: server_tls_context([(certificate, authority().pair("CP_1", kind="RSA")[1])]),
        lambda: server_tls_context([(certificate, key)]),  # no password, and OpenSSL does not ask for it
        lambda: server_tls_context([(certificate, key)], password="wrong-secret"),
        lambda: client_tls_context(certificate=certificate, key=key, password="wrong-secret"),
    ):
        with pytest.raises(UsageError, match="cannot load the certificate") as caught:
            make()
        assert str(certificate) in str(caught.value)
        assert "wrong-secret" not in str(caught.value)


@pytest.mark.parametrize("bad", [7, None, [7], [None], [(1, 2)], [("a", "b", "c")], []])
def test_what_is_no_list_of_files(bad):
    with pytest.raises(UsageError):
        server_tls_context(bad)
    if bad is not None:
        with pytest.raises(UsageError):
            client_tls_context(certificate=bad)


def test_options_that_make_no_sense():
    with pytest.raises(UsageError, match="client_ca"):
        server_tls_context(server_file(), require_client_certificate=True)
    with pytest.raises(UsageError, match="without a certificate"):
        client_tls_context(key=server_file())
    with pytest.raises(UsageError, match="without a certificate"):
        client_tls_context(password="x")
    with pytest.raises(UsageError, match="one certificate file"):
        client_tls_context(certificate=[server_file()], key=server_file())
    with pytest.raises(UsageError, match="a path is wanted, not int"):
        client_tls_context(7)


@pytest.mark.skipif(not hasattr(ssl, "OP_NO_RENEGOTIATION"), reason="OpenSSL without it")
def test_there_is_no_renegotiation_and_no_compression():
    for context in (both_kinds(), client_tls_context()):
        assert context.options & ssl.OP_NO_RENEGOTIATION
        assert context.options & ssl.OP_NO_COMPRESSION
