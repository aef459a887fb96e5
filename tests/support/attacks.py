"""Attacks on a running server by small requests, connections and honest large requests. Each ends by itself."""

import base64
import contextlib
import io
import json
import random
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import attack_bodies
import httpx2
import numpy as np
from PIL import Image
from pycocotools import mask as coco

from segmentation.weights.manifest import PROJECT_ROOT

COINS = (PROJECT_ROOT / "docs" / "images" / "coins.png").read_bytes()
FINE = frozenset({200, 400, 404, 413, 415, 422, 431, 503})
"""What an attacker may be answered. 504 is beyond the bounds of work, 500 a fault."""


@dataclass(frozen=True, slots=True)
class Target:
    """A server and a picture that it knows. headers: of the attacker's requests, as its API key."""

    url: str
    image_id: str
    headers: dict[str, str] = field(default_factory=dict)

    def client(self) -> httpx2.Client:
        return httpx2.Client(base_url=self.url, timeout=300, headers=self.headers)

    def connect(self, receive_buffer: int = 0) -> socket.socket:
        """A connection; its kernel keeps about that many bytes for a reader that does not read."""
        connection = socket.socket()
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(120)
        connection.connect(("127.0.0.1", int(self.url.rpartition(":")[2])))
        return connection

    def head(self, path: str, length: int, kind: str = "application/json") -> bytes:
        """A request's head in bytes."""
        own = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        fields = f"Host: x\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{own}"
        return f"POST {path} HTTP/1.1\r\n{fields}\r\n".encode()


class Unexpected(AssertionError):
    """An answer that an attacker should not get."""


def _post(target: Target, path: str, body: bytes, headers: dict[str, str]) -> int:
    with target.client() as client:
        try:
            answer = client.post(path, content=body, headers=headers)
        except httpx2.TransportError:  # the server may close a connection that it refuses
            return 0
    if answer.status_code not in FINE and not (answer.status_code == 401 and not target.headers):
        raise Unexpected(f"{path}: {answer.status_code} {answer.text[:200]}")
    return answer.status_code


def _send(connection: socket.socket, *pieces: bytes) -> None:
    with contextlib.suppress(OSError):  # the server closes, as it should
        for piece in pieces:
            connection.sendall(piece)


@contextlib.contextmanager
def _closing(connections: list[socket.socket]) -> Iterator[None]:
    try:
        yield
    finally:
        for connection in connections:
            connection.close()


# Pictures and JSON


def send_picture(name: str) -> Callable[[Target], None]:
    """Twice, with other bytes after its end, so that nobody remembers it."""

    def attack(target: Target) -> None:
        request = attack_bodies.PICTURES[name][1]
        for _ in range(2):
            picture = attack_bodies.picture(name) + random.randbytes(8)
            body, headers = attack_bodies.form(picture, request.encode())
            _post(target, "/segment" if "prompts" in request else "/embeddings", body, headers)

    return attack


def send_json(name: str) -> Callable[[Target], None]:
    def attack(target: Target) -> None:
        path, body = attack_bodies.JSONS[name][0], attack_bodies.json_body(name)
        for _ in range(2):
            _post(target, path, body, {"content-type": "application/json"})
            form, headers = attack_bodies.form(COINS, body)
            if len(form) < 49_000_000:
                _post(target, path, form, headers)

    return attack


# Connections


def head_without_end(target: Target) -> None:
    for _ in range(4):
        with target.connect() as connection:
            _send(connection, b"GET /health HTTP/1.1\r\nHost: x\r\nX: ", *[b"a" * 1_000_000] * 80)


def many_headers(target: Target) -> None:
    for _ in range(4):
        with target.connect() as connection:
            _send(connection, b"GET /health HTTP/1.1\r\nHost: x\r\n", *[b"a: b\r\n" * 100_000] * 100)


def target_without_end(target: Target) -> None:
    for _ in range(4):
        with target.connect() as connection:
            _send(connection, b"GET /", *[b"a" * 1_000_000] * 80)


def chunk_extensions(target: Target) -> None:
    """Chunks of one byte with an extension, and trailers without an end."""
    head = b"POST /segment HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    for _ in range(4):
        with target.connect() as connection:
            _send(connection, head, *[b"1;" + b"a" * 60_000 + b"\r\n1\r\n"] * 500)
        with target.connect() as connection:
            _send(connection, head, b"1\r\n1\r\n0\r\n", *[b"a: " + b"b" * 1_000_000 + b"\r\n"] * 80)


