"""Both clients against the HTTP app, and against a server that fails in ways that are agreed."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import skimage.data

from client import (
    AsyncSamClient,
    ConnectionFailed,
    DeadlineExceeded,
    InvalidArgument,
    InvalidImage,
    InvalidRequest,
    Mask,
    Prompt,
    RetryPolicy,
    SamClient,
    Unauthorized,
    Unavailable,
)

KEY = "a-key-of-enough-characters"
IMAGE = np.ascontiguousarray(skimage.data.astronaut()[:120, 100:300])
CHEAP: dict[str, Any] = {
    "points_per_side": 3, "crop_n_layers": 0, "pred_iou_thresh": 0, "stability_score_thresh": 0, "box_nms_thresh": 1,
}  # fmt: skip
AT_ONCE = RetryPolicy(attempts=3, first_wait_s=0.001, longest_wait_s=0.001)


@pytest.fixture
def client(url: str) -> Iterator[SamClient]:
    with SamClient(url) as client:
        yield client


def test_a_point_gives_masks_best_first(client: SamClient) -> None:
    picture = client.picture(IMAGE)
    masks = picture.segment(points=[(100, 60)], labels=[1])
    assert picture.size == (120, 200)
    assert len(masks) == 3
    assert [mask.predicted_iou for mask in masks] == sorted((m.predicted_iou for m in masks), reverse=True)
    for mask in masks:
        assert mask.array.shape == (120, 200)
        assert mask.array.dtype == np.bool_
        assert mask.array.sum() == mask.area
        x, y, width, height = mask.bbox
        assert mask.array[y : y + height, x : x + width].sum() == mask.area


def test_the_file_is_sent_once(url: str) -> None:
    bodies = []

    def count(request: httpx.Request) -> httpx.Response:
        bodies.append(len(request.read()))
        with httpx.Client() as http:
            return http.send(request)

    with SamClient(url, transport=httpx.MockTransport(count)) as client:
        picture = client.picture(IMAGE)
        picture.segment(points=[(100, 60)])
        picture.segment(box=(10, 10, 100, 100), multimask_output=False)
        picture.everything(**CHEAP)
    assert bodies[0] > 20_000
    assert max(bodies[1:]) < 1000


def test_refinement_by_an_earlier_mask(client: SamClient) -> None:
    picture = client.picture(IMAGE)
    first = picture.segment(points=[(100, 60)], return_logits=True)[0]
    assert first.logits is not None
    refined = picture.segment(points=[(100, 60), (20, 20)], labels=[1, 0], mask_input=first)
    again = picture.segment(points=[(100, 60), (20, 20)], labels=[1, 0], mask_input=first.logits)
    assert refined == again
    with pytest.raises(InvalidArgument, match="return_logits"):
        picture.segment(mask_input=refined[0])


def test_many_prompts_in_one_request_are_each_on_its_own(client: SamClient) -> None:
    picture = client.picture(IMAGE)
    prompts = [Prompt(points=[(100, 60)]), Prompt(box=(10, 10, 100, 100))]
    both = picture.segment_many(prompts)
    assert [mask.rle for mask in both[1]] == [mask.rle for mask in picture.segment(box=(10, 10, 100, 100))]


def test_everything_with_progress(client: SamClient) -> None:
    steps: list[tuple[int, int]] = []
    masks = client.picture(IMAGE).everything(lambda done, total: steps.append((done, total)), **CHEAP)
    assert len(masks) > 3
    assert steps[-1] == (9, 9)
    assert masks[0].point_coords is not None
    assert masks[0].crop_box == (0, 0, 200, 120)


def test_async_answers_the_same(client: SamClient, url: str) -> None:
    async def ask() -> tuple[list[Mask], list[Mask], tuple[int, int]]:
        async with AsyncSamClient(url) as other:
            picture = other.picture(IMAGE)
            points, all_of_it = await asyncio.gather(picture.segment(points=[(100, 60)]), picture.everything(**CHEAP))
            assert (await picture.embedding()).shape == (1, 256, 8, 8)
            assert await other.is_ready()
            return points, all_of_it, await picture.size()

    picture = client.picture(IMAGE)
    assert asyncio.run(ask()) == (picture.segment(points=[(100, 60)]), picture.everything(**CHEAP), (120, 200))


def test_an_analysis_of_own_masks(client: SamClient, tmp_path: Path) -> None:
    discs = [np.zeros((120, 200), np.bool_) for _ in range(2)]
    discs[0][20:40, 20:60] = True
    discs[1][60:100, 100:180] = True
    picture = client.picture(IMAGE)
    analysis = picture.analyze(masks=discs, preset="none", scale={"pixel_size": 0.5, "unit": "um"})
    assert [entry.measurements["area"] for entry in analysis.objects] == [800, 200]
    assert [entry.measurements_px["area"] for entry in analysis.objects] == [3200, 800]
    assert np.array_equal(analysis.masks[0].array, discs[1])
    assert analysis.objects[1].bbox == (20, 20, 40, 20)
    assert sum(group["count"] for group in analysis.groups) == 2
    table = analysis.to_pandas()
    assert table["area"].tolist() == [800, 200]
    assert {"group", "circularity", "centroid_x", "intensity_0_mean"} <= set(table.columns)
    for name in ("a.json", "a.csv", "a.xlsx", "a.geojson", "a.coco.json", "a.tif", "a.png", "a.rois.zip", "a.zip"):
        assert analysis.save(tmp_path / name).stat().st_size > 100
    with pytest.raises(InvalidArgument, match="the ending is one of"):
        analysis.save(tmp_path / "a.doc")
    with pytest.raises(InvalidArgument, match="can't write"):
        analysis.save(tmp_path / "nowhere" / "a.csv")
    assert "none" in client.presets() or client.presets()


def test_what_the_server_runs(client: SamClient) -> None:
    assert client.is_ready()
    assert client.backend_info()["model_type"] == "tiny"
    assert client.picture(IMAGE).embedding().shape == (1, 256, 8, 8)


def test_keys(guarded: str) -> None:
    with SamClient(guarded, api_key=KEY) as client:
        assert len(client.picture(IMAGE).segment(points=[(5, 5)])) == 3
    with SamClient(guarded) as client, pytest.raises(Unauthorized) as caught:
        client.picture(IMAGE).segment(points=[(5, 5)])
    assert caught.value.code == "unauthorized"
    assert caught.value.status == 401
    assert caught.value.request_id


def test_problems_are_errors_with_code_and_pointer(client: SamClient) -> None:
    picture = client.picture(IMAGE)
    with pytest.raises(InvalidRequest) as caught:
        picture.segment(points=[(100, 60), (1000, 2)])
    assert caught.value.errors[0]["pointer"] == "/prompts/0/points/1"
    assert "must lie in" in caught.value.detail
    with pytest.raises(InvalidImage):
        client.picture(b"\x89PNG\r\n\x1a\n and no more").segment(points=[(1, 1)])
    with pytest.raises(InvalidRequest, match="unknown"):
        picture.everything(points_a_side=3)


@pytest.mark.parametrize("url", ["127.0.0.1:5000", "ftp://example.org", "http://", ""])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(InvalidArgument, match="address"):
        SamClient(url)


def test_no_server() -> None:
    with SamClient("http://127.0.0.1:9", retries=AT_ONCE) as client:
        assert not client.is_ready()
        with pytest.raises(ConnectionFailed, match="no server at"):
            client.backend_info()


def test_nan_is_refused_before_it_is_sent(client: SamClient) -> None:
    with pytest.raises(InvalidArgument, match="JSON"):
        client.picture(IMAGE).segment(points=[(float("nan"), 1)])


# A server that fails as agreed.

ANSWER = {
    "image_id": "abc",
    "size": [2, 2],
    "results": [
        {
            "masks": [
                {
                    "segmentation": {"size": [2, 2], "counts": "04"},
                    "bbox": [0, 0, 2, 2],
                    "area": 4,
                    "predicted_iou": 0.5,
                    "stability_score": 1.0,
                }
            ]
        }
    ],
}


def problem(status: int, code: str, **headers: str) -> httpx.Response:
    document = {"status": status, "code": code, "detail": "no", "errors": [], "request_id": "r"}
    return httpx.Response(status, json=document, headers={**headers, "Content-Type": "application/problem+json"})


def scripted(*steps: httpx.Response | Exception) -> tuple[httpx.MockTransport, list[httpx.Request]]:
    """Answers in this order, and the requests that came."""
    requests: list[httpx.Request] = []
    left = list(steps)

    def answer(request: httpx.Request) -> httpx.Response:
        request.read()
        requests.append(request)
        step = left.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    return httpx.MockTransport(answer), requests


def segment(transport: httpx.MockTransport, retries: RetryPolicy = AT_ONCE, times: int = 1) -> list[Mask]:
    with SamClient("http://sam.test", retries=retries, transport=transport) as client:
        picture = client.picture(b"picture")
        for _ in range(times):
            masks = picture.segment(points=[(1, 1)])
        return masks


def test_a_forgotten_picture_is_sent_again() -> None:
    transport, requests = scripted(
        httpx.Response(200, json=ANSWER), problem(404, "unknown_image"), httpx.Response(200, json=ANSWER)
    )
    assert segment(transport, times=2)[0].array.all()
    kinds = [request.headers["content-type"].split(";")[0] for request in requests]
    assert kinds == ["multipart/form-data", "application/json", "multipart/form-data"]
    assert json.loads(requests[1].content)["image_id"] == "abc"


@pytest.mark.parametrize(
    "failure",
    [
        lambda: problem(503, "overloaded", **{"Retry-After": "0"}),
        lambda: problem(503, "replica_lost"),
        lambda: httpx.Response(503, text="Service Unavailable"),
        lambda: httpx.ConnectError("refused"),
        lambda: httpx.ReadError("reset"),
        lambda: httpx.RemoteProtocolError("closed"),
    ],
)
def test_what_may_pass_is_tried_again(failure: Callable[[], httpx.Response | Exception]) -> None:
    transport, requests = scripted(failure(), failure(), httpx.Response(200, json=ANSWER))
    assert len(segment(transport)) == 1
    assert len(requests) == 3


def test_after_the_last_attempt_the_error_is_raised() -> None:
    transport, requests = scripted(*[problem(503, "overloaded", **{"Retry-After": "0"}) for _ in range(4)])
    with pytest.raises(Unavailable) as caught:
        segment(transport)
    assert len(requests) == 4
    assert (caught.value.code, caught.value.request_id, caught.value.retry_after_s) == ("overloaded", "r", 0)


def test_a_deadline_is_not_tried_again() -> None:
    transport, requests = scripted(problem(504, "timeout"))
    with pytest.raises(DeadlineExceeded):
        segment(transport)
    assert len(requests) == 1


def lines(*events: dict[str, Any]) -> httpx.Response:
    text = "".join(json.dumps(event) + "\n" for event in events)
    return httpx.Response(200, text=text, headers={"Content-Type": "application/x-ndjson"})


MASK_EVENT = {"event": "mask", "mask": ANSWER["results"][0]["masks"][0]}  # type: ignore[index]
START = {"event": "start", "image_id": "abc", "size": [2, 2]}
END = {"event": "end", "count": 1}
LOST = {"event": "error", "problem": {"status": 503, "code": "replica_lost", "detail": "lost", "request_id": "r"}}


def test_a_stream_that_breaks_off_is_asked_again_and_gives_each_mask_once() -> None:
    transport, requests = scripted(
        lines(START, MASK_EVENT), lines(START, MASK_EVENT, LOST), lines(START, MASK_EVENT, END)
    )
    with SamClient("http://sam.test", retries=AT_ONCE, transport=transport) as client:
        assert len(client.picture(b"picture").everything()) == 1
    assert len(requests) == 3


def test_an_error_in_a_stream_is_raised() -> None:
    broken = {"event": "error", "problem": {"status": 400, "code": "invalid_image", "detail": "no", "request_id": "r"}}
    transport, _ = scripted(lines(START, broken))
    with SamClient("http://sam.test", retries=AT_ONCE, transport=transport) as client, pytest.raises(InvalidImage):
        client.picture(b"picture").everything()


def test_an_answer_of_something_else_is_named() -> None:
    transport, _ = scripted(httpx.Response(200, text="<html>"))
    with (
        SamClient("http://sam.test", transport=transport) as client,
        pytest.raises(ConnectionFailed, match="not of this"),
    ):
        client.backend_info()


def test_a_key_never_follows_a_redirect() -> None:
    transport, requests = scripted(httpx.Response(302, headers={"Location": "http://elsewhere.test/"}))
    with SamClient("http://sam.test", api_key="k", transport=transport) as client, pytest.raises(ConnectionFailed):
        client.backend_info()
    assert [request.url.host for request in requests] == ["sam.test"]
