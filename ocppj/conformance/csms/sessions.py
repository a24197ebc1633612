"""What a station and a central system do in every version: boot, heartbeats, status, data transfer."""

from __future__ import annotations

import uuid
from typing import Any, Dict

from ..cases import CSMS, case
from ..verdicts import Doubtful, Failed, NotApplicable
from .expect import check_error, check_served, seconds_off
from .peer import Room

#: How far the clock of a central system may be from ours, in seconds.
_CLOCK = 60.0


def _check_clock(text: Any) -> None:
    off = seconds_off(text)
    if abs(off) > _CLOCK:
        raise Doubtful(f"its clock is {abs(off):.0f} s {'after' if off > 0 else 'before'} that of this machine")


@case(
    CSMS,
    "session-before-boot",
    section="OCPP-J 1.6 errata 3.10; OCPP 2.x Part 2 B01.FR.10, B03.FR.07",
    expects="CALLERROR SecurityError, if the station was never accepted",
)
def before_boot(room: Room) -> None:
    """Send a StatusNotification before a BootNotification."""
    link = room.link(boot=False)
    answer = link.call("StatusNotification")
    if answer.kind == "RESULT":
        raise NotApplicable("it was served: the central system may have accepted the station before")
    check_error(link, answer, "SecurityError")


@case(
    CSMS,
    "session-boot",
    section="1.6 4.2, 6.4; OCPP 2.x Part 2 B01.FR.02",
    expects="a CALLRESULT with a status, a time and an interval",
)
def boot(room: Room) -> None:
    """Send a BootNotification."""
    answer = room.link(boot=False).result("BootNotification")
    if answer.get("status") not in ("Accepted", "Pending", "Rejected"):
        raise Failed(f"the status is {answer.get('status')!r}")
    if not isinstance(answer.get("interval"), int) or answer["interval"] < 0:
        raise Failed(f"the interval is {answer.get('interval')!r}")


@case(
    CSMS,
    "session-boot-time",
    section="1.6 4.2; OCPP 2.x Part 2 B01.FR.06",
    expects="the time of the central system: the station sets its clock by it",
)
def boot_time(room: Room) -> None:
    """Compare the time in the answer to a BootNotification with ours."""
    _check_clock(room.link(boot=False).result("BootNotification").get("currentTime"))


@case(
    CSMS,
    "session-boot-again",
    section="1.6 4.2; OCPP 2.x Part 2 B01.FR.03",
    expects="a CALLRESULT to each",
)
def boot_again(room: Room) -> None:
    """Send a second BootNotification over the same connection."""
    link = room.link()
    link.boot()
    link.check_alive()


@case(
    CSMS,
    "session-boot-reconnect",
    section="OCPP-J 1.6 5.4; OCPP 2.x Part 4 5.4",
    expects="a CALLRESULT: a station boots once, and not after each new connection",
)
def boot_reconnect(room: Room) -> None:
    """Connect again, and send no BootNotification."""
    room.link().close()
    link = room.link(boot=False)
    check_served(link, link.call("Heartbeat"))
    check_served(link, link.call("StatusNotification"))


@case(
    CSMS,
    "session-heartbeat-time",
    section="1.6 4.6, 3.14; OCPP 2.x Part 2 G02",
    expects="the time of the central system, and it does not go back",
)
def heartbeat_time(room: Room) -> None:
    """Compare the times in the answers to two Heartbeats."""
    link = room.link()
    first = link.result("Heartbeat").get("currentTime")
    second = link.result("Heartbeat").get("currentTime")
    _check_clock(first)
    if seconds_off(second) < seconds_off(first) - 1.0:
        raise Failed(f"the time goes back, from {first} to {second}")


@case(
    CSMS,
    "session-time-form",
    section="1.6 3.14, 3.15, 3.16; OCPP 2.x Part 2 3.1",
    expects="a time with a zone, in 2.x with at most three digits of a fraction",
)
def time_form(room: Room) -> None:
    """Look at the form of the time in the answer to a Heartbeat."""
    text = str(room.link().result("Heartbeat").get("currentTime"))
    if not text.endswith("Z") and "+" not in text[10:] and "-" not in text[10:]:
        raise (Doubtful if room.version == "1.6" else Failed)(f"{text} has no zone")
    fraction = text.partition(".")[2].rstrip("Zz").partition("+")[0].partition("-")[0]
    if len(fraction) > 3 and room.version != "1.6":
        raise Failed(f"{text} has {len(fraction)} digits of a fraction")


