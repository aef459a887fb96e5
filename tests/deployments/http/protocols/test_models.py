"""Each tool chooses a model its own way: the masks are that model's, and nothing is answered by another."""

import base64
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from local_graph import LocalGraph
from localised import localised_sam
from PIL import Image
from segment_anything.modeling import Sam
from shapely.geometry import shape
from starlette.testclient import TestClient
from tool_oracle import POINT, Mask, Oracle, decoded, ok
from two_models import two_models

from deployments.http.protocols.label_studio.brush_rle import decode_brush
from deployments.http.routes import create_app
from deployments.telemetry.events import Answered, Event

SETTINGS = {"max_points_per_side": 32, "max_crop_layers": 1, "max_body_mb": 2.0, "performance_mode": True}
X, Y = POINT
CONFIG = (
    '<View><Image name="i" value="$image"/><BrushLabels name="b" toName="i" {}><Label value="A"/></BrushLabels></View>'
)


@dataclass
class Both:
    """A server of the models `tiny` and `other`, and what it told of its answers."""

    client: TestClient
    picture: str
    events: list[Event]

    def post(self, path: str, body: Any, **headers: str) -> Any:
        return self.client.post(path, json=body, headers={name.replace("_", "-"): headers[name] for name in headers})


@pytest.fixture(scope="module")
def both(sam: Sam, png: bytes) -> Iterator[Both]:
    events: list[Event] = []
    service = two_models(LocalGraph(sam, SETTINGS), LocalGraph(localised_sam(seed=6), SETTINGS), events.append)
    with TestClient(create_app(service), raise_server_exceptions=False) as client:
        yield Both(client, base64.b64encode(png).decode(), events)


def area(mask: Mask) -> int:
    return int(mask.sum())


def grey(text: str) -> Mask:
    mask: Mask = np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))) > 0
    return mask


def x_anylabeling(both: Both, model: str | None) -> Any:
    marks = [{"type": "point", "data": [X, Y], "label": 1}]
    return both.post("/v1/predict", {"model": model or "tiny", "image": both.picture, "params": {"marks": marks}})


def qupath(both: Both, model: str | None) -> Any:
    chosen = {"checkpoint_url": f"sam-serve:{model}"} if model else {}
    prompt = {"point_coords": [[X, Y]], "point_labels": [1], "multimask_output": True}
    return both.post("/sam/", {"type": "vit_b", "b64img": both.picture, **prompt, **chosen})


def qupath_type(both: Both, model: str | None) -> Any:
    prompt = {"point_coords": [[X, Y]], "point_labels": [1], "multimask_output": True}
    return both.post("/sam/", {"type": model or "vit_h", "b64img": both.picture, **prompt})


def roboflow(both: Both, model: str | None) -> Any:
    asked = {"prompts": [{"points": [{"x": X, "y": Y, "positive": True}]}], "format": "rle"}
    image = {"type": "base64", "value": both.picture}
    return both.post("/sam2/segment_image", {"sam2_version_id": model or "hiera_tiny", "image": image, **asked})


def hugging_face(both: Both, model: str | None) -> Any:
    body = {"inputs": both.picture, "parameters": {"points": [[X, Y]]}}
    return both.post(f"/hugging-face/{model}" if model else "/hugging-face", body)


def label_studio(both: Both, model: str | None) -> Any:
    region = {"type": "keypointlabels", "original_width": 200, "original_height": 120}
    value = {"x": X / 2, "y": Y / 1.2}
    body = {
        "tasks": [{"data": {"image": f"data:image/png;base64,{both.picture}"}}],
        "label_config": CONFIG.format(f'model="{model}"' if model else ""),
        "params": {"context": {"result": [{**region, "value": value}]}},
    }
    return both.post("/label-studio/predict", body)


def cvat(both: Both, model: str | None) -> Any:
    body = {"image": both.picture, "pos_points": [[X, Y]], "neg_points": []}
    return both.post("/api/function_invocations", body, x_nuclio_function_name=f"sam-serve-{model or 'tiny'}")


def osam(both: Both, model: str | None) -> Any:
    prompt = {"points": [[X, Y]], "point_labels": [1]}
    return both.post("/api/generate", {"model": model or "sam:latest", "image": both.picture, "prompt": prompt})


def osam_tag(both: Both, model: str | None) -> Any:
    return osam(both, f"sam:{model}" if model else "efficientsam")


