"""Hostile HTTP, as bytes on a socket: what is no HTTP gets 400 in plain text or no answer, all else a problem."""

import json
import socket
import time
from collections.abc import Iterator

import documented
import httpx2
import pytest
from http_server import exchange, listening, read_to_end
from local_graph import LocalGraph

from deployments.http.problems import KINDS, MEDIA_TYPE
from deployments.http.routes import create_app

NO_HTTP = "no http"
CLOSED = "closed"


def request(line: str, *fields: str, body: bytes = b"") -> bytes:
    head = "\r\n".join([line, "Host: x", "Connection: close", *fields])
    return head.encode("latin-1") + b"\r\n\r\n" + body


def post(*fields: str, body: bytes = b"") -> bytes:
    return request("POST /embeddings HTTP/1.1", "Content-Type: application/json", *fields, body=body)


def outcome(answer: bytes) -> str:
    """`CLOSED`, `NO_HTTP`, `ok`, or the code of the problem."""
    if not answer:
        return CLOSED
    while answer.startswith(b"HTTP/1.1 100"):
        answer = answer.partition(b"\r\n\r\n")[2]
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split()[1])
    if status == 200:
        return "ok"
    if MEDIA_TYPE.encode() not in head:
        assert (status, body) in {(400, b"Invalid HTTP request received."), (431, b"")}, answer[:300]
        return NO_HTTP
    return documented.problem_code(
        status, MEDIA_TYPE, json.loads(body[body.index(b"{") : body.rindex(b"}") + 1]), set(KINDS)
    )


REQUESTS: dict[str, tuple[bytes, set[str]]] = {
    "a method that is none": (request("BREW /segment HTTP/1.1"), {"method_not_allowed", NO_HTTP}),
    "TRACE": (request("TRACE /segment HTTP/1.1"), {"method_not_allowed"}),
    "CONNECT": (request("CONNECT x:443 HTTP/1.1"), {"not_found", NO_HTTP}),
    "PROPFIND": (request("PROPFIND / HTTP/1.1"), {"not_found", "method_not_allowed"}),
    "a method in lower case": (request("post /segment HTTP/1.1"), {"method_not_allowed", NO_HTTP}),
    "HEAD": (request("HEAD /segment HTTP/1.1", "X-Request-ID: a"), {"method_not_allowed"}),
    "an address that climbs": (request("GET /docs/assets/../../../etc/passwd HTTP/1.1"), {"not_found"}),
    "a null byte in the address": (request("GET /docs/assets/%00 HTTP/1.1"), {"not_found"}),
    "an address of other bytes": (request("GET /%ff%fe HTTP/1.1"), {"not_found"}),
    "an address of 60 KB": (request("GET /" + "a" * 60_000 + " HTTP/1.1"), {"not_found", NO_HTTP}),
    "a query of 60 KB": (request("GET /health?" + "a" * 60_000 + " HTTP/1.1"), {"ok", NO_HTTP}),
    "a whole address": (request("GET http://example.org/health HTTP/1.1"), {"ok", "not_found"}),
    "no version": (b"GET /health\r\n\r\n", {NO_HTTP, CLOSED, "ok"}),
    "HTTP/9.9": (request("GET /health HTTP/9.9"), {NO_HTTP}),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {NO_HTTP}),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), {NO_HTTP}),
    "bytes": (bytes(range(256)) * 10, {NO_HTTP}),
    "a header of 1 MB": (request("GET /health HTTP/1.1", "X: " + "a" * 1_000_000), {"headers_too_large", CLOSED}),
    "10000 headers": (request("GET /health HTTP/1.1", *["X: y"] * 20_000), {"headers_too_large", CLOSED}),
    "a null byte in a header": (request("GET /health HTTP/1.1", "X: a\0b"), {NO_HTTP}),
    "a folded header": (request("GET /health HTTP/1.1", "X: a\r\n b"), {"ok", NO_HTTP}),
    "a length of -1": (post("Content-Length: -1"), {NO_HTTP}),
    "a length of text": (post("Content-Length: many"), {NO_HTTP}),
    "a length of other digits": (post("Content-Length: \xb2"), {NO_HTTP}),
    "a length of 10**30": (post(f"Content-Length: {10**30}"), {"body_too_large", NO_HTTP}),
    "two lengths": (post("Content-Length: 2", "Content-Length: 3", body=b"{}"), {NO_HTTP}),
    "a length beyond the limit": (post("Content-Length: 99000000"), {"body_too_large"}),
    "a length that is too short": (post("Content-Length: 1", body=b'{"image": "x"}'), {"invalid_json"}),
    "chunks": (post("Transfer-Encoding: chunked", body=b"2\r\n{}\r\n0\r\n\r\n"), {"invalid_request"}),
    "chunks that say nothing": (post("Transfer-Encoding: chunked", body=b"zz\r\n{}\r\n"), {NO_HTTP, CLOSED}),
    "chunks and a length": (
        post("Content-Length: 2", "Transfer-Encoding: chunked", body=b"2\r\n{}\r\n0\r\n\r\n"),
        {"invalid_request", NO_HTTP},
    ),
    "a chunk of 2**64": (post("Transfer-Encoding: chunked", body=b"f" * 17 + b"\r\n{}\r\n"), {NO_HTTP, CLOSED}),
    "a coding that is none": (post("Transfer-Encoding: gzip, x", body=b"{}"), {NO_HTTP, "invalid_json", CLOSED}),
    "a body in gzip": (
        post("Content-Encoding: gzip", "Content-Length: 3", body=b"\x1f\x8b\x08"),
        {"invalid_json", "unsupported_media_type"},
    ),
    "100-continue": (post("Expect: 100-continue", "Content-Length: 2", body=b"{}"), {"invalid_request"}),
    "an expectation that is none": (post("Expect: cake", "Content-Length: 2", body=b"{}"), {"invalid_request"}),
    "an upgrade": (request("GET /health HTTP/1.1", "Upgrade: websocket", "Sec-WebSocket-Key: x"), {"ok", NO_HTTP}),
    "a hostile request id": (request("GET /no HTTP/1.1", "X-Request-ID: <script>" + "a" * 500), {"not_found"}),
    "two hosts": (request("GET /health HTTP/1.1", "Host: y"), {"ok", NO_HTTP}),
    "many ranges": (request("GET /docs HTTP/1.1", "Range: bytes=" + ",".join(["0-1"] * 5000)), {"ok", NO_HTTP}),
}  # fmt: skip


