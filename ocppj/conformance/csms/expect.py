"""What cases ask of an answer. Each function raises a verdict, or returns."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Optional

from ...payloads.datetimes import parse_iso_datetime
from ...rpc.dialect import is_error_code_valid
from ..verdicts import Doubtful, Failed
from .link import Answer, Link, Reaction
from .samples import DIALECT_OF

__all__ = [
    "check_error",
    "check_ignored",
    "check_reaction",
    "check_refused",
    "check_served",
    "only_answer",
    "seconds_off",
]


def check_error(link: Link, answer: Answer, *codes: str) -> None:
    """Check that an answer is a CALLERROR with one of these codes.

    Raises:
        Failed: It is no CALLERROR, or a malformed one, or its code is none of the version.
        Doubtful: Its code is another one.
    """
    if answer.kind != "ERROR":
        raise Failed(f"it was answered with {answer}")
    if answer.code is not None and not is_error_code_valid(answer.code, DIALECT_OF[link.version]):
        raise Failed(f"OCPP {link.version} has no error code {answer.code!r}")
    if answer.faults:
        raise Failed(f"the CALLERROR breaks a rule: {answer.faults[0]}")
    if codes and answer.code not in codes:
        raise Doubtful(f"the error code is {answer.code}; {' or '.join(codes)} says it better")


def check_served(link: Link, answer: Answer) -> None:
    """Check that an answer is a valid CALLRESULT."""
    if answer.kind != "RESULT":
        raise Failed(f"it was answered with {answer}: {answer.description}")
    if answer.faults:
        raise Failed(f"the CALLRESULT breaks a rule: {answer.faults[0]}")


def only_answer(reaction: Reaction, message_id: str) -> Optional[Answer]:
    """Return the answer to a CALL in a reaction. ``None``: there is none.

    Raises:
        Failed: It was answered twice.
    """
    own = [each for each in reaction.answers if each.message_id == message_id]
    if len(own) > 1:
        raise Failed(f"it was answered {len(own)} times: {reaction}")
    return own[0] if own else None


def check_refused(link: Link, reaction: Reaction, message_id: str, *codes: str, may_accept: str = "") -> None:
    """Check that a CALL with a fault is answered with a CALLERROR.

    OCPP 2.x Part 4 section 4.2.3 lets a system drop it as well; 1.6 does not.

    Args:
        link: The connection.
        reaction: What came after the CALL.
        message_id: That of the CALL.
        *codes: The codes that fit.
        may_accept: Why a CALLRESULT is suspicious only. "": it is a failure.
    """
    answer = only_answer(reaction, message_id)
    if answer is None:
        if reaction.ended is not None:
            raise Doubtful(f"it was not answered: {reaction.ended}")
        if reaction.answers:
            raise Doubtful(f"it was answered with another message id: {reaction.answers[0].text[:100]}")
        if link.version == "1.6":
            raise Failed("it was not answered")
        raise Doubtful("it was not answered: that is allowed, but the station waits for the answer until it times out")
    if answer.kind == "RESULT" and may_accept:
        raise Doubtful(f"it was accepted: {may_accept}")
    check_error(link, answer, *codes)


def check_reaction(link: Link, reaction: Reaction, *, may_end: bool = False) -> None:
    """Check what came after a frame that is no message: nothing, or CALLERRORs.

    Args:
        link: The connection.
        reaction: What came.
        may_end: Whether the connection may end.
    """
    for answer in reaction.answers:
        check_error(link, answer)
    if reaction.ended is not None and not may_end:
        raise Doubtful(f"one bad frame ended the connection: {reaction.ended}")


def check_ignored(link: Link, reaction: Reaction) -> None:
    """Check that nothing came after an answer that nobody waits for, and that the connection goes on."""
    if any(answer.kind == "RESULT" for answer in reaction.answers):
        raise Failed(f"it was answered with {reaction}")
    if reaction.answers:
        raise Doubtful(f"it was answered with {reaction}: two such systems would never stop")
    if reaction.ended is not None:
        raise Doubtful(f"it ended the connection: {reaction.ended}")


def seconds_off(text: Any) -> float:
    """Return how many seconds a time of the central system is after ours.

    Raises:
        Failed: It is no date-time.
    """
    try:
        found = parse_iso_datetime(text)
    except (TypeError, ValueError) as error:
        raise Failed(f"{text!r} is no date-time: {error}") from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=timezone.utc)
    return (found - datetime.now(timezone.utc)).total_seconds()
