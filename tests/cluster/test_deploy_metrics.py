"""What is watched exists: every expression parses and names metrics and labels that the service exposes."""

import json
from typing import Any

import promql_parser
import pytest
from deployment_files import DEPLOY, documents

from cico_platform.observability.metrics import SearchMetrics

TARGET_LABELS = {"job", "instance"}


def exposed() -> dict[str, set[str]]:
    """Every series of the service, with its labels."""
    series: dict[str, set[str]] = {"up": set()}
    for family in SearchMetrics().registry._collector_to_names:
        labels, name = set(family._labelnames), family._name  # type: ignore[attr-defined]
        kinds = {"counter": ["_total"], "gauge": [""], "histogram": ["_sum", "_count"]}
        for ending in kinds[family._type]:  # type: ignore[attr-defined]
            series[name + ending] = labels
        if family._type == "histogram":  # type: ignore[attr-defined]
            series[name + "_bucket"] = labels | {"le"}
    return series


def dashboard() -> dict[str, Any]:
    board: dict[str, Any] = json.loads((DEPLOY / "grafana" / "dashboards" / "cico.json").read_text())
    return board


def alerts() -> list[dict[str, Any]]:
    (document,) = documents(DEPLOY / "prometheus" / "alerts.yml")
    return [rule for group in document["groups"] for rule in group["rules"]]


def expressions() -> list[Any]:
    watched = [(rule["alert"], rule["expr"]) for rule in alerts()]
    watched += [
        (panel["title"], target["expr"]) for panel in dashboard()["panels"] for target in panel["targets"]
    ]
    return [pytest.param(text.replace("$__rate_interval", "5m"), id=name) for name, text in watched]


def nodes(expression: promql_parser.Expr) -> list[Any]:
    found: list[Any] = []
    promql_parser.walk(expression, lambda node: found.append(node))
    return found


@pytest.mark.parametrize("text", expressions())
def test_expression_names_what_the_service_exposes(text: str) -> None:
    known = exposed()
    found = nodes(promql_parser.parse(text))
    selectors = [node for node in found if isinstance(node, promql_parser.VectorSelector)]
    assert selectors
    labels: set[str] = set()
    for selector in selectors:
        assert selector.name in known
        labels |= known[selector.name]
        assert {m.name for m in selector.matchers.matchers} <= known[selector.name] | TARGET_LABELS
    for node in found:
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            assert set(node.modifier.labels) <= labels | TARGET_LABELS


def test_every_metric_of_the_service_is_on_the_dashboard() -> None:
    text = json.dumps(dashboard()["panels"])
    families = {name.removesuffix("_bucket") for name in exposed() if not name.endswith(("_sum", "_count"))}
    assert {name for name in families if name not in text} == set()


def test_jobs_in_expressions_are_scraped() -> None:
    (config,) = documents(DEPLOY / "prometheus" / "prometheus.yml")
    jobs = {job["job_name"] for job in config["scrape_configs"]}
    for parameter in expressions():
        for node in nodes(promql_parser.parse(parameter.values[0])):
            if isinstance(node, promql_parser.VectorSelector):
                assert {m.value for m in node.matchers.matchers if m.name == "job"} <= jobs


def test_alerts_say_what_is_wrong_and_where_to_look() -> None:
    for rule in alerts():
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["for"]
        assert {"summary", "description"} <= set(rule["annotations"])


def test_dashboard_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert cells.isdisjoint(taken)
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_grafana_is_given_this_dashboard_and_this_prometheus() -> None:
    (provider,) = documents(DEPLOY / "grafana" / "provisioning" / "dashboards" / "cico.yaml")
    (source,) = documents(DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yaml")
    (compose,) = documents(DEPLOY / "compose" / "compose.yaml")
    targets = {volume.split(":")[1] for volume in compose["services"]["grafana"]["volumes"]}
    assert provider["providers"][0]["options"]["path"] in targets
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
    assert dashboard()["templating"]["list"][0]["query"] == source["datasources"][0]["type"]
