"""Segment everything again: stricter thresholds are answered without the decoder, and as if they were not."""

import json
from typing import Any

import numpy as np
import pytest
from local_graph import LocalGraph
from segment_anything.modeling import Sam
from starlette.testclient import TestClient

from deployments.http.routes import create_app
from deployments.replicas.caches.candidates import LARGEST_SHARE, CandidateCache, grid_key
from deployments.settings.api_keys import parse_api_keys
from deployments.telemetry.events import CandidateCacheSize, CandidatesLookedUp, Event
from segmentation.automatic.candidates import Candidates, no_candidates
from segmentation.automatic.grid import Crop
from segmentation.automatic.thresholds import Thresholds

GRID = {"points_per_side": 6, "crop_n_layers": 1, "min_mask_region_area": 0}
LOOSE = {**GRID, "pred_iou_thresh": 0.3, "stability_score_thresh": 0.3}
STRICTER = [
    LOOSE,
    {**LOOSE, "pred_iou_thresh": 0.5},
    {**LOOSE, "stability_score_thresh": 0.6},
    {**LOOSE, "pred_iou_thresh": 0.45, "stability_score_thresh": 0.5, "mask_format": "polygon"},
    {**LOOSE, "box_nms_thresh": 0.4, "crop_nms_thresh": 0.9, "min_mask_region_area": 30, "min_mask_area": 40},
    {**LOOSE, "crop_n_layers": 0},
]
OTHER = [
    {**LOOSE, "pred_iou_thresh": 0.29},
    {**LOOSE, "stability_score_thresh": 0.0},
    {**LOOSE, "stability_score_offset": 2.0},
    {**LOOSE, "points_per_side": 5},
    {**LOOSE, "crop_overlap_ratio": 0.1, "crop_n_layers": 1},
]


def send(client: TestClient, png: bytes, **request: Any) -> Any:
    answer = client.post("/segment/auto", files={"image": ("a.png", png)}, data={"request": json.dumps(request)})
    assert answer.status_code == 200, answer.text
    return answer.json()


def decoded(graph: LocalGraph) -> int:
    return graph.grid.calls["decode"]


@pytest.mark.parametrize("request_", STRICTER)
def test_an_answer_from_the_cache_is_that_of_the_decoder(sam: Sam, png: bytes, request_: dict[str, Any]) -> None:
    fresh_graph, graph = LocalGraph(sam), LocalGraph(sam)
    with TestClient(create_app(fresh_graph.service)) as client:
        fresh = send(client, png, **request_)
    with TestClient(create_app(graph.service)) as client:
        loose = send(client, png, **LOOSE)
        shards = decoded(graph)
        again = send(client, png, **request_)
    assert decoded(graph) == shards
    assert again["masks"] == fresh["masks"]
    assert again["parameters"] == fresh["parameters"]
    assert len(fresh["masks"]) >= 5
    assert len(loose["masks"]) >= 20
    assert again["timing_ms"]["encode"] == again["timing_ms"]["prompt"] == 0
    assert again["timing_ms"]["postprocess"] > 0


@pytest.mark.parametrize("request_", OTHER)
def test_what_the_candidates_do_not_tell_is_decoded(sam: Sam, png: bytes, request_: dict[str, Any]) -> None:
    fresh_graph, graph = LocalGraph(sam), LocalGraph(sam)
    with TestClient(create_app(fresh_graph.service)) as client:
        fresh = send(client, png, **request_)
    with TestClient(create_app(graph.service)) as client:
        send(client, png, **LOOSE)
        shards = decoded(graph)
        again = send(client, png, **request_)
    assert decoded(graph) > shards
    assert again["masks"] == fresh["masks"]


def test_how_many_points_are_decoded_at_once_does_not_matter(client: TestClient, png: bytes, graph: LocalGraph) -> None:
    masks = send(client, png, **LOOSE)["masks"]
    shards = decoded(graph)
    assert send(client, png, **LOOSE, points_per_batch=3)["masks"] == masks
    assert decoded(graph) == shards


def test_a_threshold_of_zero_keeps_all_and_is_not_answered_from_less(sam: Sam, png: bytes) -> None:
    graph = LocalGraph(sam)
    everything = {**GRID, "pred_iou_thresh": 0, "stability_score_thresh": 0}
    with TestClient(create_app(graph.service)) as client:
        all_masks = send(client, png, **everything)["masks"]
        shards = decoded(graph)
        assert send(client, png, **everything)["masks"] == all_masks
        send(client, png, **LOOSE)
    assert decoded(graph) == shards


