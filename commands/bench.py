"""`sam-serve bench`: load on a server, and what its users would see. Times whole requests, from send to last byte.

Open loop: a request is due at a fixed rate, whatever the answers do, and its latency counts from when it was due.
Closed loop: each client sends its next request once it is answered.
"""

import asyncio
import io
import json
import os
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from client import AsyncPicture, AsyncSamClient, RetryPolicy, SamError
from client.files import picture_bytes
from commands.failures import WRONG_USE, reason, say
from commands.jobs import read_json
from commands.results import write_together
from segmentation.errors import InvalidRequest, SegmentationError

REQUESTS = ("click", "picture", "everything")
PERCENTILES = (50, 90, 95, 99)
DRAWN, DRAWN_SIDE = 8, 512
MOST_CLIENTS = 10_000
TIMEOUT_S = 120.0

Ask = Callable[[], Awaitable[object]]


@dataclass
class Samples:
    """What came of the requests. latencies: (start in seconds from the beginning, milliseconds) of those answered."""

    latencies: list[tuple[float, float]] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


def run(
    pictures: Sequence[Path],
    server: str,
    rate: float | None,
    clients: int | None,
    seconds: float,
    slo_ms: float,
    requests: str,
    parameters: str | None,
    plot: Path | None,
) -> int:
    """Returns the exit status: 0 where every request was answered, 1 where some failed."""
    try:
        if rate is not None and clients is not None:
            raise InvalidRequest("give --rate (open loop) or --clients (closed loop), not both")
        if requests not in REQUESTS:
            raise InvalidRequest(f"--requests is one of {', '.join(REQUESTS)}")
        if not (seconds > 0 and slo_ms > 0 and (rate is None or rate > 0)):
            raise InvalidRequest("--seconds, --slo-ms and --rate are above 0")
        if clients is not None and not 1 <= clients <= MOST_CLIENTS:
            raise InvalidRequest(f"--clients is from 1 to {MOST_CLIENTS}")
        automatic = read_json(parameters)
        files = [picture_bytes(path) for path in pictures] or [drawn_picture(number) for number in range(DRAWN)]
        load = _Load(server, files, requests, automatic)
        info, samples = asyncio.run(load.run(rate, clients or 1, seconds))
    except (SegmentationError, SamError) as error:
        say(reason(error))
        return WRONG_USE
    summary = summarise(samples, slo_ms)
    head = {"requests": requests, "rate": rate, "clients": None if rate else clients or 1, "model": info["model_type"]}
    for name, value in summary.items():
        print(f"{name:14} {value if not isinstance(value, float) else round(value, 2)}")
    if plot is not None:
        write_together({plot: draw(samples, slo_ms).encode()})
    print(json.dumps({**head, **summary}))
    return 1 if samples.errors else 0


class _Load:
    """Requests of one kind to one server."""

    def __init__(self, server: str, files: Sequence[bytes], kind: str, parameters: Mapping[str, Any]) -> None:
        self._server, self._files, self._kind, self._parameters = server, files, kind, dict(parameters)
        self._random = random.Random(0)

    async def run(self, rate: float | None, clients: int, seconds: float) -> tuple[dict[str, Any], Samples]:
        """What the server is, and the samples. Pictures are known to it before the clock starts."""
        key = os.environ.get("SAM_API_KEY") or None
        async with AsyncSamClient(self._server, key, TIMEOUT_S, retries=RetryPolicy(attempts=0)) as client:
            info = await client.backend_info()
            known = [await client.picture(data).prepare() for data in self._files]

            async def ask() -> object:
                return await self._ask(client, self._random.choice(known))

            samples = Samples()
            started = time.perf_counter()
            if rate is not None:
                await self._open(ask, rate, seconds, samples)
            else:
                await asyncio.gather(*(self._client(ask, started, seconds, samples) for _ in range(clients)))
            samples.seconds = time.perf_counter() - started
            return info, samples

    async def _ask(self, client: AsyncSamClient, known: AsyncPicture) -> object:
        height, width = await known.size()
        point = (self._random.uniform(0, width), self._random.uniform(0, height))
        match self._kind:
            case "click":
                return await known.segment(points=[point])
            case "picture":
                # Trailing bytes make it a picture that the server has never seen.
                data = self._random.choice(self._files) + self._random.randbytes(8)
                return await client.picture(data).segment(points=[point])
            case _:
                return await known.everything(**self._parameters)

    async def _open(self, ask: Ask, rate: float, seconds: float, samples: Samples) -> None:
        started = time.perf_counter()
        under_way = []
        for number in range(max(1, int(rate * seconds))):
            due = started + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            under_way.append(asyncio.create_task(_timed(ask, started, due, samples)))
        await asyncio.gather(*under_way)

    async def _client(self, ask: Ask, started: float, seconds: float, samples: Samples) -> None:
        while (now := time.perf_counter()) < started + seconds:
            await _timed(ask, started, now, samples)


