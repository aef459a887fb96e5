"""What every runtime offers: pictures to embeddings, an embedding and prompts to masks. Stateless; knows no frames.

Implementations: `segmentation.backends.onnx` and `segmentation.backends.pytorch`. Calls block and are safe from several
threads.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from segmentation.types import DecodedMasks, PromptTokens
from segmentation.weights.architecture import Architecture
from segmentation.workers import Workers


@dataclass(frozen=True, slots=True)
class RuntimeInfo:
    """What really runs, asked of the loaded session and not of the wish.

    backend: "onnx" or "pytorch".
    device: "cuda" or "cpu".
    providers: ONNX Runtime's execution providers of the session, in order; empty for PyTorch.
    precision: of the weights and arithmetic, "fp32" unless a variant was loaded.
    """

    backend: str
    device: str
    providers: tuple[str, ...]
    precision: str


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """One picture as a decoder wants it, made by its `prepare`; good for any number of prompts.

    embedding: float32 [C, h, w].
    work: what the backend made of it, by name; its own business.
    """

    embedding: NDArray[np.float32]
    work: Mapping[str, Any]


class EncoderBackend(Protocol):
    """The image encoder of one model."""

    architecture: Architecture
    runtime: RuntimeInfo

    def encode(self, images: NDArray[np.uint8], sizes: NDArray[np.int64]) -> NDArray[np.float32]:
        """Image embeddings.

        Args:
            images: uint8 [B, S, S, 3], RGB, S the model's input side; each picture at the top left.
            sizes: int64 [B, 2], (height, width) of each picture in the input frame; pixels beyond it are ignored.

        Returns:
            float32 [B, C, h, w]. Each picture's embedding does not depend on the others.

        Raises:
            NumericalError: an embedding is not finite.
        """
        ...


class DecoderBackend(Protocol):
    """The prompt encoder and mask decoder of one model; holds no encoder weights.

    workers: as many threads as the runtime has, idle between its calls, for the work on what it decoded.
    """

    architecture: Architecture
    runtime: RuntimeInfo
    workers: Workers

    def prepare(self, embedding: NDArray[np.float32]) -> PreparedImage:
        """Everything that does not depend on prompts.

        Args:
            embedding: float32 [C, h, w] (a read-only view is fine).
        """
        ...

    def decode(
        self,
        image: PreparedImage,
        tokens: PromptTokens,
        *,
        multimask: bool = True,
        min_iou: float = -np.inf,
    ) -> DecodedMasks:
        """Masks of a batch of prompts on one picture.

        Args:
            image: as `prepare` made it.
            tokens: the prompts, in the input frame.
            multimask: True for the decoder's three masks per prompt, False for SAM's single mask (its index 0).
            min_iou: the gate: logits are computed only for masks whose predicted IoU is strictly above it.

        Raises:
            NumericalError: a predicted IoU or a logit is not finite.
        """
        ...