def test_the_stream_of_a_cached_run_has_its_progress_and_its_masks(client: TestClient, png: bytes) -> None:
    whole = send(client, png, **LOOSE)
    request = {"request": json.dumps({**LOOSE, "stream": True})}
    lines = client.post("/segment/auto", files={"image": png}, data=request).text.splitlines()
    events = [json.loads(line) for line in lines]
    done = [event["done"] for event in events if event["event"] == "progress"]
    assert done == sorted(set(done))
    assert done[-1] == 36 + 4 * 9 == events[1]["total"]
    assert [event["mask"] for event in events if event["event"] == "mask"] == whole["masks"]


def test_another_api_key_decodes_for_itself(sam: Sam, png: bytes) -> None:
    keys = parse_api_keys("alice:0123456789abcdefghij,bob:abcdefghij0123456789")
    graph = LocalGraph(sam, {"api_keys": keys})
    with TestClient(create_app(graph.service)) as client:
        client.headers["authorization"] = "Bearer 0123456789abcdefghij"
        alices = send(client, png, **LOOSE)
        shards = decoded(graph)
        client.headers["authorization"] = "Bearer abcdefghij0123456789"
        bobs = send(client, png, **LOOSE)
        assert decoded(graph) == 2 * shards
        assert bobs["image_id"] != alices["image_id"]
        stolen = client.post("/segment/auto", json={"image_id": alices["image_id"], **LOOSE})
        assert stolen.status_code == 404


def test_hits_and_bytes_are_told(sam: Sam, png: bytes) -> None:
    events: list[Event] = []
    graph = LocalGraph(sam, emit=events.append)
    with TestClient(create_app(graph.service)) as client:
        send(client, png, **LOOSE)
        send(client, png, **LOOSE)
    wanted = [event for event in events if isinstance(event, CandidatesLookedUp)]
    assert wanted == [CandidatesLookedUp(0, 5), CandidatesLookedUp(5, 0)]
    held = [event for event in events if isinstance(event, CandidateCacheSize)]
    assert held[0].nbytes == 0 < held[-1].nbytes <= held[-1].max_bytes == 64_000_000


def test_without_the_cache_every_grid_is_decoded(sam: Sam, png: bytes) -> None:
    graph = LocalGraph(sam, {"candidate_cache_mb": 0})
    with TestClient(create_app(graph.service)) as client:
        masks = send(client, png, **LOOSE)["masks"]
        shards = decoded(graph)
        assert send(client, png, **LOOSE)["masks"] == masks
    assert decoded(graph) == 2 * shards
    assert graph.encoder.calls["keep_candidates"] == 0


def candidates(count: int, start: int = 0) -> Candidates:
    return Candidates(
        counts=tuple("x" * 100 for _ in range(count)),
        boxes=np.zeros((count, 4), np.int64),
        predicted_iou=np.linspace(0.5, 0.9, count, dtype=np.float32),
        stability_score=np.linspace(0.9, 0.5, count, dtype=np.float32),
        points=np.zeros((count, 2)),
        areas=np.arange(start, start + count),
        crop_boxes=np.zeros((count, 4), np.int64),
    )


def test_one_grid_takes_a_part_of_the_cache_at_most_and_the_oldest_goes() -> None:
    cache = CandidateCache(100_000)
    everything = Thresholds(0, 0)
    cache.put("huge", "grid", everything, [candidates(1000)])
    assert (cache.get("huge", "grid", everything), cache.nbytes) == (None, 0)
    for name in "abcdefgh":
        cache.put(name, "grid", everything, [candidates(50), candidates(20, start=50)])
        assert cache.nbytes <= 100_000
    assert cache.get("a", "grid", everything) is None
    newest = cache.get("h", "grid", everything)
    assert newest is not None
    assert newest.areas.tolist() == list(range(70))
    assert cache.nbytes > 100_000 - 100_000 // LARGEST_SHARE


def test_more_is_kept_than_less_and_what_is_kept_is_no_view() -> None:
    cache = CandidateCache(1_000_000)
    loose, strict = Thresholds(0.6, 0.6), Thresholds(0.68, 0.68)
    shard = candidates(9)
    cache.put("a", "grid", loose, [shard])
    cache.put("a", "grid", strict, [no_candidates()])
    shard.areas[:] = -1
    found = cache.get("a", "grid", strict)
    assert found is not None
    assert found.areas.tolist() == [4]
    assert cache.get("a", "grid", Thresholds(0.5, 0.9)) is None
    assert cache.get("b", "grid", strict) is None


def test_a_grid_is_its_points_its_crop_and_its_offset() -> None:
    points = np.array([[1.0, 2.0], [3.0, 4.0]])
    keys = {
        grid_key(Crop((0, 0, 9, 9), 0, points), 1.0),
        grid_key(Crop((0, 0, 9, 8), 0, points), 1.0),
        grid_key(Crop((0, 0, 9, 9), 0, points[::-1]), 1.0),
        grid_key(Crop((0, 0, 9, 9), 0, points), 1.5),
    }
    assert len(keys) == 4
    assert grid_key(Crop((0, 0, 9, 9), 1, points.copy()), 1.0) in keys
