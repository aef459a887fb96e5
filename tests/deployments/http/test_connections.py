"""Bounds on connections, on real sockets: heads without an end, clients that say or take nothing, too many of them."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from http_server import exchange, listening, read_to_end
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from deployments.http.connections import CONNECTION, BoundedHttpProtocol, ConnectionBounds

GET = b"GET / HTTP/1.1\r\nHost: x\r\n"
ANSWER = b"a" * 20_000_000
"""More than sockets buffer."""


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    assert isinstance(scope.pop(CONNECTION), BoundedHttpProtocol)
    if scope["path"] == "/large":
        await Response(ANSWER)(scope, receive, send)
        return
    size = 0
    while (message := await receive())["type"] == "http.request":
        size += len(message["body"])
        if not message["more_body"]:
            break
    await Response(str(size))(scope, receive, send)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with listening(app, ConnectionBounds(head_s=1.0, stalled_s=0.5, connections=20)) as url:
        yield url


@contextmanager
def connected(url: str, sent: bytes = b"", receive_buffer: int | None = None) -> Iterator[socket.socket]:
    with socket.socket() as connection:
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", int(url.rpartition(":")[2])))
        connection.sendall(sent)
        yield connection


def flood(connection: socket.socket, piece: bytes, pieces: int) -> None:
    try:
        for _ in range(pieces):
            connection.sendall(piece)
    except OSError:  # the server closed meanwhile
        return


def answered(connection: socket.socket) -> tuple[int, str]:
    """(status, code of the problem); (0, "") if the connection was closed without an answer."""
    received = read_to_end(connection)
    if not received:
        return 0, ""
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["code"] if body.startswith(b"{") else ""


LARGE = {(431, "headers_too_large"), (400, ""), (0, "")}
"""Or what is no HTTP; or a reset, where the server closed while the client was still sending."""


@pytest.mark.parametrize(
    "begin",
    [b"GET / HTTP/1.1\r\nX: ", b"GET /", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nX", GET + b"Y: " + b"a" * 60_000],
)
@pytest.mark.parametrize("piece", [b"a" * 100_000, b"X: y\r\n" * 100, b"b" * 999])
def test_a_head_has_at_most_64_kilobytes(url: str, begin: bytes, piece: bytes) -> None:
    started = time.monotonic()
    with connected(url, begin) as connection:
        flood(connection, piece, 70_000_000 // len(piece) if len(piece) > 1000 else 1000)
        assert answered(connection) in LARGE
    assert time.monotonic() - started < 2
    assert exchange(url, GET + b"Connection: close\r\n\r\n").endswith(b"\r\n\r\n0")


@pytest.mark.parametrize("size", [65_000, 70_000, 200_000])
def test_a_whole_head_is_measured_exactly(url: str, size: int) -> None:
    answer = exchange(url, GET + b"Connection: close\r\nX: " + b"a" * size + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200" if size < 65_536 else b"HTTP/1.1 431")


def test_trailers_and_extensions_of_chunks_are_bounded_too(url: str) -> None:
    post = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    for begin in (b"1\r\na\r\n0\r\nX: ", b"1\r\na\r\n0\r\n\r", b"1;x="):
        with connected(url, post + begin) as connection:
            flood(connection, b"b" * 100_000, 100)
            assert read_to_end(connection)[9:12] in {b"", b"400", b"431"}
    body = b"1\r\na\r\n" * 100_000 + b"0\r\nX: y\r\n\r\n"
    assert exchange(url, post + body).endswith(b"100000")


def test_chunks_of_a_byte_come_whole(url: str) -> None:
    """They are parsed in turns with other connections."""
    post = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    with connected(url, post) as connection:
        connection.sendall(b"1\r\na\r\n" * 300_000)
        assert exchange(url, GET + b"Connection: close\r\n\r\n").startswith(b"HTTP/1.1 200")
        connection.sendall(b"0\r\n\r\n")
        assert read_to_end(connection).endswith(b"300000")


@pytest.mark.parametrize(("requests", "answers"), [(17, 17), (5000, 0)])
def test_few_requests_may_be_sent_ahead_of_an_answer(url: str, requests: int, answers: int) -> None:
    last = GET + b"Connection: close\r\n\r\n"
    with connected(url) as connection:
        flood(connection, (GET + b"\r\n") * (requests - 1) + last, 1)
        assert read_to_end(connection).count(b"HTTP/1.1 200") == answers


def test_a_body_is_not_counted_as_a_head(url: str) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 10000000\r\n\r\n"
    assert exchange(url, head + b"a" * 10_000_000).endswith(b"10000000")


def test_one_connection_takes_requests_one_after_another(url: str) -> None:
    with connected(url) as connection:
        for _ in range(100):
            connection.sendall(GET + b"X: " + b"a" * 10_000 + b"\r\n\r\n")
            assert connection.recv(1000).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nX: y\r\n"])
def test_a_head_that_does_not_come_is_not_waited_for(url: str, sent: bytes) -> None:
    with connected(url, sent) as connection:
        started = time.monotonic()
        assert answered(connection) == (408, "headers_too_slow")
        assert 0.5 < time.monotonic() - started < 10


def test_a_head_that_comes_byte_by_byte_is_not_waited_for(url: str) -> None:
    with connected(url, GET + b"X: ") as connection:
        started = time.monotonic()
        connection.settimeout(0.05)
        received = b""
        while not received and time.monotonic() - started < 10:
            connection.send(b"a")
            try:
                received = connection.recv(1000)
            except TimeoutError:
                continue
    assert received.startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("fields", [b"", b"Connection: close\r\n"])
def test_a_client_that_takes_nothing_is_dropped(url: str, fields: bytes) -> None:
    with connected(url, b"GET /large HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n", 4096) as connection:
        time.sleep(1.5)
        received = read_to_end(connection)
    assert received.startswith(b"HTTP/1.1 200")
    assert len(received) < len(ANSWER)


def test_a_client_that_takes_slowly_gets_everything(url: str) -> None:
    with connected(url, b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") as connection:
        received = 0
        for turn in range(10_000_000):
            received += len(piece := connection.recv(200_000))
            if not piece:
                break
            if turn < 10:
                time.sleep(0.2)
    assert received > len(ANSWER)


def test_connections_without_a_request_make_room_for_others(url: str) -> None:
    with connected(url, GET + b"\r\n") as busy:
        assert busy.recv(1000).startswith(b"HTTP/1.1 200")
        waiting = [socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) for _ in range(60)]
        assert exchange(url, GET + b"Connection: close\r\n\r\n").startswith(b"HTTP/1.1 200")
        busy.sendall(GET + b"\r\n")  # those that never sent a request are closed first
        assert busy.recv(1000).startswith(b"HTTP/1.1 200")
        for connection in waiting:
            connection.close()


def test_too_many_requests_at_once_are_refused(url: str) -> None:
    post = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"
    port = int(url.rpartition(":")[2])
    busy = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
    for connection in busy:
        connection.sendall(post)
    time.sleep(0.3)
    with connected(url) as one_more:
        assert answered(one_more) == (503, "overloaded")
    for connection in busy:
        connection.sendall(b"12345")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        connection.close()