async def _timed(ask: Ask, started: float, due: float, samples: Samples) -> None:
    try:
        await ask()
    except SamError as error:
        samples.errors[error.code] += 1
    else:
        samples.latencies.append((due - started, 1000 * (time.perf_counter() - due)))


def summarise(samples: Samples, slo_ms: float) -> dict[str, Any]:
    """Percentiles in milliseconds, answers a second, the share of all requests answered within the bound, errors."""
    latencies = np.array([latency for _, latency in samples.latencies])
    sent = len(latencies) + samples.errors.total()
    found = np.percentile(latencies, PERCENTILES).tolist() if len(latencies) else [None] * len(PERCENTILES)
    return {
        "sent": sent,
        "answered": len(latencies),
        "errors": dict(samples.errors),
        "per_second": len(latencies) / samples.seconds if samples.seconds else 0.0,
        **{
            f"p{rank}_ms": None if value is None else float(value)
            for rank, value in zip(PERCENTILES, found, strict=True)
        },
        "max_ms": float(latencies.max()) if len(latencies) else None,
        "slo_ms": slo_ms,
        "within_slo": float((latencies <= slo_ms).sum() / sent) if sent else 0.0,
        "seconds": samples.seconds,
    }


def drawn_picture(number: int) -> bytes:
    """A picture of discs on a grey ground, as the file of a PNG."""
    return picture_bytes(discs(DRAWN_SIDE, 20, np.random.default_rng(number)))


def discs(side: int, count: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """uint8 [side, side, 3]."""
    picture = np.full((side, side, 3), 90, np.uint8)
    y, x = np.mgrid[:side, :side]
    for _ in range(count):
        radius = rng.integers(side // 40, side // 12)
        centre_y, centre_x = rng.integers(radius, side - radius, 2)
        picture[(y - centre_y) ** 2 + (x - centre_x) ** 2 <= radius**2] = rng.integers(140, 255, 3)
    return picture


def draw(samples: Samples, slo_ms: float) -> str:
    """Latencies over time as an SVG, with the bound as a line."""
    width, height, left, bottom = 900, 360, 70, 40
    most = max([slo_ms, *(latency for _, latency in samples.latencies)]) * 1.05
    end = max(samples.seconds, 1e-9)

    def place(start: float, latency: float) -> tuple[float, float]:
        return left + (width - left - 10) * start / end, (height - bottom) * (1 - latency / most)

    out = io.StringIO()
    out.write(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-size="11">')
    out.write('<rect width="100%" height="100%" fill="white"/>')
    for share in (0, 0.25, 0.5, 0.75, 1):
        x, y = place(end * share, most * share)
        out.write(f'<text x="{left - 6}" y="{y + 10:.0f}" text-anchor="end">{most * share:.0f} ms</text>')
        out.write(f'<text x="{x:.0f}" y="{height - 15}" text-anchor="middle">{end * share:.0f} s</text>')
    _, bound = place(0, slo_ms)
    out.write(
        f'<line x1="{left}" x2="{width}" y1="{bound:.1f}" y2="{bound:.1f}" stroke="#c33" stroke-dasharray="6 4"/>'
    )
    for start, latency in samples.latencies:
        x, y = place(start, latency)
        out.write(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2" fill="#236" fill-opacity="0.5"/>')
    out.write("</svg>\n")
    return out.getvalue()
