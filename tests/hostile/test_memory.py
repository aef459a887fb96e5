"""What hostile and large bodies cost in memory, measured on a server whose process is this one."""

import base64
import io
import json
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import hostile_pictures
import httpx2
import pytest
from http_server import listening
from local_graph import LocalGraph
from PIL import Image

from deployments.http.openapi.examples import DISC
from deployments.http.routes import create_app

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
    pytest.mark.filterwarnings("ignore::UserWarning:PIL"),
]

MB = 1_000_000
HEAD = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
TAIL = b"\r\n--x--\r\n"


def memory(line: str) -> int:
    """Bytes of resident memory: `VmRSS` now, `VmHWM` at its peak."""
    found = re.search(rf"{line}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return 1024 * int(found.group(1))


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """With the limits as they are by default."""
    with listening(create_app(LocalGraph(settings={"embedding_cache_mb": 1.0}).service)) as url:
        yield url


def upload(url: str, body_bytes: int, picture: bytes, *, end: bytes = b"0\r\n\r\n") -> tuple[int, dict[str, object]]:
    """Sends a form of exactly that many bytes, a megabyte at a time: what fills it up follows the picture."""
    host, _, port = url.removeprefix("http://").partition(":")
    kind = "Content-Type: multipart/form-data; boundary=x\r\nTransfer-Encoding: chunked"
    head = f"POST /embeddings HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{kind}\r\n\r\n"
    left = body_bytes - len(HEAD) - len(picture) - len(TAIL)
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(head.encode())
        for piece in (HEAD + picture, *[bytes(min(MB, left - done)) for done in range(0, left, MB)], TAIL):
            connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        connection.sendall(end)
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    head_bytes, _, body = answer.partition(b"\r\n\r\n")
    return int(head_bytes.split()[1]), json.loads(body[body.index(b"{") : body.rindex(b"}") + 1])


def disc() -> bytes:
    return base64.b64decode(DISC.partition(",")[2])


def test_an_upload_at_the_true_limit_and_one_byte_over(url: str) -> None:
    upload(url, 1 * MB, disc())
    before = memory("VmRSS")
    forget_peak()
    assert upload(url, 50 * MB, disc())[0] == 200
    status, problem = upload(url, 50 * MB + 1, disc(), end=b"")  # an end that the server leaves unread would reset
    assert (status, problem["code"]) == (413, "body_too_large")
    assert memory("VmHWM") - before < 250 * MB


@pytest.mark.parametrize("extra", [0, 1])
def test_a_picture_at_the_true_limit_and_a_row_over(url: str, extra: int) -> None:
    """64 megapixels; black ones, so that the file is small."""
    buffer = io.BytesIO()
    Image.new("1", (8000, 8000 + extra)).save(buffer, "PNG")
    before = memory("VmRSS")
    forget_peak()
    answer = httpx2.post(f"{url}/embeddings", files={"image": buffer.getvalue()}, timeout=60)
    assert (answer.status_code, answer.json().get("code")) == ((413, "image_too_large") if extra else (200, None))
    assert memory("VmHWM") - before < (20 if extra else 12 * 64) * MB  # bytes a pixel


def test_hostile_pictures_leave_no_memory_behind(url: str) -> None:
    def all_of_them(client: httpx2.Client) -> None:
        for data, _ in (hostile_pictures.BOMBS | hostile_pictures.DAMAGED).values():
            assert client.post("/embeddings", files={"image": data}, timeout=60).status_code in {200, 400, 413}

    with httpx2.Client(base_url=url) as client:
        all_of_them(client)
        before = memory("VmRSS")
        forget_peak()
        for _ in range(3):
            all_of_them(client)
    assert memory("VmRSS") - before < 40 * MB
    assert memory("VmHWM") - before < 250 * MB
