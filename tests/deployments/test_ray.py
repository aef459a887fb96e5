"""The server as a user starts it, on a real Ray cluster, under each backend: answers, truthfulness, and deaths."""

import concurrent.futures
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import skimage.data
import tiny_pair
from answers import pixels
from oracle import random_sam
from PIL import Image
from real_server import RealServer, serving
from reference import same_mask
from segment_anything import SamPredictor

from deployments.settings.server import Settings
from segmentation.automatic.generate import generate, with_overrides
from segmentation.automatic.parameters import QUALITY
from segmentation.backends.opening import open_decoder, open_encoder
from segmentation.backends.select import plan_runtime
from segmentation.masks.rle import decode

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

PROMPT = {"points": [[100.5, 60], [30, 20]], "labels": [1, 0]}
GRID = {
    "points_per_side": 12,
    "crop_n_layers": 1,
    "pred_iou_thresh": 0.0,
    "stability_score_thresh": 0.0,
    "box_nms_thresh": 1.0,
    "crop_nms_thresh": 1.0,
    "min_mask_region_area": 0,
}
PHOTOGRAPH = np.ascontiguousarray(skimage.data.astronaut()[:150, 100:300])


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    checkpoint = tiny_pair.save_checkpoint(folder / "tiny.pth")
    (folder / "manifest.toml").write_text(tiny_pair.MANIFEST)
    tiny_pair.convert(checkpoint, folder)
    return folder


@pytest.fixture(scope="module", params=["onnx", pytest.param("pytorch", marks=pytest.mark.slow)])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def server(backend: str, model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    variables = {
        "SAM_MODEL_TYPE": "tiny",
        "SAM_MODEL_DIR": str(model_dir),
        "SAM_ONNX_DIR": str(model_dir),
        "SAM_BACKEND": backend,
    }
    with serving(tmp_path_factory.mktemp(backend), variables) as server:
        yield server


@pytest.fixture
def client(server: RealServer) -> Iterator[httpx2.Client]:
    with server.client() as client:
        yield client


@pytest.fixture(scope="module")
def png() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PHOTOGRAPH).save(buffer, "PNG")
    return buffer.getvalue()


def post(client: httpx2.Client, path: str, png: bytes, **request: Any) -> Any:
    answer = client.post(path, files={"image": ("a.png", png)}, data={"request": json.dumps(request)})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_backend_info_tells_what_runs(client: httpx2.Client, backend: str) -> None:
    info = client.get("/backend_info").json()
    assert (info["backend"], info["model_type"], info["device"]) == (backend, "tiny", "cpu")
    assert info["onnx_providers"] in ([["CPUExecutionProvider"], ["OpenVINO"]] if backend == "onnx" else [[]])
    assert info["onnx_available"] is info["pytorch_available"] is True
    assert info["settings_source"]["model_type"] == "environment"


def test_prompts_have_the_masks_of_segment_anything(client: httpx2.Client, png: bytes) -> None:
    predictor = SamPredictor(random_sam())
    predictor.set_image(PHOTOGRAPH)
    masks, scores, _ = predictor.predict(np.array(PROMPT["points"]), np.array(PROMPT["labels"]))
    ours = post(client, "/segment", png, prompts=[PROMPT])["results"][0]["masks"]
    for mask, index in zip(ours, np.argsort(-scores, kind="stable"), strict=True):
        assert mask["predicted_iou"] == pytest.approx(scores[index], abs=1e-3)
        assert same_mask(pixels(mask), masks[index])


def test_a_grid_over_all_replicas_has_the_masks_of_one_process(
    client: httpx2.Client, png: bytes, backend: str, model_dir: Path
) -> None:
    settings = Settings(backend=backend, model_type="tiny", model_dir=model_dir, onnx_dir=model_dir)
    plan = plan_runtime(settings)
    encoder, decoder = (open_(plan, device="cpu", threads=1) for open_ in (open_encoder, open_decoder))
    expected = generate(encoder, decoder, PHOTOGRAPH, with_overrides(QUALITY, GRID))
    masks = post(client, "/segment/auto", png, **GRID)["masks"]
    assert len(masks) == len(expected) >= 20
    for mask, record in zip(masks, expected, strict=True):
        assert [tuple(point) for point in mask["point_coords"]] == list(record.point_coords or ())
        assert mask["predicted_iou"] == pytest.approx(record.predicted_iou, abs=1e-3)
        assert same_mask(pixels(mask), np.asarray(decode(record.rle), bool))


