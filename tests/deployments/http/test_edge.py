"""What guards the app: slots, bounds on bodies, deadlines, request ids, and silence about the insides."""

import asyncio
import copy
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import torch
from answers import assert_same_masks
from httpx2 import ASGITransport, AsyncClient
from local_graph import LocalGraph
from segment_anything.modeling import Sam
from starlette.testclient import TestClient
from waiting import until

from deployments.http.routes import create_app
from deployments.http.status import HEALTH_KEPT_S

pytestmark = pytest.mark.anyio

PROMPTS = json.dumps({"prompts": [{"points": [[60, 40]]}]})


def served(graph: LocalGraph) -> AsyncClient:
    transport = ASGITransport(create_app(graph.service), raise_app_exceptions=False)
    return AsyncClient(transport=transport, base_url="http://test")


def problem(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_over_capacity_is_503_before_the_body_is_read_and_slots_come_back(sam: Sam, png: bytes) -> None:
    graph = LocalGraph(sam, {"max_queue": 2})
    form: dict[str, Any] = {"data": {"request": PROMPTS}, "files": {"image": png}}
    unread = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal unread
        unread += 1
        yield b"{}"

    async with served(graph) as client:
        graph.gate.shut()
        waiting = [asyncio.create_task(client.post("/segment", **form)) for _ in range(2)]
        await until(lambda: graph.backend.batches)
        for path in ("/segment", "/embeddings"):
            refused = await client.post(path, content=body(), headers={"content-type": "application/json"})
            assert problem(refused) == (503, "overloaded")
            assert int(refused.headers["retry-after"]) >= 1
        assert unread == 0
        assert (await client.get("/health")).status_code == 200
        graph.gate.open()
        assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [200, 200]
        assert (await client.post("/segment", **form)).status_code == 200
    assert graph.service.admission.taken == 0


async def test_two_first_requests_for_a_picture_encode_it_once(graph: LocalGraph, png: bytes) -> None:
    form: dict[str, Any] = {"data": {"request": PROMPTS}, "files": {"image": png}}
    async with served(graph) as client:
        graph.gate.shut()
        waiting = [asyncio.create_task(client.post("/segment", **form)) for _ in range(3)]
        await until(lambda: graph.encoder.calls["embed"] == 3)
        graph.gate.open()
        answers = [answer.json()["results"][0]["masks"] for answer in await asyncio.gather(*waiting)]
    assert graph.backend.batches == [1]
    assert_same_masks(answers[1], answers[0])
    assert_same_masks(answers[2], answers[0])


async def test_pictures_of_different_requests_share_a_batch(graph: LocalGraph, png: bytes) -> None:
    async with served(graph) as client:
        graph.gate.shut()
        waiting = [
            asyncio.create_task(client.post("/embeddings", files={"image": png + bytes([index])})) for index in range(5)
        ]
        await until(lambda: graph.encoder.calls["record"] == 5)
        graph.gate.open()
        assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {200}
    assert len(graph.backend.batches) == 2
    assert sum(graph.backend.batches) == 5


async def test_the_deadline_is_504_and_says_what_would_help(sam: Sam, png: bytes) -> None:
    graph = LocalGraph(sam, {"prompt_timeout_s": 0.3, "auto_timeout_s": 0.3})
    async with served(graph) as client:
        graph.gate.shut()
        for path, request in (("/segment", PROMPTS), ("/segment/auto", "{}")):
            late = await client.post(path, data={"request": request}, files={"image": png})
            assert problem(late) == (504, "timeout")
            for hint in ("performance_mode", "crop_n_layers", "stream"):
                assert hint in late.json()["detail"]
        graph.gate.open()
        assert graph.service.admission.taken == 0
        assert (await client.post("/segment", data={"request": PROMPTS}, files={"image": png})).status_code == 200


async def test_the_deadline_ends_a_stream_with_an_error_event(sam: Sam, png: bytes) -> None:
    graph = LocalGraph(sam, {"auto_timeout_s": 0.5})
    async with served(graph) as client:
        graph.gate.shut()
        answer = await client.post("/segment/auto", data={"request": '{"stream": true}'}, files={"image": png})
        graph.gate.open()
    events = [json.loads(line) for line in answer.text.splitlines()]
    assert [event["event"] for event in events] == ["start", "error"]
    assert events[-1]["problem"]["code"] == "timeout"


async def test_a_client_that_leaves_frees_its_place_and_its_queued_picture(graph: LocalGraph, png: bytes) -> None:
    async with served(graph) as client:
        graph.gate.shut()
        running = asyncio.create_task(client.post("/embeddings", files={"image": png}))
        await until(lambda: graph.backend.batches)
        leaving = asyncio.create_task(client.post("/embeddings", files={"image": png + b"\0"}))
        await until(lambda: graph.encoder.calls["record"] == 2)
        await asyncio.sleep(0.01)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        assert graph.service.admission.taken == 1
        graph.gate.open()
        assert (await running).status_code == 200
        await client.post("/embeddings", files={"image": png + b"\1"})
    assert graph.backend.batches == [1, 1]


def scope(path: str, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    return {
        "type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"",
        "root_path": "", "scheme": "http", "headers": headers, "http_version": "1.1",
        "asgi": {"version": "3.0", "spec_version": "2.4"}, "server": ("test", 80), "client": ("test", 1),
    }  # fmt: skip


async def test_events_are_sent_as_they_happen_and_leaving_stops_the_work(graph: LocalGraph, png: bytes) -> None:
    sent: list[bytes] = []
    body = b'--x\r\ncontent-disposition: form-data; name="image"; filename="a.png"\r\n\r\n' + png
    body += b'\r\n--x\r\ncontent-disposition: form-data; name="request"\r\n\r\n{"stream": true}\r\n--x--\r\n'

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))

    graph.gate.shut()
    headers = [(b"content-type", b"multipart/form-data; boundary=x")]
    app = create_app(graph.service)
    answering = asyncio.create_task(app(scope("/segment/auto", headers), receive, send))
    await until(lambda: any(b'"start"' in line for line in sent))
    assert not any(b'"progress"' in line for line in sent)
    answering.cancel()
    await asyncio.gather(answering, return_exceptions=True)
    graph.gate.open()
    await until(lambda: graph.service.admission.taken == 0)
    assert graph.service.grid_resources.long_runs.place == 0
    await asyncio.sleep(0.05)
    assert graph.grid.calls["merge"] == 0


