"""Date-times as OCPP writes them: RFC 3339, with a zone."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from ..errors import EncodingError

__all__ = ["format_datetime", "parse_datetime"]

# RFC 3339 section 5.6.
_DATETIME = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt](\d{2}:\d{2}):(\d{2})(?:\.(\d+))?(?:([Zz])|([+-])(\d{2}):(\d{2}))", re.ASCII
)
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
    match = _DATETIME.fullmatch(text)
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


def format_datetime(moment: datetime) -> str:
    """Return a datetime as RFC 3339 in UTC, with "Z" and at most three fractional digits (OCPP 1.6 section 3.16).

    Raises:
        EncodingError: It has no zone, or is outside the years 1 to 9999 in UTC.
    """
    if moment.tzinfo is not timezone.utc:
        if moment.utcoffset() is None:
            raise EncodingError("a datetime needs a zone, such as datetime.now(timezone.utc)")
        try:
            moment = moment.astimezone(timezone.utc)
        except OverflowError:
            raise EncodingError("the datetime cannot be written in UTC") from None
    # Such as 2026-01-02T03:04:05.678901+00:00, without the fraction if it is 0. A slice is faster than ``timespec``.
    return moment.isoformat()[: 23 if moment.microsecond >= 1000 else 19] + "Z"
