"""Dashboard and alerts ask for series that there are, and every alert is explained."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from dashboard import ALERTS, CONFIG, DASHBOARD, panel_series, series_in

from deployments.http.problems import KINDS
from deployments.telemetry.metrics import METRICS
from segmentation.weights.manifest import PROJECT_ROOT

OURS = {series for metric in METRICS for series in metric.series}
OF_RAY = {
    "ray_node_cpu_utilization",
    "ray_node_mem_total",
    "ray_node_mem_used",
    "ray_serve_deployment_replica_healthy",
    "ray_serve_deployment_replica_starts_total",
    "ray_serve_deployment_status",
}
"""Series of Ray and Ray Serve themselves; telemetry/test_watched_server.py finds them on a running server."""


def test_panels_ask_for_series_that_there_are() -> None:
    asked = set().union(*(series for _, series in panel_series()))
    assert asked - OF_RAY - OURS == set()


def test_every_metric_of_ours_is_on_the_dashboard() -> None:
    asked = set().union(*(series for _, series in panel_series()))
    assert [metric.name for metric in METRICS if not asked & set(metric.series)] == []


def test_panels_group_and_filter_by_tags_that_the_series_have() -> None:
    """A tag that a series does not have groups everything into one line, and a filter on it finds nothing."""
    tags = {series: set(metric.tags) for metric in METRICS for series in metric.series}
    of_ray = {"application", "deployment", "replica", "le"}
    for expression in (target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])):
        grouped = {tag for group in re.findall(r"by \(([^)]*)\)", expression) for tag in group.split(", ")}
        for series, filters in re.findall(r"(ray_sam_\w+)\{([^}]*)\}", expression):
            assert grouped | set(re.findall(r"(\w+)[=!]~?\"", filters)) <= tags[series] | of_ray, expression


def test_the_dashboard_tells_models_and_tools_apart() -> None:
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    assert {"model", "protocol"} <= variables
    expressions = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
    for tag in ("model", "protocol"):
        assert any(f"by ({tag})" in expression for expression in expressions)
        for expression in expressions:
            assert "sam_stage_seconds" not in expression or f'{tag}=~"${tag}"' in expression


def test_alerts_ask_for_series_and_codes_that_there_are() -> None:
    for rule in ALERTS:
        assert series_in(rule["expr"]) - OF_RAY - OURS == set(), rule["alert"]
        for codes in re.findall(r'code=~?"([^"]+)"', rule["expr"]):
            assert set(codes.split("|")) <= set(KINDS), rule["alert"]


def test_every_alert_is_explained() -> None:
    text = (PROJECT_ROOT / "docs" / "operations.md").read_text()
    assert re.findall(r"^### (Sam\w+)", text, re.MULTILINE) == [rule["alert"] for rule in ALERTS]


def test_the_dashboard_takes_any_prometheus() -> None:
    """Grafana asks for a source of data once, and for no edit: nothing in it names one."""
    (source,) = (variable for variable in DASHBOARD["templating"]["list"] if variable["type"] == "datasource")
    assert source["query"] == "prometheus"
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            assert target["datasource"] == panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    identities = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(identities)) == len(identities)


def test_prometheus_reads_the_alerts_and_rays_own_list_of_nodes() -> None:
    document = yaml.safe_load((CONFIG / "prometheus.yml").read_text())
    assert [(CONFIG / name).is_file() for name in document["rule_files"]] == [True]
    (job,) = document["scrape_configs"]
    assert job["file_sd_configs"][0]["files"] == ["/tmp/ray/prom_metrics_service_discovery.json"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool, of the Debian package prometheus")
@pytest.mark.parametrize(
    "command",
    [
        ("check", "config", "config/prometheus.yml"),
        ("test", "rules", "tests/config/alert_cases.yml"),
    ],
)
def test_promtool_agrees(command: tuple[str, ...]) -> None:
    done = subprocess.run(["promtool", *command], cwd=Path(PROJECT_ROOT), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
