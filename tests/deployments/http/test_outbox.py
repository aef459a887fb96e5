"""Answers that nobody reads: the application is not held up, slots are free, and what waits is bounded."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator

import httpx2
import pytest
from http_server import listening
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from deployments.http.connections import ConnectionBounds
from deployments.http.outbox import UnsentBytes, open_outbox
from deployments.load_shedder import LoadShedder

SIZE = 20_000_000
"""Of an answer: more than sockets buffer."""
MAX_UNSENT_BYTES = 60_000_000
SLOTS = 4

pytestmark = pytest.mark.anyio


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    size = SIZE if scope["path"] == "/segment" else 10
    await Response(b"a" * size, headers={"Sam-Slots": str(SLOTS)})(scope, receive, send)


class Shedder(LoadShedder):
    """Makes what belongs to an event loop in the event loop of the server."""

    def __init__(self) -> None:
        self.trimmed = threading.Event()
        self.unsent = UnsentBytes(MAX_UNSENT_BYTES, trim=self.trimmed.set)
        super().__init__(app, unsent=self.unsent)


@pytest.fixture
def shedder() -> Shedder:
    return Shedder()


@pytest.fixture
def url(shedder: Shedder) -> Iterator[str]:
    with listening(shedder, ConnectionBounds(stalled_s=4.0)) as url:
        yield url


def unread(url: str) -> socket.socket:
    """A client that asks for a large answer and takes nothing of it."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", int(url.rpartition(":")[2])))
    connection.sendall(b"POST /segment HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
    return connection


def test_unread_answers_hold_no_slot_and_little_memory_and_are_dropped(url: str, shedder: Shedder) -> None:
    with httpx2.Client(base_url=url) as client:
        clients = []
        for _ in range(3 * SLOTS):
            clients.append(unread(url))
            time.sleep(0.1)
            assert client.post("/embeddings").status_code == 200
        time.sleep(1)
        assert 0 < shedder.unsent.nbytes <= MAX_UNSENT_BYTES
        assert shedder.unsent.closed >= 3 * SLOTS - MAX_UNSENT_BYTES // SIZE - 1
        time.sleep(4.5)
        assert shedder.unsent.nbytes == 0
        assert client.post("/embeddings").status_code == 200
        assert len(client.post("/segment").content) == SIZE
        for connection in clients:
            connection.close()


class Reader:
    """A client behind a connection: takes messages while it is awake."""

    def __init__(self) -> None:
        self.awake = asyncio.Event()
        self.taken: list[Message] = []
        self.is_closed = False

    @property
    def is_stalled(self) -> bool:
        return not self.awake.is_set()

    def abort(self) -> None:
        self.is_closed = True
        self.awake.set()

    async def send(self, message: Message) -> None:
        await self.awake.wait()
        if not self.is_closed:
            self.taken.append(message)


def body(data: bytes, more_body: bool) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more_body}


async def test_a_slow_client_gets_every_byte_in_order() -> None:
    reader, unsent = Reader(), UnsentBytes()
    data = bytes(range(256)) * 1000
    reader.awake.set()
    async with open_outbox(reader.send, reader, unsent) as put:
        await put(body(b"first", True))
        reader.awake.clear()
        await put(body(data, True))
        await put(body(b"last", False))
        assert unsent.nbytes == len(data) + 4
        reader.awake.set()
    assert b"".join(message["body"] for message in reader.taken) == b"first" + data + b"last"
    assert [message["more_body"] for message in reader.taken].index(False) == len(reader.taken) - 1
    assert unsent.nbytes == 0


async def test_the_slowest_makes_room() -> None:
    now = [0.0]
    unsent = UnsentBytes(100, clock=lambda: now[0])
    slow, fast = Reader(), Reader()
    async with open_outbox(slow.send, slow, unsent) as put_slow, open_outbox(fast.send, fast, unsent) as put_fast:
        await put_slow(body(b"a" * 80, False))
        now[0] = 5.0
        await put_fast(body(b"b" * 60, False))
        assert (slow.is_closed, fast.is_closed, unsent.nbytes) == (True, False, 60)
        fast.awake.set()
    assert fast.taken[0]["body"] == b"b" * 60


async def test_an_answer_larger_than_the_bound_waits_for_its_client_alone() -> None:
    unsent, reader = UnsentBytes(100), Reader()
    async with open_outbox(reader.send, reader, unsent) as put:
        putting = asyncio.create_task(put(body(b"a" * 200, False)))
        await asyncio.sleep(0.05)
        assert not putting.done()
        reader.awake.set()
        await putting
    assert (reader.is_closed, len(reader.taken[0]["body"])) == (False, 200)


async def test_an_application_that_fails_leaves_nothing_waiting() -> None:
    unsent, reader = UnsentBytes(), Reader()

    async def fail() -> None:
        async with open_outbox(reader.send, reader, unsent) as put:
            await put(body(b"a" * 200, True))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    assert (unsent.nbytes, reader.is_closed) == (0, True)


def test_memory_is_returned_once_many_bytes_have_gone(url: str, shedder: Shedder) -> None:
    few = unread(url)
    time.sleep(0.5)
    few.close()
    assert not shedder.trimmed.wait(3)
    many = [unread(url) for _ in range(2)]
    time.sleep(0.5)
    for connection in many:
        connection.close()
    assert shedder.trimmed.wait(10)
