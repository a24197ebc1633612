"""Firmware updates, diagnostics and logs of a simulated station of 1.6."""

from datetime import timedelta

import pytest

from ocppj import ErrorCode, OCPPError, v16
from tests.testing.sim_pairs import booted

Status, Signed = v16.FirmwareStatusNotificationRequest, v16.SignedFirmwareStatusNotificationRequest
Diagnostics, Log = v16.DiagnosticsStatusNotificationRequest, v16.LogStatusNotificationRequest


@pytest.fixture
def pair():
    with booted("1.6") as pair:
        yield pair


@pytest.fixture(scope="module")
def certificate():
    trustme = pytest.importorskip("trustme")
    return trustme.CA().cert_pem.bytes().decode()


def update(pair, minutes=0):
    moment = pair.station.core.time.now() + timedelta(minutes=minutes)
    pair.call(v16.UpdateFirmwareRequest("ftp://example.com/firmware", moment))


def update_signed(pair, certificate, request_id=7, install=None):
    now = pair.station.core.time.now()
    firmware = v16.Firmware("ftp://example.com/f", now, certificate, "c2ln", None if install is None else now + install)
    return pair.call(v16.SignedUpdateFirmwareRequest(request_id, firmware)).status


def trigger(pair, message, extended=False):
    kind = v16.ExtendedTriggerMessageRequest if extended else v16.TriggerMessageRequest
    return pair.call(kind(message)).status


def expect_in_order(pair, kind, *statuses, **fields):
    for status in statuses:
        pair.expect(kind, status=status, **fields)


class TestUpdateFirmware:
    def test_an_update(self, pair):
        update(pair, minutes=2)
        pair.csms.expect_nothing(during=1.5)
        expect_in_order(pair, Status, "Downloading", "Downloaded", "Installing")
        assert trigger(pair, "FirmwareStatusNotification") == "Accepted"
        pair.expect(Status, status="Installing")
        pair.csms.disconnected(within=60)
        assert pair.expect(v16.BootNotificationRequest).firmware_version == "2.0"
        pair.expect(Status, status="Installed")
        trigger(pair, "FirmwareStatusNotification")
        pair.expect(Status, status="Idle")

    def test_it_waits_for_the_end_of_transactions(self, pair):
        pair.begin()
        update(pair)
        expect_in_order(pair, Status, "Downloading", "Downloaded")
        pair.nothing(Status, during=10)
        pair.station.unplug(1)
        pair.expect(v16.StopTransactionRequest, reason="EVDisconnected")
        pair.expect(Status, status="Installing")

    @pytest.mark.parametrize(
        ("failure", "statuses"),
        [
            ("DownloadFailed", ["Downloading", "DownloadFailed"]),
            ("InstallationFailed", ["Downloading", "Downloaded", "Installing", "InstallationFailed"]),
            ("InstallVerificationFailed", ["Downloading", "Downloaded", "Installing", "InstallationFailed"]),
        ],
    )
    def test_failures(self, pair, failure, statuses):
        pair.station.core.firmware.fails_with = failure
        update(pair)
        expect_in_order(pair, Status, *statuses)
        pair.nothing(Status, during=10)

    def test_with_a_security_profile_only_signed_updates_are_supported(self):
        with booted("1.6", password="0123456789abcdef") as pair, pytest.raises(OCPPError) as caught:
            update(pair)
        assert caught.value.code is ErrorCode.NOT_SUPPORTED

    def test_no_reset_while_it_installs(self, pair):
        update(pair)
        pair.expect(Status, status="Installing")
        assert pair.call(v16.ResetRequest(type="Soft")).status == "Rejected"


