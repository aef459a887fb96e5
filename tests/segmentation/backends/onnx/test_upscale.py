from itertools import pairwise

import numpy as np
import pytest

from segmentation.backends.onnx.upscale import STRIP_TOKENS, cut, to_pixel_order


@pytest.mark.parametrize("side", [1, 3, 8, 32, 40, 64])
@pytest.mark.parametrize("at_least", [1, 2, 3])
def test_strips_cover_every_token_of_every_prompt_that_passes(side: int, at_least: int) -> None:
    passing = np.array([[True, False, True], [False, False, False], [False, True, False]])
    seen = np.zeros((3, side * side), int)
    for strip in cut(passing, side, at_least):
        assert strip.first % side == strip.stop % side == 0
        assert 0 < strip.stop - strip.first <= max(STRIP_TOKENS, side)
        assert strip.kept == (slice(0, 2), None, slice(2, 3))[strip.prompt]
        seen[strip.prompt, strip.first : strip.stop] += 1
    assert seen.tolist() == [[1] * side**2, [0] * side**2, [1] * side**2]
    assert len(cut(passing, side, at_least)) >= 2 * min(side, at_least)


@pytest.mark.parametrize("strips", [1, 2, 5])
def test_pixel_order_is_the_documented_transpose(strips: int) -> None:
    side = 5
    logits = np.random.default_rng(0).standard_normal((2, side * side, 16)).astype(np.float32)
    masks = np.full((2, 4 * side, 4 * side), np.nan, np.float32)
    bounds = [side * strip // strips * side for strip in range(strips + 1)]
    for first, stop in pairwise(bounds):
        to_pixel_order(np.ascontiguousarray(logits[:, first:stop]), side, first, masks)
    expected = logits.reshape(2, side, side, 2, 2, 2, 2).transpose(0, 1, 3, 5, 2, 4, 6)
    np.testing.assert_array_equal(masks, expected.reshape(masks.shape))
