"""A running server as its operator sees it: every panel has data, and one id finds all logs of a request."""

import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from dashboard import ALERTS, panel_series, series_in
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from real_server import RealServer
from waiting import wait_until

from deployments.settings.server import Settings
from segmentation.weights.manifest import PROJECT_ROOT

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

PICTURES = sorted((PROJECT_ROOT / "docs" / "images").glob("demo-*.jpg"))
PROMPT = {"prompts": [{"points": [[140, 52]]}]}
GRID = {"points_per_side": 4, "crop_n_layers": 0, "pred_iou_thresh": 0.0}
REPORTED_S = 60


@pytest.fixture
def server(demo_server: RealServer) -> RealServer:
    return demo_server


def post(server: RealServer, path: str, picture: Path, request: Any, request_id: str = "any") -> int:
    with server.client() as client, picture.open("rb") as file:
        answer = client.post(
            path,
            files={"image": file},
            data={"request": json.dumps(request)},
            headers={"X-Request-ID": request_id},
        )
    return answer.status_code


def test_every_panel_and_alert_has_its_series(server: RealServer, ray_folder: Path) -> None:
    for picture in PICTURES[:2]:
        assert [post(server, "/segment", picture, PROMPT) for _ in range(2)] == [200, 200]
        assert post(server, "/segment/auto", picture, GRID) == 200
    assert post(server, "/segment", PICTURES[0], {"prompts": []}) == 422
    wanted = set().union(*(series for _, series in panel_series()), *(series_in(rule["expr"]) for rule in ALERTS))
    deadline = time.monotonic() + REPORTED_S
    while (missing := wanted - reported(ray_folder)) and time.monotonic() < deadline:
        time.sleep(2)
    assert missing == set()
    time.sleep(25)  # Ray forgets gauges that are not set again
    assert wanted - reported(ray_folder) == set()


def reported(ray_folder: Path) -> set[str]:
    """The series that Prometheus would find, by Ray's own list of where to look."""
    return {sample.name for sample in samples(ray_folder)}


def samples(ray_folder: Path) -> Iterator[Sample]:
    """What Prometheus would read now."""
    (nodes,) = json.loads((ray_folder / "ray" / "prom_metrics_service_discovery.json").read_text())
    for target in nodes["targets"]:
        try:
            with urllib.request.urlopen(f"http://{target}/metrics", timeout=30) as answer:
                text = answer.read().decode()
        except urllib.error.URLError:  # listed before it listens
            continue
        for family in text_string_to_metric_families(text):
            yield from family.samples


def test_a_request_is_one_line_of_the_ingress_under_its_id(server: RealServer, ray_folder: Path) -> None:
    assert post(server, "/segment", PICTURES[2], PROMPT, "follow-me-1") == 200
    assert post(server, "/segment/auto", PICTURES[2], GRID, "follow-me-2") == 200
    expected = {
        "follow-me-1": {"Ingress"},
        "follow-me-2": {"Ingress"},
    }
    deadline = time.monotonic() + 10  # the ingress writes its line after it has answered
    while (came_by := {one: logged(ray_folder, one) for one in expected}) != expected and time.monotonic() < deadline:
        time.sleep(0.2)
    assert came_by == expected


def logged(ray_folder: Path, request_id: str) -> set[str]:
    """The deployments whose replicas have the id in their logs."""
    logs = (ray_folder / "ray" / "session_latest" / "logs" / "serve").glob("replica_sam_*.log")
    return {log.name.split("_")[2] for log in logs if request_id in log.read_text()}


def test_what_the_door_turns_away_is_counted_and_reaches_no_replica(server: RealServer, ray_folder: Path) -> None:
    assert (
        post(server, "/segment", PICTURES[0], {"prompts": []}) == 422
    )  # the load shedder reads the slots from its answer
    host, port = server.url.removeprefix("http://").split(":")
    head = f"POST /segment HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
    with ExitStack() as without_bodies:
        for _ in range(Settings().max_queue):
            without_bodies.enter_context(socket.create_connection((host, int(port)))).sendall(head.encode())
        wait_until(lambda: post(server, "/segment", PICTURES[0], PROMPT) == 503, 20)
        with server.client() as client:
            refused = client.post("/segment", content=bytes(5_000_000), headers={"X-Request-ID": "turned-away"})
            assert client.get("/health").status_code == 200  # on the same connection, with that body unread
    assert refused.json()["code"] == "overloaded"
    assert refused.json()["request_id"] == refused.headers["x-request-id"] == "turned-away"
    assert refused.headers["retry-after"] == "1"
    wait_until(lambda: post(server, "/segment", PICTURES[0], PROMPT) == 200, 20)  # those clients have left
    assert logged(ray_folder, "turned-away") == set()
    wait_until(lambda: turned_away(ray_folder) > 0, REPORTED_S)


def turned_away(ray_folder: Path) -> float:
    """Rejections without a free slot that no deployment counted: the load shedder's."""
    return sum(
        sample.value
        for sample in samples(ray_folder)
        if sample.name == "ray_sam_problems_total"
        and sample.labels["code"] == "overloaded"
        and not sample.labels.get("deployment")
    )
