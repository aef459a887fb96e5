"""A decoder that says how long it took and what it gave, so that inference can be told from the work on masks."""

import time

import numpy as np
from numpy.typing import NDArray

from segmentation.backends.protocol import DecoderBackend, PreparedImage
from segmentation.types import DecodedMasks, PromptTokens


class TimedDecoder:
    """Another decoder behind the same protocol. Belongs to one thread.

    seconds: of all its calls.
    candidates, passed: masks it predicted, and those above the gate of predicted IoU.
    """

    def __init__(self, decoder: DecoderBackend) -> None:
        self._decoder = decoder
        self.architecture = decoder.architecture
        self.runtime = decoder.runtime
        self.workers = decoder.workers
        self.seconds = 0.0
        self.candidates = 0
        self.passed = 0

    def prepare(self, embedding: NDArray[np.float32]) -> PreparedImage:
        started = time.perf_counter()
        image = self._decoder.prepare(embedding)
        self.seconds += time.perf_counter() - started
        return image

    def decode(
        self,
        image: PreparedImage,
        tokens: PromptTokens,
        *,
        multimask: bool = True,
        min_iou: float = -np.inf,
    ) -> DecodedMasks:
        started = time.perf_counter()
        decoded = self._decoder.decode(image, tokens, multimask=multimask, min_iou=min_iou)
        self.seconds += time.perf_counter() - started
        self.candidates += decoded.predicted_iou.size
        self.passed += len(decoded.logits)
        return decoded