def test_a_held_picture_is_known_by_its_id_to_every_route(client: httpx2.Client, png: bytes) -> None:
    image_id = post(client, "/embeddings", png)["image_id"]
    for _ in range(3):
        answer = client.post("/segment", json={"image_id": image_id, "prompts": [PROMPT]})
        assert answer.json()["timing_ms"]["encode"] == 0
    embedding = client.get(f"/embeddings/{image_id}")
    assert np.load(io.BytesIO(embedding.content)).shape == (1, 256, 8, 8)
    assert (
        client.get(f"/embeddings/{image_id}", headers={"if-none-match": embedding.headers["etag"]}).status_code == 304
    )


def test_a_stream_tells_how_far_it_is_before_it_ends(client: httpx2.Client, png: bytes) -> None:
    request = {"data": {"request": json.dumps({**GRID, "stream": True})}, "files": {"image": png}}
    with client.stream("POST", "/segment/auto", **request) as answer:
        arrivals = [(time.monotonic(), json.loads(line)["event"]) for line in answer.iter_lines()]
    assert arrivals[0][1] == "start"
    assert arrivals[-1][1] == "end"
    assert sum(event == "progress" for _, event in arrivals) >= 5
    assert arrivals[-1][0] - arrivals[0][0] > 0.05


def test_mistakes_are_problem_documents_through_the_proxy_too(client: httpx2.Client, png: bytes) -> None:
    for answer, status, code in (
        (client.post("/segment", content=b"{", headers={"content-type": "application/json"}), 400, "invalid_json"),
        (client.post("/segment", json={"image_id": "gone", "prompts": [PROMPT]}), 404, "unknown_image"),
        (client.post("/embeddings", files={"image": b"x" * 51_000_000}), 413, "body_too_large"),
        (client.get("/nowhere"), 404, "not_found"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert answer.headers.get_list("x-request-id") == [answer.json()["request_id"]]


def test_many_calls_of_one_request_at_once_all_come_back(client: httpx2.Client, png: bytes) -> None:
    """Crops are encoded side by side through the consistent-hash router, which hangs calls that share an id."""
    request = {**GRID, "points_per_side": 4, "crop_n_layers": 2, "crop_n_points_downscale_factor": 1, "stream": True}
    answer = client.post("/segment/auto", data={"request": json.dumps(request)}, files={"image": png + b"\0"})
    events = [json.loads(line) for line in answer.text.splitlines()]
    assert events[-1]["event"] == "end"
    assert [event["done"] for event in events if event["event"] == "progress"][-1] == 16 * (1 + 4 + 16)


@pytest.mark.parametrize("deployment", ["PromptDecoder", "ImageEncoder", "MaskGridGenerator"])
def test_the_death_of_a_replica_costs_no_request_and_changes_no_mask(
    server: RealServer, client: httpx2.Client, png: bytes, deployment: str
) -> None:
    undisturbed = {
        "/segment": post(client, "/segment", png, prompts=[PROMPT])["results"][0]["masks"],
        "/segment/auto": post(client, "/segment/auto", png, **GRID)["masks"],
    }

    def ask(index: int) -> bool:
        with server.client() as caller:
            if index % 3 == 0:
                return same_masks(post(caller, "/segment/auto", png, **GRID)["masks"], undisturbed["/segment/auto"])
            masks = post(caller, "/segment", png, prompts=[PROMPT])["results"][0]["masks"]
            return same_masks(masks, undisturbed["/segment"])

    with concurrent.futures.ThreadPoolExecutor(4) as callers:
        answers = [callers.submit(ask, index) for index in range(24)]
        time.sleep(0.3)
        killed = server.kill(deployment)
        assert [answer.result() for answer in answers] == [True] * 24
    assert killed not in server.replicas(deployment)


def same_masks(ours: list[dict[str, Any]], expected: list[dict[str, Any]]) -> bool:
    return len(ours) == len(expected) and all(
        same_mask(pixels(mine), pixels(theirs)) for mine, theirs in zip(ours, expected, strict=True)
    )


def test_a_server_that_can_not_start_says_why(tmp_path: Path) -> None:
    variables = {"SAM_MODEL_TYPE": "vit_b", "SAM_BACKEND": "onnx", "SAM_ONNX_DIR": str(tmp_path)}
    convert = r"python -m conversion.convert_model --model-type vit_b"
    with pytest.raises(RuntimeError, match=convert), serving(tmp_path, variables):
        pass
