"""What a prompt costs a decoder, and requests in parts of bounded cost, so that none holds the decoder for long."""

from collections.abc import Iterator, Sequence

from segmentation.types import Prompt, Size

POINTS_A_UNIT = 20
"""A click takes 6.6 ms of a processor (`python -m benchmarks.prompt_costs`, the demo model), 32 points 14, 128 points
40, 512 points 162, and 1,024 points 353: 20 to 30 points take as long as a click."""
PIXELS_A_UNIT = 4_000_000
"""64 megapixels take 10 ms more than a small picture where masks are smooth. Masks of noise take 31 ms each, three a
prompt: a click more for every 4.6 megapixels. What the masks are is not known before, so the worst counts."""
PART_COST = 8
"""The largest cost of a part with more than one prompt: about 50 ms."""


def cost_of(prompt: Prompt, size: Size) -> int:
    """About how many single clicks on a picture of a few megapixels take as long; at least 1.

    Args:
        size: (height, width) of the picture: its masks have as many pixels.
    """
    return 1 + len(prompt.points) // POINTS_A_UNIT + size[0] * size[1] // PIXELS_A_UNIT


def is_costly(prompts: Sequence[Prompt]) -> bool:
    """Whether a part is a single prompt of so many points that it would hold up clicks."""
    return len(prompts) == 1 and len(prompts[0].points) > PART_COST * POINTS_A_UNIT


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
