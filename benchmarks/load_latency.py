"""How quickly one prompt is answered: alone, in company, and beside a grid; and how full the encoder's batches are."""

import asyncio
import json
import statistics
import time
from itertools import cycle

import numpy as np

from benchmarks.load_client import Client, Request, Run, milliseconds
from benchmarks.load_requests import Photo, hold, photos, prompt_by_file, prompt_by_id, scenes, with_file
from benchmarks.load_server import MODEL, NOOP, Target
from deployments.replicas.mask_json import prompt_mask
from deployments.settings.server import Settings
from deployments.sizing import cluster_of, size_graph
from segmentation.backends.opening import open_decoder, open_encoder
from segmentation.backends.protocol import DecoderBackend, PreparedImage
from segmentation.backends.select import plan_runtime
from segmentation.pictures.decode import decode_image
from segmentation.predict import segment
from segmentation.transforms import pad_to_square, resize_image
from segmentation.types import Prompt
from segmentation.warmup import warm_up

SEED = 11


class Decode:
    """What a decoder replica does for one prompt, in this process, on as many threads as the replica has."""

    def __init__(self, photo: Photo) -> None:
        settings = Settings(model_type=MODEL, backend="onnx")
        plan, sizing = plan_runtime(settings), size_graph(settings, cluster_of({}))
        encoder = open_encoder(plan, device="cpu", threads=sizing.encoder.threads)
        self._decoder: DecoderBackend = open_decoder(plan, device="cpu", threads=sizing.decoder.threads)
        self._size = photo.size
        side = encoder.architecture.image_size
        resized = resize_image(decode_image(photo.file, max_megapixels=64), encoder.architecture.frame)
        sizes = np.array([resized.shape[:2]], np.int64)
        embedding = encoder.encode(pad_to_square(resized, side)[None], sizes)[0]
        self._image: PreparedImage = self._decoder.prepare(embedding)
        warm_up()

    def run(self, request: Request) -> float:
        """Seconds for the masks of the request's points."""
        points = json.loads(request.body)["prompts"][0]["points"]
        started = time.perf_counter()
        prompt = Prompt(points=np.array(points, np.float32), labels=np.ones(1, np.int64))
        for records in segment(self._decoder, self._image, self._size, [prompt]):
            for record in records:
                prompt_mask(record, "rle")
        return time.perf_counter() - started


async def interactive(target: Target, rounds: int = 10, each: int = 30) -> dict[str, object]:
    """One prompt at a time on a held picture, the no-op graph and the decode alone, in turn.

    Bar: the median at most 1.5 times the no-op graph's, plus the decode.
    """
    rng = np.random.default_rng(SEED)
    photo = photos()[0]
    image_id = await hold(target.client, photo)
    decode = Decode(photo)
    server, floor, alone = Run(), Run(), list[float]()

    def draw() -> Request:
        return prompt_by_id(image_id, photo.size, rng)

    def draw_noop() -> Request:
        return prompt_by_id(image_id, photo.size, rng, NOOP + "/segment")

    for number in range(rounds + 1):
        parts = [await target.client.closed(draw, 1, each), await target.client.closed(draw_noop, 1, each)]
        seconds = [decode.run(draw()) for _ in range(each)]
        if number:  # the first is a warm-up
            server.answers += parts[0].answers
            floor.answers += parts[1].answers
            alone += seconds
    decode_ms = milliseconds(alone, 50)
    bound = round(1.5 * floor.ms(50) + decode_ms, 2)
    return {
        "prompts": len(server.answers),
        "statuses": dict(server.statuses + floor.statuses),
        "p50_ms": server.ms(50),
        "p95_ms": server.ms(95),
        "noop_p50_ms": floor.ms(50),
        "noop_p95_ms": floor.ms(95),
        "decode_p50_ms": decode_ms,
        "bound_ms": bound,
        "met": server.ms(50) <= bound,
    }


