"""`POST /segment/auto`: SamAutomaticMaskGenerator's masks, and a stream that tells how far they are."""

import io
import json
from typing import Any

import numpy as np
import pytest
from answers import pixels
from local_graph import LocalGraph
from PIL import Image
from reference import RecordingGenerator, compare
from starlette.testclient import TestClient

from segmentation.automatic.generate import PERFORMANCE, QUALITY, with_overrides

LOOSE = {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.3, "min_mask_region_area": 0}
CASES = [
    {"points_per_side": 8, "crop_n_layers": 0, **LOOSE},
    {"points_per_side": 8, "crop_n_layers": 1, "crop_n_points_downscale_factor": 2, **LOOSE},
    {"points_per_side": 6, "crop_n_layers": 1, **LOOSE, "min_mask_region_area": 20, "box_nms_thresh": 0.9},
    {"point_grids": [[[0.2, 0.3], [0.5, 0.5], [0.8, 0.6], [0.4, 0.9]]] * 2, "crop_n_layers": 1, **LOOSE},
]


def send(client: TestClient, png: bytes, **request: Any) -> Any:
    return client.post("/segment/auto", files={"image": ("a.png", png)}, data={"request": json.dumps(request)})


@pytest.mark.parametrize("request_", CASES)
def test_masks_are_those_of_segment_anything(
    client: TestClient, png: bytes, graph: LocalGraph, request_: dict[str, Any]
) -> None:
    answer = send(client, png, **request_).json()
    generator = RecordingGenerator(graph.sam, with_overrides(QUALITY, request_))
    expected = generator.generate(np.array(Image.open(io.BytesIO(png))))
    key = lambda mask: (*map(tuple, mask["point_coords"]), tuple(mask["crop_box"]))  # noqa: E731
    matched = compare(
        [(key(mask), mask["segmentation"]) for mask in expected],
        [(key(mask), pixels(mask)) for mask in answer["masks"]],
    )
    assert len(matched.pairs) >= 10
    assert (matched.only_expected, matched.only_ours) == ([], [])
    assert [ours for _, ours in matched.pairs] == list(range(len(answer["masks"]))), "not in SAM's order"
    for theirs, ours in matched.pairs:
        for score in ("predicted_iou", "stability_score"):
            assert answer["masks"][ours][score] == pytest.approx(expected[theirs][score], abs=1e-3)


def test_the_fields_and_parameters_of_an_answer(client: TestClient, png: bytes) -> None:
    answer = send(client, png, **CASES[1], points_per_batch=100000).json()
    assert answer["size"] == [120, 200]
    assert list(answer["masks"][0]) == [
        "segmentation", "area", "bbox", "predicted_iou", "point_coords", "stability_score", "crop_box",
    ]  # fmt: skip
    parameters = answer["parameters"]
    assert {name: parameters[name] for name in CASES[1]} == CASES[1]
    assert parameters["crop_nms_thresh"] == QUALITY.crop_nms_thresh
    assert parameters["points_per_batch"] == 64
    assert set(answer["timing_ms"]) == {"decode", "encode", "prompt", "postprocess", "queue", "total"}


@pytest.mark.parametrize(("mode", "profile"), [(True, PERFORMANCE), (False, QUALITY), (None, QUALITY)])
def test_performance_mode_chooses_the_profile_and_the_request_wins(
    client: TestClient, png: bytes, mode: bool | None, profile: Any
) -> None:
    given = {} if mode is None else {"performance_mode": mode}
    parameters = send(client, png, points_per_side=4, **given).json()["parameters"]
    assert parameters["points_per_side"] == 4
    for name in ("pred_iou_thresh", "stability_score_thresh", "crop_n_layers", "min_mask_region_area"):
        assert parameters[name] == getattr(profile, name)


def test_min_mask_area_drops_whole_masks(client: TestClient, png: bytes) -> None:
    masks = send(client, png, **CASES[0]).json()["masks"]
    bound = sorted(mask["area"] for mask in masks)[len(masks) // 2]
    large = send(client, png, **CASES[0], min_mask_area=bound).json()["masks"]
    assert large == [mask for mask in masks if mask["area"] >= bound]
    assert 0 < len(large) < len(masks)


def test_a_held_picture_needs_no_encoder_and_its_id_is_enough_for_crops(
    client: TestClient, png: bytes, graph: LocalGraph
) -> None:
    image_id = client.post("/embeddings", files={"image": ("a.png", png)}).json()["image_id"]
    by_id = client.post("/segment/auto", json={"image_id": image_id, **CASES[1]}).json()
    assert sum(graph.backend.batches) == 5
    again = send(client, png, **CASES[1]).json()
    assert sum(graph.backend.batches) == 5
    assert by_id["masks"] == again["masks"]
    assert again["timing_ms"]["encode"] == 0


def test_the_stream_has_every_event_in_order(client: TestClient, png: bytes) -> None:
    whole = send(client, png, **CASES[1]).json()
    answer = send(client, png, **CASES[1], stream=True)
    assert answer.headers["content-type"] == "application/x-ndjson"
    events = [json.loads(line) for line in answer.text.splitlines()]
    head = {name: whole[name] for name in ("image_id", "size", "decode")}
    assert events[0] == {"event": "start", **head, "place": 0}
    progress = [event for event in events if event["event"] == "progress"]
    total = 8 * 8 + 4 * 4 * 4
    assert {event["total"] for event in progress} == {total}
    assert [event["done"] for event in progress] == sorted({event["done"] for event in progress})
    assert progress[-1]["done"] == total
    masks = [event["mask"] for event in events if event["event"] == "mask"]
    assert masks == whole["masks"]
    assert events[-1]["event"] == "end"
    assert events[-1]["count"] == len(masks)
    assert events[-1]["parameters"] == whole["parameters"]
    kinds = [event["event"] for event in events]
    assert kinds == ["start", *["progress"] * len(progress), *["mask"] * len(masks), "end"]


def test_a_failure_before_the_start_has_its_status_even_in_a_stream(client: TestClient) -> None:
    answer = client.post("/segment/auto", json={"image_id": "unknown", "stream": True})
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_image")


def test_a_failure_after_the_start_is_an_event_and_the_last(client: TestClient, png: bytes, graph: LocalGraph) -> None:
    graph.grid.errors["merge"] = [RuntimeError("secret detail")]
    lines = send(client, png, **CASES[0], stream=True).text.splitlines()
    last = json.loads(lines[-1])
    assert last["event"] == "error"
    assert (last["problem"]["code"], last["problem"]["status"]) == ("internal", 500)
    assert "secret" not in "".join(lines)
    assert graph.service.admission.taken == 0


def test_a_picture_of_one_pixel_has_an_answer(client: TestClient) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (1, 1)).save(buffer, "PNG")
    answer = send(client, buffer.getvalue(), points_per_side=2, crop_n_layers=2)
    assert answer.status_code == 200
    assert answer.json()["size"] == [1, 1]


def test_crops_are_encoded_in_batches(client: TestClient, png: bytes, graph: LocalGraph) -> None:
    send(client, png, points_per_side=4, crop_n_layers=2)
    assert sum(graph.backend.batches) == 1 + 4 + 16
    assert max(graph.backend.batches) >= 2
