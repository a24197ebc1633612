"""`ocppj.rpc.accelerated`: which date-times are checked without Python. (The rest: tests/fuzz/test_quick_check.py.)"""

import random
import re
from datetime import datetime, timedelta, timezone

import pytest

from ocppj.payloads.datetimes import format_datetime, parse_datetime
from ocppj.rpc.accelerated import USUAL_DATE_TIME, build_quick_check

DATED = {"type": "object", "properties": {"at": {"type": "string", "format": "date-time"}}}


def matches(text):
    return re.fullmatch(USUAL_DATE_TIME, text) is not None


def is_valid(text):
    try:
        parse_datetime(text)
    except ValueError:
        return False
    return True


def test_the_pattern_matches_no_day_that_does_not_exist():
    unmatched = 0
    for year in range(1900, 2150):
        for month in range(14):
            for day in range(33):
                text = f"{year}-{month:02}-{day:02}T00:00:00Z"
                if matches(text):
                    assert is_valid(text), text
                else:
                    unmatched += is_valid(text) and 1970 <= year < 2100
    assert unmatched == 32, "only February 29 is left to the function"


def test_the_pattern_matches_what_format_datetime_returns():
    chance, start = random.Random(1), datetime(1970, 1, 1, tzinfo=timezone.utc)
    for _ in range(3000):
        moment = start + timedelta(milliseconds=chance.randrange(130 * 365 * 86_400_000))
        assert matches(format_datetime(moment)) or (moment.month, moment.day) == (2, 29)


def test_the_pattern_matches_only_valid_date_times():
    chance, usual = random.Random(2), 0
    examples = ["2026-12-31T23:59:59.999Z", "1999-10-30T19:00:09+05:45", "2000-01-01T00:00:00-23:59"]
    for _ in range(30_000):
        text = list(chance.choice(examples))
        for _ in range(chance.randrange(4)):
            text[chance.randrange(len(text))] = chance.choice("0123456789:-+.TZtz \n٢")
        if matches("".join(text)):
            usual += 1
            assert is_valid("".join(text)), text
    assert usual > 5_000


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("2026-01-02T03:04:05Z", False),
        ("2026-01-02T03:04:05.678Z", False),
        ("2026-01-31T23:59:59.1234567890+14:00", False),
        ("2024-02-29T00:00:00Z", True),
        ("2016-12-31T23:59:60Z", True),
        ("2026-01-02t03:04:05z", True),
        ("2150-01-01T00:00:00Z", True),
        ("2026-01-02T03:04:05Z\n", True),
        ("x2026-01-02T03:04:05Z", True),
        ("2026-01-02T03:04:05", True),
        ("", True),
    ],
)
def test_the_function_decides_about_other_texts(text, asked):
    pytest.importorskip("jsonschema_rs", reason="the extra fast is not installed")
    questions = []
    for verdict in True, False:
        questions.clear()

        def answer(moment, verdict=verdict):
            questions.append(moment)
            return verdict

        assert build_quick_check(DATED, answer, bool)({"at": text}) is (verdict if asked else True)
        assert questions == [text] * asked
    assert build_quick_check(DATED, answer, bool)({"at": 1}) is False, "the type is still checked"
