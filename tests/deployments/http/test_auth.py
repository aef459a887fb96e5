"""API keys on the routes: who gets in, who is turned away before anything is read, and whose pictures are whose."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from httpx2 import ASGITransport, AsyncClient
from local_graph import LocalGraph
from segment_anything.modeling import Sam
from starlette.testclient import TestClient
from waiting import until

from deployments.calls.messages import PictureFile
from deployments.http.routes import create_app
from deployments.pipelines.pictures import belongs_to, image_id_of
from deployments.settings.api_keys import parse_api_keys

ALICE, BOB = "alice-0123456789abcdef", "bob---0123456789abcdef"
KEYS = parse_api_keys(f"alice:{ALICE},bob:{BOB}")
PROMPTS = {"prompts": [{"points": [[60, 40]]}]}


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@pytest.fixture
def keyed(sam: Sam) -> LocalGraph:
    return LocalGraph(sam, {"api_keys": KEYS, "max_queue_per_key": 1})


@pytest.fixture
def client(keyed: LocalGraph) -> Iterator[TestClient]:
    with TestClient(create_app(keyed.service), raise_server_exceptions=False) as client:
        yield client


def held(client: TestClient, png: bytes, key: str) -> str:
    answer = client.post("/embeddings", files={"image": ("a.png", png)}, headers=bearer(key))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["image_id"])


@pytest.mark.parametrize("path", ["/health", "/docs", "/docs/assets/docs.js", "/openapi.json"])
def test_what_is_open_needs_no_key(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 200


@pytest.mark.parametrize("given", [
    None, "", "Bearer", "Bearer ", f"Basic {ALICE}", ALICE, f"Bearer {ALICE[:-1]}", f"Bearer {ALICE}x", "Bearer \xe9",
    f"Bearer {KEYS[0].identity}", f"Bearer {KEYS[0].digest.hex()}", f"Bearer alice:{ALICE}",
])  # fmt: skip
@pytest.mark.parametrize(("method", "path"), [
    ("GET", "/backend_info"), ("GET", "/embeddings/x"), ("POST", "/segment"), ("GET", "/nowhere"),
    ("GET", "/healthy"), ("OPTIONS", "/segment"), ("GET", "/docs.json"),
])  # fmt: skip
def test_everything_else_does(client: TestClient, method: str, path: str, given: str | None) -> None:
    headers = {} if given is None else {"authorization": given.encode("latin-1")}
    answer = client.request(method, path, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert ALICE[:-1] not in answer.text


@pytest.mark.parametrize("given", [f"Bearer {ALICE}", f"bearer {BOB}", f"BEARER  {BOB} "])
def test_a_key_opens_the_server_and_is_not_told_on(client: TestClient, given: str) -> None:
    answer = client.get("/backend_info", headers={"authorization": given})
    assert answer.status_code == 200
    for secret in (ALICE, BOB, *(key.digest.hex() for key in KEYS), *(key.identity for key in KEYS)):
        assert secret not in answer.text


@pytest.mark.anyio
async def test_a_stranger_is_turned_away_unread_and_without_a_place(keyed: LocalGraph) -> None:
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        read += 1
        yield b"{}"

    keyed.service.admission.slots = 0
    async with served(keyed) as client:
        answer = await client.post("/segment", content=body(), headers={"content-type": "application/json"})
    assert (answer.status_code, read) == (401, 0)


@pytest.mark.anyio
async def test_the_places_of_one_key_are_not_anothers(keyed: LocalGraph, png: bytes) -> None:
    form: dict[str, Any] = {"data": {"request": json.dumps(PROMPTS)}, "files": {"image": png}}
    async with served(keyed) as client:
        keyed.gate.shut()
        waiting = [asyncio.create_task(client.post("/segment", **form, headers=bearer(ALICE)))]
        await until(lambda: keyed.backend.batches)
        refused = await client.post("/segment", **form, headers=bearer(ALICE))
        assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
        assert "retry-after" in refused.headers
        assert ALICE not in refused.text
        waiting.append(asyncio.create_task(client.post("/segment", **form, headers=bearer(BOB))))
        await until(lambda: keyed.service.admission.taken == 2)
        keyed.gate.open()
        assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [200, 200]
    assert keyed.service.admission.taken == 0


@pytest.mark.parametrize(
    ("path", "request_"),
    [
        ("/segment", PROMPTS),
        ("/segment/auto", {"points_per_side": 2, "crop_n_layers": 0}),
        ("/segment/auto", {"points_per_side": 2, "crop_n_layers": 0, "stream": True}),
        ("/embeddings", {}),
    ],
)
def test_a_picture_is_held_for_its_own_key(client: TestClient, png: bytes, path: str, request_: Any) -> None:
    ids = {key: held(client, png, key) for key in (ALICE, BOB)}
    assert ids[ALICE] != ids[BOB]
    for owner, other in ((ALICE, BOB), (BOB, ALICE)):
        assert held(client, png, owner) == ids[owner]
        document = {"image_id": ids[owner], **request_}
        assert client.post(path, json=document, headers=bearer(owner)).status_code == 200
        assert client.get(f"/embeddings/{ids[owner]}", headers=bearer(owner)).status_code == 200
        for stolen in (
            client.post(path, json=document, headers=bearer(other)),
            client.get(f"/embeddings/{ids[owner]}", headers=bearer(other)),
        ):
            assert (stolen.status_code, stolen.json()["code"]) == (404, "unknown_image")


def test_an_id_of_somebody_else_is_refused_in_the_words_for_one_that_is_not_held(
    client: TestClient, png: bytes
) -> None:
    leaked = held(client, png, ALICE)
    never = image_id_of(PictureFile(b"never sent"), key=KEYS[1].identity, model="")
    answers = [client.get(f"/embeddings/{image_id}", headers=bearer(BOB)).json() for image_id in (leaked, never, "x")]
    assert len({(answer["code"], answer["detail"]) for answer in answers}) == 1


def test_marking_a_leaked_id_as_ones_own_finds_nothing(client: TestClient, png: bytes) -> None:
    leaked = held(client, png, ALICE)
    own = image_id_of(PictureFile(b"mine"), key=KEYS[1].identity, model="")
    forged = leaked[:-20] + own[-20:]
    assert client.get(f"/embeddings/{forged}", headers=bearer(BOB)).status_code == 404
    bare = leaked[:-20]
    assert client.get(f"/embeddings/{bare}", headers=bearer(BOB)).status_code == 404


@pytest.mark.parametrize("key", ["", "identity"])
def test_an_id_belongs_to_the_key_that_made_it(key: str) -> None:
    image_id = image_id_of(PictureFile(b"picture"), key=key, model="demo")
    assert 40 <= len(image_id) <= 64
    assert set(image_id) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    assert belongs_to(image_id, key)
    assert not belongs_to(image_id, "another identity")
    assert not belongs_to("A" + image_id[1:], "identity")
    for short in ("", "x", "x" * 20):
        assert not belongs_to(short, "identity")


def served(graph: LocalGraph) -> AsyncClient:
    transport = ASGITransport(create_app(graph.service), raise_app_exceptions=False)
    return AsyncClient(transport=transport, base_url="http://test")
