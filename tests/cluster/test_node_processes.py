"""The node program and the stations, without a cluster: what the tests of failures stand on."""

import pytest

from tests.cluster.node_processes import Node, NodeDied, NodeFailed
from tests.cluster.stations import Stations
from tests.helpers import eventually, seconds

pytestmark = pytest.mark.timeout(seconds(60))


def test_a_node_calls_its_stations_and_each_call_ends_once():
    with Node() as node, Stations([node.url], 20) as stations:
        eventually(lambda: node.ask("clients") == sorted(stations.ids))
        done = node.ask("calls", clients=stations.ids, name="A", count=100, timeout=seconds(10), threads=4)
        assert done["ends"] == {f"A {number}": ["answered"] for number in range(100)}, done
        assert node.ask("reset", client="CP_3", timeout=seconds(10)) == "Accepted"
        assert stations.repeated() == {}
        assert len(stations.by_id) == 101
        assert len(stations.by_text) == 100
        assert stations.say_hello() == 20
        eventually(lambda: stations.answers == 20)
        left = node.ask("stop")
        assert left["left"] == [] and left["errors"] == []


def test_stations_go_to_another_node_when_theirs_is_killed():
    with Node() as first, Node() as second, Stations([first.url, second.url], 30) as stations:
        stations.wait_until_connected()
        assert len(stations.on(0)) == len(stations.on(1)) == 15
        waiting = first.begin("calls", clients=["CP_0"], name="A", count=10_000, timeout=seconds(10), threads=1)
        first.kill()
        with pytest.raises(NodeDied):
            waiting.result(seconds(10))
        eventually(lambda: second.ask("clients") == sorted(stations.ids))
        with pytest.raises(NodeDied):
            first.ask("clients")


def test_a_node_says_which_error_it_met():
    with Node() as node:
        with pytest.raises(NodeFailed) as caught:
            node.ask("reset", client="CP_0", timeout=1.0)
        assert caught.value.error == "UnknownClient"
        done = node.ask("calls", clients=["CP_0"], name="A", count=4, timeout=1.0, threads=2)
        assert list(done["ends"].values()) == [["UnknownClient"]] * 4


def test_the_clock_of_a_node_is_wrong():
    with Node(skew=60) as ahead, Node() as right:
        assert 50 < ahead.ask("stats")["time"] - right.ask("stats")["time"] < 70


def test_a_station_is_cut_and_comes_back_elsewhere_or_to_the_same_node():
    with Node() as first, Node() as second, Stations([first.url, second.url], 2) as stations:
        stations.wait_until_connected()
        stations.cut("CP_0")
        eventually(lambda: stations.where() == {"CP_0": 1, "CP_1": 1})
        stations.cut("CP_0", move=False)
        eventually(lambda: stations.lost == 2 and stations.where() == {"CP_0": 1, "CP_1": 1})
