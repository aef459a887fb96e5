"""Every tool's masks are those of `/segment` and `/segment/auto`: to the pixel, or as polygons that cover them."""

import base64
import io
from typing import Any

import cv2
import numpy as np
import pytest
from local_graph import LocalGraph
from PIL import Image
from shapely.geometry import shape
from starlette.testclient import TestClient
from tool_oracle import BOX, POINT, Mask, Oracle, decoded, ok

from deployments.http.protocols.label_studio.brush_rle import decode_brush

EASY = {"points_per_side": 4, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "crop_n_layers": 0}


def filled(polygons: list[list[list[float]]], size: tuple[int, ...]) -> Mask:
    """The polygons as OpenCV fills them."""
    mask = np.zeros(size, np.uint8)
    for polygon in polygons:
        cv2.fillPoly(mask, [np.array(polygon).astype(np.int32)], 1)
    return mask.astype(bool)


def iou(a: Mask, b: Mask) -> float:
    return float((a & b).sum() / (a | b).sum())


def grey(text: str) -> Mask:
    """A mask in a base64 PNG."""
    array: Mask = np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))) > 0
    return array


MARKS = {
    "point": [{"type": "point", "data": list(POINT), "label": 1}],
    "box": [{"type": "rectangle", "data": [BOX[2], BOX[3], BOX[0], BOX[1]], "label": 1}],
}


@pytest.mark.parametrize("question", ["point", "box"])
def test_x_anylabeling_draws_closed_polygons_around_the_mask(
    client: TestClient, oracle: Oracle, picture: str, question: str
) -> None:
    request = {"model": "tiny", "image": f"data:image/png;base64,{picture}", "params": {"marks": MARKS[question]}}
    answer = ok(client.post("/v1/predict", json=request))
    assert answer["success"] is True
    shapes = answer["data"]["shapes"]
    assert all(one["points"][0] == one["points"][-1] and len(one["points"]) >= 4 for one in shapes)
    expected = getattr(oracle, question)()
    assert iou(filled([one["points"] for one in shapes], expected.shape), expected) >= 0.98


def test_the_second_click_of_x_anylabeling_encodes_nothing(client: TestClient, graph: LocalGraph, picture: str) -> None:
    request = {"model": "tiny", "image": picture, "params": {"marks": MARKS["point"]}}
    first = ok(client.post("/v1/predict", json=request))
    assert graph.backend.batches == [1]
    assert ok(client.post("/v1/predict", json=request)) == first
    assert graph.backend.batches == [1]


def test_x_anylabeling_without_marks_gets_everything(client: TestClient, oracle: Oracle, picture: str) -> None:
    for model in ("tiny", "tiny_everything"):
        request = {"model": model, "image": picture, "params": {"conf_threshold": 0.3, "marks": None}}
        data = ok(client.post("/v1/predict", json=request))["data"]
        assert data["replace"] is None
        expected = oracle.everything(pred_iou_thresh=0.3)
        groups = {shape["group_id"] for shape in data["shapes"]} - {None}
        alone = sum(shape["group_id"] is None for shape in data["shapes"])
        assert alone + len(groups) == len(expected)


@pytest.mark.parametrize(
    ("prompt", "fields"),
    [
        ({"points": [list(POINT)]}, {"point_coords": [list(POINT)], "point_labels": [1]}),
        ({"box": list(BOX)}, {"bbox": list(BOX)}),
    ],
)
def test_qupath_gets_features_whose_area_is_the_masks(
    client: TestClient, oracle: Oracle, picture: str, prompt: dict[str, Any], fields: dict[str, Any]
) -> None:
    for multimask in (False, True):
        request = {"type": "vit_b", "b64img": picture, "multimask_output": multimask, **fields}
        features = ok(client.post("/sam/", json=request))
        expected = [mask for mask in oracle.prompt(prompt, multimask_output=multimask) if mask.any()]
        assert len(features) == len(expected)
        for feature, mask in zip(features, expected, strict=True):
            assert feature["properties"]["sam_model"] == "tiny"
            geometry = shape(feature["geometry"])
            assert geometry.is_valid
            assert geometry.area == mask.sum()
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            assert geometry.bounds == (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)


