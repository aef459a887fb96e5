"""What a prompt costs a decoder, and requests in parts of bounded cost, so that none holds the decoder for long."""

from collections.abc import Iterator, Sequence

from segmentation.types import Prompt, Size

POINTS_A_UNIT = 32
PIXELS_A_UNIT = 4_000_000
PART_COST = 8
"""The largest cost of a part with more than one prompt."""


def cost_of(prompt: Prompt, size: Size) -> int:
    """About how many single clicks on a picture of a few megapixels take as long; at least 1.

    Args:
        size: (height, width) of the picture: its masks have as many pixels.
    """
    return 1 + len(prompt.points) // POINTS_A_UNIT + size[0] * size[1] // PIXELS_A_UNIT


def parts_of(prompts: Sequence[Prompt], size: Size) -> Iterator[tuple[Prompt, ...]]:
    """The prompts in order, in parts of at most `PART_COST`, each of at least one prompt."""
    part: list[Prompt] = []
    cost = 0
    for prompt in prompts:
        added = cost_of(prompt, size)
        if part and cost + added > PART_COST:
            yield tuple(part)
            part, cost = [], 0
        part.append(prompt)
        cost += added
    if part:
        yield tuple(part)
