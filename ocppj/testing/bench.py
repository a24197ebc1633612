"""`Bench`: the scripted peers of one test, and what they share.

Each part is made when it is first used. All end together. The pytest plugin and `OCPPTestCase` use it.
"""

from __future__ import annotations

import itertools
from functools import partial
from inspect import signature
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple, Union

from ..client import Client
from ..clock import ManualClock
from ..errors import UsageError
from ..server import Server
from ..ws.memory import MemoryNetwork
from ..ws.options import ServerOptions
from .csms import ScriptedCSMS
from .journal import Journal
from .pki import TestPKI
from .scripted import Scripted, profiles_of, versions_in
from .station import ScriptedStation
from .transcript import Transcript

__all__ = ["Bench", "Pair"]

__unittest = True  # unittest leaves the frames of this module out of what it prints

#: What stations of `Bench.csms` have with security profile 1 and 2. 1.6 wants 16 to 40 characters.
PASSWORD = "password-of-a-test"

#: How long a test in memory waits at its end until nothing is under way, in real seconds.
_QUIET = 1.0


class Pair(NamedTuple):
    """A client, and the server that it is connected to, in memory. Neither has a handler yet.

    Attributes:
        client: The charge point "CP_1".
        server: The central system.
    """

    client: Client
    server: Server


class Bench:
    """The scripted peers of one test, and what they share. Its thread is that of the test.

    Args:
        version: The OCPP version, or several, of which stations and the pair speak the first.
        security_profile: That of the central system and of stations.
        strict: Whether what breaks the rules fails the test.
        in_memory: Whether the central system and the stations are in memory. They are with a held clock.
        held_clock: Whether the clock moves only when the test waits.
        within: How long to wait for what is expected, in seconds.
        timeout_factor: What ``within`` is multiplied by.
        url: Where a central system under test listens, if one runs already. It is not used in memory.
        csms: Further options of `ScriptedCSMS`.

    Raises:
        UsageError: An option has a wrong value.
    """

    def __init__(
        self,
        *,
        version: Union[str, Sequence[str]] = "1.6",
        security_profile: int = 0,
        strict: bool = True,
        in_memory: bool = False,
        held_clock: bool = False,
        within: float = 5.0,
        timeout_factor: float = 1.0,
        url: str = "",
        **csms: Any,
    ) -> None:
        self._versions = versions_in(version)
        for each in self._versions:
            profiles_of(each)  # raises
        if not self._versions:
            raise UsageError("version is an OCPP version, or several")
        _check_csms_options(csms)
        self._security_profile = security_profile
        self._options: Dict[str, Any] = {"strict": strict, "within": within, "timeout_factor": timeout_factor}
        self._csms_options = csms
        self._in_memory = in_memory or held_clock
        self._url = "" if self._in_memory else url
        self._network = MemoryNetwork()
        self._clock = ManualClock() if held_clock else None
        self._pki: Optional[TestPKI] = None
        self._csms: Optional[ScriptedCSMS] = None
        self._pair: Optional[Pair] = None
        self._pair_journal = Journal(self._clock)
        self._numbers = itertools.count(1)
        self._peers: List[Scripted] = []  # in the order in which they were made

    # What a test has

    @property
    def network(self) -> MemoryNetwork:
        """The network in memory. Raises `UsageError` for a test that has none."""
        if not self._in_memory:
            raise UsageError("this test is not in memory: say in_memory=True")
        return self._network

    @property
    def clock(self) -> ManualClock:
        """The clock that the test holds. Raises `UsageError` for a test that holds none."""
        if self._clock is None:
            raise UsageError("this test does not hold its clock: say held_clock=True")
        return self._clock

    @property
    def pki(self) -> TestPKI:
        """The certificates of the central system and of stations."""
        if self._pki is None:
            self._pki = TestPKI()
        return self._pki

    @property
    def csms(self) -> ScriptedCSMS:
        """The scripted central system, which listens."""
        if self._csms is None:
            options = {**self._shared(), "versions": self._versions, **self._csms_options}
            if self._security_profile in (2, 3) and not {"ssl_context", "pki"} & options.keys():
                options["pki"] = self.pki
            self._csms = ScriptedCSMS(network=self._network if self._in_memory else None, **options)
            self._peers.append(self._csms)
        return self._csms

    def station(self, url: Optional[str] = None, id: Optional[str] = None, **options: Any) -> ScriptedStation:
        """Return a scripted station, which has connected.

        Args:
            url: Where it connects. ``None``: the system under test that runs already, or else the scripted central
                system of this test.
            id: Its identity. ``None``: "CP_1", then "CP_2" ...
            options: Those of `ScriptedStation`, in place of those of the test.

        Raises:
            UsageError: There is no URL, or an option has a wrong value.
            TransportError: It cannot connect.
        """
        if url is None:
            url = self._url or self.csms.url
        own_url = None if self._csms is None else self._csms.url
        given: Dict[str, Any] = {**self._shared(), "version": self._versions[0], **options}
        if url.startswith("memory:"):
            given.setdefault("network", self.network)
        profile = given["security_profile"]
        if profile in (1, 2) and url == own_url and "basic_auth" not in given:
            given.setdefault("password", PASSWORD)
        if profile in (2, 3) and "ssl_context" not in given:
            # Without certificates of the test, another system has some that the machine trusts.
            given.setdefault("pki", self._pki if self._csms is None else self._csms.pki)
        station = ScriptedStation(url, f"CP_{next(self._numbers)}" if id is None else id, **given)
        self._peers.append(station)
        return station

    @property
    def pair(self) -> Pair:
        """A client and a server of the library, connected in memory."""
        if self._pair is None:
            profiles = profiles_of(self._versions[0])
            # An option that is ``None`` is not the same as none.
            clock: Dict[str, Any] = {} if self._clock is None else {"clock": self._clock}
            server = Server(profiles=profiles, ws_server=self._network.server(), **clock)
            client = Client("CP_1", profiles=profiles, ws_client=self._network.client(**clock), **clock)
            self._pair = Pair(client, server)
            server.add_observer(self._pair_journal.add_frame)
            client.connect(server.listen().url)
        return self._pair

    def _shared(self) -> Dict[str, Any]:
        return {**self._options, "security_profile": self._security_profile, "clock": self._clock}

    # At its end

    def transcript(self, shown: Optional[Journal] = None) -> str:
        """Return what was seen so far by all peers that have seen something. Empty: nothing was.

        Stations of the scripted central system are left out, for it has seen the same.

        Args:
            shown: A journal that is left out: its transcript stands in the error of the test.
        """
        own_url = None if self._csms is None else self._csms.url
        parts: Dict[str, Tuple[Journal, str]] = {}
        for peer in self._peers:
            if not isinstance(peer, ScriptedStation):
                parts["CSMS"] = peer.journal, peer.transcript()
            elif peer.url != own_url:
                parts[peer.id] = peer.journal, peer.transcript()
        parts["ocpp_pair"] = self._pair_journal, Transcript("server").text(self._pair_journal.entries())
        lines = {name: text for name, (journal, text) in parts.items() if text and journal is not shown}
        return "\n\n".join(f"{name}:\n{text}" if len(lines) > 1 else text for name, text in lines.items())

    def verify(self) -> None:
        """Fail for all that was wrong so far: see `Scripted.verify`. In memory, what is under way arrives first.

        Raises:
            AssertionError: Something was wrong.
        """
        __tracebackhide__ = True
        if self._in_memory and self._peers:
            self._network.wait_until_quiet(_QUIET)
        _do_all([peer.verify for peer in reversed(self._peers)])

    def close(self, *, failed: bool = False) -> None:
        """End everything, the last first, whatever happens.

        Args:
            failed: Whether the test has failed already. If not, it fails now for what was wrong.

        Raises:
            AssertionError: Something was wrong.
        """
        __tracebackhide__ = True
        ends: List[Callable[[], object]] = [
            peer.stop if failed else partial(peer.__exit__, None, None, None) for peer in reversed(self._peers)
        ]
        if self._pair is not None:
            ends += [self._pair.client.stop, self._pair.server.stop]
        if self._pki is not None:
            ends.append(self._pki.close)
        _do_all(ends)


