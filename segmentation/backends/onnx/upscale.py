"""The mask head on ONNX Runtime: image tokens to low-res logits, in strips that stay in the cache.

One prompt of 4096 image tokens makes 12 MB of activations from 4 MB. Strips are independent of each other, so the
threads that share one prompt never wait within it.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from segmentation.compiled import compiled

STRIP_TOKENS = 1024
"""Image tokens of a strip, at most: 2 MB of the widest activations."""


@dataclass(frozen=True, slots=True)
class Strip:
    """Rows of image tokens of one prompt, and the masks wanted of it.

    prompt: its position in the run.
    first, stop: image tokens, whole rows of them.
    kept: the rows of the run's logits that its masks are.
    """

    prompt: int
    first: int
    stop: int
    kept: slice


def cut(passing: NDArray[np.bool_], side: int, at_least: int) -> list[Strip]:
    """The strips of every prompt with a mask that passes.

    Args:
        passing: bool [B, m], the masks wanted.
        side: of the square of image tokens.
        at_least: strips that a prompt is cut into, where it has as many rows.
    """
    count = min(side, max(at_least, -(-side * side // STRIP_TOKENS)))
    bounds = [side * strip // count * side for strip in range(count + 1)]
    ends = np.cumsum(passing.sum(axis=1))
    return [
        Strip(int(prompt), first, stop, slice(int(ends[prompt] - passing[prompt].sum()), int(ends[prompt])))
        for prompt in np.flatnonzero(passing.any(axis=1))
        for first, stop in pairwise(bounds)
    ]


@compiled
def to_pixel_order(token_logits: NDArray[np.float32], side: int, first: int, masks: NDArray[np.float32]) -> None:
    """Writes the logits of a strip, token by token, at their places in the masks.

    Args:
        token_logits: float32 [k, n, 16], of whole rows of tokens. A token's 16 pixels are the 2x2 of the first
            upscaling, row by row, each with the 2x2 of the second.
        side: of the square of image tokens.
        first: the strip's first token.
        masks: float32 [k, 4 side, 4 side].
    """
    for mask in range(len(token_logits)):
        for row in range(token_logits.shape[1] // side):
            for outer in range(2):
                for inner in range(2):
                    line = masks[mask, 4 * (first // side + row) + 2 * outer + inner]
                    for column in range(side):
                        token = token_logits[mask, row * side + column]
                        for step in range(4):
                            line[4 * column + step] = token[8 * outer + 4 * (step // 2) + 2 * inner + step % 2]
