"""What the dashboard and the alerts ask for: the names of series in their PromQL."""

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from segmentation.weights.manifest import PROJECT_ROOT

CONFIG = PROJECT_ROOT / "config"
DASHBOARD: Any = json.loads((CONFIG / "grafana" / "sam-serve.json").read_text())
ALERTS: list[Any] = [
    rule for group in yaml.safe_load((CONFIG / "alerts.yml").read_text())["groups"] for rule in group["rules"]
]


def panel_series() -> Iterator[tuple[str, set[str]]]:
    """(panel's title, series it asks for)."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], series_in(target["expr"])


def series_in(expression: str) -> set[str]:
    """Names of series in PromQL: every one here is Ray's."""
    return set(re.findall(r"\bray_\w+", expression))
