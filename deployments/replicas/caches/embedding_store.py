"""The optional second tier behind the caches of encoders: embeddings that survive restarts and that nodes share.

An entry is a header and two payloads, the embedding in float32 and the picture's file, behind a SHA-256 of them all.
Its name is a hash of the key and of the model, weights and precision, which the header repeats. An entry that is cut
short, changed or not what its name says is deleted and counts as missing. Nothing here is ever an error to a request:
what can't be read is encoded again, what can't be written is warned about. A look that takes longer than `PATIENCE_S`
counts as missing, and the store is then left alone for `REST_S`.

The hash guards against accidents. Who may write to the place can also write entries that pass: keep it to the server.

Knows neither Ray nor a runtime.
"""

import asyncio
import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import numpy as np

from deployments.calls.messages import PictureFile
from deployments.replicas.caches.blobs import Blobs
from deployments.replicas.caches.cached_image import CachedImage
from deployments.telemetry.events import StoreUsed
from segmentation.pictures.options import AppliedDecode, DecodeOptions

MAGIC = b"SAM Serve embedding 2\n"
MAX_WAITING_BYTES = 256_000_000
"""Of images that wait to be written; beyond that they are not."""

READERS = 4
PATIENCE_S = 2.0
"""For one look: an image is encoded again in about that time."""
REST_S = 30.0
"""After a look that took too long, nothing is asked of the store and nothing written to it."""
_HASH_BYTES = 32
_LENGTH_BYTES = 8

logger = logging.getLogger(__name__)


class Damaged(Exception):
    """The bytes are no entry, or another one than was asked for."""


class EmbeddingStore:
    """Belongs to one event loop; reads and writes on threads of its own, writes one at a time.

    Args:
        blobs: where the entries are.
        model: everything about the model that an embedding depends on.
        shape: of an embedding, (C, h, w).
        emit: told of every use.
        patience_s, rest_s: for one look, and after one that took longer.
    """

    def __init__(
        self,
        blobs: Blobs,
        *,
        model: str,
        shape: tuple[int, ...],
        emit: Callable[[StoreUsed], None],
        patience_s: float = PATIENCE_S,
        rest_s: float = REST_S,
    ) -> None:
        self._blobs = blobs
        self._model = model
        self._shape = shape
        self._emit = emit
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="store-read")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="store-write")
        self._lock = threading.Lock()
        self._waiting_bytes = 0
        self._failing = False
        self._patience_s = patience_s
        self._rest_s = rest_s
        self._rests_until = 0.0
        self._hanging = 0

    async def read(self, key: str) -> CachedImage | None:
        """The image under the key, or None: also where the store gives no answer in time."""
        loop = asyncio.get_running_loop()
        if self._is_resting():
            self._emit(StoreUsed("skipped"))
            return None
        look = loop.run_in_executor(self._readers, self._read, key)
        done, _ = await asyncio.wait([look], timeout=self._patience_s)
        if done:
            return look.result()
        self._hanging += 1
        self._rest()
        look.add_done_callback(self._look_ended)
        return None

    def _is_resting(self) -> bool:
        """Whether the store is left alone: for a while, or for as long as every reader hangs in it."""
        return time.monotonic() < self._rests_until or self._hanging >= READERS

    def _rest(self) -> None:
        if not self._is_resting():
            logger.warning(
                "the store of embeddings gives no answer within %g s; serving goes on without it for %g s",
                self._patience_s,
                self._rest_s,
            )
        self._rests_until = time.monotonic() + self._rest_s
        self._emit(StoreUsed("slow"))

    def _look_ended(self, look: "asyncio.Future[CachedImage | None]") -> None:
        self._hanging -= 1
        if not look.cancelled():
            look.exception()  # it was answered as missing

    def keep(self, key: str, image: CachedImage) -> None:
        """Writes the image some time later, unless the store is left alone."""
        if self._is_resting():
            self._emit(StoreUsed("skipped"))
            return
        with self._lock:
            behind = self._waiting_bytes + image.nbytes > MAX_WAITING_BYTES
            if not behind:
                self._waiting_bytes += image.nbytes
        if behind:
            self._emit(StoreUsed("skipped"))
            return
        self._writer.submit(self._write, key, image)

    async def written(self) -> None:
        """Returns once everything that was kept so far is written."""
        await asyncio.get_running_loop().run_in_executor(self._writer, lambda: None)

    def _read(self, key: str) -> CachedImage | None:
        name = self._name(key)
        try:
            data = self._blobs.read(name)
            if data is None:
                self._emit(StoreUsed("missing"))
                return None
            try:
                image = unpack(data, key=key, model=self._model, shape=self._shape)
            except Damaged as fault:
                logger.warning("a stored embedding is dropped: %s", fault)
                self._blobs.delete(name)
                self._emit(StoreUsed("dropped"))
                return None
        except Exception as error:  # the medium's own: of a file system, a network, a cloud
            self._warn("read", error)
            return None
        self._emit(StoreUsed("read"))
        return image

    def _write(self, key: str, image: CachedImage) -> None:
        try:
            self._blobs.write(self._name(key), pack(image, key=key, model=self._model))
        except Exception as error:  # the medium's own, as above
            self._warn("write", error)
        else:
            self._failing = False
            self._emit(StoreUsed("written"))
        finally:
            with self._lock:
                self._waiting_bytes -= image.nbytes

    def _name(self, key: str) -> str:
        return hashlib.sha256(f"{self._model}\n{key}".encode()).hexdigest()

    def _warn(self, what: str, error: Exception) -> None:
        """Once per trouble: a full disk fails at every write."""
        if not self._failing:
            logger.warning("can't %s stored embeddings, serving goes on without: %s", what, error)
        self._failing = True
        self._emit(StoreUsed("failed"))


