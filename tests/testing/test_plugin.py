"""The pytest plugin: tests that use it, and what pytest prints of them."""

import contextlib
import subprocess
import sys
from importlib.metadata import entry_points
from typing import Any, List

import pytest

from ocppj import UsageError, v16, v21, v201
from ocppj.testing.bench import Bench
from ocppj.testing.csms import ScriptedCSMS
from ocppj.testing.examples import example
from tests.helpers import FACTOR, seconds

pytest_plugins = ["pytester"]

BEGIN = """
    import pytest
    from ocppj import OCPPError, v16, v21, v201
    from ocppj.testing.examples import example

    Boot, Beat = v16.BootNotificationRequest, v16.HeartbeatRequest
"""


def is_installed() -> bool:
    """Tell whether pytest finds the plugin by its entry point. With a checkout on PYTHONPATH alone it does not."""
    found: Any = entry_points()
    group = found.select(group="pytest11") if hasattr(found, "select") else found.get("pytest11", [])
    return any(each.value == "ocppj.testing.plugin" for each in group)


PLUGIN = [] if is_installed() else ["-p", "ocppj.testing.plugin"]


@pytest.fixture(scope="module", autouse=True)
def imported() -> None:
    """Import all that the tests use. What is imported by a test inside a test is forgotten at its end."""
    for package in (v16, v201, v21):
        bench = Bench(version=package.DIALECT.version, in_memory=True, security_profile=1)
        assert bench.csms
        assert bench.station().call(example(package.HeartbeatRequest))
        bench.close()
    with contextlib.suppress(UsageError):  # without trustme
        Bench(security_profile=2).csms.stop()