def chunks_of_a_byte(target: Target) -> None:
    head = b"POST /segment HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    for _ in range(2):
        with target.connect() as connection:
            _send(connection, head, *[b"1\r\n \r\n" * 10_000] * 100)


def pipelined(target: Target) -> None:
    """Thousands of requests in one connection, whose answers are not read."""
    for _ in range(4):
        with target.connect(4096) as connection:
            connection.settimeout(10)
            _send(connection, *[b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 100] * 100)


def idle_connections(target: Target) -> None:
    connections: list[socket.socket] = []
    with _closing(connections):
        connections += [target.connect() for _ in range(1500)]
        time.sleep(5)


def slow_bodies(target: Target) -> None:
    """60 bodies that are announced and come byte by byte; they take slots for as long as they last."""
    connections: list[socket.socket] = []
    with _closing(connections):
        for _ in range(60):
            connections.append(target.connect())
            _send(connections[-1], target.head("/segment", 40_000_000) + b"{")
        for _ in range(10):
            time.sleep(1)
            for connection in connections:
                _send(connection, b" ")


# Answers that nobody reads


def _unread(target: Target, path: str, body: bytes, count: int = 64, pause_s: float = 0.5, rate: int = 0) -> None:
    connections: list[socket.socket] = []
    with _closing(connections):
        for _ in range(count):
            connections.append(target.connect(4096))
            _send(connections[-1], target.head(path, len(body)) + body)
            time.sleep(pause_s)
        for _ in range(10):
            time.sleep(0.5)
            for connection in connections if rate else ():
                with contextlib.suppress(OSError):
                    connection.setblocking(False)
                    connection.recv(rate)


def _points(count: int) -> list[dict[str, object]]:
    return [{"points": [[5 * n + 9, 4 * n + 9]]} for n in range(count)]


def unread_logits(target: Target) -> None:
    body = {"image_id": target.image_id, "return_logits": True, "prompts": _points(32)}
    _unread(target, "/segment", json.dumps(body).encode())


def logits_read_slowly(target: Target) -> None:
    """100 bytes a second each: never stalled for long."""
    body = {"image_id": target.image_id, "return_logits": True, "prompts": _points(32)}
    _unread(target, "/segment", json.dumps(body).encode(), rate=50)


def unread_streams(target: Target) -> None:
    body = {"image_id": target.image_id, "stream": True, "points_per_side": 16, "crop_n_layers": 0,
            "pred_iou_thresh": 0, "stability_score_thresh": 0, "mask_format": "png"}  # fmt: skip
    _unread(target, "/segment/auto", json.dumps(body).encode(), count=20)


def unread_files(target: Target) -> None:
    automatic = {"points_per_side": 8, "crop_n_layers": 0, "pred_iou_thresh": 0, "stability_score_thresh": 0}
    body = {"image_id": target.image_id, "automatic": automatic, "format": "archive"}
    _unread(target, "/analyze", json.dumps(body).encode(), count=20)


def unread_page(target: Target) -> None:
    connections: list[socket.socket] = []
    with _closing(connections):
        for _ in range(200):
            connections.append(target.connect(4096))
            _send(connections[-1], b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
        time.sleep(10)


# Honest large requests


def _known(target: Target, size: tuple[int, int]) -> str:
    """Sends a picture of this (width, height); returns its id."""
    with target.client() as client:
        answer = client.post("/embeddings", files={"image": attack_bodies.saved(size, "PNG", "L")})
        answer.raise_for_status()
        return str(answer.json()["image_id"])


def _ask(target: Target, path: str, **fields: object) -> None:
    _post(target, path, json.dumps(fields).encode(), {"content-type": "application/json"})


def large_polygons(target: Target) -> None:
    """64 prompts of 64 megapixels as polygons."""
    prompts = [{"points": [[100 * n + 50, 100 * n + 50]]} for n in range(64)]
    _ask(target, "/segment", image_id=_known(target, (8000, 8000)), prompts=prompts, mask_format="polygon")


def noisy_polygons(target: Target) -> None:
    """Masks with long outlines: a noisy picture and noisy masks before, written as polygons."""
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (256, 256), np.uint8)).resize((8000, 8000), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    with target.client() as client:
        image_id = client.post("/embeddings", files={"image": buffer.getvalue()}).json()["image_id"]
    prompts = []
    for _ in range(64):
        noise = io.BytesIO()
        np.save(noise, rng.normal(0, 30, (256, 256)).astype(np.float32))
        prompts.append({"mask_input": base64.b64encode(noise.getvalue()).decode()})
    _ask(target, "/segment", image_id=image_id, prompts=prompts[:50], mask_format="polygon")


def many_points(target: Target) -> None:
    """64 prompts of 1,024 points."""
    points = [[n % 384, n % 300] for n in range(1024)]
    _ask(target, "/segment", image_id=target.image_id, prompts=[{"points": points}] * 64)


def large_logits(target: Target) -> None:
    prompts = [{"points": [[n % 384, n % 300] for n in range(1024)]}] * 64
    _ask(target, "/segment", image_id=target.image_id, prompts=prompts, return_logits=True, mask_format="png")


def many_large_at_once(target: Target) -> None:
    """16 requests of 64 prompts at once on a large picture."""
    image_id = _known(target, (6000, 6000))
    prompts = [{"box": [50 * n, 50 * n, 50 * n + 900, 50 * n + 2000]} for n in range(64)]

    def ask(_: int) -> None:
        _ask(target, "/segment", image_id=image_id, prompts=prompts, mask_format="png")

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(ask, range(16)))