def test_qupath_gets_everything_by_all_parameters(client: TestClient, oracle: Oracle, picture: str) -> None:
    request = {"type": "vit_l", "b64img": picture, "output_type": "Single mask", "include_image_edge": False, **EASY}
    features = ok(client.post("/sam/automask/", json=request))
    own = {"min_mask_region_area": 0, "box_nms_thresh": 0.7, "crop_n_points_downscale_factor": 1}
    expected = oracle.everything(**EASY, **own)
    assert [shape(feature["geometry"]).area for feature in features] == [mask.sum() for mask in expected if mask.any()]


@pytest.mark.parametrize("kind", ["json", "rle", "binary"])
def test_roboflow_gets_each_format(client: TestClient, oracle: Oracle, picture: str, kind: str) -> None:
    width, height = BOX[2] - BOX[0], BOX[3] - BOX[1]
    box = {"x": (BOX[0] + BOX[2]) / 2, "y": (BOX[1] + BOX[3]) / 2, "width": width, "height": height}
    prompts = [{"points": [{"x": POINT[0], "y": POINT[1], "positive": True}]}, {"box": box}]
    image = {"image": {"type": "base64", "value": picture}, "format": kind}
    answer = client.post("/sam2/segment_image", json={**image, "prompts": {"prompts": prompts}})
    expected = np.array([oracle.point(), oracle.box()])
    if kind == "binary":
        assert answer.status_code == 200
        assert (np.load(io.BytesIO(answer.content))["masks"] == expected).all()
        return
    found = [one["masks"] for one in ok(answer)["predictions"]]
    if kind == "json":
        masks = [filled(polygons, expected.shape[1:]) for polygons in found]
        assert (np.array(masks) == expected).all()
    else:
        assert (np.array([decoded({"segmentation": rle}) for rle in found]) == expected).all()
    flat = ok(client.post("/sam2/segment_image", json={**image, "prompts": prompts}))
    assert [one["masks"] for one in flat["predictions"]] == found


def test_roboflows_labels_and_its_names_of_pictures(client: TestClient, oracle: Oracle, picture: str) -> None:
    image = {"type": "base64", "value": picture}
    assert ok(client.post("/sam2/embed_image", json={"image": image, "image_id": "mine"}))["image_id"] == "mine"
    request = {"image_id": "mine", "format": "binary", "point_coords": [list(POINT), [100, 80]]}
    answer = client.post("/sam/segment_image", json={**request, "point_labels": [1, -1]})
    expected = oracle.prompt({"points": [list(POINT), [100, 80]], "labels": [1, 0]})[0]
    assert (np.load(io.BytesIO(answer.content))["masks"][0] == expected).all()
    polygons = ok(client.post("/sam/segment_image", json={**request, "format": "json", "point_labels": [1, -1]}))
    assert len(polygons["masks"]) == 1


def test_roboflows_embedding_is_the_servers(client: TestClient, picture: str) -> None:
    image = {"image": {"type": "base64", "value": picture}}
    lists = np.array(ok(client.post("/sam/embed_image", json=image))["embeddings"], np.float32)
    binary = np.load(io.BytesIO(client.post("/sam/embed_image", json={**image, "format": "binary"}).content))
    held = ok(client.post("/embeddings", json={"image": picture}))
    own = np.load(io.BytesIO(client.get(f"/embeddings/{held['image_id']}").content))
    assert (lists == own).all()
    assert (binary == own).all()


def test_hugging_face_gets_everything_as_grey_pngs(
    client: TestClient, oracle: Oracle, png: bytes, picture: str
) -> None:
    found = ok(client.post("/hugging-face", content=png, headers={"content-type": "image/png"}))
    assert [one["score"] for one in found] == sorted((one["score"] for one in found), reverse=True)
    expected = {mask.tobytes() for mask in oracle.everything()}
    assert {grey(one["mask"]).tobytes() for one in found} == expected
    for parameters, mask in (({"points": [list(POINT)]}, oracle.point()), ({"box": list(BOX)}, oracle.box())):
        found = ok(client.post("/hugging-face", json={"inputs": picture, "parameters": parameters}))
        assert (grey(found[0]["mask"]) == mask).all()
    strict = ok(client.post("/hugging-face", json={"inputs": picture, "parameters": {"threshold": 0.5}}))
    assert len(strict) == len(oracle.everything(pred_iou_thresh=0.5))


