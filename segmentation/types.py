"""The values that pass between the parts of the core. Plain frozen data; knows no runtime.

Frames used throughout:
    original  pixels of the upright picture, (x, y) for coordinates, (height, width) for sizes.
    input     pixels of the model's square input, after the picture's long side was resized to it.
    crop      pixels of one crop box of automatic masks; the whole picture is the first crop.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Size = tuple[int, int]
"""(height, width) in pixels."""

CropBox = tuple[int, int, int, int]
"""(x0, y0, x1, y1) in pixels of the original frame, x1 and y1 exclusive."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt as the caller gives it, in the original frame.

    points: float32 [N, 2], (x, y), N may be 0.
    labels: int64 [N], 1 for foreground and 0 for background.
    box: float32 [4], (x0, y0, x1, y1), or None.
    mask_input: float32 [low_res_side, low_res_side], logits of an earlier answer, or None.
    """

    points: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 2), np.float32))
    labels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    box: NDArray[np.float32] | None = None
    mask_input: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class PromptTokens:
    """A batch of prompts of one picture with equally many sparse tokens each, as the decoder takes them.

    coords: float32 [B, N, 2], (x, y) in the input frame; N may be 0.
    labels: int64 [B, N]: 1 foreground, 0 background, 2 and 3 a box's corners, -1 the padding point that SAM appends to
        prompts without a box.
    mask_input: float32 [B, low_res_side, low_res_side], or None when no prompt of the batch has one.
    """

    coords: NDArray[np.float32]
    labels: NDArray[np.int64]
    mask_input: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.coords)

    def take(self, part: slice) -> "PromptTokens":
        """The prompts at these positions."""
        masks = None if self.mask_input is None else self.mask_input[part]
        return PromptTokens(self.coords[part], self.labels[part], masks)


@dataclass(frozen=True, slots=True)
class DecodedMasks:
    """What a decoder returns for `PromptTokens` of B prompts with M masks each (3, or 1 for a single mask).

    predicted_iou: float32 [B, M], of every mask, whether its logits were computed or not.
    index: int64 [K, 2], the (prompt, mask) of each row of `logits`, in ascending order.
    logits: float32 [K, low_res_side, low_res_side], masks whose predicted IoU is above the gate. A mask is where they
        are above the threshold 0.
    """

    predicted_iou: NDArray[np.float32]
    index: NDArray[np.int64]
    logits: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Rle:
    """COCO's compressed run-length encoding of one mask, column-major.

    size: (height, width) of the mask.
    counts: the compressed run lengths, ASCII.
    """

    size: Size
    counts: str


@dataclass(frozen=True, slots=True)
class MaskRecord:
    """One mask of an answer, in the original frame.

    bbox: (x, y, width, height), the pixel extent as in COCO; zeros for an empty mask.
    area: pixels.
    predicted_iou: the model's own estimate of the mask's IoU with the object.
    stability_score: IoU of the mask at logit thresholds +1 and -1; 0.0 for an empty mask.
    logits: float32 [low_res_side, low_res_side], for refinement by `mask_input`, when asked for.
    point_coords: the (x, y) prompts that gave this mask; automatic masks only.
    crop_box: the crop that gave this mask, (x, y, width, height); automatic masks only.
    """

    rle: Rle
    bbox: tuple[int, int, int, int]
    area: int
    predicted_iou: float
    stability_score: float
    logits: NDArray[np.float32] | None = None
    point_coords: tuple[tuple[float, float], ...] | None = None
    crop_box: tuple[int, int, int, int] | None = None
