"""The `ImageEncoder` deployment: pictures to embeddings, batched, each once; it owns the embeddings. Knows no Ray."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from deployments.batching import Batcher, BatchReport
from deployments.embedding_cache import EmbeddingCache, HeldImage
from deployments.messages import Encoded, EncodedImage, InputPicture, PictureFile
from deployments.single_flight import SingleFlight
from segmentation.backends.protocol import EncoderBackend, RuntimeInfo
from segmentation.errors import ConfigurationError, NumericalError, SegmentationError, UnknownImage
from segmentation.transforms import pad_to_square

MB = 1_000_000


class ImageEncoder:
    """One replica: a runtime, an adaptive batcher before it, a cache of embeddings behind it.

    Calls for one key are routed to the same replica, so that a picture is encoded once.

    Args:
        open_backend: loads the runtime; called once, in the replica.
        device: the device this replica was given, "cuda" or "cpu"; a runtime on another one is refused.
        max_batch: pictures encoded together at most.
        cache_mb: bound of the cache in MB (1,000,000 bytes).
        open_report: makes the observer of batches; called once, in the replica.
    """

    def __init__(
        self,
        open_backend: Callable[[], EncoderBackend],
        *,
        device: str,
        max_batch: int,
        cache_mb: float,
        open_report: Callable[[], Callable[[BatchReport], None]] = lambda: lambda report: None,
    ) -> None:
        self._backend = open_backend()
        refuse_other_device(self._backend.runtime, device)
        self._cache = EmbeddingCache(int(cache_mb * MB))
        self._flights: SingleFlight[EncodedImage] = SingleFlight()
        self._batcher: Batcher[NDArray[np.uint8], tuple[NDArray[np.float32], float]] = Batcher(
            self._run,
            ThreadPoolExecutor(1, thread_name_prefix="encoder"),
            max_weight=max_batch,
            report=open_report(),
        )

    def reconfigure(self, user_config: Mapping[str, float]) -> None:
        """Serve's hook for limits that change while running: `max_batch`, `cache_mb`."""
        if "max_batch" in user_config:
            self._batcher.max_weight = int(user_config["max_batch"])
        if "cache_mb" in user_config:
            self._cache.max_bytes = int(user_config["cache_mb"] * MB)

    async def describe(self) -> RuntimeInfo:
        """What really runs here."""
        return self._backend.runtime

    async def encode(self, key: str, picture: InputPicture) -> EncodedImage:
        """The picture's embedding: held, under way for another caller, or encoded now."""
        if held := self._cache.get(key):
            return EncodedImage(key, held.embedding, held.size)
        return await self._flights.run(key, lambda: self._encode(key, picture))

    async def fetch(self, key: str) -> Encoded:
        """The embedding held under the key, or `UnknownImage` as a value."""
        held = self._cache.get(key)
        return EncodedImage(key, held.embedding, held.size) if held else _unknown()

    async def find(self, key: str) -> Encoded:
        """`fetch` without handing the embedding over: an empty one comes back."""
        held = self._cache.get(key)
        return EncodedImage(key, held.embedding[:0], held.size) if held else _unknown()

    async def prepare(self, key: str, picture: InputPicture) -> EncodedImage:
        """`encode` without handing the embedding over: an empty one comes back."""
        encoded = await self.encode(key, picture)
        return replace(encoded, embedding=encoded.embedding[:0])

    async def file(self, key: str) -> PictureFile | SegmentationError:
        """The picture held under the key as it came, or `UnknownImage` as a value."""
        held = self._cache.get(key)
        return held.file if held and held.file else _unknown()

    async def _encode(self, key: str, picture: InputPicture) -> EncodedImage:
        batched = await self._batcher.submit(picture.pixels)
        embedding, encode_s = batched.result
        self._cache.put(key, HeldImage(embedding, picture.size, picture.file))
        return EncodedImage(key, embedding, picture.size, encode_s, batched.waited_s)

    def _run(self, pictures: Sequence[NDArray[np.uint8]]) -> list[tuple[NDArray[np.float32], float]]:
        started = time.perf_counter()
        side = self._backend.architecture.image_size
        images = np.stack([pad_to_square(picture, side) for picture in pictures])
        sizes = np.array([picture.shape[:2] for picture in pictures], np.int64)
        embeddings = self._backend.encode(images, sizes)
        if not np.isfinite(embeddings).all():
            raise NumericalError("the image encoder gave values that are not finite")
        seconds = time.perf_counter() - started
        return [(_owned(embedding), seconds) for embedding in embeddings]


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


def _unknown() -> UnknownImage:
    return UnknownImage("no picture is held under this image_id (evicted, or the server restarted): send it again")
