"""The one pass against SAM's own two interpolations of full-size logits."""

import numpy as np
import pytest
import torch
from oracle import TINY
from segment_anything.modeling import Sam
from segment_anything.utils.amg import batched_mask_to_box, calculate_stability_score

from segmentation.masks.measure import measure_mask, measure_masks
from segmentation.masks.rle import decode, from_runs
from segmentation.masks.upscale import upscale_table
from segmentation.transforms import InputFrame, input_size
from segmentation.types import Size
from segmentation.workers import Workers

SIZES = [(64, 64), (300, 421), (421, 300), (37, 1000), (1000, 37), (1, 1), (5, 3), (1, 400), (128, 128), (129, 127)]


class _Frame:
    """Just enough of `Sam` for its own `postprocess_masks`."""

    def __init__(self, side: int) -> None:
        self.image_encoder = type("Encoder", (), {"img_size": side})


def full_logits(logits, size: Size, side: int) -> torch.Tensor:
    visible = input_size(size, InputFrame(side))
    return Sam.postprocess_masks(_Frame(side), torch.as_tensor(logits)[None, None], visible, size)[0, 0]


def smooth(rng, side, blobs=4):
    """Logits like a trained decoder's: steep, nearly flat far from a few contours."""
    y, x = np.mgrid[:side, :side]
    logits = np.full((side, side), -12.0)
    for _ in range(blobs):
        centre, radius = rng.random(2) * side, rng.random() * side / 3
        logits = np.maximum(logits, 3 * (radius - np.hypot(x - centre[0], y - centre[1])))
    return np.clip(logits, -12, 12).astype(np.float32)


def noise(rng, side):
    return rng.standard_normal((side, side)).astype(np.float32)


def measure(logits, size, side, offset=1.0, crop_box=None, frame=None):
    height, width = size
    table = upscale_table(size, InputFrame(side), len(logits))
    frame = frame or size
    mask = measure_mask(logits, table, crop_box or (0, 0, width, height), frame, offset)
    return mask, decode(from_runs(mask.runs, frame))


