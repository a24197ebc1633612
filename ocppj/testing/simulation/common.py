"""`Common`: what all parts of a simulated station share."""

from __future__ import annotations

from typing import Callable

from ...client import Client
from ...clock import Clock
from .behaviour import Behaviour
from .connectors import Connectors
from .mailbox import Mailbox
from .meter import Meters
from .settings import Settings
from .simtime import SimulatedTime, Timers
from .summary import Summary

__all__ = ["Common"]


class Common:
    """What all parts of one station share.

    Attributes:
        client: The connection to the CSMS.
        clock: The source of time.
        mailbox: Runs all events of the station, one at a time.
        timers: Timers in seconds of the clock, for the protocol.
        time: Simulated time, and timers in it, for charging.
        settings: Configuration keys, or variables.
        connectors: The connectors, and what goes on there.
        meters: What is measured there.
        summary: What the station has done.
        behaviour: The version. It is set when all parts have been made.
    """

    behaviour: Behaviour

    def __init__(
        self,
        client: Client,
        clock: Clock,
        mailbox: Mailbox,
        timers: Timers,
        time: SimulatedTime,
        settings: Settings,
        connectors: Connectors,
        summary: Summary,
    ) -> None:
        self.client = client
        self.clock = clock
        self.mailbox = mailbox
        self.timers = timers
        self.time = time
        self.settings = settings
        self.connectors = connectors
        self.meters: Meters = Meters(connectors, time)
        self.summary = summary

    def post(self, job: Callable[[], object]) -> None:
        """Run ``job`` when the present job has ended, and its answer is on the wire."""
        self.mailbox.post(job)
