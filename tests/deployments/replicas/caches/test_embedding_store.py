"""The second tier: embeddings outlive the server, damaged ones are never served, and no trouble of it is a caller's."""

import asyncio
import io
import json
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from local_graph import Gate, LocalGraph
from oracle import TINY
from segment_anything.modeling import Sam
from starlette.testclient import TestClient

from deployments.calls.messages import PictureFile
from deployments.http.routes import create_app
from deployments.replicas.caches.blobs import SUFFIX, Blobs, DirectoryBlobs, FsspecBlobs, open_blobs
from deployments.replicas.caches.cached_image import CachedImage
from deployments.replicas.caches.embedding_store import MAX_WAITING_BYTES, EmbeddingStore
from deployments.settings.api_keys import parse_api_keys
from deployments.telemetry.events import STORE_OUTCOMES, EmbeddingLookedUp, EmitEvent, Event, StoreUsed
from segmentation.pictures.options import DecodeOptions

GRID = {"points_per_side": 4, "crop_n_layers": 1, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.3}
PROMPTS = {"prompts": [{"points": [[100, 60]]}]}
ROOM = 10**9


class Server:
    """The HTTP app over a store, as one start of the server is."""

    def __init__(self, sam: Sam, blobs: Blobs, *, model: str = "tiny/fp32", **settings: Any) -> None:
        self.events: list[Event] = []
        self.stores: list[EmbeddingStore] = []

        def open_store(emit: EmitEvent) -> EmbeddingStore:
            self.stores.append(EmbeddingStore(blobs, model=model, shape=TINY.embedding_shape, emit=emit))
            return self.stores[0]

        self.graph = LocalGraph(sam, settings, self.events.append, open_store)
        self.client = TestClient(create_app(self.graph.service), raise_server_exceptions=False)

    def __enter__(self) -> "Server":
        self.client.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        asyncio.run(self.stores[0].written())
        self.client.__exit__(None)

    def send(self, path: str, png: bytes, **request: Any) -> Any:
        answer = self.client.post(path, files={"image": ("a.png", png)}, data={"request": json.dumps(request)})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def outcomes(self) -> list[str]:
        return [event.outcome for event in self.events if isinstance(event, StoreUsed)]

    @property
    def encoded(self) -> int:
        return sum(self.graph.backend.batches)


