"""`Power`: a station is switched on and off, and is reset (1.6 edition 2 section 5.14; Part 2 B11, B12)."""

from __future__ import annotations

from functools import partial
from typing import Callable, List, Optional

from .boot import Boot
from .common import Common
from .connectors import Connector, Transaction
from .link import Link
from .outbox import Outbox
from .sampling import Sampling
from .scheduler import Handle
from .transactions import Transactions

__all__ = ["Power"]

_DELIVERY = 30.0  # seconds of the clock in which the messages about transactions may be delivered before a reboot


class Power:
    """Switches the station. To be used in jobs of the mailbox.

    Attributes:
        reboot_seconds: How long a reboot takes, in simulated seconds.
        rebooting: Whether the station is off, for a moment.
        rebooted: Functions that are called when a reboot is over, before the boot.
    """

    def __init__(
        self, common: Common, boot: Boot, outbox: Outbox, link: Link, sampling: Sampling, transactions: Transactions
    ) -> None:
        self._common = common
        self._boot = boot
        self._outbox = outbox
        self._link = link
        self._sampling = sampling
        self._transactions = transactions
        transactions.ended.append(self._transaction_ended)
        self.reboot_seconds: float = 30.0
        self.rebooting: bool = False
        self.rebooted: List[Callable[[], object]] = []
        self._waiting: List[Callable[[], object]] = []  # what is done when no transaction is under way any more
        self._patience: Optional[Handle] = None
        self._is_offline = False  # from `go_offline` on
        self._offline_end: Optional[Handle] = None

    def switch_on(self, url: str) -> None:
        """Connect, and boot."""
        self._boot.begin("PowerUp")
        self._sampling.start()
        self._link.open(url)

    def switch_off(self) -> None:
        """Stop for good."""
        self._link.close()
        self._common.timers.close()
        self._outbox.clear()

    def go_offline(self, seconds: Optional[float]) -> None:
        """Lose the connection for some seconds of the clock, or until `go_online`, as if the network had failed."""
        self._link.cut()
        self._set_offline(True)
        if seconds is not None:
            self._offline_end = self._common.timers.call_later(seconds, self.go_online)
        self._link.close()

    def go_online(self) -> None:
        """Connect again."""
        self._set_offline(False)
        if not self.rebooting:
            self._link.open()

    def _set_offline(self, is_offline: bool) -> None:
        self._is_offline = is_offline
        if self._offline_end is not None:
            self._offline_end.cancel()
            self._offline_end = None

    # Resets

    def reset(self, stop_reason: str, boot_reason: str) -> None:
        """End all transactions, and reboot: when the messages about them are delivered, or half a minute later.

        Args:
            stop_reason: A ReasonEnum of 2.x, such as "ImmediateReset".
            boot_reason: A BootReason of 2.x, such as "RemoteReset".
        """
        self._end_transactions(stop_reason)
        self._reboot_when_delivered(boot_reason)

    def reset_at_once(self, stop_reason: str, boot_reason: str) -> None:
        """End all transactions, and reboot now. What is to be said about them is said after the boot."""
        self.reboot(boot_reason, stop_reason)

    def reset_on_idle(self, boot_reason: str) -> None:
        """Reboot when no transaction is under way any more."""
        self.when_idle(partial(self._reboot_when_delivered, boot_reason))

    def reset_connector(self, connector: Connector, stop_reason: str) -> None:
        """End the transaction of a connector, and have it unavailable for as long as a reboot takes (B11, B12)."""
        if connector.transaction is not None:
            self._transactions.end(connector.transaction, stop_reason, "ResetCommand")
        connector.resetting = True
        connector.update()

        def done() -> None:
            connector.resetting = False
            connector.update()

        self._common.time.call_later(self.reboot_seconds, done)

    def when_idle(self, job: Callable[[], object]) -> None:
        """Run ``job`` when no transaction is under way any more."""
        if self._common.connectors.transactions:
            self._waiting.append(job)
        else:
            job()

    def _transaction_ended(self, transaction: Transaction) -> None:
        """Do what waits for it."""
        if not self._common.connectors.transactions:
            jobs, self._waiting = self._waiting, []
            for job in jobs:  # as a job each: by then another transaction may have begun
                self._common.post(partial(self.when_idle, job))

    def reboot(self, boot_reason: str, stop_reason: str = "Reboot") -> None:
        """Reboot now: off for a moment, and then a new boot.

        Transactions end. What is to be said about that is said after the boot.
        """
        if self.rebooting:
            return
        self.rebooting = True
        self._common.connectors.serving = False
        self._boot.begin(boot_reason)
        self._link.close()  # from now on messages wait
        self._end_transactions(stop_reason)
        self._sampling.stop()
        self._common.time.call_later(self.reboot_seconds, self._up_again)

    def _up_again(self) -> None:
        self.rebooting = False
        self._common.connectors.serving = True
        self._common.settings.reboot()
        self._sampling.start()
        for function in self.rebooted:
            function()
        if not self._is_offline:
            self._link.open()

    def _end_transactions(self, reason: str) -> None:
        for transaction in self._common.connectors.transactions:
            self._transactions.end(transaction, reason, "ResetCommand")

    def _reboot_when_delivered(self, boot_reason: str) -> None:
        self._common.connectors.serving = False  # a transaction would not survive (1.6 5.14; Part 2 B12.FR.04)
        reboot = partial(self._reboot_if_waiting, boot_reason)
        self._patience = self._common.timers.call_later(_DELIVERY, reboot)
        self._outbox.when_delivered(reboot)

    def _reboot_if_waiting(self, boot_reason: str) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
            self.reboot(boot_reason)
