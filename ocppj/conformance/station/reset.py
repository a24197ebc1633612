"""Resets. They take the station away for a while, so the user has to allow them."""

from __future__ import annotations

from typing import Callable, List, Sequence

from ..cases import ALL, STATION, V2, Body, case
from ..verdicts import Doubtful, Failed, NotApplicable
from .core16 import V16
from .room import Room, check_status, fields
from .trial import await_stop, transaction

__all__: List[str] = []


def _case(id: str, title: str, section: str, expects: str, versions: Sequence[str] = ALL) -> Callable[[Body], Body]:
    return case(
        STATION,
        f"reset-{id}",
        title,
        section=section,
        expects=expects,
        versions=versions,
        needs="allow-reset",
        seconds=180,
    )


def _reset(room: Room, kind: str) -> None:
    since = room.now()
    answer = room.ask("Reset", {"type": kind})
    room.skip_unsupported(answer, "Reset")
    check_status(answer, ["Accepted"], ["Rejected", "Scheduled"])
    boot = room.find_call("BootNotification", since, room.settings.wait)
    if boot is None:
        raise Failed(f"no BootNotification came within {room.settings.wait:g} s")
    if not room.is_16 and fields(boot).get("reason") not in ("RemoteReset", "ScheduledReset"):
        raise Failed(f"the reason of the boot is {fields(boot).get('reason')!r}")
    room.expect_call("StatusNotification", "after the boot", boot.number)


@_case(
    "soft",
    "a soft reset",
    "1.6 edition 2, section 5.14",
    "Accepted, and then a BootNotification and the status of the connectors",
    V16,
)
def soft(room: Room) -> None:
    _reset(room, "Soft")


@_case("hard", "a hard reset", "1.6 edition 2, section 5.14", "Accepted, and then a BootNotification", V16)
def hard(room: Room) -> None:
    _reset(room, "Hard")


@_case(
    "on-idle",
    "a reset when nothing is charging",
    "2.x Part 2, B11.FR.01, FR.03, FR.04",
    "Accepted, and then a BootNotification with the reason RemoteReset",
    V2,
)
def on_idle(room: Room) -> None:
    _reset(room, "OnIdle")


@_case(
    "immediate",
    "an immediate reset",
    "2.x Part 2, B11.FR.01, FR.03, FR.04",
    "Accepted, and then a BootNotification with the reason RemoteReset",
    V2,
)
def immediate(room: Room) -> None:
    _reset(room, "Immediate")


@_case(
    "scheduled",
    "a reset on idle during a transaction",
    "2.x Part 2, B12.FR.01 and following",
    "Scheduled; when the transaction has ended, a BootNotification comes",
    V2,
)
def scheduled(room: Room) -> None:
    with transaction(room) as trial:
        since = room.now()
        check_status(room.ask("Reset", {"type": "OnIdle"}), ["Scheduled"], ["Rejected"])
    if not trial.is_over:
        raise NotApplicable("the transaction was not ended")
    if room.find_call("BootNotification", since, room.settings.wait) is None:
        raise Failed("no BootNotification came after the transaction")


@_case(
    "transaction",
    "a reset during a transaction",
    "1.6 edition 2, section 5.14; 2.x Part 2, B12",
    "the transaction is ended, and its end is told before or after the boot, with the reason of the reset",
)
def during_transaction(room: Room) -> None:
    with transaction(room) as trial:
        since = room.now()
        check_status(room.ask("Reset", {"type": room.by_version("Soft", "Immediate")}), ["Accepted"], ["Rejected"])
        if room.find_call("BootNotification", since, room.settings.wait) is None:
            raise Failed(f"no BootNotification came within {room.settings.wait:g} s")
        last = await_stop(room, trial, since)
        if last is None:
            raise Failed("the end of the transaction was not told")
        payload = fields(last)
        reason = payload.get("reason", (payload.get("transactionInfo") or {}).get("stoppedReason"))
        if reason not in (["SoftReset"] if room.is_16 else ["ImmediateReset"]):
            raise Doubtful(f"the reason is {reason!r}")
