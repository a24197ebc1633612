"""``OCPPTestCase``: the scripted peers in tests with ``unittest``."""

import io
import unittest
from typing import Any, ClassVar, List, Mapping, Tuple, Type

import pytest

from ocppj import NotRunning, OCPPError, UsageError, v16, v201
from ocppj.testing.csms import ScriptedCSMS
from ocppj.testing.examples import example
from ocppj.testing.unittest_case import OCPPTestCase
from tests.helpers import FACTOR

Boot, Beat = v16.BootNotificationRequest, v16.HeartbeatRequest


class Case(OCPPTestCase):
    """What the cases below have in common. pytest must not collect it."""

    __test__ = False
    in_memory = True
    timeout_factor = FACTOR


def run(case: Type[unittest.TestCase]) -> Tuple[unittest.TestResult, str]:
    """Run the tests of a class. Return the result, and what the runner prints."""
    stream = io.StringIO()
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(case)
    return unittest.TextTestRunner(stream=stream).run(suite), stream.getvalue()


def outcome_of(case: Type[unittest.TestCase]) -> Tuple[int, int, int, str]:
    """Run the tests of a class. Return how many failed, had errors and were skipped, and what is printed."""
    result, text = run(case)
    return len(result.failures), len(result.errors), len(result.skipped), text


class TestInPytest(OCPPTestCase):
    """pytest runs these as they are."""

    in_memory = True

    def setUp(self) -> None:
        self.cp = self.station(self.csms.url)

    def test_boot(self) -> None:
        assert self.cp.call(example(Boot)).status == "Accepted"
        self.csms.expect(Boot)
        assert self.cp.id == "CP_1"

    def test_another_one_has_other_peers(self) -> None:
        assert self.csms.order() == []

    def tearDown(self) -> None:
        assert self.cp.client.is_connected()


def test_everything_that_a_case_has() -> None:
    class Everything(Case):
        version = ("2.0.1", "1.6")
        held_clock = True
        csms_options: ClassVar[Mapping[str, Any]] = {"path": "/ocpp/{id}"}

        def test_peers(self) -> None:
            assert self.csms.url.endswith("/ocpp")
            assert self.station().call(v201.HeartbeatRequest()).current_time == self.clock.now()
            assert self.station(id="Old", version="1.6").call(Beat())
            now = self.clock.now()
            self.csms.expect_nothing(during=3600, but=["Heartbeat"], id="Old")
            assert (self.clock.now() - now).total_seconds() >= 3600

        def test_pair(self) -> None:
            client, server = self.pair
            client.on(v201.ClearCacheRequest)(lambda request: example(v201.ClearCacheResponse))
            assert server.call("CP_1", v201.ClearCacheRequest()).status == "Accepted"
            assert self.pair.client is client
            assert self.network is self.network

    result, text = run(Everything)
    assert (result.testsRun, result.wasSuccessful()) == (2, True), text


@pytest.mark.parametrize("profile", [0, 1, 2, 3])
def test_over_tcp(profile: int) -> None:
    if profile > 1:
        pytest.importorskip("trustme")

    class Tcp(Case):
        in_memory = False
        security_profile = profile

        def test_it(self) -> None:
            scheme = "wss" if profile > 1 else "ws"
            assert self.csms.url.startswith(f"{scheme}://")
            assert self.station(self.csms.url).call(Beat()).current_time
            assert profile < 2 or self.csms.pki is self.pki

    result, text = run(Tcp)
    assert (result.testsRun, result.wasSuccessful()) == (1, True), text


def test_a_system_that_runs_already() -> None:
    with ScriptedCSMS() as system:

        class Against(Case):
            in_memory = False
            url = system.url

            def test_it(self) -> None:
                assert self.station().call(Beat()).current_time

        assert outcome_of(Against)[:3] == (0, 0, 0)
        system.expect(Beat, anywhere=True)


def test_an_expectation_that_fails(capsys: pytest.CaptureFixture[str]) -> None:
    class Fails(Case):
        def test_it(self) -> None:
            self.csms.connected(within=0.1)

    failures, errors, _, text = outcome_of(Fails)
    assert (failures, errors) == (1, 0)
    assert "AssertionError: expected a charging station to connect within" in text
    assert text.count(", in ") == 1, text  # the frame of the test alone
    assert "transcript" not in capsys.readouterr().err


def test_a_test_that_fails_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    class Fails(Case):
        def test_it(self) -> None:
            self.csms.forbid(Boot)
            station = self.station()
            station.call(example(Boot))
            station.call(Beat())  # an answer is shown at the latest before the next CALL
            self.assertEqual(1, 2)  # noqa: PT009

    failures, errors, _, text = outcome_of(Fails)
    assert (failures, errors) == (1, 0)
    assert "1 != 2" in text
    assert "forbidden" not in text
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[0].startswith("OCPP transcript of ")
    assert lines[0].endswith("Fails.test_it")
    assert [line.split()[1:5] for line in lines[1:4]] == [
        ["CP_1", "->", "CSMS", "CONNECTED"],
        ["CP_1", "->", "CSMS", "CALL"],
        ["CSMS", "->", "CP_1", "RESULT"],
    ]


