"""A decoder without a network: a bump of logits around each point, any model size, every score 0.9."""

import numpy as np
from numpy.typing import NDArray

from segmentation.backends.protocol import PreparedImage, RuntimeInfo
from segmentation.types import DecodedMasks, PromptTokens
from segmentation.weights.architecture import Architecture
from segmentation.workers import Workers

RADII = (0.25, 0.1, 0.05)
"""Of the three masks, in fractions of the input."""


class BumpDecoder:
    """`DecoderBackend` whose masks are discs around the first point of each prompt."""

    def __init__(self, architecture: Architecture) -> None:
        self.architecture = architecture
        self.runtime = RuntimeInfo(backend="onnx", device="cpu", providers=(), precision="fp32")
        self.workers = Workers(1)

    def prepare(self, embedding: NDArray[np.float32]) -> PreparedImage:
        return PreparedImage(embedding, {})

    def decode(
        self,
        image: PreparedImage,
        tokens: PromptTokens,
        *,
        multimask: bool = True,
        min_iou: float = -np.inf,
    ) -> DecodedMasks:
        count = 3 if multimask else 1
        side = self.architecture.low_res_side
        y, x = np.mgrid[:side, :side].astype(np.float32)
        centres = tokens.coords[:, 0] * (side / self.architecture.image_size)
        distance = np.hypot(x - centres[:, 0, None, None], y - centres[:, 1, None, None])
        radii = np.array(RADII[:count], np.float32)[:, None, None] * side
        logits = np.clip(radii - distance[:, None], -8, 8).reshape(-1, side, side)
        index = np.argwhere(np.ones((len(tokens), count), bool))
        return DecodedMasks(np.full((len(tokens), count), 0.9, np.float32), index, logits.astype(np.float32))
