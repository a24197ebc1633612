"""Date-times as OCPP writes them: RFC 3339, with a zone. Also other forms of ISO 8601, which some peers send."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Callable, Match, Optional

from ..errors import EncodingError, UsageError

__all__ = ["DIGITS", "format_datetime", "has_iso_form", "has_rfc3339_form", "parse_datetime", "parse_iso_datetime"]

#: How many fractional digits a date-time may be written with.
DIGITS = (0, 3, 6)

# RFC 3339 section 5.6.
_DATETIME = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt](\d{2}:\d{2}):(\d{2})(?:\.(\d+))?(?:([Zz])|([+-])(\d{2}):(\d{2}))", re.ASCII
)
#: What peers send in place of that: ISO 8601 with a comma, without seconds, in the basic form, with a shorter zone, or
#: without one; and a blank for the "T". 1.6 edition 2 section 3.14 asks for ISO 8601 only.
_ISO_DATETIME = re.compile(
    r"(\d{4})(-?)(\d{2})\2(\d{2})[Tt ](\d{2}):?(\d{2})(?::?(\d{2})(?:[.,](\d+))?)?"
    r"(?:([Zz])|([+-])(\d{2})(?::?(\d{2}))?)?",
    re.ASCII,
)
#: They tell whether a text has the form of RFC 3339, or one of both forms. There may be no such day or time.
has_rfc3339_form: Callable[[str], Optional[Match[str]]] = _DATETIME.fullmatch
has_iso_form: Callable[[str], Optional[Match[str]]] = _ISO_DATETIME.fullmatch
#: The form that nearly all peers send: UTC, with 0, 3 or 6 digits of the second, and no leap second.
#: `datetime.fromisoformat` of Python 3.9 can read it.
_is_common = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:[0-5]\d(?:\.\d{3}|\.\d{6})?Z", re.ASCII).fullmatch
_from_iso = datetime.fromisoformat


def parse_datetime(text: str) -> datetime:
    """Return the datetime of an RFC 3339 date-time with a zone.

    Digits after the microsecond are dropped. A leap second (``:60``) becomes the next second.

    Raises:
        ValueError: It is no such date-time. The error does not quote the text.
    """
    if _is_common(text) is not None:
        try:
            return _from_iso(text[:-1] + "+00:00")
        except ValueError:
            # The message of Python would quote what the peer sent.
            raise ValueError("there is no such day or time") from None
    match = has_rfc3339_form(text)
    if match is None:
        raise ValueError("not an RFC 3339 date-time with a zone")
    day, minute, second, fraction, utc, sign, hours, minutes = match.groups()
    leap = second == "60"
    try:
        moment = _from_iso(f"{day}T{minute}:{'59' if leap else second}")
    except ValueError:
        raise ValueError("there is no such day or time") from None
    if fraction:
        moment = moment.replace(microsecond=int(fraction[:6].ljust(6, "0")))
    if leap:
        try:
            moment = moment.replace(microsecond=0) + timedelta(seconds=1)
        except OverflowError:
            raise ValueError("the next second is after the year 9999") from None
    if utc:
        return moment.replace(tzinfo=timezone.utc)
    if int(hours) > 23 or int(minutes) > 59:
        raise ValueError("the zone is out of range")
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    return moment.replace(tzinfo=timezone(-offset if sign == "-" else offset))


def parse_iso_datetime(text: str) -> datetime:
    """Return the datetime of an ISO 8601 date-time. Without a zone it is taken for UTC.

    It may have what `parse_datetime` does not read: the zone ``+02`` or ``+0200``, no zone, a blank for the ``T``, no
    seconds, a comma before the fraction, the basic form ``20260102T030405Z``, or the hour 24 at the end of a day.

    Raises:
        ValueError: It is no such date-time. The error does not quote the text.
    """
    match = has_iso_form(text)
    if match is None:
        raise ValueError("not an ISO 8601 date-time")
    year, _, month, day, hour, minute, second, fraction, utc, sign, hours, minutes = match.groups()
    # ISO 8601 calls the end of a day 24:00:00. RFC 3339 does not.
    is_midnight = hour == "24" and (minute, second or "00", (fraction or "").strip("0")) == ("00", "00", "")
    zone = "Z" if utc or not sign else f"{sign}{hours}:{minutes or '00'}"
    hour = "00" if is_midnight else hour
    fraction = f".{fraction}" if fraction else ""
    moment = parse_datetime(f"{year}-{month}-{day}T{hour}:{minute}:{second or '00'}{fraction}{zone}")
    try:
        return moment + timedelta(days=1) if is_midnight else moment
    except OverflowError:
        raise ValueError("the next day is after the year 9999") from None


def format_datetime(moment: datetime, digits: int = 3) -> str:
    """Return a datetime as RFC 3339 in UTC, with "Z".

    Args:
        moment: The datetime, with a zone.
        digits: How many fractional digits are written: 0, 3 or 6. More are cut off. OCPP 2.x allows at most three
            (Part 2 section 3.1), and 1.6 advises no more (section 3.16).

    Raises:
        EncodingError: It has no zone, or is outside the years 1 to 9999 in UTC.
        UsageError: ``digits`` is another number.
    """
    if moment.tzinfo is not timezone.utc:
        if moment.utcoffset() is None:
            raise EncodingError("a datetime needs a zone, such as datetime.now(timezone.utc)")
        try:
            moment = moment.astimezone(timezone.utc)
        except OverflowError:
            raise EncodingError("the datetime cannot be written in UTC") from None
    # Such as 2026-01-02T03:04:05.678901+00:00, without the fraction if it is 0. A slice is faster than ``timespec``.
    text = moment.isoformat()
    if digits == 3:
        return text[:23] + "Z" if moment.microsecond else text[:19] + ".000Z"
    if digits == 0:
        return text[:19] + "Z"
    if digits == 6:
        return text[:26] + "Z" if moment.microsecond else text[:19] + ".000000Z"
    raise UsageError(f"a date-time has 0, 3 or 6 fractional digits, not {digits!r}")
