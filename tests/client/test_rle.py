"""The client's run lengths against pycocotools."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco

from client import rle

MASKS = arrays.arrays(np.bool_, st.tuples(st.integers(1, 40), st.integers(1, 40)))


@settings(deadline=None)
@given(MASKS)
def test_both_ways_as_pycocotools(mask: np.ndarray) -> None:
    expected = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    encoded = rle.encode(mask)
    assert encoded.counts == expected["counts"].decode()
    assert encoded.size == tuple(expected["size"])
    assert np.array_equal(rle.decode(encoded), mask)


def test_long_runs() -> None:
    mask = np.zeros((3000, 5000), np.bool_)
    mask[1000:1003, 10:4000] = True
    expected = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert rle.encode(mask).counts == expected["counts"].decode()
    assert np.array_equal(rle.decode(rle.encode(mask)), mask)


def test_run_lengths_that_do_not_fill_the_mask_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fill"):
        rle.decode(rle.Rle((4, 4), rle.encode(np.ones((3, 3), bool)).counts))