@pytest.mark.parametrize("name", REQUESTS)
def test_hostile_http_is_answered_and_the_server_lives(server: httpx2.Client, name: str) -> None:
    sent, expected = REQUESTS[name]
    try:
        answer = exchange(str(server.base_url).rstrip("/"), sent)
    except ConnectionError:  # the server closed while we were still sending
        answer = b""
    if name == "HEAD":
        assert answer.startswith(b"HTTP/1.1 405 ")
    else:
        assert outcome(answer) in expected
    assert server.get("/health").status_code == 200


def test_a_client_that_breaks_off_leaves_nothing_behind(server: httpx2.Client) -> None:
    url = str(server.base_url).rstrip("/")
    for _ in range(20):
        assert outcome(exchange(url, post("Content-Length: 1000", body=b"{"), close=True)) in {CLOSED, NO_HTTP}
    assert server.get("/health").status_code == 200


@pytest.fixture
def impatient() -> Iterator[str]:
    with listening(create_app(LocalGraph(settings={"prompt_timeout_s": 0.5, "max_queue": 2}).service)) as url:
        yield url


def test_a_slow_upload_is_ended_by_the_deadline(impatient: str) -> None:
    host, _, port = impatient.removeprefix("http://").partition(":")
    started = time.monotonic()
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(post("Content-Length: 1000"))
        received = b""
        while not received:
            assert time.monotonic() - started < 10
            connection.sendall(b" ")
            connection.settimeout(0.1)
            try:
                received = connection.recv(65_536)
            except TimeoutError:
                continue
        connection.settimeout(10)
        received += read_to_end(connection)
    assert outcome(received) == "timeout"
    # Its place is free again.
    assert [httpx2.post(f"{impatient}/embeddings", json={}).status_code for _ in range(3)] == [422] * 3
