"""``benchmarks/scaling.py``: small fleets and storms, whose results can be worked out by hand."""

import importlib
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
if str(BENCHMARKS) not in sys.path:
    sys.path.insert(0, str(BENCHMARKS))

scaling: Any = importlib.import_module("scaling")

MEASURED = scaling.Measured()
FLEET = scaling.Fleet()
STORM = scaling.Storm(clients=100, nodes=2, attempts=None, share=1.0)
#: A millisecond of a free processor for a connection, and as long for a refusal.
EVEN = replace(MEASURED, connect_us=1000.0, refusal_us=1000.0)


# --- what a fleet needs


def test_connections_decide_while_the_processor_is_idle() -> None:
    found = scaling.need(replace(FLEET, chargers=40_000, regions=1, handler_us=0.0), MEASURED)
    assert (found.nodes, found.left, found.why, found.per_node) == (4, 4, "connections", 10_000)


def test_the_processor_decides_with_slow_handlers() -> None:
    fleet = replace(FLEET, chargers=1000, regions=1, message_every=1.0, handler_us=10_000.0, load=0.5)
    found = scaling.need(fleet, MEASURED)
    assert found.why == "processor"
    assert found.nodes == 21  # 1,000 messages of 10 ms and a little, half a processor each
    assert found.node_load <= 0.5


@pytest.mark.parametrize(("regions", "nodes", "left"), [(1, 4, 4), (2, 8, 4), (3, 6, 4), (4, 8, 6), (5, 5, 4)])
def test_the_regions_that_are_left_hold_all(regions: int, nodes: int, left: int) -> None:
    found = scaling.need(replace(FLEET, chargers=40_000, regions=regions), MEASURED)
    assert (found.nodes, found.left) == (nodes, left)


def test_redis_pays_for_nodes_connections_and_remote_calls() -> None:
    measured = scaling.Measured(
        redis_claim_us=10.0, redis_release_us=20.0, redis_call_us=100.0, redis_node_us=1000.0,
        redis_claim_commands=1.0, redis_release_commands=2.0, redis_call_commands=5.0, redis_node_commands=3.0,
        redis_client_kb=1.0,
    )  # fmt: skip
    fleet = replace(FLEET, chargers=20_000, regions=1, calls_a_day=43.2, losses_a_day=4.32)
    found = scaling.need(fleet, measured)  # 2 nodes; in a second 1 loss and 10 calls, half of them remote
    assert found.calls == pytest.approx(10)
    assert found.redis_commands == pytest.approx(1 + 2 + 5 * 5 + 2 * 3)
    assert found.redis_load == pytest.approx((10 + 20 + 5 * 100 + 2 * 1000) / 1e6)
    assert found.redis_mb == pytest.approx(20)
    assert found.redis_refill == pytest.approx(0.2)


def test_a_node_alone_calls_nobody_by_redis() -> None:
    found = scaling.need(replace(FLEET, chargers=100, regions=1, losses_a_day=0.0), MEASURED)
    assert found.redis_commands == pytest.approx(MEASURED.redis_node_commands)


def test_messages_never_reach_redis() -> None:
    calm, busy = (scaling.need(replace(FLEET, message_every=every), MEASURED) for every in (300.0, 30.0))
    assert busy.messages == pytest.approx(10 * calm.messages)
    assert busy.redis_commands == calm.redis_commands


def test_the_boot_is_counted_once_but_for_its_handler() -> None:
    fleet = replace(FLEET, first_messages=3.0, handler_us=1000.0)
    assert scaling.first_us(fleet, replace(MEASURED, message_us=80.0)) == pytest.approx(2 * 80 + 3 * 1000)


# --- storms


def test_the_first_wait_is_that_of_the_back_off() -> None:
    result = scaling.simulate(STORM, EVEN)
    assert 1.0 < result.half < 3.2 and result.all < 3.2
    assert (result.attempts, result.refused, result.unanswered) == (100, 0, 0)


def test_the_back_off_is_the_chargers_own() -> None:
    result = scaling.simulate(replace(STORM, backoff=(20.0, 0.0, 0)), EVEN)
    assert result.all == pytest.approx(20 + 0.1)  # one after the other
    assert result.half == pytest.approx(20 + 0.05)
    assert result.peak_attempts == 200


def test_those_who_notice_later_come_later() -> None:
    result = scaling.simulate(replace(STORM, detect=60.0), EVEN)
    assert 25 < result.half < 40 and 50 < result.all < 64
    assert result.peak_attempts < scaling.simulate(STORM, EVEN).peak_attempts


def test_a_limit_of_attempts_spreads_the_crowd() -> None:
    free, limited = (scaling.simulate(replace(STORM, attempts=each), EVEN) for each in (None, 5.0))
    assert limited.refused > 100 and limited.attempts == 100 + limited.refused
    assert limited.peak_connected < free.peak_connected
    assert limited.all > (100 - 5) / 5  # no quicker than the limit allows, with the burst that it begins with