async def concurrent(target: Target, clients: int = 64, each: int = 300) -> dict[str, object]:
    """Many clients on eight held pictures against one client on the same, in turn.

    Bar: 1.5 times the throughput.
    """
    rng = np.random.default_rng(SEED)
    pictures = photos()
    ids = cycle([(await hold(target.client, photo), photo.size) for photo in pictures])

    def draw() -> Request:
        return prompt_by_id(*next(ids), rng)

    runs: dict[int, list[Run]] = {1: [], clients: []}
    for number in range(4):
        for at_once, of_kind in runs.items():
            run = await target.client.closed(draw, at_once, each)
            if number:
                of_kind.append(run)
    rates = {at_once: statistics.median(run.per_s for run in of_kind) for at_once, of_kind in runs.items()}
    ratio = round(rates[clients] / rates[1], 2)
    return {
        "clients": clients,
        "pictures": len(pictures),
        "statuses": dict(sum((run.statuses for of_kind in runs.values() for run in of_kind), start=Run().statuses)),
        "one_per_s": round(rates[1], 1),
        "all_per_s": round(rates[clients], 1),
        "one_p50_ms": statistics.median(run.ms(50) for run in runs[1]),
        "all_p50_ms": statistics.median(run.ms(50) for run in runs[clients]),
        "all_p95_ms": statistics.median(run.ms(95) for run in runs[clients]),
        "ratio": ratio,
        "bound": 1.5,
        "met": ratio >= 1.5,
    }


async def batching(target: Target, clients: int = 24, pictures: int = 144) -> dict[str, object]:
    """New pictures one at a time, then from many clients: how long they wait for company, and how full batches are.

    Bar: a mean of 0.6 of the largest batch under saturation; alone, no wait (the median below a millisecond).
    """
    largest = Settings().encoder_batch
    idle, busy = scenes(16), scenes(pictures, first=16)
    await hold(target.client, scenes(1, first=10_000)[0])
    rng = np.random.default_rng(SEED)
    alone = [await target.client.send(prompt_by_file(photo, rng), keep=True) for photo in idle]
    waits = [json.loads(answer.body)["timing_ms"]["queue"] for answer in alone]
    before = target.settled_batches("ImageEncoder")
    waiting = iter([with_file("/embeddings", photo, {}) for photo in busy])
    run = await target.client.closed(lambda: next(waiting), clients, pictures)
    batches = target.settled_batches("ImageEncoder") - before
    mean = round(sum(weight * count for weight, count in batches.items()) / max(batches.total(), 1), 2)
    return {
        "clients": clients,
        "statuses": dict(run.statuses),
        "pictures_per_s": round(run.per_s, 1),
        "largest": largest,
        "batches": {str(weight): count for weight, count in sorted(batches.items())},
        "mean": mean,
        "bound": 0.6 * largest,
        "idle_batches": {str(weight): count for weight, count in sorted(before.items())},
        "idle_wait_p50_ms": statistics.median(waits),
        "idle_p50_ms": milliseconds([answer.seconds for answer in alone], 50),
        "met": mean >= 0.6 * largest and statistics.median(waits) < 1,
    }


async def beside_a_grid(target: Target, seconds: float = 30) -> dict[str, object]:
    """One client's prompts on a held picture, while nothing else runs and while automatic masks of another picture do.

    The grid has the quality profile, which is the default. Bar: p95 rises at most 2 times.
    """
    rng = np.random.default_rng(SEED)
    held, other = photos()[:2]
    image_id = await hold(target.client, held)

    def draw() -> Request:
        return prompt_by_id(image_id, held.size, rng)

    await target.client.closed(draw, 1, 50)
    before = await target.client.closed(draw, 1, seconds=seconds / 2)
    enough = asyncio.Event()
    grid = asyncio.create_task(_grids(target.client, other, enough))
    await asyncio.sleep(0.5)
    during = await target.client.closed(draw, 1, seconds=seconds)
    enough.set()
    grids = await grid
    after = await target.client.closed(draw, 1, seconds=seconds / 2)
    quiet = milliseconds([answer.seconds for answer in before.of(200) + after.of(200)], 95)
    rise = round(during.ms(95) / quiet, 2)
    return {
        "prompts": len(during.answers),
        "statuses": dict(during.statuses),
        "grids": dict(grids.statuses),
        "grid_p50_s": round(grids.ms(50) / 1000, 1),
        "alone_p50_ms": before.ms(50),
        "alone_p95_ms": quiet,
        "beside_p50_ms": during.ms(50),
        "beside_p95_ms": during.ms(95),
        "rise_p50": round(during.ms(50) / before.ms(50), 2),
        "rise_p95": rise,
        "bound": 2.0,
        "met": rise <= 2,
    }


async def _grids(client: Client, photo: Photo, enough: asyncio.Event) -> Run:
    """Automatic masks of one picture after another, each new to the server, until it is enough."""
    run = Run()
    while not enough.is_set():
        number = len(run.answers)
        fresh = Photo(photo.file + bytes([number]), photo.size)  # bytes after a PNG's end change its id alone
        run.answers.append(await client.send(with_file("/segment/auto", fresh, {})))
    return run
