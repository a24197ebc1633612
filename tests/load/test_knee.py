"""The search for the knee: which rates are tried, and who was the limit."""

from typing import Any, List
from xml.etree import ElementTree

import pytest

from ocppj.load.knee import Knee, KneeSearch, Limits
from ocppj.load.open_loop import Step, quantile
from ocppj.load.plot import svg_plot, text_plot


def step(rate: float, p99: float, **more: Any) -> Step:
    wire: List[float] = more.pop("on_wire", [p99])
    return Step(rate, 1, due=100, answered=100, answered_rate=rate, latencies=[0.001, p99], on_wire=wire, **more)


class Central:
    """A central system that answers within 2 ms up to a rate, and then late. It notes the rates that were tried."""

    def __init__(self, knee: float, **late: Any) -> None:
        self.tried: List[float] = []
        self._knee = knee
        self._late = late

    def measure(self, rate: float) -> Step:
        self.tried.append(rate)
        return step(rate, 0.002) if rate <= self._knee else step(rate, self._late.pop("p99", 0.9), **self._late)


def search(central: Any, **options: Any) -> Knee:
    searching = KneeSearch(central.measure, Limits(0.25, 0.01), first=100, **options)
    assert list(searching.run())
    return searching.knee()


def test_the_rate_is_doubled_and_the_gap_halved() -> None:
    central = Central(1100)
    knee = search(central)
    assert central.tried == [100, 200, 400, 800, 1600, 1600, 1200, 1200, 1000, 1100, 1150, 1150]
    assert (knee.rate, knee.first_bad, knee.found) == (1100, 1150, True)
    assert knee.text().startswith("The knee is at 1100 messages/s. At 1150 messages/s p99 was 900 ms.")
    assert [each.rate for each in knee.steps] == sorted(each.rate for each in knee.steps)


def test_one_pause_is_no_knee() -> None:
    central = Central(1e9)
    bad = [200.0, 400.0]

    def measure(rate: float) -> Step:
        found = central.measure(rate)
        if rate in bad:
            bad.remove(rate)
            return step(rate, 3.0)
        return found

    central_with_pauses = type("", (), {"measure": staticmethod(measure)})
    assert search(central_with_pauses, most=800).text().startswith("No knee: the central system kept up with 800")


@pytest.mark.parametrize(
    ("late", "culprit", "text"),
    [
        ({"processor": 0.97}, "load", "this process is the limit"),
        ({"lateness": [0.1]}, "load", "this process sent requests 100 ms late"),
        ({"on_wire": [0.002]}, "stations", "there are too few stations"),
        (
            {"errors": ["GenericError"] * 9, "p99": 0.001},
            "central system",
            "9.0 % of the requests failed: GenericError",
        ),
        ({"machine": 0.99}, "central system", "All processors of this machine were busy"),
    ],
)
def test_who_was_the_limit(late: Any, culprit: str, text: str) -> None:
    knee = search(Central(400, **late), halvings=0)
    assert (knee.verdict.culprit, knee.rate, knee.first_bad) == (culprit, 400, 800)
    assert knee.found == (culprit == "central system")
    assert text in knee.text()


def test_a_central_system_that_is_slow_from_the_beginning() -> None:
    central = Central(10)
    knee = search(central)
    assert central.tried == [100, 100]
    assert knee.text() == "The central system gave way at the lowest rate, 100 messages/s: p99 was 900 ms."


def test_quantiles() -> None:
    assert quantile([], 0.5) is None
    assert [quantile(list(range(100)), share) for share in (0.0, 0.5, 0.99, 1.0)] == [0, 50, 99, 99]


def test_the_plots_show_the_knee() -> None:
    knee = search(Central(1100))
    lines = text_plot(knee)
    assert "| knee" in lines[0]
    assert sum("#" in line for line in lines[1:]) == 2, "2 ms and 900 ms"
    assert [line.count("|") >= 2 for line in lines[1:15]].count(True) >= 11
    assert lines[-1].strip() == "messages/s"
    picture = svg_plot(knee, "a < b")
    assert "a &lt; b" in picture
    assert "knee: 1100/s" in picture
    assert picture.count("<circle") == 2 * len(knee.steps)
    assert ElementTree.fromstring(picture).tag.endswith("svg")


def test_a_plot_of_nothing_but_errors_is_empty() -> None:
    searching = KneeSearch(lambda rate: Step(rate, 1, due=1, errors=["CallTimeout"]), Limits(), first=10)
    assert list(searching.run())
    assert text_plot(searching.knee()) == []
    assert "<svg" in svg_plot(searching.knee(), "none")
