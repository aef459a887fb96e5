"""What an encoder replica remembers: the newest embeddings, bounded in bytes. Knows neither Ray nor a runtime."""

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deployments.messages import PictureFile
from segmentation.types import Size


@dataclass(frozen=True, slots=True)
class HeldImage:
    """One picture as an encoder replica holds it.

    embedding: float32 [C, h, w], owned by this process (no view of shared memory).
    size: (height, width) of the upright picture.
    file: the picture as it came, so that its id alone is enough to cut crops; None for a crop.
    """

    embedding: NDArray[np.float32]
    size: Size
    file: PictureFile | None = None

    @property
    def nbytes(self) -> int:
        return int(self.embedding.nbytes) + (len(self.file.data) if self.file else 0)


class EmbeddingCache:
    """Least recently used first out, bounded in bytes. Belongs to one thread."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held: OrderedDict[str, HeldImage] = OrderedDict()
        self.nbytes = 0
        self.evictions = 0

    def __len__(self) -> int:
        return len(self._held)

    @property
    def max_bytes(self) -> int:
        return self._max_bytes

    @max_bytes.setter
    def max_bytes(self, value: int) -> None:
        self._max_bytes = value
        self._evict()

    def get(self, key: str) -> HeldImage | None:
        """The image held under the key, which becomes the most recently used; None if there is none."""
        if key not in self._held:
            return None
        self._held.move_to_end(key)
        return self._held[key]

    def put(self, key: str, image: HeldImage) -> None:
        """Holds the image, in place of one under the same key. One that is larger than the bound is not held."""
        if (old := self._held.pop(key, None)) is not None:
            self.nbytes -= old.nbytes
        if image.nbytes > self._max_bytes:
            return
        self._held[key] = image
        self.nbytes += image.nbytes
        self._evict()

    def _evict(self) -> None:
        while self.nbytes > self._max_bytes:
            _, oldest = self._held.popitem(last=False)
            self.nbytes -= oldest.nbytes
            self.evictions += 1
