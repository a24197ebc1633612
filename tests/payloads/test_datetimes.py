"""`ocppj.payloads.datetimes`."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ocppj.errors import EncodingError, UsageError
from ocppj.payloads.datetimes import format_datetime, parse_datetime, parse_iso_datetime


def utc(*fields: int) -> datetime:
    return datetime(*fields, tzinfo=timezone.utc)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-02-29T23:59:59Z", utc(2024, 2, 29, 23, 59, 59)),
        ("2024-02-29t23:59:59z", utc(2024, 2, 29, 23, 59, 59)),
        ("2024-01-01T00:00:00+00:00", utc(2024, 1, 1)),
        ("2024-01-01T00:00:00-00:00", utc(2024, 1, 1)),
        ("2024-01-01T00:00:00+05:45", utc(2023, 12, 31, 18, 15)),
        ("2024-01-01T00:00:00-03:30", utc(2024, 1, 1, 3, 30)),
        ("2024-01-01T00:00:00+23:59", utc(2023, 12, 31, 0, 1)),
        ("2024-01-01T00:00:00.1Z", utc(2024, 1, 1, 0, 0, 0, 100000)),
        ("2024-01-01T00:00:00.12Z", utc(2024, 1, 1, 0, 0, 0, 120000)),
        ("2024-01-01T00:00:00.123Z", utc(2024, 1, 1, 0, 0, 0, 123000)),
        ("2024-01-01T00:00:00.1234Z", utc(2024, 1, 1, 0, 0, 0, 123400)),
        ("2024-01-01T00:00:00.123456Z", utc(2024, 1, 1, 0, 0, 0, 123456)),
        ("2024-01-01T00:00:00.123456999Z", utc(2024, 1, 1, 0, 0, 0, 123456)),
        ("2024-01-01T00:00:00.000000999+00:00", utc(2024, 1, 1)),
        # Leap seconds: in UTC, elsewhere, and with a fraction.
        ("2016-12-31T23:59:60Z", utc(2017, 1, 1)),
        ("2017-01-01T00:59:60+01:00", utc(2017, 1, 1)),
        ("2016-12-31T23:59:60.999Z", utc(2017, 1, 1)),
        ("0001-01-01T00:00:00Z", utc(1, 1, 1)),
        ("9999-12-31T23:59:59.999Z", utc(9999, 12, 31, 23, 59, 59, 999000)),
    ],
)
def test_parse_datetime(text: str, moment: datetime) -> None:
    parsed = parse_datetime(text)
    assert parsed == moment
    assert parsed.utcoffset() is not None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2024-01-01",
        "2024-01-01T00:00:00",
        "2024-01-01T00:00:00.123",
        "2024-01-01 00:00:00Z",
        "2024-01-01T00:00Z",
        "2024-01-01T00:00:00.Z",
        "2024-01-01T00:00:00,5Z",
        "2024-01-01T00:00:00+0100",
        "2024-01-01T00:00:00+01",
        "2024-01-01T00:00:00+24:00",
        "2024-01-01T00:00:00+01:60",
        "2024-01-01T00:00:00ZZ",
        "2024-01-01T00:00:00Z\n",
        " 2024-01-01T00:00:00Z",
        "2023-02-29T00:00:00Z",
        "2024-00-01T00:00:00Z",
        "2024-13-01T00:00:00Z",
        "2024-01-32T00:00:00Z",
        "2024-01-01T24:00:00Z",
        "2024-01-01T25:00:00Z",
        "2024-01-01T00:60:00Z",
        "2024-01-01T00:00:61Z",
        "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:60Z",
        "20240101T000000Z",
        "2024-W01-1T00:00:00Z",
        "٢٠٢٤-01-01T00:00:00Z",
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"RFC 3339|no such day|zone is out|year 9999") as caught:
        parse_datetime(text)
    assert type(caught.value) is ValueError


DIGITS = "0123456789"


@settings(deadline=None, database=None, max_examples=300)
@given(st.text(DIGITS + "TtZz:.+- W", max_size=30) | st.from_regex(r"\A20[0-9]{2}-[01][0-9]-[0-3][0-9]T.{8,15}\Z"))
@example("2024-01-01T00:00:00.+01Z")
def test_any_text_is_a_date_time_or_a_value_error(text: str) -> None:
    try:
        moment = parse_datetime(text)
    except ValueError:
        return
    # The result has the day, the hour and the minute of the text, except for a leap second.
    if text[17:19] != "60":
        assert moment.isoformat()[:16] == text[:10] + "T" + text[11:16]
    assert moment.utcoffset() is not None


@settings(deadline=None, database=None)
@given(st.datetimes(), st.sampled_from([0, 3, 6]))
def test_the_common_form_and_the_rare_forms_agree(naive: datetime, digits: int) -> None:
    text = naive.strftime("%m-%dT%H:%M:%S") + (f".{naive.microsecond:06}"[: digits + 1] if digits else "")
    text = f"{naive.year:04}-{text}"
    common = parse_datetime(text + "Z")
    assert common == parse_datetime(text + "+00:00")
    assert common == naive.replace(
        microsecond=int(f"{naive.microsecond:06}"[:digits].ljust(6, "0")), tzinfo=timezone.utc
    )


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (utc(2024, 1, 1), "2024-01-01T00:00:00.000Z"),
        (utc(2024, 1, 1, 0, 0, 0, 999), "2024-01-01T00:00:00.000Z"),
        (utc(2024, 1, 1, 0, 0, 0, 1000), "2024-01-01T00:00:00.001Z"),
        (utc(2024, 1, 1, 0, 0, 0, 999999), "2024-01-01T00:00:00.999Z"),
        (datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=2))), "2023-12-31T22:00:00.000Z"),
        (datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=-5, minutes=-30))), "2024-01-01T05:30:00.000Z"),
        (datetime(2024, 1, 1, tzinfo=timezone(timedelta(0), "zero")), "2024-01-01T00:00:00.000Z"),
        (utc(1, 1, 1), "0001-01-01T00:00:00.000Z"),
        (utc(9999, 12, 31, 23, 59, 59), "9999-12-31T23:59:59.000Z"),
    ],
)
def test_format_datetime(moment: datetime, text: str) -> None:
    assert format_datetime(moment) == text


@pytest.mark.parametrize(("year", "hours"), [(1, 1), (9999, -1)])
def test_a_moment_outside_the_years_of_utc_is_refused(year: int, hours: int) -> None:
    zone = timezone(timedelta(hours=hours))
    moment = datetime(1, 1, 1, tzinfo=zone) if year == 1 else datetime(9999, 12, 31, 23, 30, tzinfo=zone)
    with pytest.raises(EncodingError, match="cannot be written in UTC"):
        format_datetime(moment)


@pytest.mark.parametrize(
    ("digits", "whole", "part"), [(0, "05Z", "05Z"), (3, "05.000Z", "05.123Z"), (6, "05.000000Z", "05.123456Z")]
)
def test_it_has_the_digits_that_are_asked_for(digits, whole, part):
    assert format_datetime(utc(2024, 1, 1, 2, 3, 5), digits) == "2024-01-01T02:03:" + whole
    assert format_datetime(utc(2024, 1, 1, 2, 3, 5, 123456), digits) == "2024-01-01T02:03:" + part


@pytest.mark.parametrize("digits", [1, -1, 7, "3"])
def test_other_numbers_of_digits_are_refused(digits):
    with pytest.raises(UsageError, match="0, 3 or 6"):
        format_datetime(utc(2024, 1, 1), digits)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-01-01T00:00:00Z", utc(2024, 1, 1)),
        ("2024-01-01t00:00:00z", utc(2024, 1, 1)),
        ("2024-01-01T02:00:00+02", utc(2024, 1, 1)),
        ("2024-01-01T02:00:00+0200", utc(2024, 1, 1)),
        ("2023-12-31T18:30:00-05:30", utc(2024, 1, 1)),
        ("2024-01-01 00:00:00", utc(2024, 1, 1)),
        ("2024-01-01T00:00", utc(2024, 1, 1)),
        ("2024-01-01T00:00+00", utc(2024, 1, 1)),
        ("2024-01-01T00:00:00,250Z", utc(2024, 1, 1, 0, 0, 0, 250000)),
        ("20240101T000000Z", utc(2024, 1, 1)),
        ("20240101 0000", utc(2024, 1, 1)),
        ("20240101T000000.1234567-0000", utc(2024, 1, 1, 0, 0, 0, 123456)),
        ("2023-12-31T24:00:00Z", utc(2024, 1, 1)),
        ("2023-12-31T24:00", utc(2024, 1, 1)),
        ("2016-12-31T23:59:60", utc(2017, 1, 1)),
    ],
)
def test_other_forms_of_iso_8601_are_read(text, moment):
    assert parse_iso_datetime(text) == moment


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2024-01-01",
        "20240101",
        "2024-0101T00:00:00",
        "2024-01-01T00",
        "2024-01-01T00:00:00+2",
        "2024-01-01T00:00:00+24:00",
        "2024-01-01T00:00:00.",
        "2024-01-01T00:00,5",
        "2024-01-01T24:00:01Z",
        "2024-01-01T25:00:00Z",
        "2024-02-30T00:00:00",
        "9999-12-31T24:00:00",
        "2024-01-01  00:00:00",
        " 2024-01-01T00:00:00",
        "2024-W01-1T00:00:00Z",
        "٢٠٢٤-01-01T00:00:00Z",
    ],
)
def test_what_is_no_iso_8601_date_time_is_refused_without_its_text(text):
    with pytest.raises(ValueError, match="^[a-zA-Z0-9 ,.-]+$") as caught:
        parse_iso_datetime(text)
    assert not text or text not in str(caught.value)


@given(st.datetimes(min_value=datetime(1000, 1, 1), max_value=datetime(9000, 1, 1)))  # noqa: DTZ001
def test_both_readers_agree_about_rfc_3339(naive):
    text = naive.isoformat() + "Z"
    assert parse_iso_datetime(text) == parse_datetime(text)
