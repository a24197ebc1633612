"""MeterValues (Part 2, J01), and readings in the words of 2.x."""

from __future__ import annotations

from typing import Any, Optional

from ..connectors import Connector
from ..readings import Reading, Sample
from .block import Block2
from .device_model import VariableKey

__all__ = ["MeterValues", "measurands_of"]


def measurands_of(controller: str, variable: str) -> VariableKey:
    """Return the key of a list of measurands."""
    return VariableKey(controller, variable)


class MeterValues(Block2):
    """Reports readings outside of transactions."""

    def send(self, connector: Optional[Connector], reading: Reading, before_boot: bool = False) -> None:
        """Report a reading. EVSE 0 is the main meter."""
        request = self.types.MeterValuesRequest(
            evse_id=0 if connector is None else connector.id, meter_value=[self.convert(reading)]
        )
        self.core.send(request, before_boot=before_boot)

    def is_wanted(self) -> bool:
        """Return whether clock-aligned readings outside of transactions are wanted now.

        With AlignedDataCtrlr.SendDuringIdle there are none while a transaction is under way (Part 2, section 2.7.13).
        """
        only_idle = self.core.settings[VariableKey("AlignedDataCtrlr", "SendDuringIdle")]
        return not (only_idle and any(self.core.transactions))

    def read(self, connector: Optional[Connector], context: str) -> Optional[Reading]:
        """Return a reading of the measurands of clock-aligned values (F06.FR.06)."""
        measurands = self.core.settings[measurands_of("AlignedDataCtrlr", "Measurands")]
        return self.core.meters.read(connector, measurands, context)

    def convert(self, reading: Reading) -> Any:
        """Return the MeterValue of a reading."""
        values = [self._sampled(sample, reading.context) for sample in reading.samples]
        return self.types.MeterValue(timestamp=reading.at, sampled_value=values)

    def _sampled(self, sample: Sample, context: str) -> Any:
        return self.types.SampledValue(
            value=round(sample.value, 3),
            context=context,
            measurand=sample.measurand,
            phase=sample.phase,
            location=sample.location,
            unit_of_measure=self.types.UnitOfMeasure(unit=sample.unit, multiplier=0),
        )
