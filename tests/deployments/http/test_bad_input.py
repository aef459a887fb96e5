"""Whatever a caller gets wrong has a status, a code, and a pointer to the field; the server goes on."""

import base64
import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from local_graph import LocalGraph
from PIL import Image
from starlette.testclient import TestClient

from deployments.http.routes import create_app

GOOD = {"points": [[60, 40]]}


def npy(array: Any) -> str:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return base64.b64encode(buffer.getvalue()).decode()


def assert_problem(answer: Any, status: int, code: str, pointer: str | None = None) -> None:
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code), problem
    assert {"type", "title", "detail", "errors", "request_id"} <= problem.keys()
    assert problem["request_id"] == answer.headers["x-request-id"]
    if pointer is not None:
        assert pointer in [error["pointer"] for error in problem["errors"]], problem
        assert all(error["message"] for error in problem["errors"])


@pytest.fixture
def image_id(client: TestClient, png: bytes) -> str:
    return str(client.post("/embeddings", files={"image": ("a.png", png)}).json()["image_id"])


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b'{"prompts": [{"points": [[NaN, 1]]}]}',
        b'{"prompts": [{"points": [[Infinity, 1]]}]}',
        b'{"image_id": "a", "image_id": "b", "prompts": []}',
        b'{"prompts": [{"box": [1,2,3,4], "box": [1,2,3,4]}]}',
        nested(100_000).encode(),
        b'{"a": ' + b"9" * 10_000 + b"}",
        b"{} {}",
    ],
)
@pytest.mark.parametrize("path", ["/segment", "/segment/auto", "/embeddings"])
def test_what_is_no_json(client: TestClient, path: str, body: bytes) -> None:
    assert_problem(client.post(path, content=body, headers={"content-type": "application/json"}), 400, "invalid_json")
    assert_problem(client.post(path, data={"request": body or b"{"}, files={"image": b"x"}), 400, "invalid_json")


PROMPTS: list[tuple[Any, str]] = [
    ([], "/prompts"),
    (None, "/prompts"),
    ([{}], "/prompts/0"),
    ([GOOD, {"points": []}], "/prompts/1"),
    ([{"points": [[1]]}], "/prompts/0/points/0"),
    ([{"points": [[1, 2, 3]]}], "/prompts/0/points/0"),
    ([{"points": [["1", 2]]}], "/prompts/0/points/0/0"),
    ([{"points": [[True, 2]]}], "/prompts/0/points/0/0"),
    ([{"points": [[-1.1, 2]]}], "/prompts/0/points/0"),
    ([{"points": [[1, 1], [201.5, 2]]}], "/prompts/0/points/1"),
    ([{"points": [[1, 121.5]]}], "/prompts/0/points/0"),
    ([{"points": [[1e999, 1]]}], "/prompts/0/points/0/0"),
    ([{**GOOD, "labels": [1, 0]}], "/prompts/0/labels"),
    ([{**GOOD, "labels": []}], "/prompts/0/labels"),
    ([{**GOOD, "labels": [2]}], "/prompts/0/labels/0"),
    ([{**GOOD, "labels": [1.5]}], "/prompts/0/labels/0"),
    ([{"labels": [1]}], "/prompts/0/labels"),
    ([{"box": [1, 2, 3]}], "/prompts/0/box"),
    ([{"box": [10, 10, 10, 20]}], "/prompts/0/box"),
    ([{"box": [200, 0, 300, 50]}], "/prompts/0/box"),
    ([{"box": [-50, -50, 0, 0]}], "/prompts/0/box"),
    ([{"mask_input": "no base64"}], "/prompts/0/mask_input"),
    ([{"mask_input": npy(np.zeros((31, 32), np.float32))}], "/prompts/0/mask_input"),
    ([{"mask_input": npy(np.full((32, 32), np.nan, np.float32))}], "/prompts/0/mask_input"),
    ([{**GOOD, "colour": 1}], "/prompts/0/colour"),
    ([{**GOOD, "a/b~c": 1}], "/prompts/0/a~1b~0c"),
    ({"0": GOOD}, "/prompts"),
]


