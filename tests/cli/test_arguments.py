"""Types of arguments: what they read, and what they say of the rest."""

import os
from argparse import ArgumentTypeError
from typing import Any, Callable

import pytest

from ocppj.cli.arguments import duration, output, percent, port, positive, speed, version


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("60", 60), ("60s", 60), ("250ms", 0.25), ("1.5s", 1.5), ("2m", 120), ("1h30m", 5400), ("1d", 86400), ("0", 0)],
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["1.6", "1.6J", "16", "v16", "ocpp1.6", "OCPP 1.6"])
def test_versions(text: str) -> None:
    assert version(text) == "1.6"
    assert version("2.0.1") == version("v201") == "2.0.1"
    assert version("2.1") == version("ocpp2.1") == "2.1"


def test_numbers() -> None:
    assert positive("7") == 7
    assert (port("0"), port("65535")) == (0, 65535)
    assert output("page.html") == "page.html"
    assert (speed("0.5"), percent("0"), percent("100")) == (0.5, 0, 100)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (duration, "soon"),
        (duration, ""),
        (duration, "-5s"),
        (duration, "5 weeks"),
        (version, "1.5"),
        (version, "2.0"),
        (version, ""),
        (positive, "0"),
        (positive, "-1"),
        (positive, "x"),
        (port, "65536"),
        (port, "http"),
        (speed, "0"),
        (speed, "inf"),
        (speed, "fast"),
        (output, "."),
        (output, os.path.join("no folder", "page.html")),
        (percent, "nan"),
        (percent, "-1"),
        (percent, "101"),
    ],
)
def test_what_is_refused_is_named(kind: Callable[[str], Any], text: str) -> None:
    with pytest.raises(ArgumentTypeError, match=".+") as caught:
        kind(text)
    assert repr(text) in str(caught.value)