def pack(image: CachedImage, *, key: str, model: str) -> bytes:
    """The entry of an image."""
    header: dict[str, Any] = {
        "key": key,
        "model": model,
        "size": image.size,
        "shape": image.embedding.shape,
        "decode": asdict(image.decode),
    }
    if image.file is not None:
        header["file"] = {"bytes": len(image.file.data), "options": asdict(image.file.options)}
    text = json.dumps(header).encode()
    content = b"".join(
        [
            len(text).to_bytes(_LENGTH_BYTES, "big"),
            text,
            np.ascontiguousarray(image.embedding, "<f4").tobytes(),
            image.file.data if image.file else b"",
        ]
    )
    return b"".join([MAGIC, hashlib.sha256(content).digest(), content])


def unpack(data: bytes, *, key: str, model: str, shape: tuple[int, ...]) -> CachedImage:
    """The image of an entry.

    Raises:
        Damaged: the bytes are none, or of another key, model or shape.
    """
    view = memoryview(data)
    start = len(MAGIC) + _HASH_BYTES
    if view[: len(MAGIC)] != MAGIC:
        raise Damaged("it is no entry of this version")
    content = view[start:]
    if hashlib.sha256(content).digest() != view[len(MAGIC) : start]:
        raise Damaged("its content is not what was written")
    end = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "big")
    header = json.loads(bytes(content[_LENGTH_BYTES:end]))
    if (header["key"], header["model"], tuple(header["shape"])) != (key, model, shape):
        raise Damaged("it is of another picture or model")
    after = end + 4 * int(np.prod(shape))
    embedding = np.frombuffer(content[end:after], "<f4").reshape(shape).astype(np.float32)
    embedding.setflags(write=False)
    height, width = header["size"]
    decode = AppliedDecode(**_tuples(header["decode"]))
    return CachedImage(embedding, (height, width), _file(header.get("file"), content[after:]), decode)


def _file(header: dict[str, Any] | None, data: memoryview) -> PictureFile | None:
    if header is None:
        return None
    return PictureFile(bytes(data), DecodeOptions(**_tuples(header["options"])))


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has lists where frozen values have tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