@pytest.mark.parametrize(("prompts", "pointer"), PROMPTS)
@pytest.mark.parametrize("held", [False, True])
def test_prompts_that_can_not_be(
    client: TestClient, png: bytes, image_id: str, prompts: Any, pointer: str, held: bool
) -> None:
    image = {"image_id": image_id} if held else {"image": base64.b64encode(png + b"\0").decode()}
    body = json.dumps({**image, "prompts": prompts}).replace("Infinity", "1e999")
    answer = client.post("/segment", content=body, headers={"content-type": "application/json"})
    assert_problem(answer, 422, "invalid_request", pointer)


def test_points_on_the_edges_and_boxes_over_them_are_fine(client: TestClient, image_id: str) -> None:
    prompts = [{"points": [[0, 0], [200, 120]]}, {"box": [-1000, -5, 1e9, 60]}]
    assert client.post("/segment", json={"image_id": image_id, "prompts": prompts}).status_code == 200


@pytest.mark.parametrize(
    ("lenient", "right"),
    [
        ({"points": [[-0.3, 60]]}, {"points": [[0, 60]]}),
        ({"points": [[200.4, 120.9]]}, {"points": [[200, 120]]}),
        ({"points": [[50, 60]], "labels": [1.0]}, {"points": [[50, 60]], "labels": [1]}),
        ({"box": [90, 80, 20, 10]}, {"box": [20, 10, 90, 80]}),
        ({"box": [90, 10, 20, 80]}, {"box": [20, 10, 90, 80]}),
        ({"box": [-0.3, -0.3, 90, 80]}, {"box": [0, 0, 90, 80]}),
        (
            {**GOOD, "mask_input": npy(np.ones((1, 32, 32), np.float32))},
            {**GOOD, "mask_input": npy(np.ones((32, 32), np.float32))},
        ),
    ],
)
def test_leniency_means_what_was_meant(client: TestClient, image_id: str, lenient: Any, right: Any) -> None:
    def results(prompt: Any) -> Any:
        answer = client.post("/segment", json={"image_id": image_id, "prompts": [prompt]})
        assert answer.status_code == 200, answer.text
        return answer.json()["results"]

    assert results(lenient) == results(right)


AUTOMATIC: list[tuple[dict[str, Any], str, str]] = [
    ({"points_per_side": 0}, "invalid_request", "/points_per_side"),
    ({"points_per_side": 8.5}, "invalid_request", "/points_per_side"),
    ({"points_per_side": "8"}, "invalid_request", "/points_per_side"),
    ({"points_per_side": 65}, "limit_exceeded", "/points_per_side"),
    ({"crop_n_layers": 4}, "limit_exceeded", "/crop_n_layers"),
    ({"crop_n_layers": -1}, "invalid_request", "/crop_n_layers"),
    ({"crop_n_layers": 10**30}, "limit_exceeded", "/crop_n_layers"),
    ({"points_per_batch": 0}, "invalid_request", "/points_per_batch"),
    ({"pred_iou_thresh": 1.5}, "invalid_request", "/pred_iou_thresh"),
    ({"stability_score_offset": -1}, "invalid_request", "/stability_score_offset"),
    ({"min_mask_region_area": -1}, "invalid_request", "/min_mask_region_area"),
    ({"min_mask_area": 0.5}, "invalid_request", "/min_mask_area"),
    ({"point_grids": [[[0.5, 0.5]]], "points_per_side": 8}, "invalid_request", "/point_grids"),
    ({"point_grids": [[[0.5, 0.5]]], "crop_n_layers": 1}, "invalid_request", "/point_grids"),
    ({"point_grids": [[[0.5, 1.5]]], "crop_n_layers": 0}, "invalid_request", "/point_grids/0/0"),
    ({"point_grids": [[[0.5, 0.5]] * 4097], "crop_n_layers": 0}, "limit_exceeded", "/point_grids/0"),
    ({"mask_format": "bitmap"}, "invalid_request", "/mask_format"),
    ({"output_mode": "binary_mask"}, "invalid_request", "/output_mode"),
    ({"stream": 1}, "invalid_request", "/stream"),
    ({"performance_mode": "yes"}, "invalid_request", "/performance_mode"),
]


