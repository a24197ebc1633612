"""Which charging profile says the limit, and the composite schedule."""

from datetime import datetime, timedelta, timezone

import pytest

from ocppj.testing.simulation.charging_profiles import EXTERNAL, STATION_MAX, TX, TX_DEFAULT, Period, Profile
from tests.testing.sim_model import booted

MIDNIGHT = datetime(2026, 1, 1, tzinfo=timezone.utc)  # when the clock of a test begins


def profile(*periods, id=1, level=0, purpose=TX_DEFAULT, kind="Relative", **fields):
    return Profile(id, level, purpose, kind, [Period(*period) for period in periods], **fields)


def watts(model, connector=1):
    return model.core.profiles.limit(model.core.connectors[connector])


def composite(model, connector, duration, unit=None):
    made = model.core.profiles.composite(connector, duration, unit)
    return [(period.start, period.limit) for period in made.periods]


def install(model, place, *profiles):
    for each in profiles:
        model.run(model.core.profiles.install, place, each)


def test_without_a_profile_there_is_no_limit():
    with booted() as model:
        assert watts(model) is None
        assert composite(model, 1, 3600) == [(0, 22_000)]


def test_the_highest_stack_level_says_the_limit_as_long_as_it_says_one():
    with booted() as model:
        install(model, 1, profile((0, 5000)), profile((0, 9000), id=2, level=3, duration=600))
        assert watts(model) == 9000
        assert composite(model, 1, 1200) == [(0, 9000), (600, 5000)]


def test_a_profile_of_the_transaction_goes_before_a_default_one():
    with booted() as model:
        install(model, 1, profile((0, 5000), level=9), profile((0, 7000), id=2, purpose=TX))
        assert watts(model) == 5000  # there is no transaction
        model.plug_in()
        model.present()
        install(model, 1, profile((0, 7000), id=2, purpose=TX))
        assert watts(model) == 7000


def test_a_default_for_the_connector_goes_before_one_for_all():
    with booted() as model:
        install(model, 0, profile((0, 5000), level=9))
        install(model, 1, profile((0, 8000), id=2))
        assert (watts(model, 1), watts(model, 2)) == (8000, 5000)


def test_the_station_and_external_limits_hold_for_all():
    with booted() as model:
        install(model, 0, profile((0, 6000), purpose=STATION_MAX, kind="Absolute"))
        install(model, 0, profile((0, 4000), id=2, purpose=EXTERNAL, kind="Absolute"))
        install(model, 1, profile((0, 5000), id=3))
        assert watts(model) == 4000


@pytest.mark.parametrize(
    ("again", "left"),
    [
        ({"id": 1, "level": 5}, [(1, 5)]),
        ({"id": 2, "level": 0}, [(2, 0)]),
        ({"id": 2, "level": 1}, [(1, 0), (2, 1)]),
        ({"id": 2, "level": 0, "purpose": TX}, [(1, 0), (2, 0)]),
    ],
    ids=["same id", "same level", "another level", "another purpose"],
)
def test_what_a_profile_replaces(again, left):
    with booted() as model:
        install(model, 1, profile((0, 5000)), profile((0, 6000), **again))
        assert [(each.id, each.stack_level) for _, each in model.core.profiles] == left


def test_clearing():
    with booted() as model:
        install(model, 0, profile((0, 1)))
        install(model, 1, profile((0, 2), id=2), profile((0, 3), id=3, level=1))
        model.run(model.core.profiles.clear, lambda place, each: place == 1 and each.stack_level == 1)
        assert [each.id for _, each in model.core.profiles] == [1, 2]


def test_an_absolute_schedule():
    with booted() as model:
        start = MIDNIGHT + timedelta(hours=1)
        schedule = profile((0, 5000), (1800, 3000), kind="Absolute", start=start, duration=3600)
        install(model, 1, schedule)
        assert watts(model) is None
        assert composite(model, 1, 4 * 3600) == [(0, 22_000), (3600, 5000), (5400, 3000), (7200, 22_000)]
        model.pass_time(5400)
        assert watts(model) == 3000


