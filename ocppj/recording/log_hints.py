"""What a log says of a frame beside its text: when, of which station, and which side sent it.

How other programs write their lines was read in their sources:

* SteVe: steve-community/steve, src/main/java/de/rwth/idsg/steve/ocpp/ws/WebSocketLogger.java
* ocpp-go: lorenzodonini/ocpp-go, ocppj/server.go, ocppj/client.go and ocppj/dispatcher.go
* the package ``ocpp``: mobilityhouse/ocpp, ocpp/charge_point.py
* EVerest: EVerest/EVerest, lib/everest/ocpp/lib/ocpp/common/ocpp_logging.cpp
* MicroOcpp: matth-x/MicroOcpp, src/MicroOcpp/Debug.h
* evcc: evcc-io/evcc, charger/ocpp/cs_log.go
* ocpp-ws-io: rohittiwari-dev/ocpp-ws-io, packages/ocpp-ws-io/src/middleware/logging.ts
* this library: exchange/frame_log.py

OCPP.Core (dallmann-consulting/OCPP.Core) and CitrineOS (citrineos/citrineos-core) have no line of their own for a whole
frame. The general rules read what they print.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Dict, Mapping, NamedTuple, Optional, Pattern

from ..payloads.datetimes import parse_iso_datetime
from .sides import CSMS, STATION

__all__ = ["IN", "OUT", "Hints", "find_time", "read_line_before", "read_members", "read_prefix",
           "starts_with_time"]  # fmt: skip

#: Which way a frame went, as seen from the program that wrote the log. That program may be either side.
IN, OUT = "in", "out"


@dataclass(frozen=True)
class Hints:
    """What is known of a frame. "" and ``None``: the log does not say it.

    Attributes:
        time: When it was sent or received. A time without a zone is taken for UTC.
        client_id: The identity of the charging station.
        sender: Which side sent it.
        way: `IN` or `OUT`, where the log says that in place of the sender.
        version: The OCPP version.
    """

    time: Optional[datetime] = None
    client_id: str = ""
    sender: str = ""
    way: str = ""
    version: str = ""

    def over(self, other: Hints) -> Hints:
        """Return what this one knows, and what ``other`` knows beside it."""
        says_way = bool(self.sender or self.way)
        return Hints(
            self.time or other.time,
            self.client_id or other.client_id,
            self.sender if says_way else other.sender,
            self.way if says_way else other.way,
            self.version or other.version,
        )


class _Format(NamedTuple):
    """How a program writes a frame: a pattern for what stands before it, and what the group "way" in it means."""

    pattern: Pattern[str]
    senders: Mapping[str, str] = {}
    ways: Mapping[str, str] = {}


_FORMATS = (
    # SteVe is a central system.
    _Format(
        re.compile(r"\[chargeBoxId=(?P<client>[^,\]]*)[^\]]*\] (?P<way>Received|Sending)\b"),
        {"Received": STATION, "Sending": CSMS},
    ),
    # ocpp-go: a charging station writes "server" in place of the identity.
    _Format(
        re.compile(r"(?P<way>received JSON message from server|sent JSON message to server): $"),
        {"received JSON message from server": CSMS, "sent JSON message to server": STATION},
    ),
    _Format(
        re.compile(r"(?P<way>received JSON message from|sent JSON message to) (?P<client>\S+): $"),
        {"received JSON message from": STATION, "sent JSON message to": CSMS},
    ),
    # evcc is a central system.
    _Format(
        re.compile(r"\[ocpp[^\]]*\] \w+ \S+ \S+ (?P<way>recv|send) (?P<client>\S+): $"),
        {"recv": STATION, "send": CSMS},
    ),
    # The package ocpp may be either side. In the format of `logging.basicConfig`, "INFO:ocpp:" stands before.
    _Format(
        re.compile(r"(?:^|[\s\"'])(?:[A-Z]+:[A-Za-z_.]+:)?(?P<client>[^\s\"']+): (?P<way>receive message|send) $"),
        ways={"receive message": IN, "send": OUT},
    ),
    # This library, likewise.
    _Format(
        re.compile(r"(?:^|[\s\"'])(?:[A-Z]+:[A-Za-z_.]+:)?(?P<client>[^\s\"']+): (?P<way>in|out): $"),
        ways={"in": IN, "out": OUT},
    ),
    # MicroOcpp (once ArduinoOcpp) is a charging station.
    _Format(re.compile(r"\[(?:MO|AO|OCPP)\] (?P<way>Send|Recv): $"), {"Send": STATION, "Recv": CSMS}),
    # EVerest: files, HTML files, and the console.
    _Format(
        re.compile(r"(?P<way>ChargePoint|CentralSystem)>(?:CentralSystem|ChargePoint)\b"),
        {"ChargePoint": STATION, "CentralSystem": CSMS},
    ),
    _Format(
        re.compile(r'<tr class="(?P<way>ChargePoint|CentralSystem)">'), {"ChargePoint": STATION, "CentralSystem": CSMS}
    ),
    _Format(re.compile(r"(?P<way>ChargePoint|CentralSystem): $"), {"ChargePoint": STATION, "CentralSystem": CSMS}),
)
#: For other logs.
_CLIENT = re.compile(
    r"(?:charge_?box_?id|charge_?point_?id|charging_?station_?id|station_?id|client_?id|cp_?id|charger_?id|identity)"
    r"[\"']?\s?[=:]\s?[\"']?(?P<client>[\w.\-]+(?::[\w.\-]+)*)",
    re.IGNORECASE,
)
_WAYS = {
    **dict.fromkeys(("in", "incoming", "inbound", "rx", "recv", "receive", "received", "receiving", "receives"), IN),
    **dict.fromkeys(("out", "outgoing", "outbound", "tx", "send", "sent", "sending", "sends"), OUT),
}
#: Such a word, and no more than four words between it and the frame.
_WAY = re.compile(
    r"\b(incoming|inbound|rx|recv|receiv(?:e|ed|ing|es)|outgoing|outbound|tx|send|sent|sending|sends)\b"
    r"(?:\W+[\w.\-]+){0,4}\W*$",
    re.IGNORECASE,
)
_TIME = re.compile(
    r"(?<!\d)(\d{4})([-/])(\d\d)\2(\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?\s?(Z\b|[+-]\d\d(?::?\d\d)?(?!\d))?"
)


def read_prefix(prefix: str) -> Hints:
    """Return what the text before a frame, in its line, says."""
    prefix = prefix[-_LONGEST:]
    known = _read_known(prefix)
    if known is not None:
        return known
    client = _CLIENT.search(prefix)
    ways = _WAY.search(prefix)
    return Hints(find_time(prefix), client["client"] if client else "", way=_WAYS[ways[1].lower()] if ways else "")


def read_line_before(line: str) -> Hints:
    """Return what the line before a frame says that stands in a line of its own.

    It says something if it is written as a program of those above does, or if it ends with a colon.
    """
    if line.rstrip().endswith(":"):
        return read_prefix(line.rstrip() + " ")
    return _read_known(line[-_LONGEST:]) or Hints()


def _read_known(prefix: str) -> Optional[Hints]:
    """Return what a text says that a program of those above has written. ``None``: it is another one."""
    for each in _FORMATS:
        match = each.pattern.search(prefix)
        if match is not None:
            client_id, way = match.groupdict().get("client") or "", match["way"]
            return Hints(find_time(prefix), client_id, each.senders.get(way, ""), each.ways.get(way, ""))
    return None


#: So much of what stands before a frame is looked at.
_LONGEST = 1000


def find_time(text: str) -> Optional[datetime]:
    """Return the first time of day with its date in ``text``. Without a zone it is taken for UTC. ``None``: none."""
    match = _TIME.search(text)
    if match is None:
        return None
    year, _, month, day, clock, fraction, zone = match.groups()
    return _parse_time(f"{year}-{month}-{day}T{clock}{'.' + fraction[:6] if fraction else ''}{zone or 'Z'}")


def starts_with_time(text: str) -> bool:
    """Tell whether a line begins as those of logs do: it is no part of a frame that began in a line before."""
    match = _TIME.search(text, 0, 60)
    return match is not None and '"' not in text[: match.start()]


def _parse_time(text: str) -> Optional[datetime]:
    try:
        return parse_iso_datetime(text).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None


# JSON objects. Names are compared in lower case, without "_", "-", "." and "@".

_SEPARATORS = re.compile(r"[_\-.@ ]")
_TIMES = ("time", "timestamp", "ts", "datetime", "date", "asctime", "t", "createdat", "when", "receivedat", "sentat")
_CLIENTS = (
    "client", "clientid", "station", "stationid", "chargepoint", "chargepointid", "chargebox", "chargeboxid", "cp",
    "cpid", "charger", "chargerid", "chargingstation", "chargingstationid", "identity", "stationidentity",
)  # fmt: skip
_DIRECTIONS = ("direction", "dir", "way", "from", "sender", "sentby", "origin")
_VERSIONS = ("protocol", "subprotocol", "ocppversion", "ocppprotocol")
_SIDES = {
    **dict.fromkeys(("station", "chargepoint", "chargingstation", "cp", "charger", "chargebox"), STATION),
    **dict.fromkeys(("csms", "centralsystem", "server", "backend", "cpms", "cpo"), CSMS),
}
_FROM = re.compile(r"^\W*(?:from)?[_\W]*([a-z][a-z_ ]*?)\s*(?:-+>|=+>|→|>|\bto\b|_to_|2)\s*\w", re.IGNORECASE)
_VERSION = re.compile(r"^(?:ocpp)?[ _-]?v?(1\.6|2\.0\.1|2\.1)j?$", re.IGNORECASE)
_SECONDS = ((1e8, 1e11, 1), (1e11, 1e14, 1e3), (1e14, 1e17, 1e6), (1e17, 1e20, 1e9))
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def read_members(members: Mapping[str, Any]) -> Hints:
    """Return what the members of a JSON object say of the frame in it, or in one of its objects."""
    found: Dict[str, Any] = {}
    for name, value in members.items():
        if isinstance(value, (str, int, float)):
            found.setdefault(_SEPARATORS.sub("", name).lower(), value)
    sender, way = _first(_read_direction, found, _DIRECTIONS) or ("", "")
    return Hints(
        _first(_read_time, found, _TIMES),
        _first(_read_identity, found, _CLIENTS) or "",
        sender,
        way,
        _first(_read_version, found, _VERSIONS) or "",
    )


def _first(read: Any, found: Mapping[str, Any], names: Any) -> Any:
    return next((each for each in (read(found[name]) for name in names if name in found) if each), None)


def _read_time(value: Any) -> Optional[datetime]:
    if isinstance(value, str):
        return find_time(value)
    for least, most, unit in _SECONDS:
        if least <= value < most:
            return _EPOCH + timedelta(seconds=value / unit)
    return None


def _read_identity(value: Any) -> str:
    return value if isinstance(value, str) and len(value) <= 255 and "\n" not in value else ""


def _read_direction(value: Any) -> Any:
    if not isinstance(value, str):
        return None
    compound = _FROM.match(value)
    word = _SEPARATORS.sub("", compound[1] if compound else value).lower()
    if word in _SIDES:
        return _SIDES[word], ""
    return ("", _WAYS[word]) if word in _WAYS and not compound else None


def _read_version(value: Any) -> str:
    match = _VERSION.match(value) if isinstance(value, str) else None
    return match[1] if match else ""