def entries(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{SUFFIX}"))


def test_a_picture_is_known_by_its_id_after_a_restart_to_every_route(sam: Sam, png: bytes, tmp_path: Path) -> None:
    with Server(sam, DirectoryBlobs(tmp_path, ROOM)) as server:
        first = server.send("/segment", png, **PROMPTS)
        grid = server.send("/segment/auto", png, **GRID)
        embedding = server.client.get(f"/embeddings/{first['image_id']}").content
    with Server(sam, DirectoryBlobs(tmp_path, ROOM)) as server:
        by_id = {"image_id": first["image_id"]}
        assert server.client.post("/segment", json={**by_id, **PROMPTS}).json()["results"] == first["results"]
        assert server.client.post("/segment/auto", json={**by_id, **GRID}).json()["masks"] == grid["masks"]
        assert server.client.get(f"/embeddings/{first['image_id']}").content == embedding
        assert server.send("/embeddings", png)["image_id"] == first["image_id"]
        assert server.encoded == 0
        other = server.client.post("/segment/auto", json={**by_id, **GRID, "crop_overlap_ratio": 0.1})
        assert other.status_code == 200, "the stored picture is not enough for new crops"
        assert server.encoded == 4
        wanted = [event.held for event in server.events if isinstance(event, EmbeddingLookedUp)]
        assert wanted[0] is True


def test_what_was_evicted_from_memory_is_read_again(sam: Sam, png: bytes, tmp_path: Path) -> None:
    with Server(sam, DirectoryBlobs(tmp_path, ROOM), embedding_cache_mb=0.000001) as server:
        image_id = server.send("/embeddings", png)["image_id"]
        asyncio.run(server.stores[0].written())
        assert server.client.post("/segment", json={"image_id": image_id, **PROMPTS}).status_code == 200
        assert server.encoded == 1


def cut(data: bytes) -> bytes:
    return data[:-1]


def flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut short": cut,
    "a bit flipped": flip,
    "empty": lambda data: b"",
    "foreign": lambda data: b"\x93NUMPY" + data,
    "only its head": lambda data: data[:40],
    "more behind it": lambda data: data + b"x",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_entry_is_dropped_with_a_warning_and_made_again(
    sam: Sam, png: bytes, tmp_path: Path, damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    with Server(sam, DirectoryBlobs(tmp_path, ROOM)) as server:
        first = server.send("/segment", png, **PROMPTS)
    (entry,) = entries(tmp_path)
    whole = entry.read_bytes()
    entry.write_bytes(damage(whole))
    with Server(sam, DirectoryBlobs(tmp_path, ROOM)) as server:
        by_id = server.client.post("/segment", json={"image_id": first["image_id"], **PROMPTS})
        assert by_id.json()["code"] == "unknown_image"
        assert entries(tmp_path) == []
        assert "a stored embedding is dropped" in caplog.text
        assert server.send("/segment", png, **PROMPTS)["results"] == first["results"]
        assert server.encoded == 1
    assert server.outcomes()[0] == "dropped"
    assert set(server.outcomes()) <= set(STORE_OUTCOMES)
    assert entry.read_bytes() == whole


def test_an_entry_under_another_name_or_of_another_model_is_not_served(sam: Sam, png: bytes, tmp_path: Path) -> None:
    with Server(sam, DirectoryBlobs(tmp_path, ROOM)) as server:
        server.send("/embeddings", png)
        server.send("/embeddings", png + b"\0")
    one, other = entries(tmp_path)
    one.write_bytes(other.read_bytes())
    with Server(sam, DirectoryBlobs(tmp_path, ROOM)) as server:
        for picture in (png, png + b"\0"):
            server.send("/segment", picture, **PROMPTS)
        assert server.encoded == 1
        assert sorted(server.outcomes()).count("dropped") == 1
    with Server(sam, DirectoryBlobs(tmp_path, ROOM), model="tiny/fp16") as server:
        server.send("/segment", png, **PROMPTS)
        assert server.encoded == 1


def test_another_api_key_is_given_nothing(sam: Sam, png: bytes, tmp_path: Path) -> None:
    keys = parse_api_keys("alice:0123456789abcdefghij,bob:abcdefghij0123456789")
    alice, bob = ({"authorization": f"Bearer {key}"} for key in ("0123456789abcdefghij", "abcdefghij0123456789"))
    with Server(sam, DirectoryBlobs(tmp_path, ROOM), api_keys=keys) as server:
        image_id = server.client.post("/embeddings", files={"image": png}, headers=alice).json()["image_id"]
    with Server(sam, DirectoryBlobs(tmp_path, ROOM), api_keys=keys) as server:
        request = {"image_id": image_id, **PROMPTS}
        assert server.client.post("/segment", json=request, headers=bob).status_code == 404
        assert server.client.post("/segment", json=request, headers=alice).status_code == 200
        assert server.client.post("/embeddings", files={"image": png}, headers=bob).status_code == 200
        assert server.encoded == 1


class Failing:
    """A medium that is full or gone."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def read(self, name: str) -> bytes | None:
        raise self.error

    def write(self, name: str, data: bytes) -> None:
        raise self.error

    def delete(self, name: str) -> None:
        raise self.error


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("403 from the cloud")])
def test_a_medium_that_fails_is_warned_about_once_and_serving_goes_on(
    sam: Sam, png: bytes, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    with Server(sam, Failing(error)) as server:
        image_id = server.send("/segment", png, **PROMPTS)["image_id"]
        server.send("/segment", png + b"\0", **PROMPTS)
        assert server.client.post("/segment", json={"image_id": image_id, **PROMPTS}).status_code == 200
        unknown = server.client.post("/segment", json={"image_id": "gone", **PROMPTS})
        assert unknown.status_code == 404
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len([record for record in warnings if "serving goes on" in record.message]) == 1
    assert set(server.outcomes()) == {"failed"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_directory_is_read_from(sam: Sam, png: bytes, tmp_path: Path) -> None:
    with Server(sam, DirectoryBlobs(tmp_path, ROOM)) as server:
        image_id = server.send("/embeddings", png)["image_id"]
    tmp_path.chmod(0o500)
    try:
        with Server(sam, DirectoryBlobs(tmp_path, ROOM)) as server:
            assert server.client.post("/segment", json={"image_id": image_id, **PROMPTS}).status_code == 200
            server.send("/embeddings", png + b"\0")
    finally:
        tmp_path.chmod(0o700)


def image(kilobytes: int, file: bytes | None = None) -> CachedImage:
    shape = (1, 1, 250 * kilobytes)
    held = (
        None
        if file is None
        else PictureFile(file, DecodeOptions(page=2, channels=(0, 1), scaling="range", range=(0, 9.5)))
    )
    return CachedImage(np.random.default_rng(0).normal(size=shape).astype(np.float32), (3, 4), held)


def names(count: int) -> list[str]:
    return [f"{index:064x}" for index in range(count)]


def test_a_directory_has_a_bound_and_forgets_what_was_read_longest_ago(tmp_path: Path) -> None:
    blobs = DirectoryBlobs(tmp_path / "deep" / "er", 100_000)
    for age, name in enumerate(names(9)):
        blobs.write(name, b"x" * 10_000)
        os.utime(tmp_path / "deep" / "er" / f"{name}{SUFFIX}", (age, age))
    assert blobs.read(names(1)[0]) == b"x" * 10_000
    for name in names(40)[9:]:
        blobs.write(name, b"x" * 10_000)
        total = sum(path.stat().st_size for path in entries(tmp_path / "deep" / "er"))
        assert total <= 100_000
        if name == names(11)[-1]:
            held = [name for name in names(11) if blobs.read(name)]
            assert names(1)[0] in held
            assert names(2)[1] not in held
    assert total >= 80_000
    blobs.write("f" * 64, b"x" * 100_001)
    assert blobs.read("f" * 64) is None


def test_other_files_of_a_directory_are_left_alone_and_ours_are_private(tmp_path: Path) -> None:
    theirs = tmp_path / "thesis.txt"
    theirs.write_bytes(b"x" * 100_000)
    left_over = tmp_path / f".{'a' * 64}{SUFFIX}.0123456789abcdef"
    left_over.write_bytes(b"half")
    os.utime(left_over, (0, 0))
    blobs = DirectoryBlobs(tmp_path, 1000)
    for name in names(5):
        blobs.write(name, b"x" * 500)
    assert theirs.exists()
    assert not left_over.exists()
    assert {path.name for path in tmp_path.iterdir()} - {path.name for path in entries(tmp_path)} == {"thesis.txt"}
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in entries(tmp_path))


@pytest.fixture(params=["directory", "fsspec"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    where = str(tmp_path) if request.param == "directory" else f"memory://{tmp_path.name}/store"
    return open_blobs(where, ROOM, relative_to=tmp_path)


@pytest.mark.anyio
@pytest.mark.parametrize("file", [None, b"", b"picture"])
async def test_an_image_comes_back_as_it_was(blobs: Blobs, file: bytes | None) -> None:
    events: list[StoreUsed] = []
    store = EmbeddingStore(blobs, model="m", shape=(1, 1, 500), emit=events.append)
    given = image(2, file)
    assert await store.read("key") is None
    store.keep("key", given)
    await store.written()
    back = await store.read("key")
    assert back is not None
    assert np.array_equal(back.embedding, given.embedding)
    assert back.embedding.dtype == np.float32
    assert (back.size, back.file) == (given.size, given.file)
    assert [event.outcome for event in events] == ["missing", "written", "read"]


def test_what_is_deleted_is_gone_and_may_be_deleted_again(blobs: Blobs) -> None:
    blobs.write("a" * 64, b"1")
    blobs.write("a" * 64, b"2")
    assert blobs.read("a" * 64) == b"2"
    for _ in range(2):
        blobs.delete("a" * 64)
        assert blobs.read("a" * 64) is None


def test_a_url_is_fsspecs_and_a_relative_path_the_projects(tmp_path: Path) -> None:
    assert isinstance(open_blobs("memory://x", 1, relative_to=tmp_path), FsspecBlobs)
    open_blobs("held", ROOM, relative_to=tmp_path).write("a" * 64, b"1")
    assert len(entries(tmp_path / "held")) == 1


class Slow(DirectoryBlobs):
    """Waits for the test before every write."""

    def __init__(self, folder: Path, gate: Any) -> None:
        super().__init__(folder, ROOM)
        self.gate = gate

    def write(self, name: str, data: bytes) -> None:
        self.gate.wait()
        super().write(name, data)


@pytest.mark.anyio
async def test_writing_that_falls_behind_does_not_fill_the_memory(tmp_path: Path) -> None:
    gate = Gate()
    gate.shut()
    events: list[StoreUsed] = []
    store = EmbeddingStore(Slow(tmp_path, gate), model="m", shape=(1, 1, 1), emit=events.append)
    large = CachedImage(np.zeros((1, 1, MAX_WAITING_BYTES // 12), np.float32), (1, 1))
    for index in range(5):
        store.keep(str(index), large)
    gate.open()
    await store.written()
    assert [event.outcome for event in events] == ["skipped", "skipped", *["written"] * 3]
    store.keep("again", large)
    await store.written()
    assert events[-1].outcome == "written"


def test_the_npy_of_a_stored_embedding_is_the_same_file(sam: Sam, png: bytes, tmp_path: Path) -> None:
    with Server(sam, DirectoryBlobs(tmp_path, ROOM)) as server:
        image_id = server.send("/embeddings", png)["image_id"]
        before = server.client.get(f"/embeddings/{image_id}")
    with Server(sam, DirectoryBlobs(tmp_path, ROOM)) as server:
        after = server.client.get(f"/embeddings/{image_id}")
        assert after.headers["etag"] == before.headers["etag"]
        assert np.load(io.BytesIO(after.content)).dtype == np.float32


class HangingBlobs:
    """A store whose medium gives no answer, as a network file system does that lost its server."""

    def __init__(self) -> None:
        self.asked = 0
        self.open = threading.Event()

    def read(self, name: str) -> bytes | None:
        self.asked += 1
        self.open.wait(30)
        return None

    def write(self, name: str, data: bytes) -> None:
        self.open.wait(30)

    def delete(self, name: str) -> None:
        self.open.wait(30)


@pytest.mark.anyio
async def test_a_store_that_hangs_counts_as_missing_and_is_left_alone() -> None:
    blobs, events = HangingBlobs(), list[Event]()
    store = EmbeddingStore(
        blobs, model="tiny", shape=TINY.embedding_shape, emit=events.append, patience_s=0.05, rest_s=0.5
    )
    try:
        for _ in range(3):
            assert await asyncio.wait_for(store.read("a"), 5) is None
        store.keep("a", CachedImage(np.zeros(TINY.embedding_shape, np.float32), (1, 1), None))
        assert blobs.asked == 1
        assert events == [StoreUsed("slow"), *[StoreUsed("skipped")] * 3]
        await asyncio.sleep(0.6)
        assert await asyncio.wait_for(store.read("a"), 5) is None
        assert blobs.asked == 2
    finally:
        blobs.open.set()
    await asyncio.sleep(0.6)
    assert await store.read("a") is None
    assert events[-1] == StoreUsed("missing")