class Runner:
    """Runs tests in a folder of their own."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self._pytester = pytester
        self.options: List[str] = [*PLUGIN, "-o", f"ocpp_timeout_factor={FACTOR}", "-p", "no:cacheprovider"]

    def __call__(self, code: str, *options: str, process: bool = False) -> Any:
        self._pytester.makepyfile(BEGIN + code)
        run = self._pytester.runpytest_subprocess if process else self._pytester.runpytest_inprocess
        return run(*self.options, *options)


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Runner:
    for variable in ("CI", "BUILD_NUMBER"):  # with these, pytest prints whole messages in its summary, too
        monkeypatch.delenv(variable, raising=False)
    return Runner(pytester)


# The fixtures


def test_the_fixtures_without_anything_more(run: Runner) -> None:
    result = run("""
    def test_boot(ocpp_csms, ocpp_station):
        assert ocpp_csms.url.startswith("ws://127.0.0.1:")
        station = ocpp_station()
        assert station.call(example(Boot)).interval == 300
        assert ocpp_csms.expect(Boot).client_id == "CP_1"
        assert ocpp_station().id == "CP_2"
        assert ocpp_station(id="Other").id == "Other"
        assert ocpp_csms.call(v16.ResetRequest(type="Soft"), id="Other").status == "Accepted"

    def test_another_one_has_other_peers(ocpp_csms):
        assert ocpp_csms.messages == []
    """)
    result.assert_outcomes(passed=2)
    assert "OCPP transcript" not in result.stdout.str()


def test_a_pair(run: Runner) -> None:
    result = run("""
    @pytest.mark.ocpp(version=["2.0.1", "1.6"])
    def test_pair(ocpp_pair):
        client, server = ocpp_pair
        client.on(v201.ClearCacheRequest)(lambda request: example(v201.ClearCacheResponse))
        assert server.call("CP_1", v201.ClearCacheRequest()).status == "Accepted"
        assert (ocpp_pair.client.id, ocpp_pair.server.url[:9]) == ("CP_1", "memory://")
        assert 0
    """)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*- OCPP transcript -*", "* server -> CP_1 * CALL *ClearCache*", "* RESULT *ClearCache*"]
    )


def test_in_memory(run: Runner) -> None:
    result = run("""
    def test_it(ocpp_csms, ocpp_station, ocpp_network):
        assert ocpp_csms.url.startswith("memory://")
        assert ocpp_station().call(example(Boot)).status == "Accepted"

    @pytest.mark.ocpp(in_memory=True)
    def test_marked(ocpp_csms):
        assert ocpp_csms.url.startswith("memory://")

    @pytest.fixture
    def used_by_a_fixture(ocpp_network):
        return ocpp_network

    def test_fixture(ocpp_csms, used_by_a_fixture):
        assert ocpp_csms.url.startswith("memory://")
    """)
    result.assert_outcomes(passed=3)


def test_a_held_clock(run: Runner) -> None:
    result = run("""
    import time

    def test_it(ocpp_csms, ocpp_station, ocpp_clock):
        begin, now = time.monotonic(), ocpp_clock.now()
        ocpp_station()
        ocpp_csms.expect_nothing(during=36000)
        assert (ocpp_clock.now() - now).total_seconds() == 36000
        assert time.monotonic() - begin < 60

    @pytest.mark.ocpp(held_clock=True)
    def test_pair(ocpp_pair, ocpp_network):
        client, server = ocpp_pair
        assert client.is_connected()
        assert ocpp_network.server
    """)
    result.assert_outcomes(passed=2)


@pytest.mark.parametrize("profile", [1, 2, 3])
def test_security_profiles(run: Runner, profile: int) -> None:
    pytest.importorskip("trustme")
    result = run(f"""
    @pytest.mark.ocpp(security_profile={profile}, version="2.0.1")
    def test_it(ocpp_csms, ocpp_station):
        assert ocpp_csms.url.startswith("{"ws" if profile == 1 else "wss"}://")
        assert ocpp_station(id="A station").call(example(v201.BootNotificationRequest)).status == "Accepted"
    """)
    result.assert_outcomes(passed=1)


def test_certificates(run: Runner) -> None:
    pytest.importorskip("trustme")
    result = run("""
    @pytest.mark.ocpp(security_profile=3)
    def test_it(ocpp_csms, ocpp_pki, ocpp_station):
        assert ocpp_csms.pki is ocpp_pki
        own = ocpp_pki.client_context("CP_9")
        assert ocpp_station(id="CP_9", ssl_context=own).call(example(Boot))
        pytest.folder = ocpp_pki.ca.parent

    def test_the_files_are_gone():
        assert not pytest.folder.exists()
    """)
    result.assert_outcomes(passed=2)


@pytest.mark.parametrize("profile", [2, 3])
def test_a_central_system_with_certificates_of_the_test(run: Runner, profile: int) -> None:
    pytest.importorskip("trustme")
    result = run(f"""
    from ocppj import Server

    @pytest.fixture
    def system(ocpp_pki):
        context = ocpp_pki.server_context(require_client_certificate={profile == 3})
        server = Server(profiles=v16.PROFILES, ssl_context=context, security_profile={profile})
        if {profile} == 2:
            server.set_basic_auth_handler({{"CP_1": "0123456789abcdef"}})
        server.on(Beat)(lambda client_id, request: example(v16.HeartbeatResponse))
        with server.listen():
            yield server

    @pytest.mark.ocpp(security_profile={profile})
    def test_it(system, ocpp_station):
        options = {{"password": "0123456789abcdef"}} if {profile} == 2 else {{}}
        assert ocpp_station(system.url, **options).call(Beat()).current_time

    @pytest.mark.ocpp(security_profile=2)
    def test_the_password_is_not_made_up(system, ocpp_station):
        ocpp_station(system.url)
    """)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*UsageError: security profile 2 needs basic_auth=(identity, password)"])


def test_certificates_without_trustme(run: Runner) -> None:
    result = run("""
    import sys
    @pytest.fixture
    def none(monkeypatch):
        monkeypatch.setitem(sys.modules, "trustme", None)

    def test_it(none, ocpp_pki):
        pass
    """)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["*UsageError: certificates * need the package trustme: pip install 'ocppj[[]testing[]]'"]
    )


# What fails, and what is printed of it


def test_an_expectation_that_fails(run: Runner) -> None:
    result = run("""
    def test_it(ocpp_csms, ocpp_station):
        ocpp_station().call(example(Boot))
        ocpp_csms.expect(Boot, within=0.1, charge_point_vendor="Other")
    """)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([
        ">*ocpp_csms.expect(Boot, within=0.1, charge_point_vendor=\"Other\")",
        "E * expected BootNotificationRequest with charge_point_vendor='Other' from CP_1 within *",
        "E * CALL *BootNotification*",
        "*- OCPP transcript -*",
        "see the error above",
    ])  # fmt: skip
    assert result.stdout.str().count("CONNECTED  ") == 1  # the transcript is printed once


def test_a_test_that_fails_otherwise(run: Runner) -> None:
    result = run("""
    def test_it(ocpp_csms, ocpp_station):
        station = ocpp_station()
        station.call(example(Boot))
        station.call(Beat())  # an answer is shown at the latest before the next CALL
        assert ocpp_csms.url == "other"
    """)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([
        "*- OCPP transcript -*",
        "* CP_1 -> CSMS * CONNECTED *",
        "* CP_1 -> CSMS * CALL *BootNotification *chargePointVendor=Acme*",
        "* CSMS -> CP_1 * RESULT *BootNotification *status=Accepted*",
    ])  # fmt: skip
    assert result.stdout.str().count("CONNECTED  ") == 1


def test_the_transcripts_of_peers_of_other_systems(run: Runner) -> None:
    with ScriptedCSMS() as other:
        result = run(f"""
    def test_it(ocpp_csms, ocpp_station):
        ocpp_station()
        ocpp_station("{other.url}", "Far")
        assert 0
        """)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*- OCPP transcript -*", "CSMS:", "*CP_1 -> CSMS *CONNECTED*", "", "Far:", "*CONNECTED*"]
    )


def test_a_setup_that_fails(run: Runner) -> None:
    result = run("""
    @pytest.fixture
    def dut(ocpp_csms, ocpp_station):
        ocpp_station(strict=False).send_raw("nonsense")
        ocpp_csms.expect("Nothing", within=0.1)

    def test_it(dut):
        pass
    """)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*ERROR at setup of test_it*", "*- OCPP transcript -*"])


BROKEN = """
    def test_it(ocpp_csms, ocpp_station):
        ocpp_station(strict=False).send_raw("nonsense")
        ocpp_csms.forbid(Boot)
        ocpp_station(id="CP_9", strict=False).call(example(Boot))
