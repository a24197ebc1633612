"""Payloads: which faults are found, by which error code, and what has to be accepted."""

from __future__ import annotations

import json
import uuid
from typing import Any, Dict, Tuple

from ..cases import CSMS, V2, case
from .expect import check_refused, check_served
from .link import Link
from .peer import Room
from .samples import moment

_RULE = "OCPP-J 1.6 4.2.3, errata 3.2, 3.8, 5.1, 5.2; OCPP 2.x Part 4 4.1.7, 4.3"
#: The codes that say well what is wrong. The spelling of the version is checked beside this.
_FORM = ("FormationViolation", "FormatViolation", "ProtocolError")
_MISSING = ("OccurenceConstraintViolation", "OccurrenceConstraintViolation", *_FORM)
_TYPE = ("TypeConstraintViolation", "PropertyConstraintViolation", *_FORM)
_VALUE = ("PropertyConstraintViolation", "TypeConstraintViolation", *_FORM)
_EXTRA = (*_FORM, "PropertyConstraintViolation", *_MISSING[:2])

_LENIENT = "a receiver that is lenient may do so"


def _refused(room: Room, action: str, payload: Any, codes: Tuple[str, ...], may_accept: str = "") -> None:
    link, message_id = room.link(), str(uuid.uuid4())
    reaction = link.react(json.dumps([2, message_id, action, payload]))
    check_refused(link, reaction, message_id, *codes, may_accept=may_accept)


def _served(link: Link, action: str, payload: Dict[str, Any]) -> None:
    check_served(link, link.call(action, payload))


def _boot(room: Room, value: Any) -> Dict[str, Any]:
    """Return a BootNotification whose model has a value. ``...``: it is left out."""
    payload = room.samples.of("BootNotification")
    if room.version == "1.6":
        holder, name = payload, "chargePointModel"
    else:
        holder = payload["chargingStation"] = dict(payload["chargingStation"])
        name = "model"
    if value is ...:
        del holder[name]
    else:
        holder[name] = value
    return payload


def _status(room: Room, **changes: Any) -> Dict[str, Any]:
    """Return a StatusNotification. "status" stands for the name that the property has in the version."""
    if room.version != "1.6" and "status" in changes:
        changes["connectorStatus"] = changes.pop("status")
    return room.samples.of("StatusNotification", **changes)


def _meter_values(room: Room, **changes: Any) -> Dict[str, Any]:
    value = {"timestamp": moment(), "sampledValue": [{"value": "1200" if room.version == "1.6" else 1200.0}]}
    place = {"connectorId": 1} if room.version == "1.6" else {"evseId": 1}
    return {**place, "meterValue": [value], **changes}


@case(CSMS, "payload-missing", section=_RULE, expects="a CALLERROR that says so, in the spelling of the version")
def missing(room: Room) -> None:
    """Leave out a property that has to be there."""
    _refused(room, "BootNotification", _boot(room, ...), _MISSING)


@case(CSMS, "payload-empty", section=_RULE, expects="a CALLERROR")
def empty(room: Room) -> None:
    """Send a StatusNotification with an empty payload."""
    _refused(room, "StatusNotification", {}, _MISSING)


@case(CSMS, "payload-type", section=_RULE, expects="CALLERROR TypeConstraintViolation")
def wrong_type(room: Room) -> None:
    """Write a number in place of text."""
    _refused(room, "BootNotification", _boot(room, 5), _TYPE)


@case(CSMS, "payload-null", section=_RULE, expects="a CALLERROR")
def null(room: Room) -> None:
    """Write null in place of text that has to be there."""
    _refused(room, "BootNotification", _boot(room, None), (*_TYPE, *_MISSING))


@case(CSMS, "payload-text-number", section=_RULE, expects="CALLERROR TypeConstraintViolation")
def text_number(room: Room) -> None:
    """Write a number as text."""
    _refused(room, "StatusNotification", _status(room, connectorId="1"), _TYPE)


@case(CSMS, "payload-fraction", section=_RULE, expects="CALLERROR TypeConstraintViolation")
def fraction(room: Room) -> None:
    """Write a fraction in place of a whole number."""
    _refused(room, "StatusNotification", _status(room, connectorId=1.5), _TYPE)


@case(CSMS, "payload-bool", section=_RULE, expects="CALLERROR TypeConstraintViolation")
def boolean(room: Room) -> None:
    """Write true in place of a number."""
    _refused(room, "StatusNotification", _status(room, connectorId=True), _TYPE)


@case(CSMS, "payload-list-type", section=_RULE, expects="CALLERROR TypeConstraintViolation")
def list_type(room: Room) -> None:
    """Write an object in place of a list."""
    _refused(room, "MeterValues", _meter_values(room, meterValue={}), _TYPE)


@case(CSMS, "payload-list-empty", section=_RULE, expects="a CALLERROR: at least one entry is needed")
def list_empty(room: Room) -> None:
    """Send an empty list where at least one entry is needed."""
    codes = (*_MISSING, *_VALUE)
    _refused(room, "MeterValues", _meter_values(room, meterValue=[]), codes, may_accept=_LENIENT)


