"""Pictures by URL: fetched from listed origins only, against a real server on the loopback interface."""

import asyncio
import base64
import json
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from certificates import certified
from file_server import Answer, FileServer, serving
from local_graph import LocalGraph
from starlette.testclient import TestClient

from deployments.calls.errors import BodyTooLarge, DeadlineExceeded, Forbidden, Overloaded
from deployments.http.admission.byte_budget import ByteBudget
from deployments.http.openapi.examples import DISC
from deployments.http.picture_fetch import PictureFetch, Resolve, is_public
from deployments.http.routes import create_app
from segmentation.errors import InvalidImage, InvalidRequest, SegmentationError

PICTURE = base64.b64decode(DISC.partition(",")[2])
PATH = "/weights.pth"
OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
def files() -> Iterator[FileServer]:
    with serving(PICTURE) as server:
        yield server


def origin(files: FileServer) -> str:
    return files.url.removesuffix(PATH)


def fetch(
    url: str,
    origins: Sequence[str],
    *,
    max_bytes: int = 10_000,
    timeout_s: float = 5.0,
    budget: ByteBudget | None = None,
    resolve: Resolve | None = None,
) -> bytes:
    budget = budget or ByteBudget(1_000_000)

    async def run() -> bytes:
        fetcher = PictureFetch(origins, max_bytes=max_bytes, timeout_s=timeout_s, resolve=resolve)
        with budget.share() as share:
            data = await fetcher.fetch(url, share)
            assert budget.taken == len(data)
            return data

    data = asyncio.run(run())
    assert budget.taken == 0
    return data


