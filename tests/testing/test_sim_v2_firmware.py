"""A simulated station of 2.x updates and publishes firmware, and uploads logs."""

from datetime import timedelta

import pytest

from ocppj.testing.pki import TestPKI
from tests.testing.sim_pairs import booted


@pytest.fixture(params=["2.0.1", "2.1"])
def pair(request):
    with booted(request.param) as pair:
        yield pair


def update(pair, request_id=1, minutes=0, **more):
    types = pair.types
    firmware = types.Firmware(
        location="https://example.com/firmware",
        retrieve_date_time=pair.station.core.time.now() + timedelta(minutes=minutes),
        **more,
    )
    return pair.call(types.UpdateFirmwareRequest(request_id=request_id, firmware=firmware)).status


def firmware_is(pair, status, request_id=1):
    return pair.expect(pair.types.FirmwareStatusNotificationRequest, status=status, request_id=request_id)


def version(pair):
    return pair.all(pair.types.BootNotificationRequest)[-1].charging_station.firmware_version


def test_an_update(pair):
    types = pair.types
    before = version(pair)
    assert update(pair) == "Accepted"
    for status in ("Downloading", "Downloaded", "Installing", "InstallRebooting"):
        firmware_is(pair, status)
    pair.expect(types.BootNotificationRequest, reason="FirmwareUpdate")
    firmware_is(pair, "Installed")
    pair.expect(types.SecurityEventNotificationRequest, type="FirmwareUpdated")
    assert version(pair) != before
    pair.call(types.TriggerMessageRequest(requested_message="FirmwareStatusNotification"))
    firmware_is(pair, "Idle", None)


def test_the_end_of_an_update_is_told_once(pair):
    assert update(pair) == "Accepted"
    firmware_is(pair, "Installed")
    pair.rest(1)
    assert pair.call(pair.types.ResetRequest(type="Immediate")).status == "Accepted"
    pair.expect(pair.types.BootNotificationRequest, reason="RemoteReset")
    pair.rest(10)
    statuses = [each.status for each in pair.all(pair.types.FirmwareStatusNotificationRequest)]
    assert statuses.count("Installed") == 1


def test_an_update_that_is_scheduled(pair):
    assert update(pair, minutes=10) == "Accepted"
    firmware_is(pair, "DownloadScheduled")
    pair.call(pair.types.TriggerMessageRequest(requested_message="FirmwareStatusNotification"))
    firmware_is(pair, "DownloadScheduled")
    pair.nothing(pair.types.FirmwareStatusNotificationRequest, during=9)
    firmware_is(pair, "Downloading")


def test_an_update_takes_the_place_of_another_until_it_is_installed(pair):
    assert update(pair, 1, minutes=10) == "Accepted"
    assert update(pair, 2) == "AcceptedCanceled"
    firmware_is(pair, "Installing", 2)
    assert update(pair, 3) == "Rejected"
    assert pair.call(pair.types.ResetRequest(type="Immediate")).status == "Rejected"
    firmware_is(pair, "Installed", 2)


def test_a_certificate_that_cannot_be_read_is_refused_and_told(pair):
    pytest.importorskip("cryptography")
    assert update(pair, signing_certificate="no certificate", signature="xyz") == "InvalidCertificate"
    pair.expect(pair.types.SecurityEventNotificationRequest, type="InvalidFirmwareSigningCertificate")
    assert pair.all(pair.types.FirmwareStatusNotificationRequest) == []


def test_a_signature_that_is_wrong(pair):
    with TestPKI() as pki:
        pem = pki.ca.read_text()
    pair.station.core.firmware.fails_with = "InvalidSignature"
    assert update(pair, signing_certificate=pem, signature="xyz") == "Accepted"
    firmware_is(pair, "InvalidSignature")
    pair.expect(pair.types.SecurityEventNotificationRequest, type="InvalidFirmwareSignature")


def test_a_download_that_fails(pair):
    pair.station.core.firmware.fails_with = "DownloadFailed"
    assert update(pair) == "Accepted"
    firmware_is(pair, "DownloadFailed")
    pair.nothing(pair.types.BootNotificationRequest, during=30)


class TestPublishing:
    def publish(self, pair, checksum="abc"):
        request = pair.types.PublishFirmwareRequest(location="https://x.org/f", checksum=checksum, request_id=8)
        return pair.call(request).status

    def unpublish(self, pair, checksum="abc"):
        return pair.call(pair.types.UnpublishFirmwareRequest(checksum=checksum)).status

    def test_it_is_published_and_taken_back(self, pair):
        assert self.unpublish(pair) == "NoFirmware"
        assert self.publish(pair) == "Accepted"
        assert self.publish(pair) == "Rejected"
        status = pair.types.PublishFirmwareStatusNotificationRequest
        pair.expect(status, status="Downloading", request_id=8)
        assert self.unpublish(pair) == "DownloadOngoing"
        for text in ("Downloaded", "ChecksumVerified"):
            assert pair.expect(status, status=text).location is None
        assert pair.expect(status, status="Published").location == ["https://x.org/f"]
        pair.call(pair.types.TriggerMessageRequest(requested_message="PublishFirmwareStatusNotification"))
        pair.expect(status, status="Idle", request_id=None)
        assert [self.unpublish(pair, "other"), self.unpublish(pair), self.unpublish(pair)] == [
            "NoFirmware",
            "Unpublished",
            "NoFirmware",
        ]


class TestLogs:
    def get(self, pair, request_id):
        types = pair.types
        log = types.LogParameters(remote_location="https://example.com/logs")
        return pair.call(types.GetLogRequest(log=log, log_type="SecurityLog", request_id=request_id))

    def test_an_upload(self, pair):
        response = self.get(pair, 4)
        assert response.status == "Accepted" and "CP_1" in response.filename
        status = pair.types.LogStatusNotificationRequest
        pair.expect(status, status="Uploading", request_id=4)
        pair.call(pair.types.TriggerMessageRequest(requested_message="LogStatusNotification"))
        pair.expect(status, status="Uploading", request_id=4)
        pair.expect(status, status="Uploaded", request_id=4)
        pair.call(pair.types.TriggerMessageRequest(requested_message="LogStatusNotification"))
        pair.expect(status, status="Idle", request_id=None)

    def test_an_upload_takes_the_place_of_another(self, pair):
        status = pair.types.LogStatusNotificationRequest
        assert self.get(pair, 4).status == "Accepted"
        pair.expect(status, status="Uploading", request_id=4)
        assert self.get(pair, 5).status == "AcceptedCanceled"
        pair.expect(status, status="AcceptedCanceled", request_id=4)
        pair.expect(status, status="Uploading", request_id=5)
        pair.expect(status, status="Uploaded", request_id=5)

    def test_an_upload_that_fails(self, pair):
        pair.station.core.log.fails_with = "PermissionDenied"
        self.get(pair, 4)
        pair.expect(pair.types.LogStatusNotificationRequest, status="PermissionDenied", request_id=4)


def test_what_is_to_be_told_waits_while_offline(pair):
    assert update(pair) == "Accepted"
    firmware_is(pair, "Downloading")
    pair.station.go_offline(5)
    pair.csms.disconnected(within=1)
    pair.csms.connected(within=60)
    firmware_is(pair, "Downloaded")
    firmware_is(pair, "Installed")
