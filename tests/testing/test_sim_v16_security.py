"""Certificates, passwords and security events of a simulated station of 1.6."""

import pytest

from ocppj import ManualClock, v16
from ocppj.testing.csms import ScriptedCSMS
from ocppj.testing.simulation.station import SimulatedStation
from ocppj.ws.memory import MemoryNetwork
from tests.testing.sim_pairs import booted

trustme = pytest.importorskip("trustme")
x509 = pytest.importorskip("cryptography.x509")

ROOT, MANUFACTURER = "CentralSystemRootCertificate", "ManufacturerRootCertificate"
Event = v16.SecurityEventNotificationRequest
KEY = "00112233445566778899aabbccddeeff"


@pytest.fixture
def pair():
    with booted("1.6") as pair:
        yield pair


@pytest.fixture(scope="module")
def root():
    return trustme.CA().cert_pem.bytes().decode()


def install(pair, pem, use=ROOT):
    return pair.call(v16.InstallCertificateRequest(use, pem)).status


def installed(pair, use=ROOT):
    response = pair.call(v16.GetInstalledCertificateIdsRequest(use))
    assert (response.status == "NotFound") == (response.certificate_hash_data is None)
    return response.certificate_hash_data or []


def sign(csr, days=30):
    """Return a certificate for a signing request, made by a new CA, whose certificate follows."""
    from datetime import datetime, timedelta, timezone

    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    request, key = x509.load_pem_x509_csr(csr.encode()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "CA")])
    now = datetime.now(timezone.utc)

    def make(subject, public_key):
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public_key)
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=4000)).not_valid_after(now + timedelta(days=days))
        return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    return make(request.subject, request.public_key()) + make(issuer, key.public_key())


def ask(pair):
    """Have the station ask for a certificate. Return its signing request."""
    request = v16.ExtendedTriggerMessageRequest("SignChargePointCertificate")
    assert pair.call(request).status == "Accepted"
    return pair.expect(v16.SignCertificateRequest).csr


def test_root_certificates_are_installed_listed_and_deleted(pair, root):
    assert installed(pair) == []
    assert install(pair, root) == "Accepted"
    assert install(pair, trustme.CA().cert_pem.bytes().decode(), MANUFACTURER) == "Accepted"
    (data,) = installed(pair)
    assert data.hash_algorithm == "SHA256"
    assert len(installed(pair, MANUFACTURER)) == 1
    delete = v16.DeleteCertificateRequest(data)
    assert [pair.call(delete).status for _ in range(2)] == ["Accepted", "NotFound"]
    assert installed(pair) == []


def test_what_cannot_be_installed_is_rejected(pair, root):
    assert install(pair, "nothing") == "Rejected"
    pair.station.core.certificates.capacity = 1
    assert install(pair, root) == "Accepted"
    assert install(pair, trustme.CA().cert_pem.bytes().decode()) == "Rejected"


def test_a_new_certificate_of_its_own(pair):
    pair.call(v16.ChangeConfigurationRequest("CpoName", "Acme"))
    csr = ask(pair)
    subject = x509.load_pem_x509_csr(csr.encode()).subject
    assert subject.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)[0].value == "Acme"
    assert subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value == "CP_1"
    assert pair.call(v16.CertificateSignedRequest(sign(csr))).status == "Accepted"
    (own,) = pair.station.core.certificates.find("ChargePointCertificate")
    hash = own.hash
    data = v16.CertificateHashData(hash.algorithm, hash.issuer_name, hash.issuer_key, hash.serial_number)
    assert pair.call(v16.DeleteCertificateRequest(data)).status == "Failed"


def test_a_certificate_for_another_key_is_rejected(pair):
    csr = ask(pair)
    ask(pair)
    assert pair.call(v16.CertificateSignedRequest(sign(csr))).status == "Rejected"
    assert "key" in pair.expect(Event, type="InvalidChargePointCertificate").tech_info


def test_a_certificate_that_has_expired_is_rejected(pair):
    assert pair.call(v16.CertificateSignedRequest(sign(ask(pair), days=-3999))).status == "Rejected"
    pair.expect(Event, type="InvalidChargePointCertificate")


def test_security_events_are_for_those_that_know_the_extension(pair):
    pair.job(lambda: pair.station.core.behaviour.security_event("TamperDetectionActivated"))
    pair.nothing(Event, during=1)
    installed(pair)  # a message of the extension
    pair.job(lambda: pair.station.core.behaviour.security_event("TamperDetectionActivated", "lid"))
    pair.expect(Event, type="TamperDetectionActivated", tech_info="lid")


def test_security_events_wait_while_offline(pair):
    installed(pair)
    pair.station.go_offline(10)
    pair.csms.disconnected(within=5)
    pair.job(lambda: pair.station.core.behaviour.security_event("TamperDetectionActivated"))
    pair.csms.connected(within=30)
    pair.expect(Event, type="TamperDetectionActivated")


class TestPasswords:
    @pytest.fixture
    def guarded(self):
        """Yield a CSMS that knows a password, a station with that, and the table of passwords."""
        network, clock, passwords = MemoryNetwork(), ManualClock(), {"CP_1": bytes.fromhex(KEY)}
        csms = ScriptedCSMS(network=network, clock=clock, security_profile=1, passwords=passwords)
        with csms, SimulatedStation("CP_1", network=network, clock=clock, password=KEY) as station:
            yield csms, station.start(csms.url), passwords

    def test_hexadecimal_digits_stand_for_bytes(self, guarded):
        csms, station, _ = guarded
        csms.expect(v16.BootNotificationRequest, within=5)
        assert station.settings["SecurityProfile"] == 1
        csms.expect(Event, type="StartupOfTheDevice", within=5)
        csms.call(v16.ResetRequest(type="Soft"))
        csms.expect(Event, type="ResetOrReboot", within=30)

    def test_a_new_password_is_used_at_once(self, guarded):
        csms, _, passwords = guarded
        csms.expect(v16.BootNotificationRequest, within=5)
        new = "ffeeddccbbaa99887766554433221100"
        passwords["CP_1"] = bytes.fromhex(new)
        assert csms.call(v16.ChangeConfigurationRequest("AuthorizationKey", new)).status == "Accepted"
        csms.disconnected(within=5)
        csms.connected(within=10)
        assert csms.call(v16.GetConfigurationRequest()).configuration_key
        assert csms.order(but=[v16.StatusNotificationRequest, Event]) == ["BootNotification"]


def test_a_new_certificate_of_its_own_takes_the_place_of_the_one_before(pair):
    for _ in range(25):
        assert pair.call(v16.CertificateSignedRequest(sign(ask(pair)))).status == "Accepted"
    assert len(pair.station.core.certificates) == 1
