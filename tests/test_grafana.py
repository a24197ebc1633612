"""The Grafana dashboard asks for figures that there are, and is built as Grafana builds its own."""

import itertools
import json
import re

import pytest

from ocppj.metrics import PrometheusMetrics
from tests.test_metrics import FIGURES, Fixed
from tests.test_readme import ROOT

pytest.importorskip("prometheus_client", reason="metrics need prometheus_client: pip install 'ocppj[test]'")

from prometheus_client import CollectorRegistry

DASHBOARD = json.loads((ROOT / "examples" / "grafana" / "ocppj.json").read_text("utf-8"))
PANELS = DASHBOARD["panels"]
TITLES = [panel["title"] for panel in PANELS]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]
COLUMNS = 24  # of Grafana's grid


def shown():
    """Return the labels of each name in the exposition."""
    registry = CollectorRegistry()
    PrometheusMetrics(Fixed(), registry)
    return {sample.name: set(sample.labels) for family in registry.collect() for sample in family.samples}


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_a_query_names_figures_and_labels_that_there_are(query):
    assert query.count("(") == query.count(")")
    (name,) = re.findall(r"\bocppj_\w+", query)
    labels = shown()[name]
    asked = {label.strip() for group in re.findall(r"by \(([^)]*)\)", query) for label in group.split(",")}
    matched = set(re.findall(r"(\w+)(?:=~|!=|=)\"", query))
    assert "job" in matched  # Prometheus adds it to all
    assert asked | (matched - {"job"}) <= labels


@pytest.mark.parametrize("panel", PANELS, ids=TITLES)
def test_a_legend_names_labels_that_its_query_keeps(panel):
    for target in panel["targets"]:
        kept = {label.strip() for group in re.findall(r"by \(([^)]*)\)", target["expr"]) for label in group.split(",")}
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) == kept - {"le"}


def test_the_figures_of_a_server_are_on_the_dashboard():
    asked = {name for query in QUERIES for name in re.findall(r"\bocppj_\w+", query)}
    families = {re.sub(r"_(total|bucket|count|sum)$", "", name) for name in shown()}
    assert families == {re.sub(r"_(total|bucket)$", "", name) for name in asked}
    assert FIGURES.messages and FIGURES.call_seconds


@pytest.mark.parametrize("panel", PANELS, ids=TITLES)
def test_a_panel_is_whole(panel):
    assert panel["type"] in ("timeseries", "stat")
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    place = panel["gridPos"]
    assert place["w"] > 0 and place["h"] > 0 and 0 <= place["x"] <= COLUMNS - place["w"] and place["y"] >= 0
    names = [target["refId"] for target in panel["targets"]]
    assert names == sorted(set(names))
    assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])
    assert panel["fieldConfig"]["defaults"]["unit"] and panel["options"]


def test_no_panel_covers_another():
    assert [panel["id"] for panel in PANELS] == list(range(1, len(PANELS) + 1))
    for one, other in itertools.combinations([panel["gridPos"] for panel in PANELS], 2):
        apart = (one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]) or (
            one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)


def test_the_dashboard_has_what_grafana_asks_of_one():
    assert DASHBOARD["id"] is None  # Grafana numbers it
    assert DASHBOARD["schemaVersion"] >= 36 and DASHBOARD["title"] and len(DASHBOARD["uid"]) <= 40
    variables = {variable["name"]: variable["type"] for variable in DASHBOARD["templating"]["list"]}
    assert variables == {"datasource": "datasource", "job": "query"}
    text = json.dumps(DASHBOARD)
    used = set(re.findall(r"\$\{?(\w+)", text)) - {"__rate_interval", "__all"}
    assert used == set(variables)


def test_the_classes_of_grafanas_own_schema_keep_every_field():
    reason = "grafana-foundation-sdk, which needs Python 3.11, is not installed"
    pytest.importorskip("grafana_foundation_sdk", reason=reason)
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    register_default_plugins()
    read = json.loads(JSONEncoder().encode(Dashboard.from_json(DASHBOARD)))
    read.setdefault("id", None)
    assert lost_from(DASHBOARD, read, "") == []


def lost_from(ours, read, place):
    """Return the places in ``ours`` that ``read`` has not, or otherwise."""
    if isinstance(ours, dict) and isinstance(read, dict):
        inner = [(f"{place}/{key}", ours[key], read.get(key, "nothing")) for key in ours]
    elif isinstance(ours, list) and isinstance(read, list) and len(ours) == len(read):
        inner = [(f"{place}/{index}", one, other) for index, (one, other) in enumerate(zip(ours, read))]
    else:
        return [] if ours == read else [place]
    return [lost for where, one, other in inner for lost in lost_from(one, other, where)]