def _check_csms_options(options: Iterable[str]) -> None:
    """Raise `UsageError` for a name that is no option of a central system, although the test may use none."""
    known = {*signature(ScriptedCSMS).parameters, *signature(Server).parameters, *ServerOptions.__annotations__}
    known -= {"versions", "clock", "network", "start", "options", "transport", "ws_server"}
    for name in options:
        if name not in known:
            raise UsageError(f"{name!r} is no option of the tests of OCPP, nor of ScriptedCSMS")


def _do_all(steps: Sequence[Callable[[], object]]) -> None:
    """Do all steps, whatever they raise; then raise it: what is no failure of the test first."""
    __tracebackhide__ = True
    errors: List[BaseException] = []
    for step in steps:
        try:
            step()
        except BaseException as error:
            errors.append(error)
    if errors:
        raise _joined(errors)


def _joined(errors: Sequence[BaseException]) -> BaseException:
    """Return the one error to raise: what is no failure of the test first; else all failures in one."""
    __tracebackhide__ = True
    other = next((each for each in errors if not isinstance(each, AssertionError)), None)
    if other is not None or len(errors) == 1:
        return other or errors[0]
    joined: Any = AssertionError("\n\n".join(map(str, errors)))
    joined.journal = getattr(errors[0], "journal", None)
    failure: AssertionError = joined
    return failure
