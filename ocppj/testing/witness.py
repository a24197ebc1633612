"""`Witness`: waits for what a test expects, and says what came in its place."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Callable, Iterable, List, Mapping, NamedTuple, Optional, Tuple, Type, Union

from ..payloads.model import Payload
from ..ws.base import Close
from .expectations import ErrorExpectation, Expectation, describe, nearest
from .journal import Journal
from .seen import Seen
from .transcript import Transcript

if TYPE_CHECKING:
    from .timeline import Timeline

__all__ = ["What", "Whats", "Witness"]

__unittest = True  # unittest leaves the frames of this module out of what it prints

#: What an expectation names: a message type, or the action of a CALL or a SEND.
What = Union[Type[Payload], str]
#: One of these, or several.
Whats = Union[What, Iterable[What]]
_AnyExpectation = Union[Expectation, ErrorExpectation]

#: How many entries the transcript of a failure has at most.
_MOST_ENTRIES = 400


class _Forbidden(NamedTuple):
    expectation: Expectation
    client_id: Optional[str]
    since: int  # the number of the last entry before it was forbidden


class Witness:
    """Looks at what comes from the other side, for a `ScriptedCSMS` or a `ScriptedStation`.

    An expectation looks at what came since the last one that was met for that charging station. Every method that waits
    raises `AssertionError` with what was expected, what came nearest, and the transcript. Any thread may call it.

    The ``client_id`` of a method is a charging station. ``None``: the only one that has connected so far. If several
    have, that is an `AssertionError`, too.

    Args:
        journal: What was seen.
        timeline: How to wait.
        transcript: Makes the lines of a failure.
        within: How long to wait for something, in seconds, if a call does not say it.
        timeout_factor: Every time to wait for something is multiplied by it: more than 1 for a slow machine.
        peer: What the other side is called. ``None``: each charging station by its identity.
        failures: Returns what else has gone wrong so far: the text of a failure says it, too.
    """

    def __init__(
        self,
        journal: Journal,
        timeline: Timeline,
        transcript: Optional[Transcript] = None,
        *,
        within: float = 5.0,
        timeout_factor: float = 1.0,
        peer: Optional[str] = None,
        failures: Callable[[], Iterable[object]] = tuple,
    ) -> None:
        self._journal = journal
        self._timeline = timeline
        self._transcript = transcript or Transcript(peer=peer)
        self._within = within
        self._timeout_factor = timeout_factor
        self._peer = peer
        self._failures = failures
        # The number of the entry with which the last expectation was met, by charging station. The lock of
        # `Journal.changed` guards both.
        self._marks: "Counter[str]" = Counter()
        self._forbidden: List[_Forbidden] = []

    # Expecting

    def expect(
        self,
        what: What,
        fields: Optional[Mapping[str, Any]] = None,
        *,
        where: Optional[Callable[[Any], object]] = None,
        within: Optional[float] = None,
        anywhere: bool = False,
        client_id: Optional[str] = None,
    ) -> Any:
        """Wait for a message, and return it.

        Args:
            what: A message type, or the action of a CALL or a SEND.
            fields: The values of its fields; see `Expectation`.
            where: Takes the typed message (the `Seen` for an action) and returns whether it is the one. It must not
                wait.
            within: How long to wait, in seconds.
            anywhere: Whether to look at all that ever came. The next expectation looks where this one would have begun.
            client_id: The charging station.

        Returns:
            The typed message, with the attributes ``at``, ``time``, ``message_id``, ``client_id`` and ``text`` of its
            `Seen`, unless it has a field of that name. For an action: the `Seen`.

        Raises:
            AssertionError: It did not come.
            UsageError: The type has no such field.
        """
        __tracebackhide__ = True
        return self._await(Expectation(what, fields, where), within, anywhere, client_id)

    def expect_error(
        self,
        action: Optional[What] = None,
        code: Optional[str] = None,
        *,
        within: Optional[float] = None,
        anywhere: bool = False,
        client_id: Optional[str] = None,
    ) -> Seen:
        """Wait for a CALLERROR or a CALLRESULTERROR that comes, and return it.

        With an ``action`` it may also be one that this side sends, in answer to a CALL of the other side.

        Args:
            action: The action of the CALL, or the type of the request. ``None``: any.
            code: The error code as it is on the wire, or an `ErrorCode` in the spelling of any version. ``None``: any.
            within: How long to wait, in seconds.
            anywhere: As in `expect`.
            client_id: The charging station.

        Raises:
            AssertionError: It did not come.
        """
        __tracebackhide__ = True
        found: Seen = self._await(ErrorExpectation(action, code), within, anywhere, client_id)
        return found

    def expect_nothing(self, during: float, but: Whats = (), *, client_id: Optional[str] = None) -> None:
        """Wait, and see that no CALL, no SEND and no unreadable frame comes. Answers and connections may come.

        What came since the last expectation that was met counts, too.

        Args:
            during: How long to wait, in seconds. ``timeout_factor`` does not change it.
            but: What may come: a message type or an action, or several.
            client_id: The charging station. ``None``: all of them.

        Raises:
            AssertionError: Something came.
        """
        __tracebackhide__ = True
        allowed = _expectations(but)
        looked = 0

        def find() -> Optional[Seen]:
            nonlocal looked
            for seen in self._journal.entries(client_id, looked):
                looked = seen.number
                is_new = seen.direction == "in" and not seen.is_answer and seen.number > self._marks[seen.client_id]
                if is_new and not any(each.is_about(seen) for each in allowed):
                    return seen
            return None

        found = self._timeline.wait(find, during, self._journal.changed)
        if found is not None:
            name = self._peer or client_id
            expected = f"nothing{f' from {name}' if name else ''} for {during:g} s"
            if allowed:
                expected += f" but {', '.join(map(str, allowed))}"
            text = f"expected {expected}, but this came: {self._tell(found)}"
            raise self._failure(text, self._marks[found.client_id], f"here: nothing for {during:g} s")

    def forbid(
        self, what: What, fields: Optional[Mapping[str, Any]] = None, *, client_id: Optional[str] = None
    ) -> None:
        """Let the test fail at its end if such a message comes from now on.

        Args:
            what: A message type, or the action of a CALL or a SEND.
            fields: The values of its fields. Messages with others may come.
            client_id: The charging station. ``None``: all of them.

        Raises:
            UsageError: The type has no such field.
        """
        with self._journal.changed:
            self._forbidden.append(_Forbidden(Expectation(what, fields), client_id, self._journal.last_number()))

    # Connections

    def connected(
        self,
        within: Optional[float] = None,
        *,
        client_id: Optional[str] = None,
        is_ready: Callable[[str], bool] = lambda client_id: True,
    ) -> str:
        """Wait until a charging station has connected, and return its identity.

        It has connected if it did so since the last expectation that was met, or if it has a connection.

        Args:
            within: How long to wait, in seconds.
            client_id: The charging station.
            is_ready: Takes the identity, and tells whether to look at its connections yet. Until then the connection
                that is there does not count: it may be about to be cut. It is called with the journal's lock held.

        Raises:
            AssertionError: It has not connected.
        """
        __tracebackhide__ = True

        def find() -> Optional[str]:
            chosen = self._choose(client_id)
            if chosen is None or not is_ready(chosen):
                return None
            begun = self._find_event("CONNECTED", chosen)
            return chosen if begun or self._journal.is_connected(chosen) else None

        seconds = self._seconds(within)
        found = self._timeline.wait(find, seconds, self._journal.changed)
        if found is None:
            name = client_id or self._only() or "a charging station"
            text = f"expected {name} to connect within {seconds:g} s, but it did not"
            raise self._failure(text, *self._here(client_id, "connected"))
        return found

    def disconnected(self, within: Optional[float] = None, *, client_id: Optional[str] = None) -> Close:
        """Wait until a connection ends, or has ended since the last expectation that was met. Return how it ended.

        Args:
            within: How long to wait, in seconds.
            client_id: The charging station.

        Raises:
            AssertionError: None has ended.
        """
        __tracebackhide__ = True

        def find() -> Optional[Seen]:
            chosen = self._choose(client_id)
            return None if chosen is None else self._find_event("DISCONNECTED", chosen)

        seconds = self._seconds(within)
        found = self._timeline.wait(find, seconds, self._journal.changed)
        if found is None:
            name = client_id or self._only() or "a charging station"
            text = f"expected the connection of {name} to end within {seconds:g} s, but it did not"
            raise self._failure(text, *self._here(client_id, "disconnected"))
        return found.close or Close(1006)

    # At the end of a test

    def broken_forbids(self) -> List[str]:
        """Return what came although it was forbidden, one text each."""
        return [
            f"forbidden was {expectation}: {self._tell(seen)}"
            for expectation, client_id, since in list(self._forbidden)
            for seen in self._journal.entries(client_id, since)
            if seen.direction == "in" and expectation.forbids(seen)
        ]

    def broken_rules(self, unanswered: Optional[Iterable[Seen]] = None) -> List[str]:
        """Return all for which a strict test fails, one text each.

        This is what came although it was forbidden, the rules that frames of the other side break, and the CALLs of
        both sides that have no answer.

        Args:
            unanswered: These CALLs. ``None``: those of `Journal.unanswered`.
        """
        problems = self.broken_forbids()
        for seen in self._journal.entries():
            if seen.direction != "out":
                problems += [f"{self._tell(seen)}: {fault}" for fault in seen.faults]
        for seen in self._journal.unanswered() if unanswered is None else unanswered:
            problems.append(f"no answer: {self._tell(seen)}")
        return problems

    def failure(self, text: str) -> AssertionError:
        """Return the error of a test that fails with ``text``, with the transcript."""
        return self._failure(text, None)

    # Looking

    def order(self, but: Whats = (), *, client_id: Optional[str] = None) -> List[str]:
        """Return the actions of the CALLs and SENDs that came, in their order.

        Args:
            but: What is left out: a message type or an action, or several.
            client_id: The charging station. ``None``: all of them.
        """
        left_out = _expectations(but)
        return [
            seen.action or "?"
            for seen in self._journal.entries(client_id)
            if seen.direction == "in" and seen.is_request and not any(each.is_about(seen) for each in left_out)
        ]

    def messages(self, client_id: Optional[str] = None) -> List[Seen]:
        """Return all frames that were seen, in both directions, in their order."""
        return [seen for seen in self._journal.entries(client_id) if not seen.is_event]

    def transcript(self, client_id: Optional[str] = None) -> str:
        """Return all that was seen, as text."""
        return self._transcript.text(self._journal.entries(client_id))

    # Inside

    def _await(
        self, expectation: _AnyExpectation, within: Optional[float], anywhere: bool, client_id: Optional[str]
    ) -> Any:
        __tracebackhide__ = True
        looked = 0

        def find() -> Optional[Seen]:
            nonlocal looked
            chosen = self._choose(client_id)
            if chosen is None:
                return None
            mark = 0 if anywhere else self._marks[chosen]
            for seen in self._journal.entries(chosen, max(mark, looked)):
                looked = seen.number
                if expectation.looks_at(seen) and expectation.mismatch(seen) is None:
                    if not anywhere:
                        self._marks[chosen] = seen.number
                    return seen
            return None

        seconds = self._seconds(within)
        found = self._timeline.wait(find, seconds, self._journal.changed)
        with self._journal.changed:
            found = found or find()  # it may have come just now: the text would contradict itself
            missed = "" if found else self._describe_miss(expectation, seconds, anywhere, client_id)
        if found is None:
            raise self._failure(missed, *self._here(client_id, str(expectation)))
        return expectation.result(found)

    def _describe_miss(
        self, expectation: _AnyExpectation, seconds: float, anywhere: bool, client_id: Optional[str]
    ) -> str:
        """Return the text for a message that did not come: what was expected, and what came nearest. Lock held."""
        chosen = self._choose(client_id)
        if chosen is None or chosen not in self._journal.client_ids():
            name = self._peer or chosen or "a charging station"
            why = "none has connected" if chosen is None else "it has not connected"
            if self._peer is not None:
                why = "there was no connection"
            return f"expected {expectation} from {name} within {seconds:g} s, but {why}"
        entries = self._journal.entries(chosen, 0 if anywhere else self._marks[chosen])
        text = f"expected {expectation} from {self._peer or chosen} within {seconds:g} s, but it did not come"
        came = [seen for seen in entries if expectation.looks_at(seen)]
        near = nearest(expectation, came)
        if near is not None:
            seen, mismatch = near
            return f"{text}\nnearest: {self._tell(seen)}: {mismatch.text}"
        counts = Counter(map(describe, came)).items()
        found = [name if count == 1 else f"{name} ({count} times)" for name, count in counts]
        return f"{text}\ncame: {', '.join(found) or 'nothing'}"

    def _find_event(self, kind: str, client_id: str) -> Optional[Seen]:
        """Return the first event of that kind since the last expectation that was met, which it meets. Lock held."""
        for seen in self._journal.entries(client_id, self._marks[client_id]):
            if seen.kind == kind:
                self._marks[client_id] = seen.number
                return seen
        return None

    def _seconds(self, within: Optional[float]) -> float:
        return (self._within if within is None else within) * self._timeout_factor

    def _choose(self, client_id: Optional[str]) -> Optional[str]:
        """Return the charging station that is meant. ``None``: none has connected yet."""
        if client_id is not None:
            return client_id
        known = self._journal.client_ids()
        if len(known) > 1:
            text = f"{len(known)} charging stations have connected: {', '.join(known)}; choose one with id="
            raise self.failure(text)
        return known[0] if known else None

    def _only(self) -> Optional[str]:
        known = self._journal.client_ids()
        return known[0] if len(known) == 1 else None

    def _here(self, client_id: Optional[str], expected: str) -> Tuple[int, str]:
        """Return the number of the entry where the test stands, and the text of the mark."""
        with self._journal.changed:
            chosen = client_id or self._only()
            return 0 if chosen is None else self._marks[chosen], f"here: {expected}"

    def _tell(self, seen: Seen) -> str:
        """Return what something is, between whom and when, in words."""
        way, what = "to" if seen.direction == "out" else "from", describe(seen)
        if seen.is_event:
            way, what = "of", "the end of the connection"
        return f"{what} {way} {self._peer or seen.client_id} at {self._transcript.clock(seen.time)}"

    def _failure(self, text: str, here: Optional[int], mark: str = "here") -> AssertionError:
        if here is not None:  # else the text has it
            text = "\n".join([text, *(f"also: {each}" for each in self._failures())])
        entries = self._journal.entries()
        lines = self._transcript.text(entries, here=here, mark=mark, most=_MOST_ENTRIES) if entries else ""
        error: Any = AssertionError(f"{text}\n\n{lines or 'nothing was seen'}")
        error.journal = self._journal  # whose transcript it has: it need not be shown once more
        failure: AssertionError = error
        return failure


def _expectations(but: Whats) -> List[Expectation]:
    return [Expectation(each) for each in ([but] if isinstance(but, (str, type)) else but)]
