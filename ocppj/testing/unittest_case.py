"""`OCPPTestCase`: scripted peers for tests with ``unittest``."""

from __future__ import annotations

import sys
import unittest
from functools import wraps
from typing import TYPE_CHECKING, Any, Callable, ClassVar, Mapping, Optional, Sequence, Union

from ..errors import UsageError

if TYPE_CHECKING:
    from ..clock import ManualClock
    from ..ws.memory import MemoryNetwork
    from .bench import Bench, Pair
    from .csms import ScriptedCSMS
    from .pki import TestPKI
    from .station import ScriptedStation

__all__ = ["OCPPTestCase"]

__unittest = True  # unittest leaves the frames of this module out of what it prints


class OCPPTestCase(unittest.TestCase):
    """A test case with the scripted peers that the fixtures of `ocppj.testing.plugin` are for pytest.

    ::

        class BootTest(OCPPTestCase):
            version = "2.0.1"

            def test_boot(self):
                start_the_charging_station(self.csms.url)
                self.csms.expect(v201.BootNotificationRequest)

    What a test uses is made when it is first used, also in ``setUp``. It ends after ``tearDown``, and after the
    cleanups that were added later. A test that has passed fails for what was wrong until its end (see
    `Scripted.verify`), and for what went wrong until everything has ended. If a test fails otherwise, the transcript is
    written to ``sys.stderr``.

    The attributes of the class are options for all its tests.

    Attributes:
        version: The OCPP version, or several, of which stations and the pair speak the first.
        security_profile: That of the central system and of stations.
        strict: Whether what breaks the rules fails the test.
        in_memory: Whether the central system and the stations are in memory.
        held_clock: Whether the clock moves only when the test waits. Such a test is in memory.
        within: How long to wait for what is expected, in seconds.
        timeout_factor: What ``within`` is multiplied by.
        url: Where a central system under test listens that runs already: stations connect there.
        csms_options: Further options of `ScriptedCSMS`.
    """

    version: ClassVar[Union[str, Sequence[str]]] = "1.6"
    security_profile: ClassVar[int] = 0
    strict: ClassVar[bool] = True
    in_memory: ClassVar[bool] = False
    held_clock: ClassVar[bool] = False
    within: ClassVar[float] = 5.0
    timeout_factor: ClassVar[float] = 1.0
    url: ClassVar[str] = ""
    csms_options: ClassVar[Mapping[str, Any]] = {}

    _bench: Optional[Bench] = None
    _has_ended = False  # whether the test has failed, or was skipped: in setUp, in its method or in tearDown
    _is_over = False  # whether everything has ended

    @property
    def csms(self) -> ScriptedCSMS:
        """The scripted central system, which listens."""
        return self._get_bench().csms

    def station(self, url: Optional[str] = None, id: Optional[str] = None, **options: Any) -> ScriptedStation:
        """Return a scripted station, which has connected.

        Args:
            url: Where it connects. ``None``: to `url` of the class, or else to `csms`.
            id: Its identity. ``None``: "CP_1", then "CP_2" ...
            options: Those of `ScriptedStation`, in place of those of the class.

        Raises:
            UsageError: There is no URL, or an option has a wrong value.
            TransportError: It cannot connect.
        """
        return self._get_bench().station(url, id, **options)

    @property
    def pair(self) -> Pair:
        """A `Client` and a `Server`, connected in memory: ``client, server = self.pair``."""
        return self._get_bench().pair

    @property
    def network(self) -> MemoryNetwork:
        """The network in memory. Raises `UsageError` unless the class says ``in_memory`` or ``held_clock``."""
        return self._get_bench().network

    @property
    def clock(self) -> ManualClock:
        """The clock that the test holds. Raises `UsageError` unless the class says ``held_clock``."""
        return self._get_bench().clock

    @property
    def pki(self) -> TestPKI:
        """The certificates of the central system and of stations."""
        return self._get_bench().pki

    def run(self, result: Optional[unittest.TestResult] = None) -> Optional[unittest.TestResult]:
        """Run the test: see `unittest.TestCase.run`."""
        self._is_over = self._has_ended = False
        names, own = ("setUp", self._testMethodName, "tearDown"), self.__dict__
        replaced = {name: own[name] for name in names if name in own}  # pytest puts the method there
        for name in names:
            own[name] = self._watch(getattr(self, name), is_test=name == self._testMethodName)
        try:
            return super().run(result)
        finally:
            for name in names:
                del own[name]
            own.update(replaced)

    def _watch(self, method: Callable[[], Any], is_test: bool) -> Callable[[], Any]:
        """Return a method with what comes at its end: the transcript, and for the test the check."""

        @wraps(method)
        def watched() -> Any:
            __tracebackhide__ = True
            had_ended, self._has_ended = self._has_ended, True
            try:
                result = method()
                if is_test and self._bench is not None:
                    self._bench.verify()
            except unittest.SkipTest:
                raise
            except Exception as error:
                if not had_ended:  # else the transcript is there
                    self._show_transcript(error)
                raise
            self._has_ended = had_ended
            return result

        return watched

    def _show_transcript(self, error: Exception) -> None:
        # An expectation that failed has the transcript in its text.
        lines = "" if self._bench is None else self._bench.transcript(shown=getattr(error, "journal", None))
        if lines:
            sys.stderr.write(f"\nOCPP transcript of {self.id()}\n{lines}\n")

    def _get_bench(self) -> Bench:
        if self._is_over:
            raise UsageError(f"{self.id()} is over: its scripted peers have ended")
        if self._bench is None:
            from .bench import Bench

            self._bench = Bench(
                version=self.version,
                security_profile=self.security_profile,
                strict=self.strict,
                in_memory=self.in_memory,
                held_clock=self.held_clock,
                within=self.within,
                timeout_factor=self.timeout_factor,
                url=self.url,
                **self.csms_options,
            )
            self.addCleanup(self._close)
        return self._bench

    def _close(self) -> None:
        __tracebackhide__ = True
        bench, self._bench = self._bench, None
        self._is_over = True
        if bench is not None:
            bench.close(failed=self._has_ended)
