"""Types of arguments that several commands take. Each raises `argparse.ArgumentTypeError` with what was wrong."""

from __future__ import annotations

import os
import re
from argparse import ArgumentTypeError
from typing import Tuple

__all__ = ["VERSIONS", "address", "duration", "output", "percent", "port", "positive", "speed", "version"]

#: The OCPP versions.
VERSIONS = ("1.6", "2.0.1", "2.1")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "": 1.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|)")


def duration(text: str) -> float:
    """Return the seconds of a text such as "250ms", "60s", "2m", "1h", "1h30m" or "60"."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ArgumentTypeError(f"{text!r} is no time: write 60s, 2m or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def positive(text: str) -> int:
    """Return a whole number above 0."""
    if not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def speed(text: str) -> float:
    """Return a number above 0, such as "10" or "0.5"."""
    value = _number(text)
    if not 0 < value < float("inf"):
        raise ArgumentTypeError(f"{text!r} is no speed: a number above 0")
    return value


def percent(text: str) -> float:
    """Return a number from 0 to 100."""
    value = _number(text)
    if not 0 <= value <= 100:
        raise ArgumentTypeError(f"{text!r} is no percentage: a number from 0 to 100")
    return value


def _number(text: str) -> float:
    """Return the number of a text; of any other text NaN, which lies in no range."""
    try:
        return float(text)
    except ValueError:
        return float("nan")


def port(text: str) -> int:
    """Return a TCP port. 0: any that is free."""
    if not text.isdigit() or int(text) > 65535:
        raise ArgumentTypeError(f"{text!r} is no port: a number up to 65535")
    return int(text)


def address(text: str) -> Tuple[str, int]:
    """Return the host and the port of a text such as "9000" or "127.0.0.1:9000". Without a host: all addresses."""
    host, colon, number = text.rpartition(":")
    if colon and not host:
        raise ArgumentTypeError(f"{text!r} has no host: write 9000 or 127.0.0.1:9000")
    return (host.strip("[]") if colon else "0.0.0.0"), port(number)


def output(text: str) -> str:
    """Return the path of a file that is written at the end of a long run. So its folder must be there at the start."""
    folder = os.path.dirname(text) or "."
    if not os.path.isdir(folder):
        raise ArgumentTypeError(f"{text!r} cannot be written: there is no folder {folder}")
    if os.path.isdir(text):
        raise ArgumentTypeError(f"{text!r} is a folder: write the name of a file")
    return text


def version(text: str) -> str:
    """Return the OCPP version of a text such as "1.6", "1.6J", "v16", "ocpp1.6", "201" or "2.0.1"."""
    digits = "".join(character for character in text if character.isdigit())
    for known in VERSIONS:
        if digits == known.replace(".", ""):
            return known
    raise ArgumentTypeError(f"{text!r} is no OCPP version: it is one of {', '.join(VERSIONS)}")
