"""Wrong, hostile and half requests: each tool gets its own form of error, and the server no fault."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

JSON = {"content-type": "application/json"}
NUCLIO = {"x-nuclio-function-name": "sam-serve-tiny"}
BOMB = "<!DOCTYPE a [<!ENTITY a 'x'><!ENTITY b '&a;&a;'>]><View>&b;</View>"
CONFIG = '<View><Image name="i" value="$image"/><BrushLabels name="b" toName="i"/></View>'

Ask = Callable[..., Any]


def is_x_anylabeling(body: Any) -> bool:
    return body["success"] is False and set(body["error"]) == {"code", "message"} and bool(body["error"]["message"])


def has_only(name: str) -> Callable[[Any], bool]:
    return lambda body: set(body) == {name} and isinstance(body[name], str) and bool(body[name])


def json_bodies(good: dict[str, Any], image: str, *path: str) -> list[bytes]:
    """Broken bodies around a good one, of which `image` is the field of the picture (`path` leads to it)."""

    def with_image(value: Any) -> bytes:
        changed = json.loads(json.dumps(good))
        inner = changed
        for name in path:
            inner = inner[name]
        inner[image] = value
        return json.dumps(changed).encode()

    whole = json.dumps(good).encode()
    return [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b"[" * 100_000,
        whole[: len(whole) // 2],
        whole[:-1] + b',"deep":' + b"[" * 2000 + b"]" * 2000 + b"}",
        whole[:-1] + b',"x":NaN}',
        whole[:-1] + b',"x":1e999,"y":Infinity}',
        whole[:-1] + b',"twice":1,"twice":2}',
        with_image("not base64 !"),
        with_image(""),
        with_image("AAAA"),
        with_image("http://127.0.0.1/x.png"),
        with_image("file:///etc/passwd"),
        with_image(5),
        with_image([]),
        with_image("A" * 3_000_000),
    ]


def cases(picture: str) -> dict[str, list[tuple[str, str, dict[str, Any]]]]:
    """By protocol: method, path, and what goes with it."""

    def post(path: str, body: Any, headers: dict[str, str] | None = None) -> tuple[str, str, dict[str, Any]]:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return "POST", path, {"content": content, "headers": {**JSON, **(headers or {})}}

    click = {"type": "point", "data": [60, 40], "label": 1}
    predict = {"model": "tiny", "image": picture, "params": {"marks": [click]}}
    qupath = {"type": "vit_b", "b64img": picture, "point_coords": [[60, 40]], "point_labels": [1]}
    sam2 = {"image": {"type": "base64", "value": picture}, "prompts": [{"points": [{"x": 60, "y": 40}]}]}
    sam = {"image": {"type": "base64", "value": picture}, "point_coords": [[60, 40]], "point_labels": [1]}
    face = {"inputs": picture, "parameters": {"points": [[60, 40]]}}
    osam = {"model": "sam", "image": picture, "prompt": {"points": [[60, 40]], "point_labels": [1]}}
    cvat = {"image": picture, "pos_points": [[60, 40]], "neg_points": []}
    task = {"data": {"image": f"data:image/png;base64,{picture}"}}
    keypoint = {"type": "keypointlabels", "original_width": 200, "original_height": 120, "value": {"x": 30, "y": 30}}
    studio = {"tasks": [task], "label_config": CONFIG, "params": {"context": {"result": [keypoint]}}}

    def drawn(**fields: Any) -> dict[str, Any]:
        return {**studio, "params": {"context": {"result": [{**keypoint, **fields}]}}}

    def form(**parts: Any) -> tuple[str, str, dict[str, Any]]:
        file = parts.pop("file", None)
        return "POST", "/api/encode", {"data": parts, "files": {"file": ("p", file)} if file is not None else None}

    x, s, g = "/v1/predict", "/label-studio/predict", "/api/generate"
    multipart = {"content-type": "multipart/form-data; boundary=x"}
    return {
        "x-anylabeling": [
            *(post(x, body) for body in json_bodies(predict, "image")),
            post(x, {**predict, "model": "gone"}),
            post(x, {**predict, "model": "../../etc/passwd"}),
            post(x, {**predict, "params": {"text_prompt": "coin"}}),
            post(x, {**predict, "params": {"marks": [{"type": "circle", "data": [1, 2]}]}}),
            post(x, {**predict, "params": {"marks": [{**click, "data": [1]}]}}),
            post(x, {**predict, "params": {"marks": [{**click, "data": ["a", 2]}]}}),
            post(x, {**predict, "params": {"marks": [click] * 2000}}),
            post(x, {**predict, "params": {"conf_threshold": -1}}),
            post(x, {**predict, "params": {"epsilon_factor": 1e9}}),
            ("GET", x, {}),
            ("GET", "/v1/models/gone/info", {}),
            ("POST", "/v1/video/init", {}),
            ("DELETE", "/v1/models", {}),
        ],
        "qupath": [
            *(post("/sam/", body) for body in json_bodies(qupath, "b64img")),
            post("/sam/", {**qupath, "point_labels": [1, 0]}),
            post("/sam/", {**qupath, "point_labels": [7]}),
            post("/sam/", {**qupath, "bbox": [1, 2, 3]}),
            post("/sam/", {"b64img": picture}),
            post("/sam/", {**qupath, "b64mask": picture}),
            post("/sam/", {**qupath, "checkpoint_url": "https://example.org/evil.pth"}),
            post("/sam/automask/", {"b64img": picture, "points_per_side": 10_000}),
            post("/sam/automask/", {"b64img": picture, "crop_n_layers": 99}),
            post("/sam/weights/", {"type": "vit_b", "name": "x", "url": "file:///etc/passwd"}),
            post("/sam/sam3/", {}),
            post("/sam/upload/", {}),
            ("POST", "/sam/upload/", {"content": b"--x\r\n", "headers": multipart}),
            ("POST", "/sam/upload/", {"data": {"dirname": "../.."}, "files": {"file": ("../../x", b"no picture")}}),
            ("GET", "/sam/", {}),
            ("GET", "/sam/nothing", {}),
        ],
        "roboflow": [
            *(post("/sam2/segment_image", body) for body in json_bodies(sam2, "value", "image")),
            *(post("/sam/segment_image", body) for body in json_bodies(sam, "value", "image")),
            post("/sam2/segment_image", {**sam2, "image": {"type": "url", "value": "http://127.0.0.1/"}}),
            post("/sam2/segment_image", {**sam2, "image": {"type": "numpy", "value": "gASVCg=="}}),
            post("/sam2/segment_image", {**sam2, "image": None}),
            post("/sam2/segment_image", {**sam2, "image": None, "image_id": "never seen"}),
            post("/sam2/segment_image", {**sam2, "prompts": [{}]}),
            post("/sam2/segment_image", {**sam2, "prompts": sam2["prompts"] * 1000}),
            post("/sam2/segment_image", {**sam2, "prompts": "all"}),
            post("/sam2/segment_image", {**sam2, "format": "png"}),
            post("/sam/segment_image", {**sam, "point_labels": [5]}),
            post("/sam/segment_image", {**sam, "embeddings": [[[[0.0]]]]}),
            post("/sam/segment_image", {**sam, "has_mask_input": True}),
            ("GET", "/sam2/segment_image", {}),
        ],
        "hugging-face": [
            *(post("/hugging-face", body) for body in json_bodies(face, "inputs")),
            post("/hugging-face", {**face, "parameters": {"subtask": "panoptic"}}),
            post("/hugging-face", {**face, "parameters": {"threshold": 7}}),
            post("/hugging-face", {**face, "parameters": {"box": [1]}}),
            post("/hugging-face", {**face, "parameters": {"points": [[1, 1]], "labels": [3]}}),
            ("POST", "/hugging-face", {"content": b"no picture", "headers": {"content-type": "image/png"}}),
            ("POST", "/hugging-face", {"content": b"x", "headers": {"content-type": "text/html"}}),
            ("GET", "/hugging-face", {}),
            ("POST", "/hugging-face/other", {}),
        ],
        "osam": [
            *(post(g, body) for body in json_bodies(osam, "image")),
            post(g, {**osam, "prompt": {"texts": ["coin"]}}),
            post(g, {**osam, "prompt": {"points": [[1, 2]], "point_labels": [1, 1]}}),
            post(g, {**osam, "prompt": {"points": [[1, 2]], "point_labels": [2]}}),
            post(g, {**osam, "prompt": {"points": [[1, 2]] * 2, "point_labels": [2, 2]}}),
            post(g, {**osam, "prompt": {"points": [[1, 2]], "point_labels": [9]}}),
            post(g, {"model": "sam", "image_embedding": {"embedding": [[[0.0]]]}}),
            post(g, {"image": picture}),
            ("GET", g, {}),
        ],
        "cvat": [
            *(post("/api/function_invocations", body, NUCLIO) for body in json_bodies(cvat, "image")),
            post("/api/function_invocations", cvat),
            post("/api/function_invocations", cvat, {"x-nuclio-function-name": "pth-facebookresearch-sam-vit-h"}),
            post("/api/function_invocations", {"image": picture}, NUCLIO),
            post("/api/function_invocations", {**cvat, "obj_bbox": [[1, 2]]}, NUCLIO),
            post("/api/function_invocations", {**cvat, "pos_points": [[1]]}, NUCLIO),
            ("GET", "/api/functions/gone", {}),
            ("DELETE", "/api/functions", {}),
        ],
        "isat": [
            form(),
            form(file=b"abc"),
            form(file=b"abc", shape="1,1,3"),
            form(file=b"abc", dtype="uint8"),
            form(file=b"abc", shape="2,2,3", dtype="uint8"),
            form(file=b"abcd", shape="1,1,4", dtype="uint8"),
            form(file=b"abc", shape="1,1,3", dtype="float64"),
            form(file=b"abc", shape="__import__('os')", dtype="uint8"),
            form(file=b"abc", shape="1,1,3", dtype="__import__('os').system('true')"),
            form(file=b"", shape="0,0,3", dtype="uint8"),
            form(file=b"abc", shape="-1,-1,3", dtype="uint8"),
            form(file=b"abc", shape="999999,999999,3", dtype="uint8"),
            form(file=b"abc", shape="1", dtype="uint8"),
            form(file=b"abc", shape="1,1,3\x00", dtype="uint8"),
            form(file=b"x" * 3_000_000, shape="1000,1000,3", dtype="uint8"),
            post("/api/encode", {"shape": "1,1,3"}),
            ("POST", "/api/encode", {"content": b"--x\r\n", "headers": multipart}),
            ("POST", "/api/encode", {"content": b"", "headers": {"content-type": "multipart/form-data"}}),
            ("POST", "/api/encode", {"content": b"abc", "headers": {"content-type": "image/png"}}),
            ("GET", "/api/encode", {}),
            ("POST", "/api/info", {}),
        ],
        "label-studio": [
            *(post(s, body) for body in json_bodies(studio, "image", "tasks", 0, "data")),  # type: ignore[arg-type]
            post(s, {**studio, "label_config": "<View"}),
            post(s, {**studio, "label_config": "<View/>"}),
            post(s, {**studio, "label_config": BOMB}),
            post(s, {**studio, "label_config": None}),
            post(s, {**studio, "tasks": [{"data": {}}]}),
            post(s, {**studio, "tasks": [{"data": {"image": "/data/upload/1/x.png"}}]}),
            post(s, {**studio, "tasks": [{"data": {"image": "http://169.254.169.254/latest"}}]}),
            post(s, {**studio, "tasks": [task] * 1000}),
            post(s, drawn(type="textarea")),
            post(s, drawn(original_width=None)),
            post(s, drawn(original_width=0)),
            post(s, drawn(value={"x": "a", "y": 1})),
            post(s, drawn(value={"x": True, "y": 1})),
            post(s, drawn(type="rectanglelabels", value={"x": 1, "y": 1})),
            post(s, drawn(type="brushlabels", value={"rle": [0, 1, 2]})),
            post(s, drawn(type="brushlabels", value={"rle": ["a"] * 20})),
            post(s, drawn(type="brushlabels", original_width=100_000, original_height=100_000, value={"rle": [0] * 9})),
            post("/label-studio/setup", {"access_token": "a\r\nX: y"}),
            post("/label-studio/setup", {"schema": BOMB}),
            ("GET", s, {}),
            ("GET", "/label-studio/nothing", {}),
        ],
    }


FORMS: dict[str, Callable[[Any], bool]] = {
    "x-anylabeling": is_x_anylabeling,
    "qupath": has_only("detail"),
    "roboflow": has_only("message"),
    "hugging-face": has_only("error"),
    "osam": has_only("detail"),
    "cvat": has_only("error"),
    "isat": has_only("detail"),
    "label-studio": has_only("error"),
}


@pytest.mark.parametrize("protocol", FORMS)
def test_each_is_answered_in_the_tools_own_form(client: TestClient, picture: str, protocol: str) -> None:
    asked = cases(picture)[protocol]
    assert len(asked) >= 20
    for number, (method, path, sent) in enumerate(asked):
        answer = client.request(method, path, **sent)
        where = f"{protocol} {number} {method} {path}: {answer.status_code} {answer.text[:300]}"
        if answer.status_code == 200:  # what the tool adds of its own is left alone
            assert sent.get("content", b"").find(b'"deep"') > 0, where
            continue
        assert 400 <= answer.status_code < 500, where
        assert answer.headers["content-type"] == "application/json", where
        assert FORMS[protocol](answer.json()), where
        for inside in ("Traceback", "/work", "site-packages", "deployments/"):
            assert inside not in answer.text, where
    assert client.get("/health").status_code == 200