def test_the_refused_wait_as_they_are_asked_to() -> None:
    result = scaling.simulate(replace(STORM, clients=2, attempts=0.001, backoff=(0.0, 0.0, 0)), EVEN)
    # The second one asks again after 1 to 10 s each time, for the 1,000 s that the limit takes for one attempt.
    assert 1000 <= result.all <= 1011
    assert 100 <= result.refused <= 500


def test_a_busy_node_takes_longer() -> None:
    result = scaling.simulate(replace(STORM, backoff=(20.0, 0.0, 0), share=0.1), EVEN)
    assert result.all == pytest.approx(20 + 1.0)


def test_a_node_that_is_too_slow_leaves_attempts_unanswered() -> None:
    slow = replace(STORM, backoff=(1.0, 0.0, 0))
    result = scaling.simulate(slow, replace(EVEN, connect_us=1e6, refusal_us=0.0))  # ten are served in time
    assert result.unanswered > 100
    assert result.all > 100


def test_redis_learns_of_all_though_it_is_slower() -> None:
    storm = replace(STORM, backoff=(20.0, 0.0, 0))
    result = scaling.simulate(storm, replace(EVEN, redis_claim_us=10_000.0))  # 100 a second, for 200
    assert result.known == pytest.approx(20 + 2.0, abs=0.01)
    assert result.redis_load == pytest.approx(2.0)


def test_the_same_seed_has_the_same_result() -> None:
    assert scaling.simulate(STORM, EVEN, 7) == scaling.simulate(STORM, EVEN, 7)
    assert scaling.simulate(STORM, EVEN, 7) != scaling.simulate(STORM, EVEN, 8)


# --- a node


def node(first_us: float = 0.0, attempts: Optional[float] = None, **measured: float) -> Any:
    return scaling.Node(replace(STORM, first_us=first_us, attempts=attempts), replace(EVEN, **measured))


def test_a_refusal_costs_less_than_a_connection() -> None:
    one = node(attempts=1.0, refusal_us=200.0)
    assert one.attempt(0.0) == ("connected", pytest.approx(0.001))
    assert one.attempt(0.0) == ("refused", pytest.approx(0.0012))
    assert one.attempt(1.1) == ("connected", pytest.approx(1.101))


def test_a_full_backlog_takes_nothing_and_costs_nothing() -> None:
    one = node()
    ends = [one.attempt(0.0)[0] for _ in range(4097)]
    assert set(ends) == {"connected"}
    assert [one.attempt(0.0) for _ in range(3)] == [("unanswered", 10.0)] * 3
    assert one.attempt(1.0) == ("connected", pytest.approx(4.098))


def test_a_client_that_has_gone_costs_a_look() -> None:
    one = node(connect_us=6e6, refusal_us=2e6)
    assert [one.attempt(0.0)[1] for _ in range(2)] == [pytest.approx(6), pytest.approx(12)]
    assert one.attempt(0.0) == ("unanswered", 10.0)
    assert one.attempt(13.0) == ("connected", pytest.approx(12 + 2 + 6))


def test_first_messages_have_half_of_the_processor_while_others_connect() -> None:
    one = node(first_us=3e6, connect_us=1e6)
    assert one.attempt(0.0)[1] == pytest.approx(1)
    assert one.served() == pytest.approx(4)
    assert one.attempt(1.0)[1] == pytest.approx(3)  # and a second of the messages
    assert one.served() == pytest.approx(8)
    assert one.attempt(6.0)[1] == pytest.approx(8)  # three seconds of the messages went by alone
    assert one.served() == pytest.approx(12)


def test_first_messages_go_on_while_nobody_connects() -> None:
    one = node(first_us=3e6, connect_us=1e6)
    one.attempt(0.0)
    assert one.attempt(10.0)[1] == pytest.approx(11)
    assert one.served() == pytest.approx(14)


# --- the report and the page


def test_the_page_shows_what_the_commands_print() -> None:
    page = (BENCHMARKS.parent / "docs" / "scaling.md").read_text("utf-8")
    assert len(scaling.BLOCK.findall(page)) == page.count("<!-- begin -->") == 3
    assert scaling.filled(page) == page, "python benchmarks/scaling.py --page docs/scaling.md"


def test_the_report_names_its_assumptions_and_each_storm(capsys: pytest.CaptureFixture[str]) -> None:
    scaling.main(["--chargers", "3000", "--message-us", "123", "--attempts", "50,10", "--detect", "0,30"])
    text = capsys.readouterr().out
    assert "| 3,000 | chargers |" in text and "| 123 | us of a node for a MeterValues" in text
    assert text.count("| noticed ") == 4 and "noticed within 30 s, at most 10 attempts" in text


def test_every_storm_of_a_fleet_brings_back_a_region() -> None:
    fleet = replace(FLEET, chargers=90_000)
    found = scaling.need(fleet, MEASURED)
    for storm in scaling.storms(fleet, MEASURED, [2000.0], [0.0]).values():
        assert storm.nodes == found.left
        assert storm.clients == math.ceil(30_000 / found.left)
        assert storm.share == pytest.approx(1 - found.node_load)