@pytest.mark.parametrize(("parameters", "code", "pointer"), AUTOMATIC)
def test_parameters_that_can_not_be(
    client: TestClient, image_id: str, parameters: dict[str, Any], code: str, pointer: str
) -> None:
    answer = client.post("/segment/auto", json={"image_id": image_id, **parameters})
    assert_problem(answer, 422, code, pointer)


@pytest.mark.parametrize("path", ["/segment", "/segment/auto", "/embeddings"])
def test_exactly_one_picture(client: TestClient, png: bytes, image_id: str, path: str) -> None:
    prompts = {"prompts": [GOOD]} if path == "/segment" else {}
    text = base64.b64encode(png).decode()
    assert_problem(client.post(path, json=prompts), 422, "invalid_request", "/image")
    for second in ({"image_id": image_id}, {"image": text}):
        form = {"request": json.dumps({**prompts, **second})}
        assert_problem(client.post(path, data=form, files={"image": png}), 422, "invalid_request", "/image")
    both = client.post(path, json={**prompts, "image": text, "image_id": image_id})
    assert_problem(both, 422, "invalid_request", "/image")


@pytest.mark.parametrize("image_id", ["", "a b", "../etc/passwd", "x" * 65, "é"])
def test_an_id_that_can_not_be(client: TestClient, image_id: str) -> None:
    answer = client.post("/segment", json={"image_id": image_id, "prompts": [GOOD]})
    assert_problem(answer, 422, "invalid_request", "/image_id")


@pytest.mark.parametrize("path", ["/segment", "/segment/auto", "/embeddings"])
def test_an_id_that_is_not_held(client: TestClient, path: str) -> None:
    prompts = {"prompts": [GOOD]} if path == "/segment" else {}
    assert_problem(client.post(path, json={"image_id": "gone", **prompts}), 404, "unknown_image")


def test_decode_options_belong_to_a_picture(client: TestClient, png: bytes, image_id: str) -> None:
    assert_problem(
        client.post("/embeddings", json={"image_id": image_id, "decode": {"page": 1}}),
        422,
        "invalid_request",
        "/decode",
    )
    for decode, pointer in (({"page": -1}, "/decode/page"), ({"range": [1]}, "/decode/range"), ({"x": 1}, "/decode/x")):
        form = {"request": json.dumps({"decode": decode})}
        assert_problem(client.post("/embeddings", data=form, files={"image": png}), 422, "invalid_request", pointer)


def truncated(png: bytes) -> bytes:
    return png[: len(png) // 2]


BROKEN: list[tuple[Callable[[bytes], bytes], int, str]] = [
    (lambda png: b"", 400, "invalid_image"),
    (truncated, 400, "invalid_image"),
    (lambda png: png[:20], 400, "invalid_image"),
    (lambda png: b"%PDF-1.7 ...", 415, "unsupported_media_type"),
]


@pytest.mark.parametrize(("spoil", "status", "code"), BROKEN)
@pytest.mark.parametrize("path", ["/segment", "/segment/auto", "/embeddings"])
def test_what_is_no_picture(
    client: TestClient, png: bytes, path: str, spoil: Callable[[bytes], bytes], status: int, code: str
) -> None:
    prompts = {"prompts": [GOOD]} if path == "/segment" else {}
    form = {"request": json.dumps(prompts)}
    assert_problem(client.post(path, data=form, files={"image": ("a.png", spoil(png))}), status, code)
    text = base64.b64encode(spoil(png)).decode()
    assert_problem(client.post(path, json={**prompts, "image": text}), status, code)


@pytest.mark.parametrize(
    "address", ["http://169.254.169.254/", "HTTPS://example.org/a.png", " s3://bucket/a", "file:///etc/passwd"]
)
@pytest.mark.parametrize("path", ["/segment", "/segment/auto", "/embeddings"])
def test_a_picture_by_address_is_not_fetched_and_said_so(client: TestClient, path: str, address: str) -> None:
    prompts = {"prompts": [GOOD]} if path == "/segment" else {}
    answer = client.post(path, json={"image": address, **prompts})
    assert_problem(answer, 400, "invalid_image")
    assert "image is an address" in answer.json()["detail"]
    as_field = client.post(path, files={"image": (None, address), "request": (None, json.dumps(prompts))})
    assert_problem(as_field, 422, "invalid_request")
    as_id = client.post(path, json={"image_id": address, **prompts})
    assert_problem(as_id, 422, "invalid_request")


@pytest.mark.parametrize("text", ["!!", "data:image/png,xyz", "data:", "é", "QUJ", "http://example.com/a.png"])
def test_what_is_no_base64(client: TestClient, text: str) -> None:
    assert_problem(client.post("/embeddings", json={"image": text}), 400, "invalid_image")


def test_too_many_pixels(sam: Any) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (1001, 1000)).save(buffer, "PNG")
    graph = LocalGraph(sam, {"max_megapixels": 1.0})
    with TestClient(create_app(graph.service)) as client:
        assert_problem(client.post("/embeddings", files={"image": buffer.getvalue()}), 413, "image_too_large")
    assert graph.backend.batches == []


