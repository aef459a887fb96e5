"""Asks a running Prometheus for every panel of the dashboard: what has data, and what is empty.

    .venv/bin/python scripts/panels.py [http://127.0.0.1:9090]

Prints one line a query, and exits with 1 if one has no data. Most are rates over a minute: without requests they are
empty, and so are those of what did not happen yet (problems, evictions). Knows the dashboard and Prometheus, and
nothing of the server.
"""

import json
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DASHBOARD = Path(__file__).resolve().parent.parent / "config" / "grafana" / "sam-serve.json"
VARIABLES = {"$application": ".*", "$route": ".*", "$__rate_interval": "1m"}


def queries(dashboard: Any) -> Iterator[tuple[str, str]]:
    """(panel's title, PromQL as Grafana would send it with everything selected)."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            expression = target["expr"]
            for name, value in VARIABLES.items():
                expression = expression.replace(name, value)
            yield panel["title"], expression


def ask(prometheus: str, expression: str) -> list[float]:
    """The values that the query has now, one a series; none for those that are not numbers."""
    query = urllib.parse.urlencode({"query": expression})
    host = urllib.parse.urlsplit(prometheus).hostname
    # A proxy of the environment can't reach this machine's loopback interface.
    proxies = {} if host in {"127.0.0.1", "localhost", "::1"} else None
    opener = urllib.request.build_opener(urllib.request.ProxyHandler(proxies))
    with opener.open(f"{prometheus}/api/v1/query?{query}", timeout=30) as answer:
        series = json.load(answer)["data"]["result"]
    return [value for one in series if (value := float(one["value"][1])) == value]


def main() -> int:
    prometheus = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:9090"
    empty = 0
    for title, expression in queries(json.loads(DASHBOARD.read_text())):
        try:
            values = ask(prometheus, expression)
        except OSError as error:
            print(f"{prometheus} doesn't answer as Prometheus does ({error}): start it as config/prometheus.yml says")
            return 1
        empty += not values
        shown = " ".join(f"{value:.4g}" for value in values[:6]) or "NO DATA"
        print(f"{title:28} {shown}")
    return 1 if empty else 0


if __name__ == "__main__":
    sys.exit(main())