async def test_a_body_is_counted_while_it_is_read(sam: Sam) -> None:
    graph = LocalGraph(sam, {"max_body_mb": 0.1})
    read = 0

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += 10_000
        return {"type": "http.request", "body": b" " * 10_000, "more_body": True}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json")]
    await create_app(graph.service)(scope("/segment", headers), receive, send)
    assert sent[0]["status"] == 413
    assert json.loads(sent[1]["body"])["code"] == "body_too_large"
    assert read == 110_000


@pytest.mark.parametrize(("extra", "status"), [(0, 200), (1, 413)])
def test_a_body_at_the_limit_and_one_byte_over(sam: Sam, png: bytes, extra: int, status: int) -> None:
    graph = LocalGraph(sam, {"max_body_mb": 0.2})
    padding = 200_000 - len(form_around(b"")) - len(png) + extra
    with TestClient(create_app(graph.service)) as client:
        headers = {"content-type": "multipart/form-data; boundary=x"}
        answer = client.post("/embeddings", content=form_around(png + b"\0" * padding), headers=headers)
    assert answer.status_code == status, answer.text


def form_around(png: bytes) -> bytes:
    head = b'--x\r\ncontent-disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    return head + png + b"\r\n--x--\r\n"


async def test_a_declared_length_over_the_limit_is_refused_unread(sam: Sam) -> None:
    async def receive() -> dict[str, Any]:
        raise AssertionError("the body was read")

    statuses: list[int] = []

    async def send(message: Any) -> None:
        statuses.append(message.get("status", 0))

    headers = [(b"content-type", b"application/json"), (b"content-length", b"60000000")]
    await create_app(LocalGraph(sam).service)(scope("/segment", headers), receive, send)
    assert statuses[0] == 413


@pytest.mark.parametrize("path", ["/segment", "/segment/auto", "/embeddings"])
async def test_a_slow_upload_does_not_keep_its_place(sam: Sam, path: str) -> None:
    graph = LocalGraph(sam, {"prompt_timeout_s": 0.2})
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b" ", "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    async with asyncio.timeout(10):
        await create_app(graph.service)(scope(path, [(b"content-type", b"application/json")]), receive, send)
    assert sent[0]["status"] == 504
    assert json.loads(sent[1]["body"])["code"] == "timeout"
    assert graph.service.admission.taken == graph.service.body_budget.taken == 0


async def test_bodies_under_way_are_bounded_together(sam: Sam, png: bytes) -> None:
    graph = LocalGraph(sam, {"max_body_mb": 0.2, "max_body_total_mb": 0.25})
    large: dict[str, Any] = {"data": {"request": PROMPTS}, "files": {"image": png + b"\0" * (180_000 - len(png))}}
    headers = {"content-type": "application/json"}
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(15):
            read += 10_000
            yield b" " * 10_000

    async with served(graph) as client:
        graph.gate.shut()
        waiting = asyncio.create_task(client.post("/segment", **large))
        await until(lambda: graph.backend.batches)
        taken = graph.service.body_budget.taken
        assert 180_000 < taken < 181_000
        declared = await client.post("/segment", content=b" " * 100_000, headers=headers)
        counted = await client.post("/segment", content=body(), headers=headers)
        for refused in (declared, counted):
            assert problem(refused) == (503, "overloaded")
            assert "retry-after" in refused.headers
        assert 250_000 - taken < read < 250_000 - taken + 20_000
        assert graph.service.body_budget.taken == taken
        graph.gate.open()
        assert (await waiting).status_code == 200
        assert graph.service.body_budget.taken == 0
        assert (await client.post("/segment", **large)).status_code == 200


