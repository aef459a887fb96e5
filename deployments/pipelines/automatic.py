"""Segment everything: crops are encoded, their grids decoded in shards over all grid replicas, and merged.

Knows no HTTP. A shard that a dying replica takes with it is decoded again alone.
"""

import asyncio
import logging
import math
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from deployments.calls.errors import Unavailable
from deployments.calls.messages import GridAnswer, GridShard, Json, ShardAnswer, StageTimes
from deployments.calls.remote import CallLost, RemoteDeployment, result, retry_on_replica_loss
from deployments.calls.replica_count import ReplicaCount
from deployments.pipelines.crop_embeddings import CropEmbedding, RunPicture
from deployments.pipelines.known_pictures import KnownPictures
from deployments.pipelines.pictures import ImageSource, PictureDecoder
from deployments.pipelines.run_turns import FairTurns, RunQueue
from deployments.replicas.caches.candidates import grid_key
from segmentation.automatic.generate import MAX_POINTS_PER_BATCH, AutomaticParameters, Candidates, Crop, plan_crops
from segmentation.automatic.thresholds import Thresholds
from segmentation.errors import UnknownImage
from segmentation.masks.formats import MaskFormat
from segmentation.pictures.options import LEFT_ALONE, AppliedDecode
from segmentation.types import Size

T = TypeVar("T")

logger = logging.getLogger(__name__)

MIN_SHARD_POINTS = 8
"""Smaller shards would cost more on their way than in the decoder."""

SHORT_RUN_POINTS = 1024
"""Runs of at most so many points, over all crops, never wait for longer ones to end."""

RUNS_AT_ONCE = 4
"""Of long runs, and of short ones: each may hold a decoded picture."""


@dataclass(frozen=True, slots=True)
class Started:
    """The picture was read.

    size: (height, width).
    place: of the run in its queue; 0 where it works at once.
    decode: how the picture was read.
    """

    size: Size
    place: int
    decode: AppliedDecode = LEFT_ALONE


@dataclass(frozen=True, slots=True)
class Progress:
    """Points of the grids that were decoded, of all."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The masks in SAM's order, what they cost in replicas, and the seconds spent on decoding the picture."""

    masks: tuple[Json, ...]
    stage_times: StageTimes
    decode_s: float


@dataclass(frozen=True, slots=True)
class GridResources:
    """What every run shares.

    encoder_batch: pictures that an encoder replica encodes together.
    encoder_replicas, grid_replicas: how many there are now.
    keeps_candidates: encoder replicas keep the candidates of grids for stricter thresholds.
    known: pictures that were encoded, by what this ingress replica has seen.
    short_runs, long_runs: the runs that work at once, and those that wait.
    crop_turns: crops that are being encoded: one full batch for each encoder replica.
    shard_turns: shards that are being decoded: for each grid replica one that runs and one that waits.
    """

    encoder: RemoteDeployment
    grid: RemoteDeployment
    picture_decoder: PictureDecoder
    encoder_batch: int
    encoder_replicas: ReplicaCount
    grid_replicas: ReplicaCount
    keeps_candidates: bool
    known: KnownPictures
    short_runs: RunQueue = field(default_factory=lambda: RunQueue(RUNS_AT_ONCE))
    long_runs: RunQueue = field(default_factory=lambda: RunQueue(RUNS_AT_ONCE))
    crop_turns: FairTurns = field(default_factory=FairTurns)
    shard_turns: FairTurns = field(default_factory=FairTurns)

    async def count_replicas(self) -> tuple[int, int]:
        """(encoder replicas, grid replicas) now; there are turns for as many."""
        encoders, grids = await asyncio.gather(self.encoder_replicas.get(), self.grid_replicas.get())
        self.crop_turns.turns = self.encoder_batch * encoders
        self.shard_turns.turns = 2 * grids
        return encoders, grids


