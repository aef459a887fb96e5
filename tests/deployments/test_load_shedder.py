"""The load shedder admits as many requests as the ingress says, and rejects with the ingress's problem documents."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from httpx2 import ASGITransport, AsyncClient
from local_graph import LocalGraph
from segment_anything.modeling import Sam
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from waiting import until

from deployments.http.admission.inlined_body import LARGEST_BYTES
from deployments.http.routes import create_app
from deployments.load_shedder import LoadShedder
from deployments.settings.server import Settings
from deployments.telemetry.events import Event, Refused

pytestmark = pytest.mark.anyio

BROWSER = {"origin": "https://page.example"}


class FakeServe:
    """Stands for Serve: tells its slots, or what else it is given to tell, and answers once its gate is open."""

    def __init__(self, slots: str | None = "2") -> None:
        self.headers = {} if slots is None else {"Sam-Slots": slots}
        self.status = 200
        self.gate = asyncio.Event()
        self.came: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.came[scope["path"]] += 1
        await self.gate.wait()
        await Response("{}", self.status, self.headers)(scope, receive, send)


def at(shedder: LoadShedder) -> AsyncClient:
    return AsyncClient(transport=ASGITransport(shedder), base_url="http://test")


async def told(serve: FakeServe, client: AsyncClient, path: str = "/segment") -> None:
    """Lets one request through, from whose answer the load shedder reads the slots, and closes the gate again."""
    serve.gate.set()
    await client.post(path)
    serve.gate.clear()


def waiting(client: AsyncClient, count: int, path: str = "/segment", **options: Any) -> "list[asyncio.Task[Any]]":
    return [asyncio.create_task(client.post(path, **options)) for _ in range(count)]


async def test_no_more_than_the_ingress_has_slots_for_come_in_and_slots_come_back() -> None:
    serve, events = FakeServe("2"), list[Event]()
    async with at(LoadShedder(serve, events.append)) as client:
        await told(serve, client)
        inside = waiting(client, 2)
        await until(lambda: serve.came["/segment"] == 3)
        for path in ("/segment", "/embeddings", "/embeddings/some"):
            assert (await client.post(path)).status_code == 503
        assert events == [Refused("overloaded")] * 3
        assert serve.came == {"/segment": 3}
        serve.gate.set()
        assert [answer.status_code for answer in await asyncio.gather(*inside)] == [200, 200]
        assert (await client.post("/segment")).status_code == 200


async def test_runs_of_automatic_masks_refuse_no_prompt_and_are_refused_by_none() -> None:
    serve = FakeServe("1")
    async with at(LoadShedder(serve)) as client:
        for path in ("/segment", "/segment/auto"):
            await told(serve, client, path)
        (run,) = waiting(client, 1, "/segment/auto")
        await until(lambda: serve.came["/segment/auto"] == 2)
        assert (await client.post("/segment/auto")).status_code == 503
        (prompt,) = waiting(client, 1)
        await until(lambda: serve.came["/segment"] == 2)
        assert (await client.post("/segment")).status_code == 503
        serve.gate.set()
        assert [answer.status_code for answer in await asyncio.gather(run, prompt)] == [200, 200]


@pytest.mark.parametrize(
    ("path", "status", "field"),
    [
        ("/v1/predict", 503, "success"),
        ("/sam/", 503, "detail"),
        ("/sam2/segment_image", 503, "message"),
        ("/hugging-face/vit_b", 429, "error"),
        ("/label-studio/predict", 503, "error"),
        ("/isat/vit_b/api/encode", 503, "detail"),
        ("/api/generate", 503, "detail"),
    ],
)
async def test_tools_share_the_slots_and_are_refused_in_their_own_form(path: str, status: int, field: str) -> None:
    serve, events = FakeServe("1"), list[Event]()
    async with at(LoadShedder(serve, events.append)) as client:
        await told(serve, client, path)
        (inside,) = waiting(client, 1)
        await until(lambda: serve.came["/segment"] == 1)
        refused = await client.post(path)
        assert (refused.status_code, refused.headers["content-type"]) == (status, "application/json")
        assert field in refused.json()
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.headers["x-content-type-options"] == "nosniff"
        assert [(event.code, bool(event.protocol)) for event in events if isinstance(event, Refused)] == [
            ("overloaded", True)
        ]
        assert (await client.post("/segment")).headers["content-type"] == "application/problem+json"
        serve.gate.set()
        await inside


async def test_a_tools_automatic_masks_are_runs() -> None:
    serve = FakeServe("1")
    async with at(LoadShedder(serve)) as client:
        for path in ("/sam/", "/sam/automask/"):
            await told(serve, client, path)
        (run,) = waiting(client, 1, "/segment/auto")
        await until(lambda: serve.came["/segment/auto"] == 1)
        assert (await client.post("/sam/automask/")).status_code == 503
        (prompt,) = waiting(client, 1, "/sam/")
        await until(lambda: serve.came["/sam/"] == 2)
        serve.gate.set()
        assert [answer.status_code for answer in await asyncio.gather(run, prompt)] == [200, 200]


async def test_a_protocol_that_is_not_spoken_is_no_concern() -> None:
    serve = FakeServe(None)
    async with at(LoadShedder(serve)) as client:
        await told(serve, client, "/v1/predict")
        inside = waiting(client, 5, "/v1/predict")
        await until(lambda: serve.came["/v1/predict"] == 6)
        serve.gate.set()
        assert {answer.status_code for answer in await asyncio.gather(*inside)} == {200}


async def test_who_has_the_whole_answer_may_ask_again_while_serve_tidies_up() -> None:
    serve, tidy, answered = FakeServe("1"), asyncio.Event(), asyncio.Event()

    async def slow_to_tidy(scope: Scope, receive: Receive, send: Send) -> None:
        await serve(scope, receive, send)
        answered.set()
        await tidy.wait()

    async with at(LoadShedder(slow_to_tidy)) as client:
        serve.gate.set()
        tidying = waiting(client, 1)
        await answered.wait()
        tidying += waiting(client, 1)
        await until(lambda: serve.came["/segment"] == 2)
        serve.gate.clear()
        inside = waiting(client, 1)
        await until(lambda: serve.came["/segment"] == 3)
        assert (await client.post("/segment")).status_code == 503
        serve.gate.set()
        tidy.set()
        assert [answer.status_code for answer in await asyncio.gather(*tidying, *inside)] == [200] * 3


async def test_a_refusal_is_the_one_of_the_ingress(sam: Sam) -> None:
    graph = LocalGraph(sam, {"max_queue": 1})
    app = create_app(graph.service)
    request = {"json": {}, "headers": {"x-request-id": "mine-1"}}
    async with (
        at(LoadShedder(app)) as outside,
        AsyncClient(transport=ASGITransport(app), base_url="http://test") as inside,
    ):
        assert (await outside.post("/segment", **request)).status_code == 422
        with graph.service.admission.place():
            expected = await inside.post("/segment", **request)
        serve = FakeServe("1")
        shedder = LoadShedder(serve)
        async with at(shedder) as client:
            await told(serve, client)
            (held,) = waiting(client, 1)
            await until(lambda: serve.came["/segment"] == 2)
            refused = await client.post("/segment", **request)
            serve.gate.set()
            await held
    assert refused.status_code == expected.status_code == 503
    assert refused.json() == expected.json()
    told_by_ingress = dict(expected.headers)
    assert told_by_ingress.pop("sam-slots") == "1"
    assert told_by_ingress.pop("sam-inlined-bytes") == str(LARGEST_BYTES)
    assert dict(refused.headers) == told_by_ingress


@pytest.mark.parametrize("given", ["order 17/b", "\xff", "a" * 129, ""])
async def test_everybody_sees_the_one_id_that_a_harmful_one_is_replaced_by(given: str) -> None:
    seen: list[list[str]] = []

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(Headers(scope=scope).getlist("x-request-id"))
        await Response("{}", headers={"x-request-id": seen[-1][0]})(scope, receive, send)

    async with at(LoadShedder(serve)) as client:
        for path in ("/segment", "/health"):
            answer = await client.post(path, headers={"x-request-id": given.encode("latin-1")})
            assert seen.pop() == [answer.headers["x-request-id"]]
            assert answer.headers["x-request-id"] not in {given, ""}


async def test_clients_do_not_overrule_timeouts_and_nothing_comes_that_serve_fails_to_decode() -> None:
    seen: dict[str, str] = {}

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        seen.update(Headers(scope=scope))
        await Response("{}")(scope, receive, send)

    async with at(LoadShedder(serve)) as client:
        headers = {
            "x-request-disconnect-disabled": b"?1",
            "x-session-id": b"\xff",
            "serve-multiplexed-model-id": b"\xff",
        }
        await client.post("/segment", headers={**headers, "x-request-timeout-seconds": b"0.001", "x-own": b"\xff"})
    assert not {*headers, "x-request-timeout-seconds"} & set(seen)
    assert seen["x-own"] == "\xff"


async def test_serves_own_refusals_and_its_silence_become_problems() -> None:
    async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
        await Response("Request dropped due to backpressure", 503, media_type="text/plain")(scope, receive, send)

    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        return

    for app, code in ((refusing, "overloaded"), (silent, "replica_lost")):
        async with at(LoadShedder(app)) as client:
            answer = await client.post("/segment")
            assert (answer.status_code, answer.json()["code"]) == (503, code)
            assert answer.headers["retry-after"]


async def test_an_id_that_could_do_harm_is_not_echoed() -> None:
    serve = FakeServe("0")
    async with at(LoadShedder(serve)) as client:
        await told(serve, client)
        refused = await client.post("/segment", headers={"x-request-id": "<script>"})
    assert refused.status_code == 503
    assert refused.headers["x-request-id"] == refused.json()["request_id"] != "<script>"


async def test_clients_are_not_told_of_places(sam: Sam) -> None:
    app = create_app(LocalGraph(sam).service)
    async with AsyncClient(transport=ASGITransport(app), base_url="http://test") as client:
        assert (await client.post("/segment")).headers["sam-slots"] == str(Settings().max_queue)
        assert (await client.post("/embeddings/none")).headers["sam-slots"] == str(Settings().max_queue)
        assert "sam-slots" not in (await client.get("/health")).headers
    async with at(LoadShedder(app)) as client:
        for path in ("/segment", "/embeddings/none", "/health"):
            assert not {"sam-slots", "sam-inlined-bytes"} & set((await client.post(path)).headers)


async def test_everybody_comes_in_until_the_ingress_has_told() -> None:
    serve = FakeServe(None)
    async with at(LoadShedder(serve)) as client:
        inside = waiting(client, 5)
        await until(lambda: serve.came["/segment"] == 5)
        serve.gate.set()
        assert {answer.status_code for answer in await asyncio.gather(*inside)} == {200}


@pytest.mark.parametrize(("status", "then"), [(500, 503), (200, 200)])
async def test_a_failure_of_serve_opens_no_door_and_another_app_in_the_same_place_does(status: int, then: int) -> None:
    serve = FakeServe("0")
    async with at(LoadShedder(serve)) as client:
        await told(serve, client)
        serve.gate.set()
        serve.headers, serve.status = {}, status
        assert (await client.post("/segment", headers=BROWSER)).status_code == status
        serve.status = 200
        assert (await client.post("/segment")).status_code == then


async def test_apps_are_counted_apart() -> None:
    serve = FakeServe("1")
    async with at(LoadShedder(serve)) as client:
        await told(serve, client)
        await told(serve, client, "/other/segment")
        inside = waiting(client, 1, "/other/segment")
        await until(lambda: serve.came["/other/segment"] == 2)
        assert (await client.post("/other/embeddings")).status_code == 503
        inside += waiting(client, 1)
        await until(lambda: serve.came["/segment"] == 2)
        serve.gate.set()
        assert [answer.status_code for answer in await asyncio.gather(*inside)] == [200, 200]


async def test_what_needs_no_place_and_what_a_browser_asks_goes_on() -> None:
    serve = FakeServe("0")
    async with at(LoadShedder(serve)) as client:
        await told(serve, client)
        serve.gate.set()
        for path in ("/health", "/docs", "/segmentation", "/other"):
            assert (await client.post(path)).status_code == 200
        assert (await client.post("/segment", headers=BROWSER)).status_code == 200


async def test_a_request_that_fails_or_is_left_gives_its_place_back() -> None:
    class Broken(FakeServe):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await super().__call__(scope, receive, send)
            if self.status == 500:
                raise RuntimeError

    serve = Broken("1")
    async with at(LoadShedder(serve)) as client:
        await told(serve, client)
        (left,) = waiting(client, 1)
        await until(lambda: serve.came["/segment"] == 2)
        left.cancel()
        await asyncio.wait([left])
        serve.gate.set()
        serve.status = 500
        with pytest.raises(RuntimeError):
            await client.post("/segment")
        serve.status = 200
        assert (await client.post("/segment")).status_code == 200
