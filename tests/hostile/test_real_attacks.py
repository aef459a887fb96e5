"""Small requests with large effects, sent to a real server while another client clicks: its clicks do not suffer."""

import json
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from real_server import RealServer, serving

from segmentation.weights.manifest import PROJECT_ROOT

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]

PICTURE = PROJECT_ROOT / "docs" / "images" / "coins.png"
SLOWER = 5
"""The 95th percentile of clicks during an attack, over the idle one."""
GROWTH_BYTES = 500_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    with serving(tmp_path_factory.mktemp("attacked"), {"SAM_MODEL_TYPE": "demo"}) as server:
        yield server


class Clicks:
    """A client that clicks ten times a second."""

    def __init__(self, url: str) -> None:
        self.url = url
        with httpx2.Client(base_url=url, timeout=60) as client:
            answer = client.post("/embeddings", files={"image": PICTURE.read_bytes()})
        self.image_id: str = answer.json()["image_id"]
        self.request = {"image_id": self.image_id, "prompts": [{"points": [[140, 52]]}]}

    @contextmanager
    def going(self) -> Iterator[list[float]]:
        """Seconds of each click; infinite for one that failed."""
        seconds: list[float] = []
        ended = threading.Event()

        def click() -> None:
            with httpx2.Client(base_url=self.url, timeout=60) as client:
                while not ended.wait(0.1):
                    started = time.perf_counter()
                    try:
                        status = client.post("/segment", json=self.request).status_code
                    except httpx2.TransportError:
                        status = 0
                    seconds.append(time.perf_counter() - started if status == 200 else float("inf"))

        thread = threading.Thread(target=click)
        thread.start()
        try:
            yield seconds
        finally:
            ended.set()
            thread.join()


def p95(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=20)[-1]


def resident(server: RealServer) -> dict[int, int]:
    """Resident bytes of every process."""
    found = {}
    for pid in server.processes():
        status = Path(f"/proc/{pid}/statm")
        if status.exists():
            found[pid] = int(status.read_text().split()[1]) * 4096
    return found


def connect(server: RealServer, receive_buffer: int = 0) -> socket.socket:
    connection = socket.socket()
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(60)
    connection.connect(("127.0.0.1", int(server.url.rpartition(":")[2])))
    return connection


def send(connection: socket.socket, *pieces: bytes) -> None:
    try:
        for piece in pieces:
            connection.sendall(piece)
    except OSError:  # the server closed, as it should
        return


def head(server: RealServer, clicks: Clicks) -> None:
    for _ in range(4):
        with connect(server) as connection:
            send(connection, b"GET /health HTTP/1.1\r\nHost: x\r\nX: ", *[b"a" * 1_000_000] * 80)


def numbers(server: RealServer, clicks: Clicks) -> None:
    kind = {"content-type": "application/json"}
    with server.client() as client:
        for _ in range(4):
            body = b'{"image_id":"x","prompts":[' + b"1," * 12_000_000 + b"1]}"
            assert client.post("/segment", content=body, headers=kind).status_code == 422
            prompts = [{"points": [[1.5, 2.5]] * 1024, "labels": ["a"] * 1024}] * 64
            assert client.post("/segment", json={"image_id": "x", "prompts": prompts}).status_code == 422


def unread(server: RealServer, clicks: Clicks) -> None:
    prompts = [{"points": [[5 * n + 9, 4 * n + 9]]} for n in range(32)]
    body = json.dumps({"image_id": clicks.image_id, "return_logits": True, "prompts": prompts}).encode()
    request = b"POST /segment HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    connections = []
    for _ in range(64):
        connections.append(connect(server, 4096))
        send(connections[-1], request % len(body) + body)
        time.sleep(0.5)
    time.sleep(5)
    for connection in connections:
        connection.close()


def idle_connections(server: RealServer, clicks: Clicks) -> None:
    connections = [connect(server) for _ in range(1500)]
    time.sleep(5)
    for connection in connections:
        connection.close()


@pytest.mark.parametrize("attack", [head, numbers, unread, idle_connections])
def test_clicks_do_not_suffer(server: RealServer, attack: Callable[[RealServer, Clicks], None]) -> None:
    clicks = Clicks(server.url)
    with clicks.going() as idle:
        time.sleep(5)
    before = resident(server)
    with clicks.going() as attacked:
        attack(server, clicks)
        peak = resident(server)
        time.sleep(1)
    assert float("inf") not in attacked
    assert p95(attacked) < SLOWER * p95(idle)
    assert set(before) <= set(peak), "a process was lost"
    assert max(peak[pid] - before[pid] for pid in before) < GROWTH_BYTES
