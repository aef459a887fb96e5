"""What a decoder replica keeps of the pictures it was asked about last. Knows neither Ray nor a runtime."""

from collections import OrderedDict
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from segmentation.backends.protocol import PreparedImage

MAX_IMAGES = 8
"""About 14 MB each at SAM's 4096 image tokens, embedding included."""


class PreparedImages:
    """The newest pictures made ready for prompts: a user clicks the same picture again. Belongs to one thread.

    Args:
        prepare: as `DecoderBackend.prepare`.
        max_images: kept; least recently used first out.
    """

    def __init__(self, prepare: Callable[[NDArray[np.float32]], PreparedImage], max_images: int = MAX_IMAGES) -> None:
        self._prepare = prepare
        self._max_images = max_images
        self._held: OrderedDict[str, PreparedImage] = OrderedDict()

    def get(self, key: str, embedding: NDArray[np.float32]) -> PreparedImage:
        """The picture under this key; the same key always stands for the same embedding."""
        if key not in self._held:
            # A copy: a view would keep the whole object in Ray's shared memory.
            self._held[key] = self._prepare(np.array(embedding))
        self._held.move_to_end(key)
        while len(self._held) > self._max_images:
            self._held.popitem(last=False)
        return self._held[key]