@case(CSMS, "payload-nested", section=_RULE, expects="a CALLERROR")
def nested(room: Room) -> None:
    """Leave out a property deep in a payload."""
    _refused(room, "MeterValues", _meter_values(room, meterValue=[{"timestamp": moment()}]), _MISSING)


@case(CSMS, "payload-enum", section=_RULE, expects="CALLERROR PropertyConstraintViolation")
def enum(room: Room) -> None:
    """Send a status that does not exist."""
    _refused(room, "StatusNotification", _status(room, status="Sleeping"), _VALUE)


@case(CSMS, "payload-enum-case", section=_RULE, expects="CALLERROR PropertyConstraintViolation")
def enum_case(room: Room) -> None:
    """Write a status in small letters."""
    _refused(room, "StatusNotification", _status(room, status="available"), _VALUE)


@case(CSMS, "payload-length", section=_RULE, expects="CALLERROR PropertyConstraintViolation")
def length(room: Room) -> None:
    """Send text of 21 characters where 20 are allowed."""
    _refused(room, "BootNotification", _boot(room, "x" * 21), _VALUE, may_accept=_LENIENT)


@case(CSMS, "payload-longest", section=_RULE, expects="a CALLRESULT")
def longest(room: Room) -> None:
    """Send text of the 20 characters that are allowed."""
    _served(room.link(), "BootNotification", _boot(room, "x" * 20))


@case(CSMS, "payload-letters", section="OCPP-J 1.6 4.1.2; OCPP 2.x Part 4 4.1.2", expects="a CALLRESULT")
def letters(room: Room) -> None:
    """Send 20 letters that have two bytes each."""
    _served(room.link(), "BootNotification", _boot(room, "ü" * 20))


@case(CSMS, "payload-extra", section=_RULE, expects="a CALLERROR: nothing may be added")
def extra(room: Room) -> None:
    """Add a property that the message does not have."""
    _refused(room, "Heartbeat", {"colour": "red"}, _EXTRA, may_accept=_LENIENT)


@case(CSMS, "payload-extra-nested", section=_RULE, expects="a CALLERROR: nothing may be added")
def extra_nested(room: Room) -> None:
    """Add a property to an object deep in a payload."""
    payload = _meter_values(room)
    payload["meterValue"][0]["colour"] = "red"
    _refused(room, "MeterValues", payload, _EXTRA, may_accept=_LENIENT)


@case(
    CSMS,
    "payload-custom-data",
    section="OCPP 2.x Part 4 chapter 9 (2.0.1: 8)",
    expects="a CALLRESULT: custom data may be added, and have any properties",
    versions=V2,
)
def custom_data(room: Room) -> None:
    """Add custom data."""
    _served(room.link(), "Heartbeat", {"customData": {"vendorId": "ocppj.check", "colour": "red"}})


@case(CSMS, "payload-time", section=_RULE, expects="CALLERROR TypeConstraintViolation")
def time_text(room: Room) -> None:
    """Send a time that is none."""
    lenient = _LENIENT if room.version == "1.6" else ""
    _refused(room, "StatusNotification", _status(room, timestamp="yesterday"), _TYPE, may_accept=lenient)


@case(CSMS, "payload-time-zone", section="1.6 3.14, 3.15; OCPP 2.x Part 2 3.1", expects="a CALLRESULT")
def time_zone(room: Room) -> None:
    """Send a time with another zone than UTC."""
    _served(room.link(), "StatusNotification", _status(room, timestamp="2026-01-02T03:04:05+01:00"))


@case(CSMS, "payload-time-seconds", section="1.6 3.15; OCPP 2.x Part 2 3.1", expects="a CALLRESULT")
def time_seconds(room: Room) -> None:
    """Send a time without a fraction."""
    _served(room.link(), "StatusNotification", _status(room, timestamp="2026-01-02T03:04:05Z"))


@case(CSMS, "payload-full-boot", section=_RULE, expects="a CALLRESULT")
def full_boot(room: Room) -> None:
    """Send a BootNotification with all its properties."""
    _served(room.link(), "BootNotification", room.samples.of("BootNotification", full=True))


@case(CSMS, "payload-full-meter", section=_RULE, expects="a CALLRESULT")
def full_meter(room: Room) -> None:
    """Send MeterValues with all their properties."""
    changes = {"transactionId": ...} if room.version == "1.6" else {}
    _served(room.link(), "MeterValues", room.samples.of("MeterValues", full=True, **changes))


@case(CSMS, "payload-full-status", section=_RULE, expects="a CALLRESULT")
def full_status(room: Room) -> None:
    """Send a StatusNotification with all its properties."""
    _served(room.link(), "StatusNotification", room.samples.of("StatusNotification", full=True))


@case(CSMS, "payload-celsius", section="OCPP-J 1.6 errata 2.1", expects="a CALLRESULT for both", versions=("1.6",))
def celsius(room: Room) -> None:
    """Send temperatures in "Celcius" and in "Celsius"."""
    link = room.link()
    for unit in ("Celsius", "Celcius"):
        payload = _meter_values(room)
        payload["meterValue"][0]["sampledValue"] = [{"value": "21", "measurand": "Temperature", "unit": unit}]
        _served(link, "MeterValues", payload)
