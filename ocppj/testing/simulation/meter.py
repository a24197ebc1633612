"""The meters of a station, and what they measure."""

from __future__ import annotations

from typing import Callable, Dict, Iterable, List, Optional, Tuple

from .connectors import Connector, Connectors
from .readings import Reading, Sample
from .simtime import SimulatedTime

__all__ = ["MEASURANDS", "VOLTAGE", "Meter", "Meters", "Reading", "Sample", "max_power"]

VOLTAGE = 230.0  # V, of each phase
MAX_CURRENT = 32.0  #: A, that a connector can offer on each phase
MAX_POWER = 22_000.0  #: W, that it can offer on three phases

#: What can be measured at a connector, and its unit.
MEASURANDS = {
    "Energy.Active.Import.Register": "Wh",
    "Power.Active.Import": "W",
    "Current.Import": "A",
    "Voltage": "V",
    "Power.Offered": "W",
    "Current.Offered": "A",
    "Frequency": "Hz",
    "Temperature": "Celsius",
    "SoC": "Percent",
}
_MAIN = ("Energy.Active.Import.Register", "Power.Active.Import")  # what the main meter measures
_LOCATIONS = {"SoC": "EV", "Temperature": "Body"}


def max_power(connector: Connector) -> float:
    """Return how many W a connector can offer on the phases that are used."""
    return min(MAX_POWER, MAX_CURRENT * VOLTAGE * connector.phases)


class Meter:
    """The energy meter of a connector. Its register only ever grows, over all transactions.

    Attributes:
        offered: W, which may flow now.
    """

    def __init__(self, time: SimulatedTime) -> None:
        self._time = time
        # Wh, the register when the power last changed; simulated seconds, when that was; W, the power since then. They
        # are replaced as one, for the threads that read.
        self._state = 0.0, time.seconds(), 0.0
        self.offered: float = 0.0

    @property
    def energy(self) -> float:
        """The register, in Wh."""
        register, since, watts = self._state
        return register + watts * (self._time.seconds() - since) / 3600

    @property
    def power(self) -> float:
        """W, which flow now."""
        return self._state[2]

    def set_power(self, watts: float) -> None:
        """Have another power flow from now on."""
        register, since, before = self._state
        now = self._time.seconds()
        self._state = register + before * (now - since) / 3600, now, watts


class Meters:
    """The meters of a station: one of each connector. The main meter shows their sums."""

    def __init__(self, connectors: Connectors, time: SimulatedTime) -> None:
        self._time = time
        self._by_connector: Dict[int, Meter] = {connector.id: Meter(time) for connector in connectors}

    def __getitem__(self, connector: Connector) -> Meter:
        return self._by_connector[connector.id]

    def read(self, connector: Optional[Connector], measurands: Iterable[str], context: str) -> Optional[Reading]:
        """Return a reading of those measurands, by a connector's meter, or without one the main meter.

        Returns:
            ``None`` if nothing of this is measured there.
        """
        samples: List[Sample] = []
        for name in measurands:
            samples += self._main_samples(name) if connector is None else self._samples(connector, name)
        return Reading(self._time.now(), context, samples) if samples else None

    def _main_samples(self, name: str) -> List[Sample]:
        if name not in _MAIN:
            return []
        meters = self._by_connector.values()
        values: Iterable[float]
        values = (meter.energy for meter in meters) if name == _MAIN[0] else (meter.power for meter in meters)
        return [Sample(name, sum(values), MEASURANDS[name], None, "Inlet")]

    def _samples(self, connector: Connector, name: str) -> List[Sample]:
        """Return the samples of a measurand; it may be followed by a phase, as in "Voltage.L1-N"."""
        measurand, phase = _split(name)
        if measurand not in MEASURANDS:
            return []
        unit, location = MEASURANDS[measurand], _LOCATIONS.get(measurand, "Outlet")
        value = self._value(connector, measurand)
        if value is None:
            return []
        if phase is not None and measurand.startswith("Power."):
            value /= connector.phases
        return [Sample(measurand, round(value, 3), unit, phase, location)]

    def _value(self, connector: Connector, measurand: str) -> Optional[float]:
        meter, vehicle, phases = self[connector], connector.vehicle, connector.phases
        values: Dict[str, Callable[[], float]] = {
            "Energy.Active.Import.Register": lambda: meter.energy,
            "Power.Active.Import": lambda: meter.power,
            "Current.Import": lambda: meter.power / VOLTAGE / phases,
            "Voltage": lambda: VOLTAGE,
            "Power.Offered": lambda: meter.offered,
            "Current.Offered": lambda: meter.offered / VOLTAGE / phases,
            "Frequency": lambda: 50.0,
            "Temperature": lambda: 25.0,
        }
        if measurand == "SoC":
            return None if vehicle is None else vehicle.state_of_charge(meter.energy)
        return values[measurand]()


def _split(name: str) -> Tuple[str, Optional[str]]:
    """Return the measurand and the phase of a name, such as "Current.Import.L1"."""
    head, _, tail = name.rpartition(".")
    if name not in MEASURANDS and tail in ("L1", "L2", "L3", "N", "L1-N", "L2-N", "L3-N", "L1-L2", "L2-L3", "L3-L1"):
        return head, tail
    return name, None
