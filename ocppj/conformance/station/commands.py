"""`command`: registers a case that is one command and the status in its answer."""

from __future__ import annotations

from typing import Any, Callable, Dict, Sequence, Union

from ...testing.seen import Seen
from ..cases import STATION, case
from ..verdicts import Doubtful, Failed, NotApplicable
from .room import PAYLOAD_CODES, Room, check_status, fields, told

__all__ = ["command", "judge_answer"]

#: A payload, or a function that makes one.
PayloadOption = Union[Dict[str, Any], Callable[[Room], Dict[str, Any]]]


def command(
    id: str,
    title: str,
    action: str,
    payload: PayloadOption,
    good: Sequence[str],
    *,
    section: str,
    versions: Sequence[str],
    odd: Sequence[str] = (),
    error: bool = False,
    name: str = "status",
    needs: str = "",
) -> None:
    """Register a case.

    Args:
        id: The id of the case.
        title: What is tried.
        action: The action of the command.
        payload: Its payload.
        good: Which statuses are right.
        section: Document and section of the rule.
        versions: The OCPP versions of the command.
        odd: Which statuses are doubtful.
        error: Whether an error is right as well, such as for a connector that there is not.
        name: The name of the status.
        needs: What the user has to allow.
    """

    def run(room: Room) -> None:
        content = payload(room) if callable(payload) else payload
        judge_answer(room, room.ask(action, content), action, good, odd, error, name)

    expects = f"the {name} {' or '.join(good)}{', or an error about the payload' if error else ''}"
    case(STATION, id, title, section=section, expects=expects, versions=versions, needs=needs)(run)


def judge_answer(
    room: Room,
    answer: Seen,
    action: str,
    good: Sequence[str],
    odd: Sequence[str] = (),
    error: bool = False,
    name: str = "status",
) -> None:
    """Judge the answer to a command. The arguments are as in `command`."""
    room.skip_unsupported(answer, action)
    if fields(answer).get(name) == "NotImplemented" and "NotImplemented" not in good:
        raise NotApplicable(f"{action} is answered NotImplemented")
    if answer.kind == "RESULT":
        check_status(answer, good, odd, name)
        return
    text = f"{action} is answered with the error {told(answer)}"
    if error and answer.error_code in (*PAYLOAD_CODES, "GenericError"):
        return
    if error or answer.error_code not in (*PAYLOAD_CODES, "InternalError", "GenericError"):
        raise Doubtful(text)
    raise Failed(f"{text}, although the CALL is right")
