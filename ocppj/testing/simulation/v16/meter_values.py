"""MeterValues, and readings in the words of 1.6 (edition 2, sections 3.16 and 4.7)."""

from __future__ import annotations

from typing import Optional

from ....v16 import MeterValue, MeterValuesRequest, SampledValue
from ..block import Block
from ..connectors import Connector, Transaction
from ..readings import Reading, Sample

__all__ = ["MeterValues", "id_of", "to_message"]

_UNKNOWN = -1

_UNITS = {"Hz": "Hertz"}  # errata 4, 3.86


class MeterValues(Block):
    """Reports readings."""

    def send(self, transaction: Transaction, reading: Reading) -> None:
        """Report a reading of a transaction. It is made when the id of the transaction is known."""
        self.core.send(lambda: _make_request(transaction.connector, reading, transaction), retry=True, droppable=True)

    def send_alone(self, connector: Optional[Connector], reading: Reading) -> None:
        """Report a clock-aligned reading outside of a transaction, without a connector that of the main meter."""
        self.core.send(_make_request(connector, reading), retry=True, droppable=True)

    def read(self, connector: Optional[Connector]) -> Optional[Reading]:
        """Return a reading of MeterValuesSampledData, which was asked for (section 5.17)."""
        return self.core.meters.read(connector, self.core.settings["MeterValuesSampledData"], "Trigger")

    def send_triggered(self, connector: Optional[Connector], reading: Reading) -> None:
        """Report a reading that was asked for."""
        transaction = None if connector is None else connector.transaction
        if transaction is not None and transaction.id is None:
            self.send(transaction, reading)
        else:
            self.core.send(_make_request(connector, reading, transaction), before_boot=True)


def _make_request(
    connector: Optional[Connector], reading: Reading, transaction: Optional[Transaction] = None
) -> MeterValuesRequest:
    return MeterValuesRequest(
        connector_id=0 if connector is None else connector.id,
        meter_value=[to_message(reading)],
        transaction_id=None if transaction is None else id_of(transaction),
    )


def id_of(transaction: Transaction) -> int:
    """Return the id of a transaction for a message: -1 when its StartTransaction was given up (errata 4, 3.18).

    Call it when the turn of the message has come: then the StartTransaction was answered, or given up.
    """
    return _UNKNOWN if transaction.id is None else int(transaction.id)


def to_message(reading: Reading) -> MeterValue:
    """Return the MeterValue of a reading."""
    values = [_sampled(sample, reading.context) for sample in reading.samples]
    return MeterValue(timestamp=reading.at, sampled_value=values)


def _sampled(sample: Sample, context: str) -> SampledValue:
    return SampledValue(
        value=f"{sample.value:.3f}".rstrip("0").rstrip("."),
        context=context,
        measurand=sample.measurand,
        phase=sample.phase,
        location=sample.location,
        unit=_UNITS.get(sample.unit, sample.unit),
    )