@contextmanager
def saying(answer: bytes, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """A server that sends these bytes to its one client, and yields its origin."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                try:
                    speaking = connection if tls is None else tls.wrap_socket(connection, server_side=True)
                except (ssl.SSLError, ConnectionError):  # a client that does not trust us leaves
                    return
                with speaking:
                    speaking.recv(65_536)
                    speaking.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"{'http' if tls is None else 'https'}://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(10)


def resolving(*addresses: str) -> Resolve:
    async def resolve(host: str, port: int) -> list[str]:
        return list(addresses)

    return resolve


def test_a_listed_picture_is_fetched(files: FileServer) -> None:
    assert fetch(files.url, [origin(files)]) == PICTURE
    assert fetch(files.url.upper().replace(PATH.upper(), PATH) + "#fragment", [origin(files)]) == PICTURE


def test_a_picture_without_a_length_and_one_in_chunks(files: FileServer) -> None:
    files.otherwise = Answer(says_length=False)
    assert fetch(files.url, [origin(files)]) == PICTURE
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    with saying(chunked) as place:
        assert fetch(place, [place]) == b"abcde"


def test_a_picture_over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tls, trusted = certified("127.0.0.1", tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    with saying(OK + b"Content-Length: 5\r\n\r\nabcde", tls) as place:
        assert fetch(f"{place}/a.png", [place]) == b"abcde"


@pytest.mark.parametrize(
    ("address", "days", "is_trusted"),
    [("127.0.0.1", 1, False), ("127.0.0.2", 1, True), ("127.0.0.1", -1, True)],
    ids=["of nobody that is trusted", "of another address", "that has ended"],
)
def test_a_certificate_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, days: int, is_trusted: bool
) -> None:
    tls, trusted = certified(address, tmp_path, days=days)
    if is_trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    with saying(OK + b"Content-Length: 5\r\n\r\nabcde", tls) as place, pytest.raises(InvalidImage) as caught:
        fetch(f"{place}/a.png", [place])
    assert str(caught.value) == f"{place} can't be reached"


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("https://other.example/a.png", Forbidden),
        ("http://pictures.example/a.png", Forbidden),  # listed with https
        ("https://pictures.example:8443/a.png", Forbidden),
        ("https://pictures.example./a.png", Forbidden),
        ("https://pictures.example.other.example/a.png", Forbidden),
        ("http://2130706433/", Forbidden),
        ("http://[::1]/", Forbidden),
        ("http://169.254.169.254/latest/meta-data", Forbidden),
        ("https://pictures.example@other.example/", InvalidRequest),
        ("https://pictures.example\\@other.example/", InvalidRequest),
        ("https://pictures.example:x/", InvalidRequest),
        ("https://[pictures.example/", InvalidRequest),
        ("https://pictures.example/a b", InvalidRequest),
        ("https://pictures.example/\r\nX: y", InvalidRequest),
        ("https://pictures.exämple/", InvalidRequest),
        ("https://pictures.example/" + "a" * 5000, InvalidRequest),
        ("file:///etc/passwd", InvalidRequest),
        ("gopher://pictures.example/", InvalidRequest),
        ("", InvalidRequest),
    ],
)
def test_what_is_not_listed_is_not_even_looked_up(url: str, error: type[SegmentationError]) -> None:
    async def never(host: str, port: int) -> list[str]:
        raise AssertionError(f"{host} was looked up")

    with pytest.raises(error):
        fetch(url, ["https://pictures.example"], resolve=never)


def test_without_a_list_nothing_is_fetched(files: FileServer) -> None:
    with pytest.raises(Forbidden, match="no pictures by URL"):
        fetch(files.url, [])
    assert files.asked == []


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["::1"], ["::ffff:127.0.0.1"], []])
def test_a_name_that_leads_into_a_private_network_is_forbidden(files: FileServer, addresses: list[str]) -> None:
    port = origin(files).rpartition(":")[2]
    with pytest.raises(Forbidden, match="private"):
        fetch(f"http://pictures.example:{port}/", [f"http://pictures.example:{port}"], resolve=resolving(*addresses))
    assert files.asked == []


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True), ("2606:4700::1", True), ("127.0.0.1", False), ("0.0.0.0", False), ("10.1.2.3", False),
        ("172.16.0.1", False), ("192.168.0.1", False), ("100.64.0.1", False), ("169.254.169.254", False),
        ("224.0.0.1", False), ("240.0.0.1", False), ("255.255.255.255", False), ("::", False), ("fc00::1", False),
        ("fe80::1", False), ("ff02::1", False), ("::ffff:10.0.0.1", False), ("64:ff9b::a00:1", False),
        ("2002:7f00:1::", False), ("2001:0:7f00:1::", False),
    ],
)  # fmt: skip
def test_public_addresses(address: str, public: bool) -> None:
    assert is_public(address) is public


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Answer(status=302, location="http://169.254.169.254/"), "redirects"),
        (Answer(status=404), "404"),
        (Answer(status=500), "500"),
        (Answer(cut=10), "broke off"),
        (Answer(claims=9_999), "broke off"),
    ],
)
def test_servers_that_have_no_picture(files: FileServer, answer: Answer, says: str) -> None:
    files.otherwise = answer
    with pytest.raises(InvalidImage, match=says):
        fetch(files.url, [origin(files)])
    assert len(files.asked) == 1


@pytest.mark.parametrize(
    "answer",
    [b"", b"hello\r\n\r\n", OK + b"Content-Length: -1\r\n\r\n", OK + b"X: " + b"a" * 200_000],
    ids=["nothing", "text", "a length of -1", "an endless header"],
)
def test_servers_that_speak_no_http(answer: bytes) -> None:
    with saying(answer) as place, pytest.raises(InvalidImage):
        fetch(place, [place])


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        place = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(InvalidImage, match="can't be reached"):
        fetch(place, [place])


@pytest.mark.parametrize("says_length", [True, False])
def test_sizes_are_bounded_while_the_picture_comes(files: FileServer, says_length: bool) -> None:
    files.otherwise = Answer(says_length=says_length)
    assert fetch(files.url, [origin(files)], max_bytes=len(PICTURE)) == PICTURE
    with pytest.raises(BodyTooLarge):
        fetch(files.url, [origin(files)], max_bytes=len(PICTURE) - 1)
    with pytest.raises(Overloaded):
        fetch(files.url, [origin(files)], budget=ByteBudget(len(PICTURE) - 1))


def test_a_server_that_is_silent_is_given_up(files: FileServer) -> None:
    files.otherwise = Answer(silent_s=20)
    with pytest.raises(DeadlineExceeded, match=r"within 0\.3 s"):
        fetch(files.url, [origin(files)], timeout_s=0.3)


def test_a_request_by_url_is_answered_as_one_by_file(files: FileServer) -> None:
    with TestClient(create_app(LocalGraph(settings={"image_url_origins": (origin(files),)}).service)) as client:
        by_url = client.post("/embeddings", json={"image_url": files.url, "decode": {"page": 0}})
        assert by_url.status_code == 200, by_url.text
        assert by_url.json()["image_id"] == client.post("/embeddings", json={"image": DISC}).json()["image_id"]
        form = client.post("/embeddings", files={"request": (None, json.dumps({"image_url": files.url}))})
        assert form.json()["image_id"] == by_url.json()["image_id"]
        prompts = {"prompts": [{"points": [[15, 11]]}]}
        assert client.post("/segment", json={"image_url": files.url, **prompts}).status_code == 200
        asked = len(files.asked)
        for wrong in ({"image": DISC}, {"image_id": "abc"}, {"decode": {"page": -1}}):
            assert (
                client.post("/embeddings", json={"image_url": files.url, **wrong}).json()["code"] == "invalid_request"
            )
        assert client.post("/segment", json={"image_url": files.url, "prompts": []}).json()["code"] == "invalid_request"
        assert len(files.asked) == asked, "what is wrong otherwise fetches nothing"
        other = client.post("/embeddings", json={"image_url": "http://127.0.0.1:1/a.png"})
        assert (other.status_code, other.json()["code"]) == (403, "forbidden")


def test_by_default_every_url_is_forbidden(files: FileServer) -> None:
    with TestClient(create_app(LocalGraph().service)) as client:
        answer = client.post("/embeddings", json={"image_url": files.url})
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert files.asked == []


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n" * 100_000,
        OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 100_000 + b"0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"1;x=" + b"a" * 1_000_000,
    ],
)
def test_a_server_that_sends_little_picture_in_much_is_left(answer: bytes) -> None:
    with saying(answer) as listed, pytest.raises(InvalidImage):
        fetch(f"{listed}/a.png", [listed], max_bytes=10_000_000)


def test_a_few_interim_answers_and_large_chunks_are_fine() -> None:
    chunk = b"%x\r\n%b\r\n" % (5000, b"a" * 5000)
    answer = b"HTTP/1.1 103 Early Hints\r\n\r\n" * 2 + OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 40
    with saying(answer + b"0\r\n\r\n") as listed:
        assert fetch(f"{listed}/a.png", [listed], max_bytes=1_000_000) == b"a" * 200_000