@pytest.mark.parametrize("given", ["abc-123_4.5", "x" * 128])
async def test_a_request_id_is_echoed(graph: LocalGraph, given: str) -> None:
    async with served(graph) as client:
        for path in ("/health", "/nowhere"):
            assert (await client.get(path, headers={"x-request-id": given})).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "a b", "<script>", "x" * 129])
async def test_a_request_id_that_could_do_harm_is_replaced(graph: LocalGraph, given: str) -> None:
    async with served(graph) as client:
        answers = [await client.get("/nowhere", headers={"x-request-id": given}) for _ in range(2)]
    ids = {answer.headers["x-request-id"] for answer in answers}
    assert len(ids) == 2
    assert given not in ids
    assert ids == {answer.json()["request_id"] for answer in answers}


@pytest.mark.parametrize("deployment", ["encoder", "decoder"])
async def test_what_fails_inside_stays_inside(
    graph: LocalGraph, png: bytes, deployment: str, caplog: pytest.LogCaptureFixture
) -> None:
    getattr(graph, deployment).errors["embed" if deployment == "encoder" else "decode"] = [
        RuntimeError("/home/secret/weights.pth is broken")
    ]
    async with served(graph) as client:
        headers = {"x-request-id": "find-me"}
        answer = await client.post("/segment", data={"request": PROMPTS}, files={"image": png}, headers=headers)
        assert problem(answer) == (500, "internal")
        assert "secret" not in answer.text
        assert "Error" not in answer.text
        assert "find-me" in caplog.text
        assert "secret" in caplog.text
        assert (await client.post("/segment", data={"request": PROMPTS}, files={"image": png})).status_code == 200


async def test_numbers_that_are_not_finite_are_the_servers_fault_and_never_an_answer(png: bytes, sam: Sam) -> None:
    broken = copy.deepcopy(sam)
    with torch.no_grad():
        broken.image_encoder.pos_embed.fill_(torch.nan)
    async with served(LocalGraph(broken)) as client:
        answer = await client.post("/segment", data={"request": PROMPTS}, files={"image": png})
    assert problem(answer) == (500, "internal")


async def test_health_needs_every_deployment(graph: LocalGraph) -> None:
    async with served(graph) as client:
        assert (await client.get("/health")).json() == {"status": "ok"}
        for remote in (graph.encoder, graph.decoder, graph.grid):
            replica, remote.replica = remote.replica, None
            await asyncio.sleep(1.1 * HEALTH_KEPT_S)
            answer = await client.get("/health")
            assert problem(answer) == (503, "not_ready")
            assert remote.name in answer.json()["detail"]
            assert "retry-after" in answer.headers
            remote.replica = replica


async def test_load_balancers_hear_that_nobody_is_let_in_any_more(graph: LocalGraph) -> None:
    graph.service.admission.close()
    async with served(graph) as client:
        for answer in (await client.get("/health"), await client.post("/segment", content=b"{}")):
            assert problem(answer) == (503, "not_ready")
            assert "retry-after" in answer.headers
        assert (await client.get("/openapi.json")).status_code == 200


async def test_backend_info_tells_what_runs(graph: LocalGraph) -> None:
    async with served(graph) as client:
        info = (await client.get("/backend_info")).json()
    expected = {
        "backend": "pytorch", "model_type": "tiny", "use_gpu": True, "performance_mode": False, "device": "cpu",
        "onnx_available": False, "pytorch_available": True, "onnx_providers": [], "precision": "fp32",
    }  # fmt: skip
    assert {name: info[name] for name in expected} == expected
    assert info["limits"]["max_prompts"] == 64
    assert info["versions"]["ray"]
    assert info["settings_source"]["model_type"] == "default"


def test_the_description_names_every_route_and_resolves(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    ours = {path for path, item in document["paths"].items() if not any("tags" in one for one in item.values())}
    assert ours == {
        "/segment", "/segment/auto", "/analyze", "/analyze/presets", "/embeddings", "/embeddings/{image_id}",
        "/pictures/{image_id}", "/pictures/{image_id}/preview", "/preview", "/models", "/backend_info", "/health",
    }  # fmt: skip
    text = json.dumps(document)
    for reference in [part.split('"')[0] for part in text.split('"$ref": "')[1:]]:
        root, components, kind, name = reference.split("/")
        assert (root, components) == ("#", "components")
        assert name in document["components"][kind]
    assert client.get("/docs").status_code == 200
