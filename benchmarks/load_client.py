"""An HTTP client that costs little: prepared requests, kept connections, closed and open loops. Knows no SAM.

`sam-serve bench` puts the same kinds of load on a user's server by the project's client, which encodes each request and
decodes each answer: on two cores that it shares with the server, that is a part of what is measured.

A closed loop is a number of clients that each wait for their answer; an open loop sends at a fixed rate whatever comes
back, as many independent callers do.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import numpy as np

PATIENCE_S = 120


@dataclass(frozen=True, slots=True)
class Request:
    """One POST, ready to be sent."""

    path: str
    body: bytes
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: status 0 if nothing did.

    since_s: seconds from the start of the run until it was sent.
    body: empty unless it was asked for.
    """

    request: Request
    status: int
    since_s: float
    seconds: float
    retry_after: str | None = None
    body: bytes = b""


@dataclass
class Run:
    """The answers of one loop, in the order they came, and how long the loop took."""

    answers: list[Answer] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def statuses(self) -> Counter[int]:
        return Counter(answer.status for answer in self.answers)

    def of(self, status: int) -> list[Answer]:
        return [answer for answer in self.answers if answer.status == status]

    @property
    def per_s(self) -> float:
        """Requests answered with 200 in a second."""
        return len(self.of(200)) / self.seconds

    def ms(self, percentile: float) -> float:
        """A percentile of the milliseconds of requests answered with 200."""
        return milliseconds([answer.seconds for answer in self.of(200)], percentile)


def milliseconds(seconds: list[float], percentile: float) -> float:
    """A percentile of times in seconds, in milliseconds; NaN of none."""
    return round(float(np.percentile(seconds, percentile)) * 1000, 2) if seconds else float("nan")


class Client:
    """Sends requests to one server; `client` opens it."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def send(self, request: Request, *, started: float | None = None, keep: bool = False) -> Answer:
        """The answer, whatever its status."""
        sent = time.perf_counter()
        since = sent - started if started is not None else 0.0
        try:
            async with self._session.post(
                self._url + request.path, data=request.body, headers={"content-type": request.content_type}
            ) as reply:
                body = await reply.read()
                seconds = time.perf_counter() - sent
                retry = reply.headers.get("retry-after")
                return Answer(request, reply.status, since, seconds, retry, body if keep else b"")
        except (aiohttp.ClientError, TimeoutError):
            return Answer(request, 0, since, time.perf_counter() - sent)

    async def closed(self, draw: Callable[[], Request], clients: int, count: int = 0, seconds: float = 0.0) -> Run:
        """That many clients at once, until `count` requests were sent or `seconds` have passed."""
        run, started = Run(), time.perf_counter()
        sent = 0

        async def one() -> None:
            nonlocal sent
            while sent < count if count else time.perf_counter() - started < seconds:
                sent += 1
                run.answers.append(await self.send(draw(), started=started))

        await asyncio.gather(*(one() for _ in range(clients)))
        run.seconds = time.perf_counter() - started
        return run

    async def open(self, draw: Callable[[], Request], per_s: float, seconds: float) -> Run:
        """That many requests in a second, evenly spaced, for that long; waits for all answers."""
        requests = [draw() for _ in range(int(per_s * seconds))]  # the server shares the cores while it runs
        run, started = Run(), time.perf_counter()
        under_way: set[asyncio.Task[None]] = set()

        async def one(request: Request) -> None:
            run.answers.append(await self.send(request, started=started))

        for number, request in enumerate(requests):
            pause = started + number / per_s - time.perf_counter()
            if pause > 0:
                await asyncio.sleep(pause)
            task = asyncio.create_task(one(request))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        run.seconds = time.perf_counter() - started
        await asyncio.gather(*under_way)
        return run


@asynccontextmanager
async def client(url: str) -> AsyncIterator[Client]:
    """A client with as many connections as it needs."""
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
    timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
    jar = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=jar) as session:
        yield Client(session, url)
