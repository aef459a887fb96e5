"""A decoder that says how long it took, so that an answer can tell inference from the work on masks."""

import time

import numpy as np
from numpy.typing import NDArray

from segmentation.backends.protocol import DecoderBackend
from segmentation.types import DecodedMasks, PromptTokens


class TimedDecoder:
    """Another decoder behind the same protocol; `seconds` adds up its calls. Belongs to one thread."""

    def __init__(self, decoder: DecoderBackend) -> None:
        self._decoder = decoder
        self.architecture = decoder.architecture
        self.runtime = decoder.runtime
        self.seconds = 0.0

    def decode(
        self,
        embedding: NDArray[np.float32],
        tokens: PromptTokens,
        *,
        multimask: bool = True,
        min_iou: float = -np.inf,
    ) -> DecodedMasks:
        started = time.perf_counter()
        try:
            return self._decoder.decode(embedding, tokens, multimask=multimask, min_iou=min_iou)
        finally:
            self.seconds += time.perf_counter() - started
