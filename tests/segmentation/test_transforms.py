import numpy as np
import pytest
from photographs import gradient
from segment_anything.utils.transforms import ResizeLongestSide

from segmentation.transforms import InputFrame, input_size, pad_to_square, resize_image, to_input_frame

SIZES = [(300, 421), (64, 64), (1, 1), (37, 4000), (4000, 37), (1023, 1025), (1024, 1024), (333, 1000), (5, 3)]


@pytest.mark.parametrize("side", [128, 512, 1024])
@pytest.mark.parametrize("size", SIZES)
def test_input_size_is_sams(size, side) -> None:
    assert input_size(size, InputFrame(side)) == ResizeLongestSide.get_preprocess_shape(*size, side)


def test_input_size_is_never_zero() -> None:
    assert ResizeLongestSide.get_preprocess_shape(1, 4000, 1024) == (0, 1024)
    assert input_size((1, 4000), InputFrame(1024)) == (1, 1024)
    assert resize_image(gradient(1, 4000), InputFrame(1024)).shape == (1, 1024, 3)


@pytest.mark.parametrize("size", SIZES)
def test_resize_image_is_sams(size) -> None:
    image = gradient(*size)
    expected = ResizeLongestSide(256).apply_image(image)
    np.testing.assert_array_equal(resize_image(image, InputFrame(256)), expected)


def test_resize_image_takes_a_view() -> None:
    image = gradient(90, 120)
    np.testing.assert_array_equal(
        resize_image(image[10:50, 20:100], InputFrame(128)), resize_image(image[10:50, 20:100].copy(), InputFrame(128))
    )


def test_pad_to_square_keeps_the_picture_at_the_top_left() -> None:
    image = gradient(30, 64)
    square = pad_to_square(image, 64)
    assert square.shape == (64, 64, 3)
    np.testing.assert_array_equal(square[:30], image)
    assert not square[30:].any()


@pytest.mark.parametrize("size", SIZES)
def test_to_input_frame_is_sams(size) -> None:
    coords = np.random.default_rng(0).random((7, 2)) * size[::-1]
    expected = ResizeLongestSide(512).apply_coords(coords, size)
    np.testing.assert_array_equal(to_input_frame(coords, size, InputFrame(512)), expected)