def test_what_is_wrong_at_the_end_fails_the_test() -> None:
    class Wrong(Case):
        def test_nonsense(self) -> None:
            assert self.csms
            self.station(strict=False).send_raw("nonsense")

        def test_function(self) -> None:
            self.csms.reply(Boot, lambda request: request.no_such_field)
            with pytest.raises(OCPPError):
                self.station(strict=False).call(example(Boot))

    failures, errors, _, text = outcome_of(Wrong)
    assert (failures, errors) == (2, 0)
    assert "no valid JSON" in text
    assert "AttributeError" in text
    assert text.count("at the end of the test:") == 2


def test_not_strict() -> None:
    class Lax(Case):
        strict = False

        def test_it(self) -> None:
            assert self.csms
            self.station().send_raw("nonsense")

    assert outcome_of(Lax)[:3] == (0, 0, 0)


def test_what_goes_wrong_in_cleanups_fails_the_test() -> None:
    class Late(Case):
        def test_it(self) -> None:
            assert self.csms
            self.addCleanup(self.station(strict=False).send_raw, "nonsense")

    failures, errors, _, text = outcome_of(Late)
    assert (failures, errors) == (1, 0)
    assert "no valid JSON" in text


def test_tests_that_end_early_fail_for_nothing_more() -> None:
    class Early(Case):
        def setUp(self) -> None:
            assert self.csms
            self.station(strict=False).send_raw("nonsense")

        def test_skipped(self) -> None:
            self.skipTest("no time")

        @unittest.skip("never")
        def test_never(self) -> None:
            raise AssertionError

        @unittest.expectedFailure
        def test_expected(self) -> None:
            pass

        @unittest.expectedFailure
        def test_expected_otherwise(self) -> None:
            raise KeyError

    failures, errors, skipped, text = outcome_of(Early)
    assert (failures, errors, skipped) == (0, 0, 2), text


@pytest.mark.parametrize("where", ["setUp", "tearDown"])
def test_a_setup_or_teardown_that_fails(where: str, capsys: pytest.CaptureFixture[str]) -> None:
    class Fails(Case):
        def test_it(self) -> None:
            self.station().call(Beat())

        def fail_otherwise(self) -> None:
            station = self.station(strict=False)
            station.call(Beat())
            station.send_raw("nonsense")
            raise KeyError("a reason")

    setattr(Fails, where, Fails.fail_otherwise)
    failures, errors, _, text = outcome_of(Fails)
    assert (failures, errors) == (0, 1), text
    printed = capsys.readouterr().err
    assert printed.count("OCPP transcript of ") == 1
    assert " CP_1 -> CSMS  CONNECTED " in printed


def test_a_setup_that_skips() -> None:
    class Skips(Case):
        def setUp(self) -> None:
            assert self.csms
            self.station(strict=False).send_raw("nonsense")
            self.skipTest("no time")

        def test_it(self) -> None:
            raise AssertionError

    failures, errors, skipped, text = outcome_of(Skips)
    assert (failures, errors, skipped) == (0, 0, 1), text


def test_a_test_and_its_teardown_fail(capsys: pytest.CaptureFixture[str]) -> None:
    class Fails(Case):
        def test_it(self) -> None:
            self.station().call(Beat())
            raise KeyError("a reason")

        def tearDown(self) -> None:
            raise KeyError("another one")

    assert outcome_of(Fails)[:2] == (0, 2)
    assert capsys.readouterr().err.count("OCPP transcript of ") == 1


def test_sub_tests() -> None:
    class Sub(Case):
        def test_it(self) -> None:
            for number in range(3):
                with self.subTest(number=number):
                    assert self.csms.order() == []
                    assert number != 1

    failures, errors, _, text = outcome_of(Sub)
    assert (failures, errors) == (1, 0), text


def test_all_is_ended_when_the_test_ends() -> None:
    seen: List[Any] = []

    class Ends(Case):
        def test_it(self) -> None:
            seen.extend([self.csms, self.station(), *self.pair])
            raise KeyError

    assert outcome_of(Ends)[1] == 1
    csms, station, client, server = seen
    assert not station.client.is_connected()
    assert not client.is_connected()
    for each in (csms.server, server):
        with pytest.raises(NotRunning):
            each.call("CP_1", v16.ResetRequest(type="Soft"))


@pytest.mark.parametrize(("name", "text"), [("network", "say in_memory=True"), ("clock", "say held_clock=True")])
def test_what_a_case_has_not(name: str, text: str) -> None:
    class Without(Case):
        in_memory = False

        def test_it(self) -> None:
            getattr(self, name)

    _, errors, _, printed = outcome_of(Without)
    assert errors == 1
    assert text in printed


def test_a_case_that_is_over_makes_no_peers() -> None:
    over: List[Any] = []

    class Late(Case):
        def test_it(self) -> None:
            self.csms.order()
            over.append(self)

    assert outcome_of(Late)[:3] == (0, 0, 0)
    with pytest.raises(UsageError, match=r"test_it is over: its scripted peers have ended"):
        over[0].csms.order()
