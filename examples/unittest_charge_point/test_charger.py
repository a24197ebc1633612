"""Tests of a charge point with unittest: no pytest is needed. See README."""

from __future__ import annotations

import subprocess
import sys
import unittest
from pathlib import Path

from ocppj import v16
from ocppj.testing import SILENCE, OCPPTestCase, example

PROGRAM = Path(__file__).parent.parent / "charge_point" / "charge_point.py"


class ChargePointCase(OCPPTestCase):
    """Has a scripted central system, ``self.csms``, and can start the charge point, the device under test."""

    within = 20.0  # seconds that a message may take: the device is a process that has to start

    def power_on(self, *options: str) -> "subprocess.Popen[str]":
        """Start the device. What is replied to it is said before."""
        command = [sys.executable, str(PROGRAM), self.csms.url, "CP_1", "--interval", "0.1", *options]
        device = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        # Cleanups run in the opposite order: kill it if it still runs, then read what is left and close its pipes.
        self.addCleanup(device.communicate)
        self.addCleanup(device.kill)
        return device


class BootTest(ChargePointCase):
    """What the device does with each answer to its boot."""

    def test_rejected(self) -> None:
        self.csms.reply(v16.BootNotificationRequest, example(v16.BootNotificationResponse, status="Rejected"))
        self.csms.forbid(v16.AuthorizeRequest)  # looked at when the test ends
        device = self.power_on()
        self.assertIn("does not accept", device.communicate(timeout=20)[1])
        self.assertEqual(device.returncode, 1)


class TransactionTest(ChargePointCase):
    """The rules of a transaction are also checked by themselves: see README."""

    def test_the_energy_adds_up(self) -> None:
        self.csms.reply(v16.StartTransactionRequest, example(v16.StartTransactionResponse, transaction_id=7))
        self.power_on("--samples", "2", "--tag", "TAG-1")
        self.csms.expect(v16.BootNotificationRequest, charge_point_vendor="Acme")
        self.csms.expect(v16.StartTransactionRequest, id_tag="TAG-1", meter_start=0)
        for energy in ("250", "500"):
            request = self.csms.expect(v16.MeterValuesRequest, transaction_id=7)
            self.assertEqual(request.meter_value[0].sampled_value[0].value, energy)
        self.csms.expect(v16.StopTransactionRequest, transaction_id=7, meter_stop=500)

    def test_tags_that_may_not_charge(self) -> None:
        for status in ("Blocked", "Expired"):
            with self.subTest(status):
                answer = v16.AuthorizeResponse(id_tag_info=v16.IdTagInfo(status=status))
                self.csms.reply(v16.AuthorizeRequest, answer)
                self.assertIn(status, self.power_on().communicate(timeout=20)[1])

    def test_an_unknown_setting_is_named(self) -> None:
        self.csms.reply(v16.MeterValuesRequest, SILENCE)  # so the transaction stays
        self.power_on()
        self.csms.expect(v16.MeterValuesRequest)
        answer = self.csms.call(v16.GetConfigurationRequest(key=["Colour"]))
        self.assertEqual(answer.unknown_key, ["Colour"])


if __name__ == "__main__":
    unittest.main()
