"""TIFFs of many channels, pages and types, most of which Pillow does not know or would shorten."""

import io

import numpy as np
import pytest
import tifffile
from numpy.typing import DTypeLike
from pictures import HEIGHT, LEVELS, TWELVE_BITS, WIDTH, decode, encoded, scene, stretched, tiff_of
from PIL import Image

from segmentation.errors import ImageTooLarge, InvalidImage, InvalidRequest


def test_channels_are_chosen_and_stretched_each_by_itself() -> None:
    values = np.stack([TWELVE_BITS, TWELVE_BITS * 9, TWELVE_BITS + 1000, 5000 - TWELVE_BITS, TWELVE_BITS // 2], axis=-1)
    for data in (
        tiff_of(values, photometric="minisblack", planarconfig="contig"),
        tiff_of(np.moveaxis(values, -1, 0), photometric="minisblack", planarconfig="separate", compression="zlib"),
        tiff_of(values, photometric="minisblack", planarconfig="contig", compression="zlib", predictor=True),
    ):
        assert np.array_equal(decode(data), np.repeat(LEVELS[:, :, None], 3, axis=2))
        two = decode(data, channels=(3, 0))
        assert np.abs(two[:, :, 0].astype(int) - stretched(5000 - TWELVE_BITS.astype(int))).max() <= 1
        assert np.array_equal(two[:, :, 1], LEVELS)
        assert not two[:, :, 2].any()
        grey = decode(data, channels=(3,))
        assert np.array_equal(grey[:, :, 0], grey[:, :, 2])
        with pytest.raises(InvalidRequest, match="5 channels") as caught:
            decode(data, channels=(0, 5))
        assert caught.value.pointer == "/decode/channels/1"


@pytest.mark.parametrize("planarconfig", ["contig", "separate"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("count", range(2, 8))
def test_no_channel_is_lost(count: int, dtype: DTypeLike, planarconfig: str) -> None:
    """Pillow reads some of these, silently without their last channels."""
    values = scene(count).astype(dtype)
    stored = values if planarconfig == "contig" else np.moveaxis(values, -1, 0)
    data = tiff_of(stored, photometric="minisblack", planarconfig=planarconfig)
    last = decode(data, channels=(count - 1,), scaling="range", range=(0, 255))
    assert np.array_equal(last[:, :, 0], values[:, :, -1])
    assert np.array_equal(decode(data), decode(data, channels=tuple(range(min(3, count)))))


def test_sixteen_bit_colours_are_stretched_together() -> None:
    values = scene(3, np.uint16) >> 4
    data = tiff_of(values, photometric="rgb")
    assert np.array_equal(decode(data), stretched(values))
    assert np.array_equal(decode(data, scaling="minmax"), stretched(values, (0, 100)))


def test_pages_of_a_stack() -> None:
    pages = [Image.fromarray((TWELVE_BITS * factor).astype(np.uint16)) for factor in (1, 0, 2)]
    data = encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    assert np.array_equal(decode(data)[:, :, 0], LEVELS)
    assert not decode(data, page=1).any()
    assert np.array_equal(decode(data, page=2)[:, :, 0], LEVELS)
    with pytest.raises(InvalidRequest) as caught:
        decode(data, page=3)
    assert caught.value.pointer == "/decode/page"


def test_pages_of_a_stack_that_pillow_does_not_know() -> None:
    data = tiff_of(np.stack([TWELVE_BITS * 0.0, TWELVE_BITS * 1.0]), photometric="minisblack")
    assert np.array_equal(decode(data, page=1)[:, :, 0], LEVELS)
    with pytest.raises(InvalidRequest) as caught:
        decode(data, page=2)
    assert caught.value.pointer == "/decode/page"


def test_truncated_tiff_that_pillow_does_not_know() -> None:
    for data in (tiff_of(TWELVE_BITS * 1.0), tiff_of(TWELVE_BITS * 1.0, compression="zlib")):
        for kept in (0.1, 0.5, 0.95):
            with pytest.raises(InvalidImage):
                decode(data[: int(kept * len(data))])


def test_every_page_has_its_own_size_and_orientation() -> None:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(np.zeros((4, 4, 3), np.uint8), photometric="rgb")
        writer.write(scene(), photometric="rgb", extratags=[(274, 3, 1, 6, True)])
    data = buffer.getvalue()
    assert decode(data).shape == (4, 4, 3)
    assert np.array_equal(decode(data, page=1), np.rot90(scene(), -1))
    with pytest.raises(ImageTooLarge):
        decode(data, page=1, megapixels=(HEIGHT * WIDTH - 1) / 1e6)


def test_opacity_is_dropped() -> None:
    """Also where colours are stored multiplied by it, as Pillow's mode "La" is."""
    values = scene(2)
    values[:, :, 0] = np.minimum(values[:, :, 0], values[:, :, 1])
    data = tiff_of(values, photometric="minisblack", planarconfig="contig", extrasamples=["ASSOCALPHA"])
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "La"
        assert np.array_equal(decode(data), np.asarray(image.convert("LA").convert("RGB")))
    wide = tiff_of(
        np.dstack([TWELVE_BITS, TWELVE_BITS]),
        photometric="minisblack",
        planarconfig="contig",
        extrasamples=["UNASSALPHA"],
    )
    assert np.array_equal(decode(wide), np.repeat(LEVELS[:, :, None], 3, axis=2))


def test_size_limit_holds_for_tiffs_that_pillow_does_not_know() -> None:
    data = tiff_of(TWELVE_BITS * 1.0)
    with pytest.raises(ImageTooLarge):
        decode(data, megapixels=(HEIGHT * WIDTH - 1) / 1e6)
    many = tiff_of(np.zeros((20, 8, 8)), photometric="minisblack", planarconfig="separate")
    with pytest.raises(ImageTooLarge, match="20 channels"):
        decode(many, megapixels=64e-6)
