"""What is known when all other cases are over: every frame of the central system is judged."""

from __future__ import annotations

from ..cases import CSMS, case
from ..verdicts import Doubtful, Failed, NotApplicable
from .peer import Room


@case(
    CSMS,
    "whole-frames",
    section="OCPP-J 1.6 4.1, 4.2; OCPP 2.x Part 4 4.1, 4.2",
    expects="every frame that the central system has sent keeps the rules: elements, ids, codes, schemas",
)
def frames(room: Room) -> None:
    """Judge all frames of the run."""
    faults = room.peer.faults[room.version]
    if faults:
        kinds = list(dict.fromkeys(map(str, faults)))
        raise Failed(f"{len(faults)} frames broke a rule, such as: {'; '.join(kinds[:3])}")


@case(
    CSMS,
    "whole-calls",
    section="OCPP-J 1.6 4.1.1, 4.1.4; OCPP 2.x Part 4 4.1.1, 4.1.4",
    expects="its CALLs have new ids, and it sends one at a time",
)
def calls(room: Room) -> None:
    """Judge the CALLs of the central system in the run."""
    if not room.peer.calls[room.version]:
        raise NotApplicable("the central system has sent no CALL")
    faults = [each for each in room.peer.faults[room.version] if "second CALL" in each or "used before" in each]
    if faults:
        raise Failed(str(faults[0]))


@case(CSMS, "whole-alive", section="OCPP-J 1.6 3; OCPP 2.x Part 4 3.1", expects="a CALLRESULT within a second")
def alive(room: Room) -> None:
    """Send a Heartbeat after all that."""
    link = room.link()
    message_id = link.send_call("Heartbeat", {})
    try:
        link.answer_to(message_id, within=1.0)
    except Failed as error:
        raise Doubtful(str(error)) from None