def _statuses(room: Room) -> Dict[str, Any]:
    name = "ChargePointStatus" if room.version == "1.6" else "ConnectorStatusEnum"
    kind = room.samples.dialect.load_type(name)
    return {each.value: {"status" if room.version == "1.6" else "connectorStatus": each.value} for each in kind}


@case(
    CSMS,
    "session-status",
    section="1.6 4.9; OCPP 2.x Part 2 G01",
    expects="a CALLRESULT to each",
)
def statuses(room: Room) -> None:
    """Send each status of a connector."""
    link = room.link()
    for status, fields in [*_statuses(room).items(), *list(_statuses(room).items())[:1]]:  # "Available" once more
        try:
            link.result("StatusNotification", link.samples.of("StatusNotification", **fields))
        except Failed as error:
            raise Failed(f"{status}: {error}") from None


@case(
    CSMS,
    "session-status-whole",
    section="1.6 4.9, 3.8; OCPP 2.x Part 2 3.2",
    expects="a CALLRESULT: 0 is the whole charge point",
    versions=("1.6",),
)
def status_whole(room: Room) -> None:
    """Send the status of connector 0."""
    link = room.link()
    link.result("StatusNotification", link.samples.of("StatusNotification", connectorId=0))


@case(
    CSMS,
    "session-data-transfer",
    section="1.6 4.3; OCPP 2.x Part 2 P02, P01.FR.05",
    expects="a CALLRESULT with the status UnknownVendorId",
)
def data_transfer(room: Room) -> None:
    """Send a DataTransfer of a vendor that nobody knows."""
    link = room.link()
    vendor = f"org.ocppj.nobody-{uuid.uuid4().hex[:8]}"
    answer = link.result("DataTransfer", link.samples.of("DataTransfer", vendorId=vendor))
    if answer.get("status") not in ("UnknownVendorId", "UnknownMessageId", "Rejected", "Accepted"):
        raise Failed(f"the status is {answer.get('status')!r}")
    if answer["status"] != "UnknownVendorId":
        raise Doubtful(f"the status is {answer['status']}: nobody can know that vendor")
    if "data" in answer:
        raise Doubtful("the answer has data, which it must not have for an unknown vendor")


@case(
    CSMS,
    "session-data-transfer-shape",
    section="1.6 6.21; OCPP 2.x Part 2 P01.FR.04",
    expects="a CALLRESULT: the data are text in 1.6, and any JSON in 2.x",
)
def data_transfer_shape(room: Room) -> None:
    """Send a DataTransfer with data."""
    link = room.link()
    data: Any = '{"a": [1, 2]}' if room.version == "1.6" else {"a": [1, 2.5, None, "x"]}
    link.result("DataTransfer", link.samples.of("DataTransfer", vendorId="org.ocppj.nobody", data=data))


@case(
    CSMS,
    "session-one-call",
    section="OCPP-J 1.6 4.1.1; OCPP 2.x Part 4 4.1.1",
    expects="no second CALL while we do not answer the first",
)
def one_call(room: Room) -> None:
    """Leave a CALL of the central system without an answer for a second."""
    link = room.link(boot=False)
    link.serves = False
    link.boot()
    link.gather(0.2)
    if not link.calls:
        raise NotApplicable("the central system sends no CALL after a boot")
    link.gather(1.0)
    if len(link.calls) > 1:
        raise Failed(f"it sent {len(link.calls)} CALLs, the second of them {link.calls[1].action}")


@case(
    CSMS,
    "session-crossing",
    section="OCPP-J 1.6 4.1.1; OCPP 2.x Part 4 4.1.1",
    expects="a CALLRESULT: CALLs of both sides may cross",
)
def crossing(room: Room) -> None:
    """Send a CALL while a CALL of the central system waits for our answer."""
    link = room.link(boot=False)
    link.serves = False
    link.boot()
    link.gather(0.2)
    if not link.calls:
        raise NotApplicable("the central system sends no CALL after a boot")
    check_served(link, link.call("Heartbeat"))
