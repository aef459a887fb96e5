"""Bodies that go with the head of their request: only small ones that are there, and only to who takes them."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.http.admission.inlined_body import LARGEST_BYTES, InlinedBody
from deployments.load_shedder import LoadShedder

pytestmark = pytest.mark.anyio

TAKES = {"Sam-Slots": "9", "Sam-Inlined-Bytes": str(LARGEST_BYTES)}


class Serve:
    """Stands for Serve: passes a pickled scope on to the app, and counts what is received after it for it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.received: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counted() -> Message:
            message = await receive()
            self.received.append(message["type"])
            return message

        await self.app(scope, counted, send)


class Echo:
    """An app that answers with the body, and the headers it is given."""

    def __init__(self, headers: dict[str, str]) -> None:
        self.headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await Request(scope, receive).body()
        await Response(body, headers=self.headers)(scope, receive, send)


async def post(app: ASGIApp, messages: Sequence[Message], *, late_s: float = 0, **headers: str) -> bytes:
    """The body of the answer; `messages` come one by one, the first after a while."""
    coming, sent = iter(messages), list[Any]()

    async def receive() -> Message:
        if late_s:
            await asyncio.sleep(late_s)
        return next(coming, {"type": "http.disconnect"})

    async def send(message: Message) -> None:
        sent.append(message)

    length = sum(len(message.get("body", b"")) for message in messages)
    given = {"content-length": str(length), **headers}
    raw = [(name.encode(), value.encode()) for name, value in given.items() if value]
    await app({"type": "http", "method": "POST", "path": "/segment", "headers": raw}, receive, send)
    return b"".join(message.get("body", b"") for message in sent)


def whole(body: bytes) -> list[Message]:
    return [{"type": "http.request", "body": body, "more_body": False}]


async def open_load_shedder(headers: dict[str, str]) -> tuple[LoadShedder, Serve]:
    """A shedder before an app that takes inlined bodies and answers with these headers; one answer was seen."""
    serve = Serve(InlinedBody(Echo(headers)))
    shedder = LoadShedder(serve)
    assert await post(shedder, whole(b"first")) == b"first"
    assert serve.received == ["http.request"]
    serve.received.clear()
    return shedder, serve


async def test_a_small_body_goes_with_its_head() -> None:
    shedder, serve = await open_load_shedder(TAKES)
    for body in (b"{}", b"x" * LARGEST_BYTES):
        assert await post(shedder, whole(body)) == body
    assert serve.received == []


async def test_what_comes_after_a_carried_body_is_received() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend([(await receive())["type"] for _ in range(3)])
        await Response(headers=TAKES)(scope, receive, send)

    shedder = LoadShedder(InlinedBody(app))
    for _ in range(2):
        await post(shedder, whole(b"{}"))
    assert seen == ["http.request", "http.disconnect", "http.disconnect"] * 2


@pytest.mark.parametrize(
    ("messages", "options"),
    [
        (whole(b"x" * (LARGEST_BYTES + 1)), {}),
        (whole(b"{}"), {"late_s": 0.01}),
        (whole(b"{}"), {"expect": "100-continue"}),
        (whole(b"{}"), {"content-length": ""}),
        ([{"type": "http.request", "body": b"{", "more_body": True}, *whole(b"}")], {}),
    ],
)
async def test_another_body_is_received_as_ever(messages: list[Message], options: dict[str, Any]) -> None:
    shedder, serve = await open_load_shedder(TAKES)
    assert await post(shedder, messages, **options) == b"".join(message["body"] for message in messages)
    assert serve.received == ["http.request"] * len(messages)


async def test_who_does_not_say_that_he_takes_bodies_receives_them() -> None:
    shedder, serve = await open_load_shedder({"Sam-Slots": "9"})
    assert await post(shedder, whole(b"{}")) == b"{}"
    assert serve.received == ["http.request"]


async def test_an_answer_of_somebody_else_ends_it() -> None:
    shedder, serve = await open_load_shedder(TAKES)
    serve.app = Echo({})
    await post(shedder, whole(b""))
    serve.received.clear()
    assert await post(shedder, whole(b"{}")) == b"{}"
    assert serve.received == ["http.request"]


async def test_a_body_that_never_comes_is_not_waited_for_by_anybody_else() -> None:
    async def deaf(scope: Scope, receive: Receive, send: Send) -> None:
        await Response(headers=TAKES)(scope, receive, send)

    shedder = LoadShedder(deaf)
    before = asyncio.all_tasks()
    for _ in range(2):
        await asyncio.wait_for(post(shedder, whole(b"{}"), late_s=60), 5)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