@pytest.mark.parametrize("make", [smooth, noise])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("side", [128, 512])
def test_equal_to_full_size_logits(make, size, side) -> None:
    rng = np.random.default_rng(sum(size) + side)
    for _ in range(5):
        logits = make(rng, side // 4)
        full = full_logits(logits, size, side)
        mask, pixels = measure(logits, size, side, offset=0.7)
        near_threshold = np.abs(full.numpy()) < 1e-5 * np.abs(logits).max()
        assert not ((pixels != (full > 0).numpy()) & ~near_threshold).any()
        assert mask.area == pixels.sum()
        expected = batched_mask_to_box(torch.as_tensor(pixels))
        assert mask.box == tuple(expected.tolist())
        stability = calculate_stability_score(full[None], 0.0, 0.7).item()
        assert mask.stability_score == pytest.approx(0.0 if np.isnan(stability) else stability, abs=1e-3)


def test_a_large_picture() -> None:
    logits = smooth(np.random.default_rng(1), 128)
    size = (3000, 4000)
    full = full_logits(logits, size, 512)
    _, pixels = measure(logits, size, 512)
    assert np.count_nonzero(pixels != (full > 0).numpy()) <= 2


@pytest.mark.parametrize("crop_box", [(0, 0, 60, 90), (17, 5, 77, 95), (40, 10, 100, 100), (0, 40, 100, 100)])
def test_a_crop_lies_in_the_picture(crop_box) -> None:
    x0, y0, x1, y1 = crop_box
    logits = noise(np.random.default_rng(2), TINY.low_res_side)
    size = (y1 - y0, x1 - x0)
    alone, pixels = measure(logits, size, TINY.image_size)
    mask, whole = measure(logits, size, TINY.image_size, crop_box=crop_box, frame=(100, 100))
    expected = np.zeros((100, 100), bool)
    expected[y0:y1, x0:x1] = pixels
    np.testing.assert_array_equal(whole, expected)
    assert mask.box == tuple(np.add(alone.box, (x0, y0, x0, y0)))
    assert (mask.area, mask.stability_score) == (alone.area, alone.stability_score)


def test_an_empty_mask() -> None:
    mask, pixels = measure(np.full((32, 32), -3, np.float32), (50, 60), 128)
    assert not pixels.any()
    assert (mask.area, mask.box, mask.stability_score) == (0, (0, 0, 0, 0), 0.0)


def test_a_full_mask() -> None:
    mask, pixels = measure(np.full((32, 32), 3, np.float32), (50, 60), 128)
    assert pixels.all()
    assert (mask.area, mask.box, mask.stability_score) == (3000, (0, 0, 59, 49), 1.0)


def test_a_mask_that_is_empty_only_above_the_high_threshold() -> None:
    mask, _ = measure(np.full((32, 32), 0.5, np.float32), (50, 60), 128)
    assert (mask.area, mask.stability_score) == (3000, 0.0)


def test_one_pixel() -> None:
    logits = np.full((32, 32), -1, np.float32)
    logits[7, 9] = 1
    # A picture as small as the logits: each pixel is the mean of its neighbourhood's middle.
    full = full_logits(logits, (32, 32), 128)
    mask, pixels = measure(logits, (32, 32), 128, offset=0.01)
    np.testing.assert_array_equal(pixels, (full > 0).numpy())
    assert mask.area == 1
    assert mask.box == (9, 7, 9, 7)


def test_infinite_offsets_and_zero_offsets_are_defined() -> None:
    logits = noise(np.random.default_rng(3), 32)
    assert measure(logits, (40, 40), 128, offset=0.0)[0].stability_score == 1.0
    assert measure(logits, (40, 40), 128, offset=1e30)[0].stability_score == 0.0


def test_nan_logits_are_background() -> None:
    everywhere, pixels = measure(np.full((32, 32), np.nan, np.float32), (50, 60), 128)
    assert not pixels.any()
    assert everywhere.stability_score == 0.0
    logits = np.full((32, 32), 3, np.float32)
    logits[10, 10] = np.nan
    mask, pixels = measure(logits, (128, 128), 128)
    assert 0 < mask.area < 128 * 128
    assert not pixels[40:44, 40:44].any()
    # As in the reference, it reaches as far as its weight does, and one logit further where that weight is 0.
    assert pixels[:32].all()


def test_read_only_and_strided_logits_are_taken() -> None:
    logits = noise(np.random.default_rng(4), 32)
    expected, _ = measure(logits, (50, 60), 128)
    frozen = logits.copy()
    frozen.flags.writeable = False
    strided = np.repeat(logits, 2, axis=1)[:, ::2]
    for variant in (frozen, strided, np.asfortranarray(logits)):
        np.testing.assert_array_equal(measure(variant, (50, 60), 128)[0].runs, expected.runs)


@pytest.mark.parametrize("count", [1, 3, 4])
@pytest.mark.parametrize("threads", [1, 2])
def test_masks_together_are_those_alone(count: int, threads: int) -> None:
    """Few masks are measured in bands."""
    rng = np.random.default_rng(5)
    logits = np.stack([make(rng, 128) for make in (smooth, noise, smooth, noise)][:count])
    logits[0] = np.where(np.arange(128)[:, None] < 60, -3, logits[0])  # nothing in the upper band
    size = (203, 611)
    table = upscale_table(size, InputFrame(512), 128)
    box = (0, 0, size[1], size[0])
    for logit, mask in zip(logits, measure_masks(logits, table, box, size, 0.7, Workers(threads)), strict=True):
        alone = measure_mask(logit, table, box, size, 0.7)
        np.testing.assert_array_equal(mask.runs, alone.runs)
        assert (mask.box, mask.area, mask.stability_score) == (alone.box, alone.area, alone.stability_score)
