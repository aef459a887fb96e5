"""Requests that the real clients sent, as `scripts/record_clients` kept them, are answered as the clients read them."""

import base64
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
from local_graph import LocalGraph
from picture_server import serving_picture
from PIL import Image
from segment_anything.modeling import Sam
from starlette.testclient import TestClient

from deployments.http.protocols.label_studio.brush_rle import decode_brush
from deployments.http.routes import create_app

SETTINGS = {"max_points_per_side": 32, "max_crop_layers": 1, "max_body_mb": 2.0, "performance_mode": True}
FOLDER = Path(__file__).parent / "recorded"
RECORDED = sorted(path.stem for path in FOLDER.glob("*.json"))


def coins() -> bytes:
    """The picture that the clients were given; a part of it, so that its masks take less time."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(skimage.data.coins()[:200, :200])).save(buffer, "PNG")
    return buffer.getvalue()


def replayed(client: TestClient, request: dict[str, Any], blobs: list[str], served: str, studio: str) -> Any:
    """Sends a request as it was recorded, about the picture, the model and the Label Studio that are here."""
    picture = coins()
    pixels = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).tobytes()
    body = request["body"].encode("latin-1")
    for name, value in (
        (b"{{picture.base64}}", base64.b64encode(picture)),
        (b"{{picture}}", picture),
        (b"{{pixels}}", pixels),
        (b'"demo', f'"{served}'.encode()),
        (b"sam-serve-demo", f"sam-serve-{served}".encode()),
        (b"303,384,3", b"200,200,3"),
        (b"http://127.0.0.1:5185", studio.encode()),
    ):
        body = body.replace(name, value)
    body = re.sub(rb"\{\{blob\.(\d+)\}\}", lambda found: blobs[int(found[1])].encode(), body)
    headers = {name: value for name, value in request["headers"].items() if name not in {"authorization", "token"}}
    path = request["path"].replace("demo", served)
    return client.request(request["method"], path, content=body, headers=headers)


def reads_x_anylabeling(path: str, answer: Any) -> None:
    assert answer["success"] is True
    for shape in answer["data"].get("shapes", []):
        assert {"label", "shape_type", "points"} <= set(shape)
        assert all(len(point) == 2 for point in shape["points"])


def reads_roboflow(path: str, answer: Any) -> None:
    assert answer["time"] > 0
    assert all({"masks", "confidence", "format"} == set(prediction) for prediction in answer["predictions"])


def reads_hugging_face(path: str, answer: Any) -> None:
    for element in answer:
        assert Image.open(io.BytesIO(base64.b64decode(element["mask"]))).mode == "L"
        assert isinstance(element["label"], str)
        assert element["score"] >= 0


def reads_osam(path: str, answer: Any) -> None:
    for annotation in answer["annotations"]:
        box = annotation["bounding_box"]
        size = (box["xmax"] - box["xmin"] + 1, box["ymax"] - box["ymin"] + 1)
        assert Image.open(io.BytesIO(base64.b64decode(annotation["mask"]))).size == size


def reads_isat(path: str, answer: Any) -> None:
    if path.endswith("/api/info"):
        assert set(answer) == {"checkpoint", "device", "dtype"}
    else:
        assert np.array(answer["features"]).ndim == 4
        assert answer["original_size"] == [200, 200]


def reads_label_studio(path: str, answer: Any) -> None:
    if path.endswith("/predict"):
        (found,) = answer["results"]
        assert {"result", "score", "model_version"} == set(found)
        for region in found["result"]:
            assert (region["from_name"], region["to_name"], region["type"]) == ("brush", "image", "brushlabels")
            assert decode_brush(region["value"]["rle"], (200, 200)).any()


READERS: dict[str, Callable[[str, Any], None]] = {
    "x-anylabeling": reads_x_anylabeling,
    "roboflow": reads_roboflow,
    "hugging-face": reads_hugging_face,
    "hugging-face-js": reads_hugging_face,
    "osam": reads_osam,
    "isat": reads_isat,
    "label-studio": reads_label_studio,
}


def test_there_are_recordings() -> None:
    assert RECORDED
    assert set(RECORDED) <= set(READERS)


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_requests_are_answered(sam: Sam, name: str) -> None:
    recorded = json.loads((FOLDER / f"{name}.json").read_text())
    assert recorded["requests"]
    with serving_picture(coins(), "Token {{key}}") as studio:
        graph = LocalGraph(sam, {**SETTINGS, "image_url_origins": (studio.url,)})
        with TestClient(create_app(graph.service)) as client:
            for request in recorded["requests"]:
                answer = replayed(client, request, recorded["blobs"], "tiny", studio.url)
                assert answer.status_code == 200, f"{request['path']}: {answer.text[:500]}"
                READERS[name](request["path"].split("?")[0], answer.json())
