"""The dashboard for Grafana: its form, and that it asks for nothing that a service does not tell."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from metrics_page import labels_by_name
from picture_server import PictureServer
from samples import BALLOON_CONFIG, balloon_file

DASHBOARD = json.loads((Path(__file__).parent.parent / "deploy" / "grafana" / "prelabel.json").read_text())
ROWS = [panel for panel in DASHBOARD["panels"] if panel["type"] == "row"]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
COLUMNS = 24  # of Grafana's grid

OF_PROMETHEUS = {"instance", "job", "le"}  # labels that Prometheus adds, and that of buckets
SELECTOR = re.compile(r"\b(prelabel_\w+)(?:\{([^}]*)\})?")
GROUPING = re.compile(r"\b(?:by|without) \(([^)]*)\)")
FUNCTIONS = {"sum", "max", "rate", "histogram_quantile", "by"}


def expressions() -> list[str]:
    """Return all PromQL expressions, with a value for each of Grafana's variables."""
    found = [target["expr"] for panel in PANELS for target in panel["targets"]]
    return [each.replace("$__rate_interval", "1m").replace("$instance", ".*") for each in found]


def test_dashboard_has_the_fields_that_grafana_imports() -> None:
    """Those of the dashboard JSON model, of version 39 (Grafana 10 and 11); the address of the data source is asked for at the import."""
    assert DASHBOARD["schemaVersion"] == 39
    assert re.fullmatch(r"[\w-]{1,40}", DASHBOARD["uid"])
    assert "id" not in DASHBOARD, "an id belongs to one Grafana"
    assert [each["type"] for each in DASHBOARD["templating"]["list"]] == ["datasource", "query"]
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: str(panel["title"]))
def test_panel_says_what_it_shows(panel: dict[str, Any]) -> None:
    """Each has a sentence, a unit, and queries to the chosen data source with letters of their own."""
    assert panel["type"] == "timeseries"
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    letters = [target["refId"] for target in panel["targets"]]
    assert letters == sorted(set(letters))
    assert letters
    sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
    assert all(each == {"type": "prometheus", "uid": "${datasource}"} for each in sources)


def test_panels_lie_side_by_side() -> None:
    """No two of them in one place, and none beyond the edge."""
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (column, line)
            for column in range(place["x"], place["x"] + place["w"])
            for line in range(place["y"], place["y"] + place["h"])
        }
        assert taken.isdisjoint(cells), panel["title"]
        assert place["x"] + place["w"] <= COLUMNS
        taken |= cells


def test_names_labels_and_functions_exist(serve: Callable[..., str], pictures: PictureServer) -> None:
    """Every metric is on the page of a service that has done something of each kind, with the labels that the expressions name."""
    url = serve(cache="redis", redis_url="redis://127.0.0.1:9")  # nobody answers there, which is a failure of the cache
    task = {"id": 1, "data": {"image": pictures.add("/a.png", balloon_file())}}
    httpx.post(f"{url}/predict", json={"tasks": [task], "label_config": BALLOON_CONFIG}, timeout=60)
    httpx.post(f"{url}/webhook", content=b"{}")
    exposed = labels_by_name(url)
    for expression in expressions():
        selectors = SELECTOR.findall(expression)
        assert selectors
        known = set(OF_PROMETHEUS)
        for name, matchers in selectors:
            assert name in exposed, expression
            named = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
            assert named <= exposed[name] | OF_PROMETHEUS, expression
            known |= exposed[name]
        for labels in GROUPING.findall(expression):
            assert set(labels.split(", ")) <= known, expression
        assert set(re.findall(r"\b([a-z_]+) ?\(", expression)) <= FUNCTIONS
        assert expression.count("(") == expression.count(")")


def test_dashboard_leaves_no_metric_out(serve: Callable[..., str]) -> None:
    """But for the old name of one."""
    families = {
        re.sub(r"_(bucket|count|sum|total)$", "", name) for name, _ in SELECTOR.findall(" ".join(expressions()))
    }
    told = set(re.findall(r"^# TYPE (\w+?)(?:_total)? ", httpx.get(f"{serve()}/metrics").text, re.MULTILINE))
    created = {name for name in told if name.endswith("_created")}
    assert families == told - created - {"prelabel_pictures_in_flight"}