class GridRun:
    """One picture's automatic masks."""

    def __init__(
        self,
        resources: GridResources,
        source: ImageSource,
        parameters: AutomaticParameters,
        mask_format: MaskFormat,
    ) -> None:
        self._resources = resources
        self._image_id = source.image_id
        self._thresholds = Thresholds.of(parameters)
        self._picture = RunPicture(source, resources.encoder, resources.picture_decoder, resources.known)
        self._parameters = parameters
        self._format = mask_format
        self._stage_times = StageTimes()
        self._working = False

    async def events(self) -> AsyncGenerator[Started | Progress | Finished, None]:
        """`Started`, `Progress` after every shard, `Finished`. Closing the iterator cancels what is under way."""
        size = await self._picture.size()
        crops = plan_crops(size, self._parameters)
        total = sum(len(crop.points) for crop in crops)
        runs = self._resources.short_runs if total <= SHORT_RUN_POINTS else self._resources.long_runs
        if runs.is_full():
            self._picture.release()
        yield Started(size, runs.place, self._picture.decode)
        waiting = time.perf_counter()
        async with runs.slot():
            self._stage_times += StageTimes(queue_s=time.perf_counter() - waiting)
            decoded: asyncio.Queue[int] = asyncio.Queue()
            work = asyncio.create_task(self._work(crops, size, decoded.put_nowait))
            work.add_done_callback(lambda _: decoded.put_nowait(0))
            try:
                done = 0
                while points := await decoded.get():
                    done += points
                    yield Progress(done, total)
                masks = await work
            finally:
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)
        yield Finished(masks, self._stage_times, self._picture.decode_s)

    async def _work(self, crops: list[Crop], size: Size, emit: Callable[[int], None]) -> tuple[Json, ...]:
        cached, (encoders, grids) = await asyncio.gather(self._cached(crops), self._resources.count_replicas())
        # Bounds the embeddings that this run keeps alive: one full batch for each encoder replica.
        in_flight = asyncio.Semaphore(self._resources.encoder_batch * encoders)

        async def one(crop: Crop, candidates: Candidates | None) -> list[Candidates]:
            if candidates is not None:
                emit(len(crop.points))
                return [candidates]
            async with in_flight:
                return await self._decode_crop(crop, size, math.ceil(grids / len(crops)), emit)

        shards = await gather_or_cancel(one(crop, kept) for crop, kept in zip(crops, cached, strict=True))
        sent = await self._resources.grid.share(shards)
        keeping = asyncio.create_task(self._keep(crops, sent) if None in cached else asyncio.sleep(0))
        try:
            answer = await self._merge(sent, size)
            await keeping
        finally:
            keeping.cancel()
        self._stage_times += answer.stage_times
        return answer.masks

    async def _merge(self, shards: object, size: Size) -> GridAnswer:
        """The masks from `list[list[Candidates]]`, by crop and shard, as `RemoteDeployment.share` gave it."""

        async def merge() -> GridAnswer:
            return await result(self._resources.grid.call("merge", shards, size, self._parameters, self._format))

        return await retry_on_replica_loss(merge)

    async def _cached(self, crops: list[Crop]) -> Sequence[Candidates | None]:
        """The candidates of each crop, where an earlier run left them. This run does not depend on it."""
        nothing = [None] * len(crops)
        if not self._resources.keeps_candidates:
            return nothing
        image_id, grids = self._image_id, [self._grid_key(crop) for crop in crops]

        async def look_up() -> Sequence[Candidates | None]:
            return await result(
                self._resources.encoder.call("candidates", image_id, grids, self._thresholds, key=image_id)
            )

        return await _best_effort(look_up(), nothing)

    async def _keep(self, crops: list[Crop], shards: object) -> None:
        """Leaves the candidates of all crops for later runs. This run does not depend on it."""
        if not self._resources.keeps_candidates:
            return
        image_id, grids = self._image_id, [self._grid_key(crop) for crop in crops]

        async def keep() -> None:
            await result(
                self._resources.encoder.call("keep_candidates", image_id, grids, self._thresholds, shards, key=image_id)
            )

        await _best_effort(keep(), None)

    def _grid_key(self, crop: Crop) -> str:
        return grid_key(crop, self._parameters.stability_score_offset)

    async def _decode_crop(self, crop: Crop, size: Size, shards: int, emit: Callable[[int], None]) -> list[Candidates]:
        embedding = CropEmbedding(lambda again: self._picture.embed(crop, size, surely_gone=again))

        async def one(points: NDArray[np.float64], turns: FairTurns) -> Candidates:
            shard = GridShard(crop.box, size, points, self._parameters.decoding)
            async with turns.turn(self):
                answer = await self._decode_shard(embedding, shard)
            self._count(answer, first_of_crop=embedding.count_once())
            emit(len(points))
            return answer.candidates

        first, *others = self._cut(crop.points, shards)
        try:
            # The first shard waits for the encoder, and would keep shards that can be decoded from their turns.
            begun = await one(first, self._resources.crop_turns)
            rest = await gather_or_cancel(one(points, self._resources.shard_turns) for points in others)
        except BaseException:
            embedding.cancel()
            raise
        return [begun, *rest]

    async def _decode_shard(self, embedding: CropEmbedding, shard: GridShard) -> ShardAnswer:
        async def attempt() -> ShardAnswer:
            encoded = await embedding.get()
            try:
                return await result(self._resources.grid.call("decode", encoded, shard), shared=encoded)
            except Exception:
                # Whatever was lost, the next attempt starts from an embedding that is surely there.
                embedding.discard(encoded)
                raise

        try:
            return await retry_on_replica_loss(attempt)
        except UnknownImage:
            # Evicted after it was found.
            return await retry_on_replica_loss(attempt)

    def _count(self, answer: ShardAnswer, *, first_of_crop: bool) -> None:
        """Adds up the work. Waiting is not added: shards wait side by side, so only the first of all counts."""
        waited = (
            StageTimes() if self._working else StageTimes(queue_s=answer.encoding.queue_s + answer.stage_times.queue_s)
        )
        self._working = True
        encoding = answer.encoding if first_of_crop else StageTimes()
        self._stage_times += replace(answer.stage_times + encoding, queue_s=0.0) + waited

    def _cut(self, points: NDArray[np.float64], wanted: int) -> list[NDArray[np.float64]]:
        """The points in shards as equal as can be: as many as wanted, but none tiny and none too large.

        All crops of a run together have at least one shard for each grid replica.
        """
        most = min(self._parameters.points_per_batch, MAX_POINTS_PER_BATCH)
        shards = max(math.ceil(len(points) / most), min(wanted, len(points) // MIN_SHARD_POINTS))
        return np.array_split(points, max(shards, 1))


async def _best_effort(work: Coroutine[Any, Any, T], otherwise: T) -> T:
    """The result of one try, or something else where the deployment can't give it now."""
    try:
        return await work
    except (CallLost, Unavailable) as error:
        logger.warning("a run of automatic masks goes on without the cache of candidates: %s", error)
        return otherwise


async def gather_or_cancel(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """All results in order; the first error cancels the rest and is raised as it is."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
