"""Asks a running Prometheus for every panel of the dashboard: what has data, and what is empty.

    .venv/bin/python scripts/panels.py [http://127.0.0.1:9090]

Prints a line a series: panel, series, value and unit. Exits with 1 if a panel that every healthy server fills has no
data. Most others are rates over a minute: empty without requests, or until what they count has happened once. Knows
the dashboard and Prometheus, and nothing of the server.
"""

import json
import re
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DASHBOARD = Path(__file__).resolve().parent.parent / "config" / "grafana" / "sam-serve.json"
ALWAYS = {"What runs", "Healthy replicas", "CPU", "Memory"}
"""Panels that have data from a server's first minute on, without any request."""
MOST_SERIES = 8


@dataclass(frozen=True, slots=True)
class Query:
    """PromQL as Grafana would send it with everything selected. legend: names a series by its labels."""

    panel: str
    expression: str
    legend: str
    unit: str

    def line(self, labels: dict[str, str], value: float) -> str:
        """One series, for people."""
        name = re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), self.legend)
        name = name or " ".join(labels.values())
        return f"{self.panel:28} {name:40} {shown(value, self.unit)}"


def queries(dashboard: Any) -> Iterator[Query]:
    """Those of every panel, with all values of every variable of the dashboard."""
    variables = {f"${one['name']}": ".*" for one in dashboard["templating"]["list"]} | {"$__rate_interval": "1m"}
    for panel in dashboard["panels"]:
        unit = panel.get("fieldConfig", {}).get("defaults", {}).get("unit", "none")
        for target in panel.get("targets", []):
            expression = target["expr"]
            for name in sorted(variables, key=len, reverse=True):
                expression = expression.replace(name, variables[name])
            yield Query(panel["title"], expression, target.get("legendFormat", ""), unit)


def shown(value: float, unit: str) -> str:
    """A value with Grafana's unit in words."""
    match unit:
        case "percentunit":
            return f"{100 * value:.4g} %"
        case "bytes":
            return f"{value / 1e6:.4g} MB"
    suffix = {"s": " s", "percent": " %", "reqps": " requests/s", "ops": "/s"}.get(unit, "")
    return f"{value:.4g}{suffix}"


def ask(prometheus: str, expression: str) -> list[tuple[dict[str, str], float]]:
    """(labels, value) of each series that the query has now; without those that are not numbers."""
    query = urllib.parse.urlencode({"query": expression})
    host = urllib.parse.urlsplit(prometheus).hostname
    # A proxy of the environment can't reach this machine's loopback interface.
    proxies = {} if host in {"127.0.0.1", "localhost", "::1"} else None
    opener = urllib.request.build_opener(urllib.request.ProxyHandler(proxies))
    with opener.open(f"{prometheus}/api/v1/query?{query}", timeout=30) as answer:
        series = json.load(answer)["data"]["result"]
    return [(one["metric"], value) for one in series if (value := float(one["value"][1])) == value]


def main(arguments: list[str]) -> int:
    prometheus = arguments[0] if arguments else "http://127.0.0.1:9090"
    missing = []
    for query in queries(json.loads(DASHBOARD.read_text())):
        try:
            series = ask(prometheus, query.expression)
        except (OSError, ValueError, LookupError) as error:
            print(f"{prometheus} doesn't answer as Prometheus does ({error}): start it as config/prometheus.yml says")
            return 1
        for labels, value in series[:MOST_SERIES]:
            print(query.line(labels, value))
        if len(series) > MOST_SERIES:
            print(f"{query.panel:28} and {len(series) - MOST_SERIES} more")
        if not series:
            print(f"{query.panel:28} {'no data' if query.panel in ALWAYS else 'no data yet'}")
            missing += [query.panel] if query.panel in ALWAYS else []
    if missing:
        print(f"a healthy server has data for {', '.join(missing)}: is Prometheus reading it?")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
