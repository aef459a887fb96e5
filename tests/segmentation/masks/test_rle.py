import numpy as np
import pytest
import torch
from pycocotools import mask as coco
from segment_anything.utils.amg import batched_mask_to_box

from segmentation.masks.rle import decode, encode, from_runs, runs_area, runs_box, to_runs
from segmentation.types import Rle

RNG = np.random.default_rng(5)


def masks():
    yield np.zeros((3, 4), bool)
    yield np.ones((3, 4), bool)
    yield np.ones((1, 1), bool)
    yield np.eye(9, dtype=bool)
    yield np.arange(12).reshape(3, 4) % 2 == 0
    last = np.zeros((5, 7), bool)
    last[-1, -1] = True
    yield last
    big = np.zeros((2000, 3000), bool)
    big[3, 2500] = big[1500:, 2600:2800] = True
    yield big
    for density in (0.02, 0.3, 0.7):
        for _ in range(20):
            yield RNG.random(RNG.integers(1, 40, 2)) < density


MASKS = list(masks())


@pytest.mark.parametrize("mask", MASKS)
def test_encode_is_cocos(mask) -> None:
    expected = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    rle = encode(mask)
    assert rle.counts == expected["counts"].decode("ascii")
    assert list(rle.size) == expected["size"]


@pytest.mark.parametrize("mask", MASKS)
def test_decode_and_runs_give_the_mask_back(mask) -> None:
    rle = encode(mask)
    np.testing.assert_array_equal(decode(rle), mask)
    runs = to_runs(rle)
    assert from_runs(runs, rle.size) == rle
    assert runs_area(runs) == mask.sum()
    assert runs_box(runs, rle.size) == tuple(batched_mask_to_box(torch.as_tensor(mask)).tolist())


def test_decode_reads_cocos_own_counts() -> None:
    mask = RNG.random((60, 50)) < 0.4
    theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    np.testing.assert_array_equal(decode(Rle((60, 50), theirs["counts"].decode())), mask)