def test_too_many_prompts_and_points(client: TestClient, image_id: str) -> None:
    many = client.post("/segment", json={"image_id": image_id, "prompts": [GOOD] * 65})
    assert_problem(many, 422, "limit_exceeded", "/prompts")
    crowded = {"points": [[1, 1]] * 1025}
    answer = client.post("/segment", json={"image_id": image_id, "prompts": [GOOD, crowded]})
    assert_problem(answer, 422, "limit_exceeded", "/prompts/1/points")


def test_a_million_wrong_points_have_a_short_answer(client: TestClient, image_id: str) -> None:
    body = '{"image_id": "x", "prompts": [{"points": [' + ",".join(["[null,1]"] * 1_000_000) + "]}]}"
    answer = client.post("/segment", content=body, headers={"content-type": "application/json"})
    assert_problem(answer, 422, "limit_exceeded")
    assert len(answer.content) < 10_000


def test_many_wrong_points_have_a_short_answer(client: TestClient) -> None:
    body = '{"image_id": "x", "prompts": [{"points": [' + ",".join(["[null,1]"] * 1000) + "]}]}"
    answer = client.post("/segment", content=body, headers={"content-type": "application/json"})
    assert_problem(answer, 422, "invalid_request", "/prompts/0/points/0/0")
    assert len(answer.content) < 10_000


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "image/png"])
def test_bodies_of_another_kind(client: TestClient, kind: str) -> None:
    answer = client.post("/segment", content=b"{}", headers={"content-type": kind})
    assert_problem(answer, 415, "unsupported_media_type")


def test_forms_that_are_not_ours(client: TestClient, png: bytes) -> None:
    image = ("image", ("a.png", png))
    assert_problem(client.post("/embeddings", files=[image, image]), 422, "invalid_request", "/image")
    assert_problem(client.post("/embeddings", files=[image, ("mask/s", b"x")]), 422, "invalid_request", "/mask~1s")
    assert_problem(client.post("/embeddings", files=[image] * 9), 422, "invalid_request")
    no_boundary = client.post("/embeddings", content=b"x", headers={"content-type": "multipart/form-data"})
    assert_problem(no_boundary, 422, "invalid_request")
    text = b'--x\r\ncontent-disposition: form-data; name="image"\r\n\r\nabc\r\n--x--\r\n'
    no_file = client.post("/embeddings", content=text, headers={"content-type": "multipart/form-data; boundary=x"})
    assert_problem(no_file, 422, "invalid_request", "/image")


def test_addresses_and_methods_that_are_not_there(client: TestClient) -> None:
    assert_problem(client.get("/nowhere"), 404, "not_found")
    assert_problem(client.post("/segment/"), 404, "not_found")
    assert_problem(client.get("/segment"), 405, "method_not_allowed")
    assert_problem(client.delete("/embeddings/abc"), 405, "method_not_allowed")
    assert client.get("/segment").headers["allow"] == "POST"
