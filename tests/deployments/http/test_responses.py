"""Answers as bytes: cut into pieces without a change, never NaN, each piece let go of once it is sent."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
from starlette.testclient import TestClient

from deployments.calls.messages import StageTimes
from deployments.http.responses import (
    PIECE_BYTES,
    JsonResponse,
    json_pieces,
    json_response,
    server_timing,
    timing_ms,
    to_json,
)

MASK = {"segmentation": {"size": [9, 9], "counts": 'a"\\é'}, "bbox": [1, 2, 3, 4], "area": 0.5, "crop_box": []}


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"status": "ok", "none": None, "empty": [], "flag": True},
        {"masks": []},
        {"masks": (MASK, MASK), "image_id": "x", "parameters": {"point_grids": [[[0.5, 0.5]]]}},
        {"results": [{"masks": (MASK,)}, {"masks": []}, {"masks": [MASK] * 3}], "timing_ms": {"total": 1.5}},
        {"masks": [MASK] * 20_000},
    ],
)
def test_the_pieces_are_the_document(document: Mapping[str, Any]) -> None:
    pieces = json_pieces(document)
    assert b"".join(pieces) == to_json(document)
    assert json.loads(b"".join(pieces)) == json.loads(json.dumps(document))
    assert all(PIECE_BYTES <= len(piece) <= 1.1 * PIECE_BYTES for piece in pieces[:-1])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_is_no_answer_wherever_it_is(value: float) -> None:
    for document in ({"area": value}, {"masks": [MASK, {"area": value}]}, {"results": [{"masks": [{"a": [value]}]}]}):
        with pytest.raises(ValueError, match="not JSON compliant"):
            json_pieces(document)


def test_what_is_sent_is_not_held() -> None:
    response = asyncio.run(json_response({"masks": [MASK] * 10_000}))
    assert isinstance(response, JsonResponse)
    left: list[int] = []
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)
        left.append(len(response._pieces))

    async def receive() -> Any:
        raise AssertionError("nothing is to be received")

    asyncio.run(response({"type": "http"}, receive, send))
    assert left == [len(left) - 1, *range(len(left) - 2, -1, -1)]
    assert [message["more_body"] for message in sent[1:]] == [True] * (len(sent) - 2) + [False]
    assert int(response.headers["content-length"]) == sum(len(message["body"]) for message in sent[1:])


def test_server_timing_has_the_figures_of_the_answer() -> None:
    timing = timing_ms(StageTimes(0.1, 0.02, 0.003, 0.0004), 0.5, 0.7)
    assert server_timing(timing) == (
        "decode;dur=500.000, encode;dur=100.000, prompt;dur=20.000, postprocess;dur=3.000, queue;dur=0.400, "
        "total;dur=700.000"
    )


@pytest.mark.parametrize(
    ("path", "request_"),
    [
        ("/segment", {"prompts": [{"points": [[60, 40]]}]}),
        ("/segment/auto", {"points_per_side": 2, "crop_n_layers": 0}),
        ("/embeddings", {}),
    ],
)
def test_the_header_of_an_answer_is_its_timing(client: TestClient, png: bytes, path: str, request_: Any) -> None:
    answer = client.post(path, data={"request": json.dumps(request_)}, files={"image": png})
    parts = [part.split(";dur=") for part in answer.headers["server-timing"].split(", ")]
    told = {stage: float(milliseconds) for stage, milliseconds in parts}
    assert told == answer.json().get("timing_ms", told)
    assert list(told) == ["decode", "encode", "prompt", "postprocess", "queue", "total"]
    assert 0 < told["encode"] <= told["total"]
    assert told["decode"] > 0