def large_grids(target: Target) -> None:
    """Four grids as large as they may be, each begun and left after 15 s."""

    def run(_: int) -> None:
        body = {"image_id": target.image_id, "points_per_side": 64, "crop_n_layers": 1, "stream": True}
        ends = time.monotonic() + 15
        with target.client() as client, client.stream("POST", "/segment/auto", json=body) as answer:
            for _ in answer.iter_lines():
                if time.monotonic() > ends:
                    return

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(4)))


def _analyze(make_masks: Callable[[], list[object]]) -> Callable[[Target], None]:
    """Masks of an attacker's making on a picture of 36 megapixels; left after 20 s."""

    def attack(target: Target) -> None:
        body = {"image_id": _known(target, (6000, 6000)), "masks": make_masks(), "stream": True}
        ends = time.monotonic() + 20
        with (
            contextlib.suppress(httpx2.TimeoutException),
            target.client() as client,
            client.stream("POST", "/analyze", json=body, timeout=20) as answer,
        ):
            for _ in answer.iter_lines():
                if time.monotonic() > ends:
                    return

    return attack


def _whole_masks() -> list[object]:
    """50,000 masks of 36 megapixels each, as run lengths of a few bytes."""
    counts = coco.encode(np.asfortranarray(np.ones((6000, 6000), np.uint8)))["counts"].decode()
    return [{"size": [6000, 6000], "counts": counts}] * 50_000


def _noisy_polygons() -> list[object]:
    """Masks whose outlines go to and fro across the picture."""
    outline = [[n % 2 * 5999, n] for n in range(6000)] + [[0, 6000], [0, 0]]
    return [[[outline]]] * 200


def _whole_pngs() -> list[object]:
    """2,000 PNGs of 36 megapixels."""
    text = base64.b64encode(attack_bodies.saved((6000, 6000), "PNG", "1")).decode()
    return [text] * 2000


ATTACKS: dict[str, Callable[[Target], None]] = {
    "head without an end": head_without_end,
    "many headers": many_headers,
    "target without an end": target_without_end,
    "chunk extensions and trailers": chunk_extensions,
    "chunks of a byte": chunks_of_a_byte,
    "pipelined, unread": pipelined,
    "1,500 idle connections": idle_connections,
    "60 slow bodies": slow_bodies,
    "unread logits": unread_logits,
    "logits read slowly": logits_read_slowly,
    "unread streams": unread_streams,
    "unread files": unread_files,
    "unread documents": unread_page,
    **{f"JSON: {name}": send_json(name) for name in attack_bodies.JSONS},
    **{name: send_picture(name) for name in attack_bodies.PICTURES},
    "64 prompts of 64 megapixels": large_polygons,
    "50 noisy polygons of 64 megapixels": noisy_polygons,
    "64 prompts of 1,024 points": many_points,
    "64 prompts of 1,024 points, logits": large_logits,
    "16 times 64 prompts of 36 megapixels": many_large_at_once,
    "four large grids": large_grids,
    "analysis of 50,000 large masks": _analyze(_whole_masks),
    "analysis of polygons to and fro": _analyze(_noisy_polygons),
    "analysis of 2,000 large PNGs": _analyze(_whole_pngs),
}
"""Name -> the attack."""


def prepare(name: str) -> None:
    """Makes what the attack sends, so that it takes no time later."""
    short = name.removeprefix("JSON: ")
    if name in attack_bodies.PICTURES:
        attack_bodies.picture(name)
    elif short in attack_bodies.JSONS:
        attack_bodies.json_body(short)