def test_a_schedule_that_comes_again_each_day():
    with booted() as model:
        start = MIDNIGHT - timedelta(days=40, hours=2)  # 22:00
        recurring = profile((0, 4000), kind="Recurring", recurrence="Daily", start=start, duration=8 * 3600)
        install(model, 1, recurring)
        hours = [(second // 3600, limit) for second, limit in composite(model, 1, 2 * 86_400)]
        assert hours == [(0, 4000), (6, 22_000), (22, 4000), (30, 22_000), (46, 4000)]


def test_a_schedule_that_comes_again_each_week():
    with booted() as model:
        start = MIDNIGHT - timedelta(days=15)
        recurring = profile((0, 4000), kind="Recurring", recurrence="Weekly", start=start, duration=86_400)
        install(model, 1, recurring)
        days = [(second // 86_400, limit) for second, limit in composite(model, 1, 14 * 86_400)]
        assert days == [(0, 22_000), (6, 4000), (7, 22_000), (13, 4000)]


def test_when_a_profile_is_valid():
    with booted() as model:
        valid = {"valid_from": MIDNIGHT + timedelta(minutes=1), "valid_to": MIDNIGHT + timedelta(minutes=2)}
        install(model, 1, profile((0, 5000), **valid))
        assert composite(model, 1, 180) == [(0, 22_000), (60, 5000), (120, 22_000)]


def test_a_relative_schedule_counts_from_the_start_of_the_transaction():
    with booted() as model:
        install(model, 1, profile((0, 5000), (600, 3000)))
        model.pass_time(3600)
        model.plug_in()
        model.present()
        model.pass_time(300)
        assert composite(model, 1, 900) == [(0, 5000), (300, 3000)]


def test_the_composite_schedule_of_the_station_is_the_sum_of_its_connectors():
    with booted() as model:
        install(model, 0, profile((0, 5000)))
        install(model, 1, profile((0, 2000), id=2))
        assert composite(model, 0, 60) == [(0, 7000)]
        install(model, 0, profile((0, 6000), id=3, purpose=STATION_MAX, kind="Absolute"))
        assert composite(model, 0, 60) == [(0, 6000)]


def test_the_composite_schedule_in_amperes():
    with booted() as model:
        install(model, 1, profile((0, 16), (60, 8), unit="A"))
        assert composite(model, 1, 120, "A") == [(0, 16), (60, 8)]
        assert composite(model, 1, 120, "W") == [(0, 11_040), (60, 5520)]


def test_the_station_takes_no_more_than_its_connectors_although_only_one_has_a_limit():
    with booted() as model:
        model.run(model.core.profiles.install, 1, Profile(1, 0, TX_DEFAULT, "Absolute", [Period(0, 4000)]))
        assert composite(model, 0, 60) == [(0, 26_000)]
        model.run(model.core.profiles.install, 0, Profile(2, 0, STATION_MAX, "Absolute", [Period(0, 25_000)]))
        assert composite(model, 0, 60) == [(0, 25_000)]


@pytest.mark.parametrize("phases", [1, 2, 3])
@pytest.mark.parametrize("place", [0, 1])
def test_a_limit_in_amperes_is_for_each_phase_that_the_vehicle_uses(place, phases):
    with booted() as model:
        model.plug_in(phases=phases, max_power=50_000)
        model.present()
        meter = model.core.meters[model.core.connectors[1]]
        reading = model.core.meters.read(model.core.connectors[1], ["Current.Offered", "Current.Import"], "Trigger")
        assert max(sample.value for sample in reading.samples) <= 32
        purpose = STATION_MAX if place == 0 else TX_DEFAULT
        install(model, place, profile((0, 10), unit="A", purpose=purpose, kind="Absolute"))
        assert meter.power == 10 * 230 * phases
        reading = model.core.meters.read(model.core.connectors[1], ["Current.Offered", "Current.Import"], "Trigger")
        assert [sample.value for sample in reading.samples] == [10, 10]
        assert composite(model, 1, 60, "A") == [(0, 10)]
