"""How much energy a simulated station delivers, what its meters show, and when they are read."""

import sys

import pytest

from ocppj.testing.simulation.charging_profiles import STATION_MAX, TX, TX_DEFAULT, Period, Profile
from ocppj.testing.simulation.connectors import Connector, Connectors
from ocppj.testing.simulation.meter import Meter
from tests.testing.sim_model import booted


def limit(watts, **fields):
    options = {"id": 1, "stack_level": 0, "purpose": TX_DEFAULT, "kind": "Relative", "periods": [Period(0, watts)]}
    return Profile(**{**options, **fields})


def test_energy_is_power_times_time():
    with booted() as model:
        model.plug_in(max_power=7200)
        model.pass_time(3600)
        assert model.energy() == 0
        model.present()
        model.pass_time(1800)
        assert model.energy() == pytest.approx(3600)
        model.unplug()
        model.pass_time(1800)
        assert model.energy() == pytest.approx(3600)


def test_the_register_goes_on_with_the_next_transaction():
    with booted() as model:
        for _ in range(2):
            model.plug_in(max_power=3600)
            model.present()
            model.pass_time(3600)
            model.unplug()
        assert model.energy() == pytest.approx(7200)
        last = model.core.transactions.last(model.core.connectors[1])
        assert (last.meter_start, last.meter_stop) == (pytest.approx(3600), pytest.approx(7200))


def test_a_vehicle_that_is_full_takes_no_more():
    with booted() as model:
        model.plug_in(max_power=3600, needs=1800)
        model.present()
        model.pass_time(1799)
        assert model.status() == "Charging"
        model.pass_time(2)
        assert model.status() == "SuspendedEV"
        assert model.events[-2:] == [(1, "Charging", "SuspendedEV"), ("updated", 1, "ChargingStateChanged")]
        model.pass_time(3600)
        assert model.energy() == pytest.approx(1800, abs=0.1)


def test_a_battery_is_full():
    with booted() as model:
        model.plug_in(max_power=10_000, capacity=50_000, charge=80)
        model.present()
        model.pass_time(7200)
        assert model.energy() == pytest.approx(10_000, abs=0.1)
        reading = model.core.meters.read(model.core.connectors[1], ["SoC"], "Other")
        assert reading.samples[0].value == pytest.approx(100, abs=0.01)


def test_a_profile_limits_the_power_and_its_end_ends_the_limit():
    with booted() as model:
        model.plug_in(max_power=11_000)
        model.present()
        model.run(model.core.profiles.install, 1, limit(3600, duration=1800))
        model.pass_time(1800)
        assert model.energy() == pytest.approx(1800)
        model.pass_time(3600)
        assert model.energy() == pytest.approx(1800 + 11_000)


def test_a_limit_of_zero_suspends():
    with booted() as model:
        model.run(model.core.profiles.install, 1, limit(0, periods=[Period(0, 0), Period(600, 6000)]))
        model.plug_in(max_power=3600)
        model.present()
        assert model.status() == "SuspendedEVSE"
        model.pass_time(601)
        assert model.status() == "Charging"
        model.run(model.core.profiles.clear, lambda place, profile: True)
        model.pass_time(599)
        assert model.energy() == pytest.approx(600)


def test_what_the_station_may_take_is_shared():
    with booted() as model:
        model.run(model.core.profiles.install, 0, limit(8000, purpose=STATION_MAX, kind="Absolute"))
        for number in (1, 2):
            model.plug_in(number)
            model.present(f"TAG{number}", number)
        model.pass_time(3600)
        assert (model.energy(1), model.energy(2)) == (pytest.approx(4000), pytest.approx(4000))
        model.unplug(2)
        model.pass_time(3600)
        assert model.energy(1) == pytest.approx(12_000)


def test_amperes_are_of_each_phase():
    with booted() as model:
        model.run(model.core.profiles.install, 1, limit(0, unit="A", periods=[Period(0, 10, 1)]))
        model.plug_in()
        model.present()
        model.pass_time(3600)
        assert model.energy() == pytest.approx(2300)


def test_a_profile_for_the_transaction_ends_with_it():
    with booted() as model:
        model.plug_in()
        model.present()
        model.run(model.core.profiles.install, 1, limit(1000, purpose=TX))
        assert len(list(model.core.profiles)) == 1
        model.unplug()
        assert list(model.core.profiles) == []


