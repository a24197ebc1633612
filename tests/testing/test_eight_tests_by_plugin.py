"""The eight tests with the fixtures of the pytest plugin. The device under test is in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Iterator

import pytest

from ocppj.testing import ScriptedCSMS
from tests.helpers import FACTOR
from tests.test_readme import ROOT
from tests.testing.surroundings import Surroundings
from tests.testing.test_eight_tests import (  # noqa: F401
    Start,
    my_csms,
    started_7,
    test_csms,
    test_drop_instead_of_an_answer,
    test_error_reply,
    test_garbage,
    test_order,
    test_pending,
    test_refused,
    test_wrong_id,
)

pytestmark = pytest.mark.ocpp(timeout_factor=FACTOR, within=10)

#: A simulated station, until its input ends.
STATION = """
import sys
from ocppj.testing import SimulatedStation

with SimulatedStation("CP_1", timeout=float(sys.argv[2])).start(sys.argv[1]):
    sys.stdin.read()
"""


@pytest.fixture
def here() -> Surroundings:
    return Surroundings()


@pytest.fixture
def ocpp_csms(ocpp_csms: ScriptedCSMS) -> ScriptedCSMS:
    ocpp_csms.reply(Start, started_7)
    return ocpp_csms


@pytest.fixture
def dut(ocpp_csms: ScriptedCSMS) -> Iterator["subprocess.Popen[bytes]"]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", STATION, ocpp_csms.url, str(FACTOR)]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE) as process:
        yield process
        process.kill()