"""


def test_what_is_wrong_at_the_end_fails_the_test(run: Runner) -> None:
    result = run(
        """
    @pytest.mark.ocpp(in_memory=True)"""
        + BROKEN
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([
        "E * AssertionError: at the end of the test:",
        "* forbidden * CP_9 *",
        "* no valid JSON *",
    ])  # fmt: skip
    assert "bench.py" not in result.stdout.str()


def test_not_strict(run: Runner) -> None:
    result = run("""
    @pytest.mark.ocpp(strict=False)
    def test_it(ocpp_csms, ocpp_station):
        ocpp_station().send_raw("nonsense")
    """)
    result.assert_outcomes(passed=1)


def test_what_goes_wrong_while_fixtures_end_is_an_error(run: Runner) -> None:
    result = run("""
    @pytest.fixture
    def dut(ocpp_csms, ocpp_station):
        station = ocpp_station(strict=False)
        yield station
        station.send_raw("nonsense")

    def test_it(dut):
        pass
    """)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_it*", "* no valid JSON *", "*- OCPP transcript -*"])


@pytest.mark.parametrize(
    ("end", "outcomes"),
    [
        ("assert 0", {"failed": 1}),
        ("pytest.skip('no time')", {"skipped": 1}),
        ("pytest.xfail('no luck')", {"xfailed": 1}),
    ],
)
def test_a_test_that_ends_early_fails_for_nothing_more(run: Runner, end: str, outcomes: Any) -> None:
    result = run(BROKEN + "        " + end)
    result.assert_outcomes(**outcomes)


def test_expected_to_fail(run: Runner) -> None:
    result = run(
        """
    @pytest.mark.ocpp(in_memory=True)
    @pytest.mark.xfail(strict=True)"""
        + BROKEN
    )
    result.assert_outcomes(xfailed=1)


def test_a_function_of_a_script_that_fails(run: Runner) -> None:
    result = run("""
    def test_it(ocpp_csms, ocpp_station):
        ocpp_csms.reply(Boot, lambda request: request.no_such_field)
        with pytest.raises(OCPPError):
            ocpp_station(strict=False).call(example(Boot))
    """)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E *AttributeError: * no attribute 'no_such_field'", "E * at the end of the test:"])


# Options


def test_the_nearest_marker_wins_option_by_option(run: Runner) -> None:
    result = run(
        """
    pytestmark = pytest.mark.ocpp(version="2.1", path="/module/{id}")

    @pytest.mark.ocpp(version="2.0.1", strict=False)
    class TestIt:
        def test_class(self, ocpp_csms, ocpp_station):
            assert ocpp_csms.url.endswith("/module")
            ocpp_station().send_raw("nonsense")
            assert ocpp_station().call(v201.HeartbeatRequest())

        @pytest.mark.ocpp(version=["1.6", "2.1"])
        def test_method(self, ocpp_csms, ocpp_station):
            assert ocpp_station().call(Beat)
            assert ocpp_station(version="2.1").call(v21.HeartbeatRequest())

    def test_module(ocpp_csms, ocpp_station):
        assert ocpp_station().call(v21.HeartbeatRequest())
    """.replace("call(Beat)", "call(Beat())")
    )
    result.assert_outcomes(passed=3)


@pytest.mark.parametrize(
    ("marker", "text"),
    [
        ("'2.0.1'", "*the marker ocpp takes keywords alone, such as version='2.0.1', not ('2.0.1',)"),
        ("stict=False", "*UsageError: 'stict' is no option of the tests of OCPP, nor of ScriptedCSMS"),
        ("versions=['1.6']", "*UsageError: 'versions' is no option of *"),
        ("version='1.5'", "*UsageError: *'1.5'*"),
        ("version=1.6", "*UsageError: there is no OCPP version 1.6: the versions are '1.6', '2.0.1', '2.1'"),
        ("version=[]", "*UsageError: version is an OCPP version, or several"),
    ],
)
def test_a_wrong_marker(run: Runner, marker: str, text: str) -> None:
    result = run(f"""
    @pytest.mark.ocpp({marker})
    def test_it(ocpp_station):
        pass
    """)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([text])


def test_options_of_the_central_system(run: Runner) -> None:
    result = run("""
    @pytest.mark.ocpp(passwords={"CP_1": "0123456789abcdef"}, security_profile=1, max_connections=1)
    def test_it(ocpp_csms, ocpp_station):
        assert ocpp_station(password="0123456789abcdef").call(Beat())
    """)
    result.assert_outcomes(passed=1)


def test_the_version_for_all_tests(run: Runner) -> None:
    run.options += ["-o", "ocpp_version=2.0.1"]
    result = run("""
    def test_it(ocpp_csms, ocpp_station):
        assert ocpp_station().call(v201.HeartbeatRequest())
    """)
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize("factor", ["often", "0", "-1", "inf", "nan"])
def test_a_wrong_timeout_factor(run: Runner, factor: str) -> None:
    run.options += ["-o", f"ocpp_timeout_factor={factor}"]
    result = run("""
    def test_it(ocpp_csms):
        pass
    """)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*the ini option ocpp_timeout_factor is a number above 0, not '{factor}'"])


def test_the_timeout_factor(run: Runner) -> None:
    run.options += ["-o", "ocpp_timeout_factor=0.01"]
    result = run("""
    def test_it(ocpp_csms):
        ocpp_csms.connected(within=10)
    """)
    result.stdout.fnmatch_lines(["*within 0.1 s*"])


def test_a_system_that_runs_already(run: Runner) -> None:
    with ScriptedCSMS(["2.0.1"], path="/ocpp/{id}") as system:
        run.options += ["-o", f"ocpp_url={system.url}", "-o", "ocpp_version=2.0.1"]
        result = run("""
    def test_it(ocpp_station, ocpp_csms):
        assert ocpp_station().call(v201.HeartbeatRequest())
        assert ocpp_csms.messages == []

    def test_in_memory(ocpp_station, ocpp_csms, ocpp_clock):
        assert ocpp_station().call(v201.HeartbeatRequest())
        ocpp_csms.expect(v201.HeartbeatRequest)
        """)
        result.assert_outcomes(passed=2)
        system.expect(v201.HeartbeatRequest, anywhere=True)


def test_a_station_without_a_url_connects_to_the_csms_of_the_test(run: Runner) -> None:
    result = run("""
    def test_it(ocpp_station, ocpp_csms):
        ocpp_station().call(example(Boot))
        ocpp_csms.expect(Boot)

    def test_no_other_fixture_is_needed(ocpp_station):
        ocpp_station().call(example(Boot))
    """)
    result.assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("fixture", "text"), [("ocpp_network", "say in_memory=True"), ("ocpp_clock", "say held_clock=True")]
)
def test_a_network_or_clock_that_comes_too_late(run: Runner, fixture: str, text: str) -> None:
    result = run(f"""
    def test_it(request, ocpp_csms):
        request.getfixturevalue("{fixture}")
    """)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"*UsageError: this test *: {text}"])


# With other plugins


def test_under_xdist(run: Runner) -> None:
    pytest.importorskip("xdist")
    result = run("""
    @pytest.mark.parametrize("number", range(4))
    def test_it(ocpp_csms, ocpp_station, number):
        ocpp_station().call(example(Boot))
        assert number < 3
    """, "-n", "2", process=True)  # fmt: skip
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(["*- OCPP transcript -*", "* CP_1 -> CSMS * CALL *BootNotification*"])


def test_under_pytest_timeout(run: Runner) -> None:
    pytest.importorskip("pytest_timeout")
    if not hasattr(__import__("signal"), "SIGALRM"):
        pytest.skip("without SIGALRM, pytest-timeout ends the process")
    result = run(
        """
    def test_it(ocpp_csms, ocpp_station):
        ocpp_station().call(example(Boot))
        ocpp_csms.expect(Beat, within=600)

    def test_that_comes_then(ocpp_csms, ocpp_station):
        ocpp_station().call(example(Boot))
    """,
        "--timeout",
        str(seconds(4)),
        "--timeout-method",
        "signal",
        "-o",
        "timeout_func_only=true",
        process=True,
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*Timeout*", "*- OCPP transcript -*", "* CP_1 -> CSMS * CALL *BootNotification*"])


# What the plugin costs


def test_nothing_is_imported_before_a_fixture_is_used(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
    import sys

    def test_it():
        ours = {name for name in sys.modules if name.partition(".")[0] == "ocppj"}
        assert ours == {"ocppj", "ocppj.lazy", "ocppj.testing", "ocppj.testing.plugin"}
    """)
    pytester.runpytest_subprocess(*PLUGIN).assert_outcomes(passed=1)


