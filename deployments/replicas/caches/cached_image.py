"""One picture as an encoder replica holds it, and as the store keeps it. Plain data; knows neither Ray nor files."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deployments.calls.messages import PictureFile
from segmentation.pictures.options import LEFT_ALONE, AppliedDecode
from segmentation.types import Size


@dataclass(frozen=True, slots=True)
class CachedImage:
    """An embedding and what belongs to it.

    embedding: float32 [C, h, w], owned by this process (no view of shared memory).
    size: (height, width) of the upright picture.
    file: the picture as it came, so that its id alone is enough to cut crops; None for a crop.
    decode: how the picture was read.
    """

    embedding: NDArray[np.float32]
    size: Size
    file: PictureFile | None = None
    decode: AppliedDecode = LEFT_ALONE

    @property
    def nbytes(self) -> int:
        return int(self.embedding.nbytes) + (len(self.file.data) if self.file else 0)