def test_osam_gets_the_mask_cut_to_its_box(client: TestClient, oracle: Oracle, picture: str) -> None:
    prompts = {
        "point": {"points": [list(POINT)], "point_labels": [1]},
        "box": {"points": [list(BOX[:2]), list(BOX[2:])], "point_labels": [2, 3]},
    }
    for question, prompt in prompts.items():
        answer = ok(client.post("/api/generate", json={"model": "sam:latest", "image": picture, "prompt": prompt}))
        (found,) = answer["annotations"]
        box = found["bounding_box"]
        expected: Mask = getattr(oracle, question)()
        cut = expected[box["ymin"] : box["ymax"] + 1, box["xmin"] : box["xmax"] + 1]
        assert (grey(found["mask"]) == cut).all()
        assert cut.sum() == expected.sum()
    centre = ok(client.post("/api/generate", json={"model": "sam", "image": picture}))["annotations"]
    assert len(centre) <= 1


def test_isat_gets_the_embedding_of_its_pixels(client: TestClient, png: bytes) -> None:
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    form = {"shape": "120,200,3", "dtype": "uint8"}
    answer = ok(client.post("/api/encode", data=form, files={"file": ("pixels", pixels.tobytes())}))
    held = ok(client.post("/embeddings", files={"image": png}))
    own = np.load(io.BytesIO(client.get(f"/embeddings/{held['image_id']}").content))
    assert np.abs(np.array(answer["features"], np.float32) - own).max() <= 1e-6 * np.abs(own).max()
    assert answer["original_size"] == [120, 200]
    assert max(answer["input_size"]) == 128
    assert ok(client.get("/api/info")) == {"checkpoint": "tiny.pth", "device": "cpu", "dtype": "float32"}


def test_cvat_finds_an_interactor_and_gets_rows_of_bits(client: TestClient, oracle: Oracle, picture: str) -> None:
    (function,) = ok(client.get("/api/functions")).values()
    name = function["metadata"]["name"]
    assert ok(client.get(f"/api/functions/{name}")) == function
    headers = {"x-nuclio-function-name": name, "x-nuclio-path": "/"}
    calls = [
        ({"pos_points": [list(POINT)], "neg_points": [], "obj_bbox": None}, oracle.point()),
        ({"pos_points": [], "neg_points": [], "obj_bbox": [list(BOX[:2]), list(BOX[2:])]}, oracle.box()),
    ]
    for payload, expected in calls:
        answer = ok(client.post("/api/function_invocations", json={"image": picture, **payload}, headers=headers))
        assert (np.array(answer["mask"], bool) == expected).all()


CONFIG = """<View><Image name="image" value="$photo"/>
<BrushLabels name="brush" toName="image"><Label value="Coin"/><Label value="Edge"/></BrushLabels>
<KeyPointLabels name="key" toName="image"><Label value="Coin" smart="true"/></KeyPointLabels></View>"""


def region(kind: str, **value: Any) -> dict[str, Any]:
    size = {"original_width": 200, "original_height": 120}
    return {"type": kind, "is_positive": True, **size, "value": {**value, kind: ["Edge"]}}


def test_label_studio_gets_brushes_for_what_its_user_drew(client: TestClient, oracle: Oracle, picture: str) -> None:
    x0, y0, x1, y1 = BOX
    drawn = {
        "point": region("keypointlabels", x=POINT[0] / 2, y=POINT[1] / 1.2, width=0.5),
        "box": region("rectanglelabels", x=x0 / 2, y=y0 / 1.2, width=(x1 - x0) / 2, height=(y1 - y0) / 1.2),
    }
    request = {
        "tasks": [{"id": 1, "data": {"photo": f"data:image/png;base64,{picture}"}}],
        "project": "1.1",
        "label_config": CONFIG,
    }
    for question, one in drawn.items():
        params = {"login": None, "password": None, "context": {"result": [one]}}
        answer = ok(client.post("/label-studio/predict", json={**request, "params": params}))
        (found,) = answer["results"][0]["result"]
        assert (found["from_name"], found["to_name"], found["type"]) == ("brush", "image", "brushlabels")
        assert found["value"]["brushlabels"] == ["Edge"]
        assert (decode_brush(found["value"]["rle"], (120, 200)) == getattr(oracle, question)()).all()
    everything = ok(client.post("/label-studio/predict", json={**request, "params": {"context": None}}))
    found = everything["results"][0]["result"]
    expected = [mask for mask in oracle.everything() if mask.any()]
    assert all((decode_brush(o["value"]["rle"], (120, 200)) == m).all() for o, m in zip(found, expected, strict=True))
