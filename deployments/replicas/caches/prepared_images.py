"""What a decoder replica keeps of the pictures it was asked about last. Knows neither Ray nor a runtime."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deployments.replicas.caches.byte_lru import ByteLru
from segmentation.backends.protocol import PreparedImage


@dataclass(frozen=True, slots=True)
class _CachedPreparation:
    image: PreparedImage

    @property
    def nbytes(self) -> int:
        """Embedding included; about 14 MB at SAM's 4096 image tokens."""
        return int(self.image.embedding.nbytes) + sum(int(part.nbytes) for part in self.image.work.values())


class PreparedImages:
    """The newest pictures made ready for prompts: a user clicks the same picture again. Belongs to one thread.

    Args:
        prepare: as `DecoderBackend.prepare`.
        max_bytes: of the pictures kept, embeddings included; a larger one is prepared again each time. May be changed
            at any time, from any thread.
    """

    def __init__(self, prepare: Callable[[NDArray[np.float32]], PreparedImage], max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._prepare = prepare
        self._held: ByteLru[_CachedPreparation] = ByteLru(max_bytes)

    def get(self, key: str, embedding: NDArray[np.float32]) -> PreparedImage:
        """The picture under this key; the same key always stands for the same embedding."""
        if self._held.max_bytes != self.max_bytes:
            self._held.max_bytes = self.max_bytes
        kept = self._held.get(key)
        if kept is None:
            # A copy: a view would keep the whole object in Ray's shared memory.
            kept = _CachedPreparation(self._prepare(np.array(embedding)))
            self._held.put(key, kept)
        return kept.image
