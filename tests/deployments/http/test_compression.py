"""gzip for clients that take it: the same answers, streams as lively as without, and the event loop left alone."""

import asyncio
import gzip
import itertools
import json
import zlib
from typing import Any

import pytest
from starlette.datastructures import Headers
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from deployments.http.compression import Compression, takes_gzip
from deployments.http.responses import EventStream, json_response

SCOPE: dict[str, Any] = {"type": "http", "path": "/", "headers": [(b"accept-encoding", b"gzip, br")]}
GRID = {"points_per_side": 4, "crop_n_layers": 0, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0}


async def nothing() -> Any:
    raise AssertionError("nothing is to be received")


@pytest.mark.parametrize(("coding", "compressed"), [
    ("gzip", True), ("br;q=1, GZIP ; q=0.5", True), ("deflate,gzip;q=1.0", True), ("gzip;q=0", False),
    ("gzip;q=0.000, br", False), ("identity", False), ("", False), ("br", False), ("xgzip", False),
])  # fmt: skip
def test_the_client_decides(client: TestClient, coding: str, compressed: bool) -> None:
    answer = client.get("/openapi.json", headers={"accept-encoding": coding})
    assert takes_gzip(Headers({"accept-encoding": coding})) is compressed
    assert answer.headers.get("content-encoding") == ("gzip" if compressed else None)
    assert "Accept-Encoding" in answer.headers["vary"]
    assert answer.json()["openapi"]


def test_a_large_answer_is_the_same_and_a_small_one_is_left_alone(client: TestClient, png: bytes) -> None:
    form: dict[str, Any] = {"data": {"request": json.dumps(GRID)}, "files": {"image": png}}
    plain, packed = (
        client.post("/segment/auto", **form, headers={"accept-encoding": coding}) for coding in ("identity", "gzip")
    )
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 2
    assert packed.json()["masks"] == plain.json()["masks"] != []
    assert "content-encoding" not in client.get("/health", headers={"accept-encoding": "gzip"}).headers


@pytest.mark.anyio
async def test_each_event_can_be_read_when_it_is_sent() -> None:
    reader = zlib.decompressobj(16 + zlib.MAX_WBITS)
    read: list[bytes] = []
    headers: list[Headers] = []

    async def events() -> Any:
        for number in range(5):
            assert [json.loads(line)["done"] for line in b"".join(read).splitlines()] == list(range(number))
            yield {"event": "progress", "done": number}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await EventStream(events())(scope, receive, send)

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers.append(Headers(raw=message["headers"]))
        else:
            read.append(reader.decompress(message["body"]))

    await Compression(app)(SCOPE, nothing, send)
    assert headers[0]["content-encoding"] == "gzip"
    assert reader.eof
    assert b"".join(read).count(b"\n") == 5


@pytest.mark.anyio
async def test_large_answers_leave_the_event_loop_alone() -> None:
    """Five megabytes of run lengths take some 100 ms of work: other requests go on meanwhile."""
    counts = "".join(chr(48 + (7 * index * index + index // 3) % 64) for index in range(400))
    document = {"masks": [{"segmentation": {"size": [1, 1], "counts": counts}, "area": area} for area in range(11_000)]}
    body: list[bytes] = []
    turns: list[int] = [0]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await (await json_response(document))(scope, receive, send)

    async def send(message: Message) -> None:
        body.append(message.get("body", b""))
        turns.append(turns[0])

    async def count() -> None:
        while True:
            await asyncio.sleep(0.0001)
            turns[0] += 1

    counting = asyncio.create_task(count())
    await asyncio.sleep(0)
    await Compression(app)(SCOPE, nothing, send)
    counting.cancel()
    assert json.loads(gzip.decompress(b"".join(body))) == document
    assert len(json.dumps(document)) > 4_900_000
    assert len(body) > 15
    # The loop turned while each piece but the last, smaller one was compressed.
    assert all(later > earlier for earlier, later in itertools.pairwise(turns[2:-1]))
