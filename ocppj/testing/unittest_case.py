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
    _has_ended = False  # whether the test method has failed, or was skipped
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
        name = self._testMethodName
        replaced = self.__dict__.get(name)  # pytest puts the method there
        self._is_over = False
        self.__dict__[name] = self._watch(getattr(self, name))
        try:
            return super().run(result)
        finally:
            del self.__dict__[name]
            if replaced is not None:
                self.__dict__[name] = replaced

    def _watch(self, method: Callable[[], Any]) -> Callable[[], Any]:
        """Return the test method, with what comes at its end."""

        @wraps(method)
        def watched() -> Any:
            __tracebackhide__ = True
            self._has_ended = True
            try:
                result = method()
                if self._bench is not None:
                    self._bench.verify()
            except unittest.SkipTest:
                raise
            except Exception as error:
                self._show_transcript(error)
                raise
            self._has_ended = False
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
