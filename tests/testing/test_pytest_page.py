"""Every Python block of docs/pytest.md runs, with a charge point of the test in place of the reader's."""

from typing import Any

import pytest

from ocppj.testing.csms import ScriptedCSMS
from tests.helpers import FACTOR
from tests.test_readme import BLOCK, ROOT
from tests.testing.test_plugin import PLUGIN

pytest_plugins = ["pytester"]

BLOCKS = BLOCK.findall((ROOT / "docs" / "pytest.md").read_text("utf-8"))
#: The charge point: it sends its boot until it is accepted, which it may do before the test goes on.
DUT = """
import threading

import pytest

from ocppj import Client, v16
from ocppj.testing import example


@pytest.fixture
def power_on():
    client, ended, threads = Client("CP_1", profiles=v16.PROFILES), threading.Event(), []

    def boot():
        answer = client.call(example(v16.BootNotificationRequest))
        while answer.status != "Accepted" and not ended.wait(answer.interval):
            answer = client.call(example(v16.BootNotificationRequest))

    def start(url):
        client.connect(url)
        threads.append(threading.Thread(target=boot))
        threads[0].start()

    yield start
    ended.set()
    client.stop()
    for thread in threads:
        thread.join()
"""


def run(pytester: pytest.Pytester, words: str, *options: str) -> Any:
    """Run the one block with ``words``."""
    (code,) = (each for each in BLOCKS if words in each)
    pytester.makeconftest(DUT)
    pytester.makepyfile(code)
    return pytester.runpytest_subprocess(*PLUGIN, "-o", f"ocpp_timeout_factor={FACTOR}", *options)


@pytest.mark.parametrize("words", ["def test_boot(ocpp_csms, power_on)", "security_profile=2", "OCPPTestCase"])
def test_block(pytester: pytest.Pytester, words: str) -> None:
    if words == "security_profile=2":
        pytest.importorskip("trustme")
    run(pytester, words).assert_outcomes(passed=1)


def test_the_block_with_a_system_that_runs_already(pytester: pytest.Pytester) -> None:
    with ScriptedCSMS(strict=False) as system:
        run(pytester, "expect_error", "-o", f"ocpp_url={system.url}").assert_outcomes(passed=1)


def test_every_block_is_tested() -> None:
    assert len(BLOCKS) == 4
