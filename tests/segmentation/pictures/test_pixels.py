"""Samples of more than 8 bits to 8-bit RGB, by the documented rules, through whole files."""

from typing import Any

import numpy as np
import pytest
from pictures import HEIGHT, LEVELS, TWELVE_BITS, WIDTH, decode, encoded, scene, tiff_of
from PIL import Image

from segmentation.errors import InvalidRequest
from segmentation.pictures.options import DecodeOptions


@pytest.mark.parametrize(
    ("data", "tolerance"),
    [
        pytest.param(encoded(Image.fromarray(TWELVE_BITS), "PNG"), 0, id="png16"),
        pytest.param(encoded(Image.fromarray(TWELVE_BITS), "TIFF"), 0, id="uint16"),
        pytest.param(encoded(Image.fromarray(TWELVE_BITS), "TIFF", compression="tiff_lzw"), 0, id="uint16-lzw"),
        pytest.param(tiff_of(TWELVE_BITS, byteorder=">"), 0, id="uint16-big-endian"),
        pytest.param(tiff_of(TWELVE_BITS.astype(np.int16) - 2000), 0, id="int16"),
        pytest.param(tiff_of(TWELVE_BITS.astype(np.int32) - 2000), 0, id="int32"),
        pytest.param(tiff_of(TWELVE_BITS.astype(np.uint32) + 2**31 - 1000), 0, id="uint32"),
        pytest.param(tiff_of(TWELVE_BITS.astype(np.float32)), 0, id="float32"),
        pytest.param(tiff_of(TWELVE_BITS.astype(np.float32), byteorder=">", tile=(16, 16)), 0, id="float32-tiles"),
        pytest.param(tiff_of(TWELVE_BITS.astype(np.float64)), 0, id="float64"),
        pytest.param(tiff_of(TWELVE_BITS * 1.0, compression="zlib", rowsperstrip=5), 0, id="float64-deflate"),
        pytest.param(tiff_of(TWELVE_BITS.astype(np.float16)), 1, id="float16"),  # keeps 11 bits
    ],
)
def test_wide_grey_is_stretched_between_its_percentiles(data: bytes, tolerance: int) -> None:
    rgb = decode(data)
    assert rgb.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(rgb - LEVELS.astype(int)[:, :, None]).max() <= tolerance
    assert rgb.min() == 0
    assert rgb.max() == 255


def test_scaling_options() -> None:
    values = np.arange(1000, dtype=np.uint16).reshape(20, 50)
    values[0, 0] = 60000  # a hot pixel
    data = encoded(Image.fromarray(values), "PNG")
    assert decode(data)[19, 49, 0] == 241
    assert decode(data, scaling="minmax")[19, 49, 0] == round(999 / 60000 * 255)
    assert decode(data, scaling="percentile", range=(1.0, 99.0))[19, 49, 0] == 255
    assert decode(data, scaling="percentile", range=(0.0, 100.0))[19, 49, 0] == round(999 / 60000 * 255)
    exact = decode(data, scaling="range", range=(100, 610))
    assert [exact[2, 0, 0], exact[2, 2, 0], exact[12, 10, 0], exact[19, 49, 0]] == [0, 1, 255, 255]
    assert decode(data, scaling="range", range=(0, 510))[5, 5, 0] == 128, "127.5 rounds up"


def test_eight_bits_are_stretched_only_when_asked_and_keep_their_hue() -> None:
    dim = scene() // 4 + 20
    data = encoded(Image.fromarray(dim), "PNG")
    assert np.array_equal(decode(data), dim)
    together = np.floor((dim - dim.min()) / np.ptp(dim).astype(float) * 255 + 0.5)
    assert np.array_equal(decode(data, scaling="minmax"), together)


def test_not_finite_values() -> None:
    values = np.array([[np.nan, -np.inf, np.inf, -1.0, 0.0, 1.0]], np.float32)
    data = encoded(Image.fromarray(values), "TIFF")
    assert decode(data, scaling="minmax")[0, :, 0].tolist() == [0, 0, 255, 0, 128, 255]


@pytest.mark.parametrize("value", [np.nan, np.inf, 7.0])
def test_nothing_to_stretch(value: float) -> None:
    data = encoded(Image.fromarray(np.full((4, 4), value, np.float32)), "TIFF")
    assert not decode(data).any()


def test_extreme_floats_do_not_overflow() -> None:
    values = np.array([[-1.7e308, 0.0, 1.7e308]])
    assert decode(tiff_of(values), scaling="minmax")[0, :, 0].tolist() == [0, 128, 255]
    assert decode(tiff_of(values), scaling="range", range=(0, 1e-300))[0, :, 0].tolist() == [0, 0, 255]


@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        ({"page": -1}, "/decode/page"),
        ({"page": True}, "/decode/page"),
        ({"page": 10_000}, "/decode/page"),
        ({"channels": ()}, "/decode/channels"),
        ({"channels": (0, 1, 2, 3)}, "/decode/channels"),
        ({"channels": (-1,)}, "/decode/channels"),
        ({"scaling": "auto"}, "/decode/scaling"),
        ({"scaling": "range"}, "/decode/range"),
        ({"range": (0, 1)}, "/decode/range"),
        ({"scaling": "minmax", "range": (0, 1)}, "/decode/range"),
        ({"scaling": "range", "range": (1, 1)}, "/decode/range"),
        ({"scaling": "range", "range": (0, float("inf"))}, "/decode/range"),
        ({"scaling": "range", "range": (0, 1, 2)}, "/decode/range"),
        ({"scaling": "percentile", "range": (0, 101)}, "/decode/range"),
    ],
)
def test_options_that_can_not_be(options: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        DecodeOptions(**options)
    assert caught.value.pointer == pointer