def test_what_is_measured():
    with booted() as model:
        model.plug_in(max_power=6900)
        model.present()
        model.pass_time(3600)
        names = ["Power.Active.Import", "Voltage.L1-N", "Current.Import.L2", "Power.Offered", "Nonsense", "SoC"]
        reading = model.core.meters.read(model.core.connectors[1], names, "Sample.Periodic")
        shown = [(each.measurand, each.value, each.unit, each.phase) for each in reading.samples]
        assert shown == [
            ("Power.Active.Import", 6900, "W", None),
            ("Voltage", 230, "V", "L1-N"),
            ("Current.Import", 10, "A", "L2"),
            ("Power.Offered", 22_000, "W", None),
            ("SoC", 31.5, "Percent", None),
        ]
        main = model.core.meters.read(None, ["Energy.Active.Import.Register", "Voltage"], "Sample.Clock")
        assert [(each.measurand, each.value) for each in main.samples] == [
            ("Energy.Active.Import.Register", pytest.approx(6900))
        ]
        assert model.core.meters.read(None, ["Voltage"], "Sample.Clock") is None


def test_samples_in_a_transaction():
    with booted() as model:
        model.set("sample_interval", 60)
        model.plug_in()
        model.pass_time(120)
        model.present()
        model.events.clear()
        model.pass_time(185)
        assert model.events == [("updated", 1, "MeterValuePeriodic")] * 3
        model.set("sample_interval", 10)  # from now on
        model.pass_time(21)
        assert len(model.events) == 5
        model.unplug()
        model.events.clear()
        model.pass_time(600)
        assert model.events == []


def test_samples_that_are_kept_for_the_end():
    with booted() as model:
        model.set("ended_measurands", ["Energy.Active.Import.Register"])
        model.set("ended_interval", 1800)
        model.plug_in(max_power=3600)
        model.present()
        model.pass_time(4000)
        model.unplug()
        readings = model.core.transactions.last(model.core.connectors[1]).readings
        assert [(each.context, round(each.samples[0].value)) for each in readings] == [
            ("Transaction.Begin", 0),
            ("Sample.Periodic", 1800),
            ("Sample.Periodic", 3600),
            ("Transaction.End", 4000),
        ]


def test_clock_aligned_samples():
    with booted(connectors=1) as model:
        model.pass_time(100)
        model.set("aligned_interval", 900)
        model.plug_in(max_power=3600)
        model.present()
        model.events.clear()
        model.pass_time(799)
        assert model.events == []
        model.pass_time(2)
        assert model.events == [("meter", None, pytest.approx(800)), ("updated", 1, "MeterValueClock")]
        model.unplug()
        model.events.clear()
        model.pass_time(900)
        assert [event[:2] for event in model.events] == [("meter", None), ("meter", 1)]


def test_clock_aligned_samples_begin_anew_at_midnight():
    with booted(connectors=1) as model:
        model.set("aligned_interval", 50_000)
        model.plug_in(max_power=3600, capacity=1e6)
        model.present()
        model.events.clear()
        model.pass_time(140_000)
        taken = [round(event[2]) for event in model.events if event[0] == "meter"]
        assert taken == [50_000, 86_400, 136_400]


def test_a_register_may_be_read_while_the_power_changes():
    """It is read between any two steps of the job that sets the power."""

    class Time:
        now = 0.0

        def seconds(self):
            return self.now

    time, seen = Time(), []
    meter = Meter(time)
    meter.set_power(1000.0)
    time.now = 3600.0

    def read(frame, event, argument):
        frame.f_trace_opcodes = True
        seen.append(meter.energy)
        return read

    before = sys.gettrace()
    sys.settrace(read)
    try:
        meter.set_power(5.0)
    finally:
        sys.settrace(before)
    assert len(seen) > 10
    assert set(seen) == {1000.0}


def test_transactions_may_be_read_while_one_ends(monkeypatch):
    class Ending:
        """A transaction that ends as soon as it was read."""

        def __init__(self):
            self.left = ["transaction"]

        def __get__(self, connector, owner):
            return self.left.pop() if self.left else None

        def __set__(self, connector, value):
            pass

    monkeypatch.setattr(Connector, "transaction", Ending(), raising=False)
    assert Connectors(1, lambda connector, before: None).transactions == ["transaction"]