ASKED: dict[str, tuple[Callable[[Both, str | None], Any], Callable[[Any], float], str]] = {
    "qupath": (qupath, lambda answer: best(answer, "geometry"), "detail"),
    "qupath, by type": (qupath_type, lambda answer: best(answer, "geometry"), "detail"),
    "roboflow": (
        roboflow,
        lambda answer: area(decoded({"segmentation": answer["predictions"][0]["masks"]})),
        "message",
    ),
    "hugging-face": (hugging_face, lambda answer: area(grey(answer[0]["mask"])), "error"),
    "label-studio": (
        label_studio,
        lambda answer: area(decode_brush(answer["results"][0]["result"][0]["value"]["rle"], (120, 200))),
        "error",
    ),
    "cvat": (cvat, lambda answer: area(np.array(answer["mask"], bool)), "error"),
    "osam": (osam, lambda answer: area(grey(answer["annotations"][0]["mask"])), "detail"),
    "osam, by tag": (osam_tag, lambda answer: area(grey(answer["annotations"][0]["mask"])), "detail"),
}
"""By tool: how it asks a model for the mask of a point, the mask's area in its answer, and where its errors are."""


def best(features: Any, name: str) -> float:
    """The area of the first feature."""
    return float(shape(features[0][name]).area)


@pytest.mark.parametrize("tool", ASKED)
def test_the_masks_are_those_of_the_model_that_was_chosen(both: Both, tool: str) -> None:
    ask, area_of, _ = ASKED[tool]
    oracle = Oracle(both.client, both.picture)
    expected = {model: area(oracle.prompt({"points": [[X, Y]]}, model=model)[0]) for model in ("tiny", "other")}
    assert expected["tiny"] != expected["other"]
    for model, served in (("other", "other"), ("tiny", "tiny"), (None, "tiny")):
        del both.events[:]
        assert area_of(ok(ask(both, model))) == expected[served]
        (told,) = [event for event in both.events if isinstance(event, Answered)]
        assert told.model == served


@pytest.mark.parametrize("tool", ASKED)
def test_a_model_that_is_not_offered_is_refused_with_those_that_are(both: Both, tool: str) -> None:
    ask, _, field = ASKED[tool]
    refused = ask(both, "nobodys")
    assert 400 <= refused.status_code < 500
    assert {"tiny", "other"} <= {name.split("-")[-1] for name in refused.json()[field].replace(",", "").split()}


def test_x_anylabeling_lists_every_model_and_asks_by_its_id(both: Both) -> None:
    names = ["tiny", "tiny_everything", "other", "other_everything"]
    assert list(ok(both.client.get("/v1/models"))["data"]) == names
    found = {model: ok(x_anylabeling(both, model))["data"]["shapes"] for model in ("tiny", "other")}
    assert found["tiny"] != found["other"]
    refused = x_anylabeling(both, "nobodys")
    assert refused.status_code == 422
    assert "it offers tiny, other" in refused.json()["error"]["message"]
    assert ok(both.client.get("/v1/models/other_everything/info"))["data"]["model_id"] == "other_everything"


def test_isat_names_a_model_behind_the_port(both: Both, png: bytes) -> None:
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    form = {"shape": "120,200,3", "dtype": "uint8"}

    def embedding(path: str) -> Any:
        answer = ok(both.client.post(path, data=form, files={"file": ("pixels", pixels.tobytes())}))
        return np.array(answer["features"])

    first, second = embedding("/api/encode"), embedding("/isat/other/api/encode")
    assert (embedding("/isat/tiny/api/encode") == first).all()
    assert (first != second).any()
    assert ok(both.client.get("/isat/other/api/info"))["checkpoint"] == "tiny.pth"
    refused = both.client.get("/isat/nobodys/api/info")
    assert (refused.status_code, set(refused.json())) == (422, {"detail"})


def test_roboflows_names_of_pictures_belong_to_a_model(both: Both) -> None:
    image = {"image": {"type": "base64", "value": both.picture}, "image_id": "mine"}
    ok(both.post("/sam2/embed_image", {**image, "sam2_version_id": "other"}))
    asked = {"image_id": "mine", "prompts": [{"points": [{"x": X, "y": Y}]}]}
    assert both.post("/sam2/segment_image", asked).status_code == 404
    assert both.post("/sam2/segment_image", {**asked, "model_id": "sam2/other"}).status_code == 200


def test_label_studio_is_told_a_wrong_model_when_it_connects(both: Both) -> None:
    good = both.post("/label-studio/setup", {"project": "1.1", "schema": CONFIG.format('model="other"')})
    assert ok(good)["model_version"] == "sam-serve-other"
    wrong = both.post("/label-studio/setup", {"project": "1.1", "schema": CONFIG.format('model="nobodys"')})
    assert (wrong.status_code, "it offers tiny, other" in wrong.json()["error"]) == (422, True)
    forgotten = {"project": "1.1", "schema": CONFIG.format(""), "extra_params": {"model": "other"}}
    refused = both.post("/label-studio/setup", forgotten)
    assert refused.status_code == 422
    assert "labelling configuration" in refused.json()["error"]