def test_the_plugin_imports_pytest_alone() -> None:
    code = "import pytest, sys; old = set(sys.modules); import ocppj.testing.plugin; print(*set(sys.modules) - old)"
    found = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    assert sorted(found) == ["ocppj", "ocppj.lazy", "ocppj.testing", "ocppj.testing.plugin"]


#: Imports the plugin as with a pytest before pluggy 1.2, whose hooks have no wrappers of the newer kind.
OLD_PYTEST = """
import sys
import pytest

def hookimpl(**options):
    raise TypeError("HookimplMarker.__call__() got an unexpected keyword argument 'wrapper'")

new, pytest.hookimpl = pytest.hookimpl, hookimpl
import ocppj.testing.plugin
pytest.hookimpl = new
sys.exit(pytest.main(sys.argv[1:]))
"""


def test_an_old_pytest_goes_on_without_the_fixtures(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile("""
    def test_of_something_else():
        pass

    def test_it(ocpp_csms):
        pass
    """)
    result = pytester.run(sys.executable, "-c", OLD_PYTEST, "-p", "ocppj.testing.plugin")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*pytest is too old for the ocpp_ fixtures: pip install 'ocppj[[]testing]'*"])


def test_what_pytest_lists(run: Runner) -> None:
    result = run("", "--fixtures", "--markers")
    result.stdout.fnmatch_lines(["@pytest.mark.ocpp(version=..., security_profile=...*"])
    listed = run("", "--fixtures").stdout
    listed.fnmatch_lines(["ocpp_csms -- *", "*Return a `ScriptedCSMS`, which listens."])
    assert "_ocpp_bench" not in listed.str()
