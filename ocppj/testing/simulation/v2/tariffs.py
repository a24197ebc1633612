"""CostUpdated; in 2.1 SetDefaultTariff, GetTariffs, ClearTariffs and ChangeTransactionTariff (Part 2, block I)."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional

from ....errors import OCPPError
from ..core import Core
from ..settings import Settings
from .block import Block2
from .device_model import VariableKey

__all__ = ["Costs", "Tariffs"]

_PRICED = ("energy", "charging_time", "idle_time", "fixed_fee", "reservation_time", "reservation_fixed")


class Costs(Block2):
    """Takes what a transaction costs.

    Args:
        core: The station.
        types: The types of the version.
        is_known: Tells whether a transaction of that id is under way.

    Attributes:
        by_transaction: What the CSMS said last, by the id of the transaction that is under way (I02).
    """

    def __init__(self, core: Core, types: Any, is_known: Callable[[str], bool]) -> None:
        super().__init__(core, types)
        self._is_known = is_known
        self.by_transaction: Dict[str, float] = {}
        core.on(types.CostUpdatedRequest, self.update)

    def transaction_ended(self, transaction_id: str) -> None:
        """Forget what a transaction costs."""
        self.by_transaction.pop(transaction_id, None)

    def update(self, request: Any) -> Any:
        if self._is_known(request.transaction_id):
            self.by_transaction[request.transaction_id] = request.total_cost
        return self.types.CostUpdatedResponse()


class Tariffs(Block2):
    """The tariffs of 2.1: default ones, one for each EVSE. They are kept and reported; no cost is worked out.

    Args:
        core: The station.
        types: The types of the version.
        is_known: Tells whether a transaction of that id is under way.
    """

    def __init__(self, core: Core, types: Any, is_known: Callable[[str], bool]) -> None:
        super().__init__(core, types)
        self._is_known = is_known
        self._defaults: Dict[int, Any] = {}  # by EVSE
        self._of_transactions: Dict[str, Any] = {}
        core.on(types.SetDefaultTariffRequest, self.set_default)
        core.on(types.GetTariffsRequest, self.get)
        core.on(types.ClearTariffsRequest, self.clear)
        core.on(types.ChangeTransactionTariffRequest, self.change)

    def transaction_ended(self, transaction_id: Optional[str]) -> None:
        """Forget the tariff of a transaction."""
        self._of_transactions.pop(transaction_id or "", None)

    def set_default(self, request: Any) -> Any:
        self._check_enabled()
        tariff, evses = request.tariff, self._evses(request.evse_id)
        known = [each.tariff_id for each in self._defaults.values()]
        if not evses:
            info = self.types.StatusInfo(reason_code="UnknownEVSE")
            return self.types.SetDefaultTariffResponse(status="Rejected", status_info=info)
        if _count_elements(tariff) > _most_elements(self.core.settings):
            return self.types.SetDefaultTariffResponse(status="TooManyElements")
        if tariff.tariff_id in known:  # I07.FR.04
            return self.types.SetDefaultTariffResponse(status="DuplicateTariffId")
        self._defaults.update(dict.fromkeys(evses, tariff))
        return self.types.SetDefaultTariffResponse(status="Accepted")

    def get(self, request: Any) -> Any:
        evses = self._evses(request.evse_id)
        by_tariff: Dict[str, List[int]] = {}
        for evse, tariff in sorted(self._defaults.items()):
            if evse in evses:
                by_tariff.setdefault(tariff.tariff_id, []).append(evse)
        if not by_tariff:  # I09.FR.03
            return self.types.GetTariffsResponse(status="NoTariff")
        assignments = [self._assignment(own) for own in by_tariff.values()]
        return self.types.GetTariffsResponse(status="Accepted", tariff_assignments=assignments)

    def clear(self, request: Any) -> Any:
        self._check_enabled()
        evses = self._evses(request.evse_id or 0)
        wanted = request.tariff_ids
        cleared = {
            evse: tariff
            for evse, tariff in self._defaults.items()
            if evse in evses and (not wanted or tariff.tariff_id in wanted)
        }
        for evse in cleared:
            del self._defaults[evse]
        ids = sorted({tariff.tariff_id for tariff in cleared.values()})
        results = [self.types.ClearTariffsResult(status="Accepted", tariff_id=id) for id in ids]
        missing = [id for id in wanted or () if id not in ids]
        results += [self.types.ClearTariffsResult(status="NoTariff", tariff_id=id) for id in missing]
        return self.types.ClearTariffsResponse(
            clear_tariffs_result=results or [self.types.ClearTariffsResult(status="NoTariff")]
        )

    def change(self, request: Any) -> Any:
        self._check_enabled()
        status = "Accepted"
        if not self._is_known(request.transaction_id):
            status = "TxNotFound"
        elif _count_elements(request.tariff) > _most_elements(self.core.settings):
            status = "TooManyElements"
        elif request.tariff.currency != self._currency(request.transaction_id):
            status = "NoCurrencyChange"
        else:
            self._of_transactions[request.transaction_id] = request.tariff
        return self.types.ChangeTransactionTariffResponse(status=status)

    def _currency(self, transaction_id: str) -> str:
        tariff = self._of_transactions.get(transaction_id)
        own = self.core.settings[VariableKey("TariffCostCtrlr", "Currency")]
        return str(own if tariff is None else tariff.currency)

    def _assignment(self, evses: List[int]) -> Any:
        tariff = self._defaults[evses[0]]
        return self.types.TariffAssignment(
            tariff_id=tariff.tariff_id, tariff_kind="DefaultTariff", valid_from=tariff.valid_from, evse_ids=evses
        )

    def _evses(self, evse_id: int) -> List[int]:
        """Return the ids of that EVSE, or of all for 0; none when it is unknown."""
        return [connector.id for connector in self.core.connectors if evse_id in (0, connector.id)]

    def _check_enabled(self) -> None:
        if not self.core.settings[VariableKey("TariffCostCtrlr", "Enabled", "Tariff")]:  # I07.FR.01, I11.FR.01
            raise OCPPError("NotSupported", "tariffs are not enabled")


def _count_elements(tariff: Any) -> int:
    parts = [getattr(tariff, name) for name in _PRICED]
    return sum(len(part.prices) for part in parts if part is not None)


def _most_elements(settings: Settings) -> int:
    return int(settings[VariableKey("TariffCostCtrlr", "MaxElements", "Tariff")])
