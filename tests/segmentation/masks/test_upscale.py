import numpy as np
import pytest
import torch

from segmentation.masks.upscale import TableCache, upscale_table
from segmentation.transforms import InputFrame, input_size


def dense(axis, low_res_side):
    """The table as the matrix it stands for, [pixels, low_res_side]."""
    matrix = np.zeros((axis.weights.shape[1], low_res_side))
    for base, first, last in zip(axis.bases, axis.starts, axis.starts[1:], strict=False):
        matrix[first:last, base : base + 3] = axis.weights[:, first:last].T
    return matrix


@pytest.mark.parametrize("size", [(300, 421), (37, 4000), (4000, 37), (1, 1), (2, 3), (512, 512), (3000, 2000)])
@pytest.mark.parametrize("side", [128, 512, 1024])
def test_the_table_is_both_interpolations(size, side) -> None:
    low = side // 4
    table = upscale_table(size, InputFrame(side), low)
    identity = torch.eye(low)[:, None]
    for axis, length, visible in zip(
        (table.rows, table.columns), size, input_size(size, InputFrame(side)), strict=True
    ):
        upsampled = torch.nn.functional.interpolate(identity, side, mode="linear")[..., :visible]
        expected = torch.nn.functional.interpolate(upsampled, length, mode="linear")[:, 0].numpy().T
        np.testing.assert_allclose(dense(axis, low), expected, rtol=0, atol=1e-5)
        assert (axis.weights >= 0).all()
        np.testing.assert_allclose(axis.weights.sum(axis=0), 1, atol=1e-6)
        assert axis.bases[-1] + 3 <= low
        assert axis.starts[0] == 0
        assert axis.starts[-1] == length
        assert (np.diff(axis.bases) > 0).all()


def test_tables_are_kept_within_a_number_of_bytes() -> None:
    frame = InputFrame(1024)
    one = upscale_table((1000, 1000), frame, 256)
    cache = TableCache(3 * one.nbytes)
    first = cache.get((1000, 1000), frame, 256)
    assert cache.get((1000, 1000), frame, 256) is first
    for width in range(1001, 1005):
        cache.get((1000, width), frame, 256)
    assert 2 * one.nbytes < cache.nbytes <= 3 * one.nbytes
    assert cache.get((1000, 1000), frame, 256) is not first


def test_a_table_larger_than_the_bound_is_made_each_time_and_pushes_out_no_other() -> None:
    cache, frame = TableCache(100_000), InputFrame(1024)
    kept = cache.get((100, 100), frame, 256)
    huge = cache.get((1, 1_000_000), frame, 256)
    assert huge.size == (1, 1_000_000)
    assert cache.get((100, 100), frame, 256) is kept
    assert cache.nbytes == kept.nbytes