class TestSignedUpdateFirmware:
    def test_an_update(self, pair, certificate):
        assert update_signed(pair, certificate, install=timedelta(minutes=10)) == "Accepted"
        expect_in_order(pair, Signed, "Downloading", "Downloaded", "SignatureVerified", request_id=7)
        pair.expect(Signed, status="InstallScheduled", request_id=7)
        expect_in_order(pair, Signed, "Installing", "InstallRebooting", request_id=7)
        pair.expect(v16.BootNotificationRequest)
        pair.expect(Signed, status="Installed", request_id=7)
        pair.expect(v16.SecurityEventNotificationRequest, type="FirmwareUpdated")
        assert trigger(pair, "FirmwareStatusNotification", extended=True) == "Accepted"
        pair.expect(Signed, status="Idle", request_id=None)
        assert pair.all(Status) == []

    def test_a_wrong_signature(self, pair, certificate):
        pair.station.core.firmware.fails_with = "InvalidSignature"
        update_signed(pair, certificate)
        expect_in_order(pair, Signed, "Downloading", "Downloaded", "InvalidSignature", request_id=7)
        pair.expect(v16.SecurityEventNotificationRequest, type="InvalidFirmwareSignature")
        trigger(pair, "FirmwareStatusNotification", extended=True)
        pair.expect(Signed, status="InvalidSignature", request_id=7)

    def test_a_wrong_certificate(self, pair):
        pytest.importorskip("cryptography")
        assert update_signed(pair, "nothing") == "InvalidCertificate"
        pair.expect(v16.SecurityEventNotificationRequest, type="InvalidFirmwareSigningCertificate")
        pair.nothing(Signed, during=5)

    def test_a_new_one_takes_the_place_of_an_old_one(self, pair, certificate):
        update_signed(pair, certificate, 7)
        pair.expect(Signed, status="Downloading", request_id=7)
        assert update_signed(pair, certificate, 8) == "AcceptedCanceled"
        expect_in_order(pair, Signed, "Downloading", "Downloaded", "SignatureVerified", "Installing", request_id=8)
        assert update_signed(pair, certificate, 9) == "Rejected"


class TestUploads:
    def get_log(self, pair, request_id=3):
        parameters = v16.LogParameters("ftp://example.com/logs")
        return pair.call(v16.GetLogRequest(parameters, "SecurityLog", request_id))

    def test_diagnostics(self, pair):
        assert pair.call(v16.GetDiagnosticsRequest("ftp://example.com")).file_name == "CP_1-diagnostics.log"
        pair.expect(Diagnostics, status="Uploading")
        trigger(pair, "DiagnosticsStatusNotification")
        pair.expect(Diagnostics, status="Uploading")
        pair.expect(Diagnostics, status="Uploaded")
        trigger(pair, "DiagnosticsStatusNotification")
        pair.expect(Diagnostics, status="Idle")

    def test_diagnostics_that_fail(self, pair):
        pair.station.core.log.fails_with = "UploadFailure"
        pair.call(v16.GetDiagnosticsRequest("ftp://example.com"))
        expect_in_order(pair, Diagnostics, "Uploading", "UploadFailed")

    def test_a_log(self, pair):
        response = self.get_log(pair)
        assert (response.status, response.filename) == ("Accepted", "CP_1-SecurityLog-3.log")
        pair.expect(Log, status="Uploading", request_id=3)
        trigger(pair, "LogStatusNotification", extended=True)
        pair.expect(Log, status="Uploading", request_id=3)
        pair.expect(Log, status="Uploaded", request_id=3)
        trigger(pair, "LogStatusNotification", extended=True)
        pair.expect(Log, status="Idle", request_id=None)

    def test_a_log_that_fails(self, pair):
        pair.station.core.log.fails_with = "PermissionDenied"
        self.get_log(pair)
        expect_in_order(pair, Log, "Uploading", "PermissionDenied", request_id=3)

    def test_a_new_log_takes_the_place_of_an_old_one(self, pair):
        self.get_log(pair, 3)
        assert self.get_log(pair, 4).status == "AcceptedCanceled"
        expect_in_order(pair, Log, "Uploading", "Uploaded", request_id=4)
