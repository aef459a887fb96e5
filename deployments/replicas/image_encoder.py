"""The `ImageEncoder` deployment: pictures to embeddings, batched, each once; it owns the embeddings. Knows no Ray."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from deployments.calls.errors import not_held
from deployments.calls.messages import Encoded, EncodedImage, ImageRecord, InputPicture, PictureFile
from deployments.replicas.batching import Batcher
from deployments.replicas.caches.byte_lru import ByteLru
from deployments.replicas.caches.cached_image import CachedImage
from deployments.replicas.caches.candidates import CandidateCache
from deployments.replicas.caches.embedding_store import EmbeddingStore
from deployments.replicas.runtime_watch import RuntimeWatch
from deployments.replicas.single_flight import SingleFlight
from deployments.replicas.user_config import read_limits
from deployments.telemetry.events import (
    CandidateCacheSize,
    CandidatesLookedUp,
    EmbeddingCacheSize,
    EmbeddingLookedUp,
    EmitEvent,
    Running,
    open_discard,
)
from deployments.telemetry.tracing import traced
from segmentation.automatic.candidates import Candidates
from segmentation.automatic.thresholds import Thresholds
from segmentation.backends.protocol import EncoderBackend, RuntimeInfo
from segmentation.errors import ConfigurationError, SegmentationError
from segmentation.transforms import pad_to_square

MB = 1_000_000


@traced
class ImageEncoder:
    """One replica: a runtime, an adaptive batcher before it, a cache of embeddings behind it.

    Calls for one key are routed to the same replica, so that a picture is encoded once. It holds the candidates of the
    picture's point grids, too: see `deployments.replicas.caches.candidates`.

    Args:
        open_backend: loads the runtime; called once, in the replica.
        device: the device this replica was given, "cuda" or "cpu"; a runtime on another one is refused.
        max_batch: pictures encoded together at most.
        cache_mb: bound of the cache in MB (1,000,000 bytes).
        candidates_mb: bound of the candidates held, in MB.
        stuck_after_s: see `RuntimeWatch`.
        open_report: makes what is told of runtime, batches and caches; called once, in the replica.
        open_store: opens the second tier behind the cache, if there is one; called once, in the replica.
    """

    def __init__(
        self,
        open_backend: Callable[[], EncoderBackend],
        *,
        device: str,
        max_batch: int,
        cache_mb: float,
        candidates_mb: float = 0,
        stuck_after_s: float = 0,
        open_ray_metrics: Callable[[], EmitEvent] = open_discard,
        open_store: Callable[[EmitEvent], EmbeddingStore | None] = lambda emit: None,
    ) -> None:
        self._backend = open_backend()
        refuse_other_device(self._backend.runtime, device)
        self._emit = open_ray_metrics()
        self._emit(Running(self._backend.runtime))
        self._cache: ByteLru[CachedImage] = ByteLru(int(cache_mb * MB))
        self._report_cache(evicted=0)
        self._candidates = CandidateCache(int(candidates_mb * MB))
        self._report_candidates()
        self._store = open_store(self._emit)
        self._flights: SingleFlight[EncodedImage] = SingleFlight()
        self._loads: SingleFlight[CachedImage | None] = SingleFlight()
        self._watch = RuntimeWatch(self._probe, stuck_after_s=stuck_after_s)
        self._batcher: Batcher[NDArray[np.uint8], tuple[NDArray[np.float32], float]] = Batcher(
            self._run,
            ThreadPoolExecutor(1, thread_name_prefix="encoder"),
            max_weight=max_batch,
            emit=self._emit,
        )

    def reconfigure(self, user_config: Mapping[str, float]) -> None:
        """Serve's hook for limits that change while running: `max_batch`, `cache_mb`."""
        limits = read_limits(user_config, ("max_batch", "cache_mb"))
        if "max_batch" in limits:
            self._batcher.max_weight = int(limits["max_batch"])
        if "cache_mb" in limits:
            before = self._cache.evictions
            self._cache.max_bytes = int(limits["cache_mb"] * MB)
            self._report_cache(evicted=self._cache.evictions - before)

    def check_health(self) -> None:
        """Serve's hook; raises when this replica must be replaced."""
        self._watch.check()

    async def describe(self) -> RuntimeInfo:
        """What really runs here."""
        return self._backend.runtime

    async def embed(self, key: str, picture: InputPicture | None = None, searched: bool = False) -> Encoded:
        """The embedding under the key: from the cache or the store, under way for another caller, or encoded now.

        Args:
            picture: what to encode if there is no embedding yet; without it, that is `UnknownImage` as a value.
            searched: an earlier call has looked for this key in vain: the store is not asked again.
        """
        cached = await self._find(key, in_store=not searched)
        if cached is not None:
            self._emit(EmbeddingLookedUp(held=True))
            return EncodedImage(key, cached.embedding, cached.size, decode=cached.decode)
        if picture is None:
            return not_held()  # not counted as a miss: the picture follows, unless the client has nothing but the id
        self._emit(EmbeddingLookedUp(held=False))
        return await self._flights.run(key, lambda: self._encode(key, picture))

    async def record(
        self, key: str, picture: InputPicture | None = None, searched: bool = False
    ) -> ImageRecord | SegmentationError:
        """`embed` without handing the embedding over."""
        encoded = await self.embed(key, picture, searched)
        if isinstance(encoded, SegmentationError):
            return encoded
        return ImageRecord(encoded.size, encoded.encode_s, encoded.waited_s, encoded.decode)

    async def file(self, key: str) -> PictureFile | SegmentationError:
        """The picture held under the key as it came, or `UnknownImage` as a value."""
        held = await self._find(key)
        return held.file if held and held.file else not_held()

    async def candidates(self, image_id: str, grids: Sequence[str], thresholds: Thresholds) -> list[Candidates | None]:
        """For each grid (see `grid_key`) of the picture what passes the thresholds, or None where that is not held."""
        found = [self._candidates.get(image_id, grid, thresholds) for grid in grids]
        missed = found.count(None)
        self._emit(CandidatesLookedUp(held=len(found) - missed, missed=missed))
        return found

    async def keep_candidates(
        self, image_id: str, grids: Sequence[str], thresholds: Thresholds, shards: Sequence[Sequence[Candidates]]
    ) -> None:
        """Keeps the candidates of whole grids, for each by `decode_points` of its shards in order."""
        for grid, parts in zip(grids, shards, strict=True):
            self._candidates.put(image_id, grid, thresholds, parts)
        self._report_candidates()

    async def _find(self, key: str, *, in_store: bool = True) -> CachedImage | None:
        held = self._cache.get(key)
        if held is None and in_store and self._store is not None:
            store = self._store
            held = await self._loads.run(key, lambda: self._load(store, key))
        return held

    async def _load(self, store: EmbeddingStore, key: str) -> CachedImage | None:
        image = await store.read(key)
        if image is not None:
            self._hold(key, image)
        return image

    async def _encode(self, key: str, picture: InputPicture) -> EncodedImage:
        batched = await self._batcher.submit(picture.pixels, is_urgent=picture.is_urgent)
        embedding, encode_s = batched.result
        image = CachedImage(embedding, picture.size, picture.file, picture.decode)
        self._hold(key, image)
        if self._store is not None:
            self._store.keep(key, image)
        return EncodedImage(key, embedding, picture.size, encode_s, batched.waited_s, picture.decode)

    def _hold(self, key: str, image: CachedImage) -> None:
        before = self._cache.evictions
        self._cache.put(key, image)
        self._report_cache(evicted=self._cache.evictions - before)

    def _report_cache(self, *, evicted: int) -> None:
        self._emit(EmbeddingCacheSize(len(self._cache), self._cache.nbytes, self._cache.max_bytes, evicted))

    def _report_candidates(self) -> None:
        self._emit(CandidateCacheSize(self._candidates.nbytes, self._candidates.max_bytes))

    def _run(self, pictures: Sequence[NDArray[np.uint8]]) -> list[tuple[NDArray[np.float32], float]]:
        started = time.perf_counter()
        side = self._backend.architecture.image_size
        images = np.stack([pad_to_square(picture, side) for picture in pictures])
        sizes = np.array([picture.shape[:2] for picture in pictures], np.int64)
        with self._watch.run(len(pictures)):
            embeddings = self._backend.encode(images, sizes)
        seconds = time.perf_counter() - started
        return [(_owned(embedding), seconds) for embedding in embeddings]

    def _probe(self) -> None:
        side = self._backend.architecture.image_size
        self._backend.encode(np.zeros((1, side, side, 3), np.uint8), np.array([[side, side]], np.int64))


def refuse_other_device(runtime: RuntimeInfo, device: str) -> None:
    """Stops a replica that was given a GPU and runs on the CPU, or the other way round.

    Raises:
        ConfigurationError: one line that says what to do.
    """
    if runtime.device != device:
        providers = f" ({', '.join(runtime.providers)})" if runtime.providers else ""
        raise ConfigurationError(
            f"this replica was given {device} but {runtime.backend} runs on {runtime.device}{providers}: install the "
            "extra 'gpu' (and not 'cpu') with a matching driver, or set SAM_USE_GPU=false"
        )


def _owned(embedding: NDArray[np.float32]) -> NDArray[np.float32]:
    """A copy of one row, so that what is kept does not keep its batch."""
    copy = np.array(embedding, np.float32)
    copy.setflags(write=False)
    return copy
