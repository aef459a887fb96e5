"""What happens over capacity, and in the long run: answers, latency and memory."""

import asyncio
import time
from collections import Counter
from itertools import cycle

import numpy as np

from benchmarks.load_client import Request, milliseconds
from benchmarks.load_processes import Resident, object_store_mb, resident
from benchmarks.load_requests import hold, photos, prompt_by_file, prompt_by_id, scenes
from benchmarks.load_server import Target
from deployments.settings.server import Settings

SEED = 12
SETTLE_S = 15


async def overload(target: Target, seconds: float = 60, times: float = 10) -> dict[str, object]:
    """Ten times as many prompts as the server answers, sent at a fixed rate whatever comes back.

    Capacity is what eight clients at once get. The queue's bound in seconds is `SAM_MAX_QUEUE` prompts at that rate.
    Bars: every answer 200, or 503 with Retry-After; p99 of those answered at most 3 times the unloaded p99, plus the
    queue's bound; memory back to within 5 % of where it was.
    """
    rng = np.random.default_rng(SEED)
    ids = cycle([(await hold(target.client, photo), photo.size) for photo in photos()])

    def draw() -> Request:
        return prompt_by_id(*next(ids), rng)

    await target.client.closed(draw, 8, 400)
    unloaded = await target.client.closed(draw, 1, 400)
    capacity = (await target.client.closed(draw, 8, seconds=8)).per_s
    await target.client.open(draw, times * capacity, 5)  # what the first burst allocates is not a leak
    await asyncio.sleep(SETTLE_S)
    before = resident(target.server.processes())
    run = await target.client.open(draw, times * capacity, seconds)
    await asyncio.sleep(SETTLE_S)
    after = resident(target.server.processes())
    queue_s = Settings().max_queue / capacity
    bound_ms = 3 * unloaded.ms(99) + 1000 * queue_s
    growth = _growth(before, after)
    refused = run.of(503)
    correct = set(run.statuses) <= {200, 503} and all(answer.retry_after for answer in refused)
    return {
        "capacity_per_s": round(capacity, 1),
        "sent_per_s": round(len(run.answers) / run.seconds, 1),
        "sent": len(run.answers),
        "statuses": {str(status): count for status, count in run.statuses.items()},
        "retry_after": dict(Counter(answer.retry_after for answer in refused)),
        "answered_per_s": round(run.per_s, 1),
        "unloaded_p99_ms": unloaded.ms(99),
        "queue_s": round(queue_s, 2),
        "p50_ms": run.ms(50),
        "p99_ms": run.ms(99),
        "refused_p50_ms": milliseconds([answer.seconds for answer in refused], 50),
        "bound_ms": round(bound_ms),
        "memory_growth": growth,
        "met": correct and run.ms(99) <= bound_ms and max(growth.values()) <= 1.05,
    }


async def soak(target: Target, prompts: int = 20_000, pictures: int = 200, clients: int = 8) -> dict[str, object]:
    """Prompts on many pictures, most of them by id and one in ten with the picture, and what every process grows by.

    Bars: resident memory of every process below 1.05 times what it was after the first tenth; shared memory bounded:
    it doesn't grow by as much in the second half.
    """
    rng = np.random.default_rng(SEED)
    held = [(photo, await hold(target.client, photo)) for photo in scenes(pictures)]
    order = cycle(rng.permutation(len(held)))
    numbers = iter(range(prompts))

    def draw() -> Request:
        photo, image_id = held[next(order)]
        return prompt_by_file(photo, rng) if next(numbers) % 10 == 0 else prompt_by_id(image_id, photo.size, rng)

    statuses: Counter[int] = Counter()
    samples: list[dict[int, Resident]] = []
    stores: list[float] = []
    started = time.perf_counter()
    for _ in range(10):
        run = await target.client.closed(draw, clients, prompts // 10)
        statuses += run.statuses
        processes = target.server.processes()
        samples.append(resident(processes))
        stores.append(object_store_mb(processes))
    growth = _growth(samples[0], samples[-1])
    return {
        "prompts": sum(statuses.values()),
        "pictures": pictures,
        "statuses": {str(status): count for status, count in statuses.items()},
        "per_s": round(prompts / (time.perf_counter() - started), 1),
        "resident_growth": growth,
        "resident_mb": {
            name: [round(sum(one.own_mb for one in sample.values() if one.name == name), 1) for sample in samples]
            for name in growth
        },
        "object_store_mb": stores,
        "met": set(statuses) == {200} and max(growth.values()) < 1.05 and stores[-1] <= 1.05 * stores[len(stores) // 2],
    }


def _growth(before: dict[int, Resident], after: dict[int, Resident]) -> dict[str, float]:
    """How many times its memory each process has now that was there before, the largest of those with one name.

    Without what it maps of the object store, which is bounded as a whole.
    """
    found: dict[str, list[float]] = {}
    for pid, one in after.items():
        if pid in before and before[pid].own_mb:
            found.setdefault(one.name, []).append(one.own_mb / before[pid].own_mb)
    return {name: round(max(ratios), 3) for name, ratios in sorted(found.items())}
