"""The pictures that a decoder replica keeps prepared for prompts. Knows neither Ray nor a runtime."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deployments.replicas.caches.byte_lru import ByteLru
from segmentation.backends.protocol import PreparedImage
from segmentation.pictures.options import LEFT_ALONE, AppliedDecode
from segmentation.types import Size


@dataclass(frozen=True, slots=True)
class PreparedPicture:
    """A picture prepared for prompts, its (height, width), and how it was read."""

    image: PreparedImage
    size: Size
    decode: AppliedDecode = LEFT_ALONE

    @property
    def nbytes(self) -> int:
        """Embedding included; about 14 MB at SAM's 4096 image tokens."""
        return int(self.image.embedding.nbytes) + sum(int(part.nbytes) for part in self.image.work.values())


class PreparedImages:
    """The pictures used last: a user clicks the same picture again. May be used from any thread.

    Args:
        prepare: as `DecoderBackend.prepare`.
        max_bytes: of the pictures kept, embeddings included; a larger one is prepared again each time.
    """

    def __init__(self, prepare: Callable[[NDArray[np.float32]], PreparedImage], max_bytes: int) -> None:
        self._prepare = prepare
        self._lock = threading.Lock()
        self._cached: ByteLru[PreparedPicture] = ByteLru(max_bytes)

    @property
    def max_bytes(self) -> int:
        return self._cached.max_bytes

    @max_bytes.setter
    def max_bytes(self, value: int) -> None:
        with self._lock:
            self._cached.max_bytes = value

    def get(self, key: str) -> PreparedPicture | None:
        """The picture under the key, or None."""
        with self._lock:
            return self._cached.get(key)

    def prepare(
        self, key: str, embedding: NDArray[np.float32], size: Size, decode: AppliedDecode = LEFT_ALONE
    ) -> PreparedPicture:
        """The picture under the key, prepared now if it is not kept.

        Args:
            key: always stands for the same embedding.
            embedding: float32 [C, h, w].
            size: (height, width) of the picture.
            decode: how it was read.
        """
        kept = self.get(key)
        if kept is None:
            # A copy: a view would keep the whole object in Ray's shared memory.
            kept = PreparedPicture(self._prepare(np.array(embedding)), size, decode)
            with self._lock:
                self._cached.put(key, kept)
        return kept
