import numpy as np
import pytest
import torch

from segmentation.masks.upscale import upscale_table
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
