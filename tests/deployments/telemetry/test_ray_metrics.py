"""What happens in the graph reaches the metrics, under names and tags that are bounded."""

import threading
from typing import Any

import pytest
from local_graph import LocalGraph
from starlette.testclient import TestClient

from deployments.http.problems import KINDS
from deployments.http.routes import create_app
from deployments.telemetry.events import (
    Admitted,
    Answered,
    BatchReport,
    EmbeddingCacheSize,
    EmbeddingLookedUp,
    Event,
    GridGated,
    Refused,
    Running,
)
from deployments.telemetry.metrics import METRICS, Metric
from deployments.telemetry.ray_metrics import RayMetrics
from segmentation.backends.protocol import RuntimeInfo

RUNTIME = RuntimeInfo(backend="pytorch", device="cpu", providers=(), precision="fp32")


class Instrument:
    """A counter, gauge or histogram that keeps what it is told, and is as strict about tags and zeros as Ray's."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self.told: list[tuple[float, dict[str, str]]] = []

    def _tell(self, kind: str, value: float, tags: dict[str, str] | None) -> None:
        assert self.metric.kind == kind
        assert set(tags or {}) == set(self.metric.tags)
        self.told.append((value, tags or {}))

    def inc(self, value: float, tags: dict[str, str] | None) -> None:
        assert value > 0
        self._tell("counter", value, tags)

    def set(self, value: float, tags: dict[str, str] | None) -> None:
        self._tell("gauge", value, tags)

    def observe(self, value: float, tags: dict[str, str] | None) -> None:
        self._tell("histogram", value, tags)


class Board:
    """A report over instruments of its own."""

    def __init__(self) -> None:
        self.instruments: dict[str, Instrument] = {}
        self.emit = RayMetrics("tiny", self._open)

    def _open(self, metric: Metric) -> Instrument:
        return self.instruments.setdefault(metric.name, Instrument(metric))

    def told(self, name: str) -> list[tuple[float, dict[str, str]]]:
        """What the instrument was told, now that everything noted is counted."""
        self.emit.flush()
        return self.instruments[name].told


@pytest.mark.parametrize(
    ("event", "name", "told"),
    [
        (BatchReport(2, 5, 0.25, 0.5, 3), "sam_batch_weight", [(5, {})]),
        (BatchReport(2, 5, 0.25, 0.5, 3), "sam_batch_wait_seconds", [(0.25, {})]),
        (BatchReport(2, 5, 0.25, 0.5, 3), "sam_batch_run_seconds", [(0.5, {})]),
        (BatchReport(2, 5, 0.25, 0.5, 3), "sam_batch_queued_jobs", [(3, {})]),
        (EmbeddingLookedUp(held=True), "sam_embedding_cache_lookups", [(1, {"outcome": "hit"})]),
        (EmbeddingLookedUp(held=False), "sam_embedding_cache_lookups", [(1, {"outcome": "miss"})]),
        (EmbeddingCacheSize(3, 70, 100, 0), "sam_embedding_cache_bytes", [(70, {})]),
        (EmbeddingCacheSize(3, 70, 100, 0), "sam_embedding_cache_evictions", []),
        (EmbeddingCacheSize(3, 70, 100, 2), "sam_embedding_cache_evictions", [(2, {})]),
        (GridGated(30, 0), "sam_grid_candidates_passed", []),
        (GridGated(30, 4), "sam_grid_candidates", [(30, {})]),
        (Admitted(7, 64), "sam_admitted_requests", [(7, {})]),
        (Refused("timeout"), "sam_problems", [(1, {"code": "timeout", "protocol": "sam-serve"})]),
        (Refused("timeout", "osam"), "sam_problems", [(1, {"code": "timeout", "protocol": "osam"})]),
        (
            Answered("/segment", {"total": 20.0}, 3, "tiny"),
            "sam_masks",
            [(3, {"route": "/segment", "model": "tiny", "protocol": "sam-serve"})],
        ),
        (
            Answered("/segment", {"encode": 0.0, "total": 20.0}, 3, "tiny"),
            "sam_stage_seconds",
            [(0.02, {"route": "/segment", "model": "tiny", "protocol": "sam-serve", "stage": "total"})],
        ),
        (
            Running(RUNTIME),
            "sam_server_info",
            [(1, {"model": "tiny", "backend": "pytorch", "precision": "fp32", "provider": "none", "device": "cpu"})],
        ),
    ],
)
def test_an_event_reaches_its_metric(event: Event, name: str, told: Any) -> None:
    board = Board()
    board.emit(event)
    assert board.told(name) == told


def test_gauges_are_set_at_every_flush_to_what_they_are_and_nothing_else_is() -> None:
    board = Board()
    for event in (Admitted(1, 64), Admitted(2, 64), Refused("internal"), Running(RUNTIME)):
        board.emit(event)
    assert board.instruments["sam_admitted_requests"].told == []
    board.emit.flush()
    assert [value for value, _ in board.told("sam_admitted_requests")] == [2, 2]
    assert board.told("sam_server_info")[0] == board.told("sam_server_info")[1]
    assert board.told("sam_problems") == [(1, {"code": "internal", "protocol": "sam-serve"})]


def test_counts_of_many_events_are_added_up_and_times_are_told_one_by_one() -> None:
    board = Board()
    for code in ("timeout", "internal", "timeout"):
        board.emit(Refused(code))
    for seconds in (0.1, 0.2):
        board.emit(BatchReport(1, 1, 0.0, seconds, 0))
    told = board.told("sam_problems")
    assert sorted((value, tags["code"]) for value, tags in told) == [(1, "internal"), (2, "timeout")]
    assert [value for value, _ in board.told("sam_batch_run_seconds")] == [0.1, 0.2]


def test_a_flush_beside_another_counts_nothing_twice() -> None:
    others: list[threading.Thread] = []

    class Slow(Instrument):
        """A counter in whose midst another thread flushes."""

        def inc(self, value: float, tags: dict[str, str] | None) -> None:
            super().inc(value, tags)
            if not others:
                others.append(threading.Thread(target=emit.flush))
                others[0].start()
                others[0].join(0.2)

    problems = Slow(next(metric for metric in METRICS if metric.name == "sam_problems"))
    emit = RayMetrics("tiny", lambda metric: problems if metric.name == "sam_problems" else Instrument(metric))
    emit(Refused("timeout"))
    emit.flush()
    others[0].join()
    assert problems.told == [(1, {"code": "timeout", "protocol": "sam-serve"})]


def test_requests_are_told_of_by_route_and_by_code(png: bytes) -> None:
    graph = LocalGraph()
    events: list[Event] = []
    graph.service.emit = events.append
    with TestClient(create_app(graph.service), raise_server_exceptions=False) as client:
        files = {"image": ("a.png", png)}
        client.post("/segment", files=files, data={"request": '{"prompts": [{"points": [[100, 60]]}]}'})
        client.post("/segment/auto", files=files, data={"request": '{"points_per_side": 2, "pred_iou_thresh": 0}'})
        client.post("/embeddings", files=files, data={"request": "{}"})
        client.post("/segment", json={"image_id": "gone", "prompts": [{"points": [[1, 1]]}]})
        client.get("/secret-of-a-caller")
        graph.grid.errors["decode"] = [RuntimeError("on purpose")]
        client.post("/segment/auto", files=files, data={"request": '{"points_per_side": 3, "stream": true}'})
    answers = [event for event in events if isinstance(event, Answered)]
    assert [answer.route for answer in answers] == ["/segment", "/segment/auto", "/embeddings"]
    assert answers[0].masks == 3
    codes = [event.code for event in events if isinstance(event, Refused)]
    assert codes == ["unknown_image", "not_found", "internal"]
    assert set(codes) <= set(KINDS)
    slots = [event for event in events if isinstance(event, Admitted)]
    assert max(event.taken for event in slots) == 1
    assert slots[-1].taken == 0


def test_every_replica_tells_what_it_runs_and_does(png: bytes) -> None:
    events: list[Event] = []
    graph = LocalGraph(emit=events.append)
    with TestClient(create_app(graph.service)) as client:
        for points in (60, 61):
            fields = f'{{"prompts": [{{"points": [[100, {points}]]}}]}}'
            assert client.post("/segment", files={"image": png}, data={"request": fields}).status_code == 200
        fields = '{"points_per_side": 4, "pred_iou_thresh": 0, "stability_score_thresh": 0}'
        assert client.post("/segment/auto", files={"image": png}, data={"request": fields}).status_code == 200
    assert sum(isinstance(event, Running) for event in events) == 3
    wanted = [event.held for event in events if isinstance(event, EmbeddingLookedUp)]
    assert wanted[:2] == [False, True]
    held = [event for event in events if isinstance(event, EmbeddingCacheSize)]
    assert [event.entries for event in held][:2] == [0, 1]
    assert 0 < held[-1].nbytes <= held[-1].max_bytes
    gated = [event for event in events if isinstance(event, GridGated)]
    assert sum(event.candidates for event in gated) >= 16 * 3
    assert sum(event.passed for event in gated) <= sum(event.candidates for event in gated)
    assert any(isinstance(event, BatchReport) for event in events)


def test_names_and_meanings_are_each_there_once() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    assert all(metric.name.startswith("sam_") and metric.meaning.endswith(".") for metric in METRICS)
