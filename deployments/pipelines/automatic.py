"""Segment everything: crops are encoded, their grids decoded in shards over all grid replicas, and merged.

Knows no HTTP. A shard that a dying replica takes with it is decoded again alone.
"""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from deployments.calls.errors import Overloaded, ReplicaLost
from deployments.calls.messages import GridAnswer, GridShard, Json, ShardAnswer, StageTimes
from deployments.calls.remote import RemoteDeployment, result, retry_on_replica_loss
from deployments.calls.replica_count import ReplicaCount
from deployments.pipelines.crop_embeddings import CropEmbedding, OpenPicture
from deployments.pipelines.pictures import ImageSource, PictureDecoder
from deployments.replicas.caches.candidates import grid_key
from segmentation.automatic.generate import MAX_POINTS_PER_BATCH, AutomaticParameters, Candidates, Crop, plan_crops
from segmentation.automatic.thresholds import Thresholds
from segmentation.errors import UnknownImage
from segmentation.masks.formats import MaskFormat
from segmentation.types import Size

T = TypeVar("T")

MIN_SHARD_POINTS = 8
"""Smaller shards would cost more on their way than in the decoder."""


@dataclass(frozen=True, slots=True)
class Started:
    """The picture was read: its size (height, width)."""

    size: Size


@dataclass(frozen=True, slots=True)
class Progress:
    """Points of the grids that were decoded, of all."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The masks in SAM's order, what they cost in replicas, and the seconds spent on reading the picture."""

    masks: tuple[Json, ...]
    stage_times: StageTimes
    decode_s: float


@dataclass(frozen=True, slots=True)
class GridResources:
    """What every run shares.

    encoder_batch: pictures that an encoder replica encodes together.
    encoder_replicas: as many batches of crops are under way at once, so that each of them finds one.
    grid_replicas: a crop has twice as many shards under way at once, so that none of them idles.
    keeps_candidates: encoder replicas hold the candidates of grids for stricter thresholds.
    runs: bounds the runs that work at once; each may hold a decoded picture.
    """

    encoder: RemoteDeployment
    grid: RemoteDeployment
    picture_decoder: PictureDecoder
    encoder_batch: int
    encoder_replicas: ReplicaCount
    grid_replicas: ReplicaCount
    keeps_candidates: bool
    runs: asyncio.Semaphore


class GridRun:
    """One picture's automatic masks."""

    def __init__(
        self, shop: GridResources, source: ImageSource, parameters: AutomaticParameters, mask_format: MaskFormat
    ) -> None:
        self._shop = shop
        self._image_id = source.image_id
        self._thresholds = Thresholds.of(parameters)
        self._picture = OpenPicture(source, shop.encoder, shop.picture_decoder)
        self._parameters = parameters
        self._format = mask_format
        self._spent = StageTimes()
        self._working = False

    async def events(self) -> AsyncGenerator[Started | Progress | Finished, None]:
        """`Started`, `Progress` after every shard, `Finished`. Closing the iterator cancels what is under way."""
        waiting = time.perf_counter()
        async with self._shop.runs:
            self._spent += StageTimes(queue_s=time.perf_counter() - waiting)
            size = await self._picture.size()
            yield Started(size)
            crops = plan_crops(size, self._parameters)
            total = sum(len(crop.points) for crop in crops)
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
            yield Finished(masks, self._spent, self._picture.decode_s)

    async def _work(self, crops: list[Crop], size: Size, emit: Callable[[int], None]) -> tuple[Json, ...]:
        held, encoders, grids = await asyncio.gather(
            self._held(crops), self._shop.encoder_replicas.get(), self._shop.grid_replicas.get()
        )
        free = asyncio.Semaphore(self._shop.encoder_batch * encoders)

        async def one(crop: Crop, kept: Candidates | None) -> Candidates:
            async with free:
                if kept is None:
                    return await self._crop(crop, size, grids, emit)
                emit(len(crop.points))
                return await self._merge_crop([kept], crop)

        candidates = await gather_or_cancel(one(crop, kept) for crop, kept in zip(crops, held, strict=True))

        async def merge() -> GridAnswer:
            return await result(self._shop.grid.call("merge", candidates, size, self._parameters, self._format))

        answer = await retry_on_replica_loss(merge)
        self._spent += answer.stage_times
        return answer.masks

    async def _held(self, crops: list[Crop]) -> list[Candidates | None]:
        """The candidates of each crop, where an earlier run left them."""
        if not self._shop.keeps_candidates:
            return [None] * len(crops)
        grids = [self._grid_key(crop) for crop in crops]

        async def look() -> list[Candidates | None]:
            image_id = self._image_id
            return await result(self._shop.encoder.call("candidates", image_id, grids, self._thresholds, key=image_id))

        return await retry_on_replica_loss(look)

    async def _keep(self, shards: list[Candidates], crop: Crop) -> None:
        """Leaves the candidates for later runs. This run does not depend on it."""
        if not self._shop.keeps_candidates:
            return

        async def keep() -> None:
            image_id, grid = self._image_id, self._grid_key(crop)
            await result(
                self._shop.encoder.call("keep_candidates", image_id, grid, self._thresholds, shards, key=image_id)
            )

        with suppress(Overloaded, ReplicaLost):
            await retry_on_replica_loss(keep)

    def _grid_key(self, crop: Crop) -> str:
        return grid_key(crop, self._parameters.stability_score_offset)

    async def _crop(self, crop: Crop, size: Size, replicas: int, emit: Callable[[int], None]) -> Candidates:
        embedding = CropEmbedding(lambda again: self._picture.embed(crop, size, surely_gone=again))
        free = asyncio.Semaphore(2 * replicas)

        async def one(points: NDArray[np.float64]) -> Candidates:
            async with free:
                answer = await self._shard(embedding, GridShard(crop, size, points, self._parameters))
            self._count(answer, first_of_crop=embedding.count_once())
            emit(len(points))
            return answer.candidates

        try:
            shards = await gather_or_cancel(one(points) for points in self._cut(crop.points, replicas))
        except BaseException:
            embedding.cancel()
            raise
        keeping = asyncio.create_task(self._keep(shards, crop))
        try:
            candidates = await self._merge_crop(shards, crop)
            await keeping
        finally:
            keeping.cancel()
        return candidates

    async def _merge_crop(self, shards: list[Candidates], crop: Crop) -> Candidates:
        async def merge() -> tuple[Candidates, StageTimes]:
            return await result(self._shop.grid.call("merge_crop", shards, crop, self._parameters))

        candidates, stage_times = await retry_on_replica_loss(merge)
        self._spent += stage_times
        return candidates

    async def _shard(self, embedding: CropEmbedding, shard: GridShard) -> ShardAnswer:
        async def attempt() -> ShardAnswer:
            encoded = await embedding.get()
            try:
                return await result(self._shop.grid.call("decode", encoded, shard), shared=encoded)
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
        self._spent += replace(answer.stage_times + encoding, queue_s=0.0) + waited

    def _cut(self, points: NDArray[np.float64], replicas: int) -> list[NDArray[np.float64]]:
        """The points in shards as equal as can be: one per grid replica, but none tiny and none too large."""
        most = min(self._parameters.points_per_batch, MAX_POINTS_PER_BATCH)
        shards = max(math.ceil(len(points) / most), min(replicas, len(points) // MIN_SHARD_POINTS))
        return np.array_split(points, max(shards, 1))


async def gather_or_cancel(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """All results in order; the first error cancels the rest and is raised as it is."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
