"""A simulated station of 2.x installs, lists and deletes certificates, and asks for its own."""

import pytest

from tests.testing.sim_pairs import booted

x509 = pytest.importorskip("cryptography.x509")

from datetime import timedelta  # noqa: E402 - after the skip

from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402
from cryptography.x509 import ocsp  # noqa: E402


class CA:
    """A certificate authority whose certificates are valid at the time of the simulated station."""

    def __init__(self, now, name="Root", days=10):
        self._now, self._days = now, days
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self.certificate = self._sign(self.name, self.key.public_key())
        self.pem = self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def _sign(self, subject, key):
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(key)
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(self._now - timedelta(days=20))
        return builder.not_valid_after(self._now + timedelta(days=self._days)).sign(self.key, hashes.SHA256())

    def sign(self, csr):
        request = x509.load_pem_x509_csr(csr.encode())
        certificate = self._sign(request.subject, request.public_key())
        return certificate.public_bytes(serialization.Encoding.PEM).decode()


@pytest.fixture(params=["2.0.1", "2.1"])
def pair(request):
    with booted(request.param) as pair:
        yield pair


@pytest.fixture
def ca(pair):
    return CA(pair.clock.now())


def install(pair, pem, use="CSMSRootCertificate"):
    return pair.call(pair.types.InstallCertificateRequest(certificate_type=use, certificate=pem)).status


def installed(pair, *uses):
    response = pair.call(pair.types.GetInstalledCertificateIdsRequest(certificate_type=list(uses) or None))
    return response.certificate_hash_data_chain or []


def request_certificate(pair):
    pair.station.core.post(pair.station.core.behaviour.certificates.ask)
    return pair.expect(pair.types.SignCertificateRequest).csr


def test_a_certificate_is_installed_listed_once_and_deleted(pair, ca):
    assert installed(pair) == []
    assert install(pair, ca.pem) == "Accepted"
    assert install(pair, ca.pem) == "Accepted"
    [chain] = installed(pair)
    assert chain.certificate_type == "CSMSRootCertificate"
    assert int(chain.certificate_hash_data.serial_number, 16) == ca.certificate.serial_number
    assert installed(pair, "MORootCertificate") == []
    request = pair.types.DeleteCertificateRequest(certificate_hash_data=chain.certificate_hash_data)
    assert [pair.call(request).status for _ in range(2)] == ["Accepted", "NotFound"]
    assert installed(pair) == []


def test_the_hashes_are_those_of_ocsp(pair, ca):
    install(pair, ca.pem)
    data = installed(pair)[0].certificate_hash_data
    request = ocsp.OCSPRequestBuilder().add_certificate(ca.certificate, ca.certificate, hashes.SHA256()).build()
    assert (data.issuer_name_hash, data.issuer_key_hash) == (
        request.issuer_name_hash.hex(),
        request.issuer_key_hash.hex(),
    )


def test_what_is_no_certificate_or_is_over_is_rejected(pair):
    assert install(pair, "no certificate") == "Rejected"
    assert install(pair, CA(pair.clock.now(), days=-1).pem) == "Rejected"


def test_there_is_an_end_to_how_many_certificates_fit(pair):
    now = pair.clock.now()
    assert [install(pair, CA(now).pem) for _ in range(21)] == ["Accepted"] * 20 + ["Rejected"]


def test_a_certificate_that_was_asked_for_is_accepted(pair, ca):
    install(pair, ca.pem)
    csr = request_certificate(pair)
    subject = x509.load_pem_x509_csr(csr.encode()).subject
    assert "CN=CP_1" in subject.rfc4514_string() and "O=ocppj" in subject.rfc4514_string()
    request = pair.types.CertificateSignedRequest(certificate_chain=ca.sign(csr))
    assert pair.call(request).status == "Accepted"
    pair.nothing(pair.types.SignCertificateRequest, during=500)


def test_one_of_another_key_or_authority_is_rejected_and_told(pair, ca):
    install(pair, ca.pem)
    other = CA(pair.clock.now())
    csr = request_certificate(pair)
    for chain in (ca.pem, CA(pair.clock.now(), "Stranger").sign(csr), other.sign(csr)):
        request = pair.types.CertificateSignedRequest(certificate_chain=chain)
        assert pair.call(request).status == "Rejected"
        pair.expect(pair.types.SecurityEventNotificationRequest, type="InvalidChargingStationCertificate")


def test_one_that_does_not_come_is_asked_for_again(pair):
    first = request_certificate(pair)
    start = pair.clock.monotonic()
    second = pair.expect(pair.types.SignCertificateRequest)
    assert pair.clock.monotonic() - start == pytest.approx(30, abs=1)
    assert second.csr != first
    pair.expect(pair.types.SignCertificateRequest)
    assert pair.clock.monotonic() - start == pytest.approx(90, abs=1)
    pair.nothing(pair.types.SignCertificateRequest, during=1000)  # CertSigningRepeatTimes


def test_a_new_certificate_of_the_station_takes_the_place_of_the_one_before(pair, ca):
    install(pair, ca.pem)
    for _ in range(25):
        request = pair.types.CertificateSignedRequest(certificate_chain=ca.sign(request_certificate(pair)))
        assert pair.call(request).status == "Accepted"
    assert len(pair.station.core.certificates) == 2


def test_a_certificate_of_the_station_for_which_there_is_no_room_is_rejected(pair, ca):
    install(pair, ca.pem)
    pair.station.core.certificates.capacity = 1
    request = pair.types.CertificateSignedRequest(certificate_chain=ca.sign(request_certificate(pair)))
    assert pair.call(request).status == "Rejected"
