"""The eight tests with `OCPPTestCase`, on TCP, in memory, and in memory with a held clock."""

from __future__ import annotations

from functools import partial
from typing import Any

from ocppj import Server
from ocppj.testing import OCPPTestCase, SimulatedStation
from tests.helpers import FACTOR
from tests.testing import test_eight_tests as eight
from tests.testing.surroundings import Surroundings


class _EightTests:
    """The tests. The classes below say where they run."""

    def setUp(self: Any) -> None:
        self.csms.reply(eight.Start, eight.started_7)
        self.here = Surroundings(self.network if self.in_memory else None, self.clock if self.held_clock else None)
        factor = 1.0 if self.held_clock else FACTOR
        dut = SimulatedStation("CP_1", timeout=factor, **self.here._asdict())
        self.addCleanup(dut.stop)
        # A moment later: first the test says what is replied.
        start = dut.clock.call_later(0.3 * factor, partial(dut.start, self.csms.url), "power-on")
        self.addCleanup(start.cancel)
        self.dut = dut

    def test_pending(self: Any) -> None:
        eight.test_pending(self.csms, self.dut)

    def test_order(self: Any) -> None:
        eight.test_order(self.csms, self.dut)

    def test_error_reply(self: Any) -> None:
        eight.test_error_reply(self.csms, self.dut)

    def test_drop_instead_of_an_answer(self: Any) -> None:
        eight.test_drop_instead_of_an_answer(self.csms, self.dut)

    def test_garbage(self: Any) -> None:
        for garbage in ("not json", "[]", '[2,"1"]', '{"a":1}', "[9,9,9]"):
            with self.subTest(garbage):
                eight.test_garbage(self.csms, self.dut, garbage)

    def test_refused(self: Any) -> None:
        eight.test_refused(self.csms, self.dut)

    def test_wrong_id(self: Any) -> None:
        eight.test_wrong_id(self.csms, self.dut)

    def test_csms(self: Any) -> None:
        server: Server = eight.make_csms(self.here)
        with server.listen(host="127.0.0.1"):
            eight.test_csms(server, lambda url: self.station(url))


class TestOnTCP(_EightTests, OCPPTestCase):
    timeout_factor = FACTOR


class TestInMemory(_EightTests, OCPPTestCase):
    in_memory = True
    timeout_factor = FACTOR


class TestWithAHeldClock(_EightTests, OCPPTestCase):
    in_memory = held_clock = True
