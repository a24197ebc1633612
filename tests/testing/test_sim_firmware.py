"""The sequences of firmware updates, and of uploads of logs."""

from datetime import timedelta

import pytest

from ocppj.testing.simulation.firmware import Update
from tests.testing.sim_model import booted


def update(model, wait=0.0, install_after=None, **fields):
    now = model.core.time.now()
    install_at = None if install_after is None else now + timedelta(seconds=install_after)
    made = Update("ftp://x", now + timedelta(seconds=wait), install_at, **fields)
    model.run(model.core.firmware.begin, made)


def statuses(model, kind="firmware"):
    return [event[1] for event in model.events if event[0] == kind]


def test_an_update():
    with booted() as model:
        update(model, request_id=7, version="3.1")
        assert model.events == [("firmware", "Downloading", 7)]
        model.pass_time(119)
        assert statuses(model) == ["Downloading", "Downloaded", "Installing"]
        model.pass_time(1)
        assert not model.core.link.up
        model.pass_time(30)
        assert model.events[2:] == [
            ("firmware", "Installing", 7),
            (1, "Available", "Unavailable"),
            (2, "Available", "Unavailable"),
            ("firmware", "InstallRebooting", 7),
            (1, "Unavailable", "Available"),
            (2, "Unavailable", "Available"),
            ("boot", "FirmwareUpdate"),
            ("booted",),
            ("firmware", "Installed", 7),
            ("security", "FirmwareUpdated"),
        ]
        assert model.core.firmware.version == "3.1"
        assert not model.core.firmware.is_running


def test_a_signed_update():
    with booted() as model:
        update(model, is_signed=True)
        model.pass_time(300)
        assert statuses(model) == [
            "Downloading",
            "Downloaded",
            "SignatureVerified",
            "Installing",
            "InstallRebooting",
            "Installed",
        ]


def test_an_update_for_later():
    with booted() as model:
        update(model, wait=1000, install_after=5000)
        model.pass_time(999)
        assert statuses(model) == ["DownloadScheduled"]
        model.pass_time(2000)
        assert statuses(model) == ["DownloadScheduled", "Downloading", "Downloaded", "InstallScheduled"]
        model.pass_time(2001)
        assert statuses(model)[4:] == ["Installing"]


def test_the_installation_waits_for_the_end_of_the_transactions():
    with booted() as model:
        model.plug_in()
        model.present()
        update(model)
        model.pass_time(600)
        assert statuses(model) == ["Downloading", "Downloaded", "InstallScheduled"]
        model.unplug()
        assert statuses(model)[3:] == ["Installing"]


@pytest.mark.parametrize(
    ("failure", "before"),
    [
        ("DownloadFailed", ["Downloading"]),
        ("InvalidSignature", ["Downloading", "Downloaded"]),
        ("InstallationFailed", ["Downloading", "Downloaded", "SignatureVerified", "Installing"]),
        ("InstallVerificationFailed", ["Downloading", "Downloaded", "SignatureVerified", "Installing"]),
    ],
)
def test_an_update_fails(failure, before):
    with booted() as model:
        model.core.firmware.fails_with = failure
        update(model, is_signed=True)
        model.pass_time(1000)
        assert statuses(model) == [*before, failure]
        assert (("security", "InvalidFirmwareSignature") in model.events) is (failure == "InvalidSignature")
        assert (model.core.firmware.version, model.core.link.up) == ("1.0", True)
        update(model)  # the next one succeeds
        model.pass_time(1000)
        assert statuses(model)[-1] == "Installed"


def test_an_update_takes_the_place_of_another():
    with booted() as model:
        update(model, request_id=1, install_after=5000)
        model.pass_time(100)
        assert model.core.firmware.can_be_replaced
        update(model, request_id=2)
        model.pass_time(6000)
        assert [event[1:] for event in model.events if event[0] == "firmware"] == [
            ("Downloading", 1),
            ("Downloaded", 1),
            ("InstallScheduled", 1),
            ("Downloading", 2),
            ("Downloaded", 2),
            ("Installing", 2),
            ("InstallRebooting", 2),
            ("Installed", 2),
        ]


def test_of_two_updates_that_wait_for_a_transaction_the_second_is_installed():
    with booted() as model:
        model.plug_in()
        model.present()
        for number in (1, 2):
            update(model, request_id=number)
            model.pass_time(100)
        model.unplug()
        model.pass_time(1000)
        assert [event[2] for event in model.events if event[0] == "firmware" and event[1] == "Installing"] == [2]


def test_an_update_that_installs_is_not_replaced():
    with booted() as model:
        update(model)
        model.pass_time(61)
        assert model.core.firmware.is_running
        assert not model.core.firmware.can_be_replaced


def test_an_upload():
    with booted() as model:
        model.run(model.core.log.begin, 5)
        assert model.core.log.is_running
        model.pass_time(60)
        assert model.events == [("log", "Uploading", 5), ("log", "Uploaded", 5)]


def test_an_upload_takes_the_place_of_another_and_fails():
    with booted() as model:
        model.core.log.fails_with = "UploadFailure"
        model.run(model.core.log.begin, 5)
        model.pass_time(30)
        model.run(model.core.log.begin, 6, "AcceptedCanceled")
        model.pass_time(600)
        assert model.events == [
            ("log", "Uploading", 5),
            ("log", "AcceptedCanceled", 5),
            ("log", "Uploading", 6),
            ("log", "UploadFailure", 6),
        ]


@pytest.mark.parametrize("allowed", [False, True], ids=["closed", "open"])
def test_while_an_update_waits_or_installs_no_driver_is_served(allowed):
    with booted() as model:
        model.core.settings.find("new_sessions_before_update").value = allowed
        model.plug_in(1)
        model.present("A", 1)
        update(model)
        model.pass_time(100)
        assert statuses(model)[-1] == "InstallScheduled"
        assert (model.status(1), model.status(2)) == ("Charging", "Available" if allowed else "Unavailable")
        model.plug_in(2)
        model.present("B", 2)
        assert len(list(model.core.transactions)) == 1 + allowed
        for number in (1, 2):
            model.unplug(number)
        assert statuses(model)[-1] == "Installing"
        assert (model.status(1), model.status(2)) == ("Unavailable", "Unavailable")
        model.plug_in(1)
        model.present("C", 1)
        assert not list(model.core.transactions)
        model.pass_time(200)
        assert statuses(model)[-1] == "Installed"
        assert (model.status(1), model.status(2)) == ("Preparing", "Available")


@pytest.mark.parametrize("end", ["fails", "replaced"])
def test_connectors_are_available_again_when_an_update_does_not_happen(end):
    with booted() as model:
        model.plug_in(1)
        model.present("A", 1)
        update(model)
        model.pass_time(100)
        assert model.status(2) == "Unavailable"
        if end == "replaced":
            update(model, wait=5000)
        else:
            model.core.firmware.fails_with = "InstallationFailed"
            model.unplug(1)
            model.pass_time(100)
        assert model.status(2) == "Available"
