"""`decode_picture`: stored samples, the mask of valid ones, and what a file tells of its pixels."""

import io
from typing import Any

import numpy as np
import pytest
import tifffile
from pictures import HEIGHT, LEVELS, TWELVE_BITS, WIDTH, encoded, picture, pillow, scene, stretched, tiff_of
from PIL import Image

from segmentation.pictures.decode import decode_picture
from segmentation.pictures.decoded import DecodedPicture, PixelSize
from segmentation.pictures.options import AppliedDecode, DecodeOptions


def decoded(data: bytes, **options: Any) -> DecodedPicture:
    return decode_picture(data, max_megapixels=1, options=DecodeOptions(**options))


def test_a_photograph_is_stored_as_it_is_shown() -> None:
    found = decoded(encoded(picture("RGB"), "PNG"))
    assert np.array_equal(found.rgb, scene())
    assert np.array_equal(found.samples, scene())
    assert found.valid.all()
    assert found.decode == AppliedDecode(0, (0, 1, 2), None, None, None)
    assert (found.info.channels, found.info.dtype, found.info.pixel_size) == (3, "uint8", None)


def test_sixteen_bits_keep_their_levels() -> None:
    for data in (tiff_of(TWELVE_BITS), encoded(Image.fromarray(TWELVE_BITS), "PNG")):
        found = decoded(data)
        assert found.samples.dtype == np.uint16
        assert np.array_equal(found.samples[:, :, 0], TWELVE_BITS)
        assert np.array_equal(found.rgb[:, :, 0], LEVELS)
        low, high = np.percentile(TWELVE_BITS, (0.1, 99.9))
        assert found.decode.scaling == "percentile"
        assert (found.decode.low, found.decode.high) == (pytest.approx(low), pytest.approx(high))


def test_nodata_of_gdal_is_not_valid() -> None:
    values = TWELVE_BITS.astype(np.int16)
    values[:2] = -9999
    found = decoded(tiff_of(values, extratags=[(42113, 2, 6, "-9999", True)]))
    assert np.array_equal(found.valid[:, :, 0], values != -9999)
    assert not found.rgb[:2].any()
    assert np.array_equal(found.rgb[2:, :, 0], stretched(TWELVE_BITS[2:]))


def test_the_lowest_float_is_nodata_without_a_tag() -> None:
    values = TWELVE_BITS.astype(np.float32)
    values[5] = np.finfo(np.float32).min
    values[6, 0] = np.nan
    found = decoded(tiff_of(values))
    assert not found.valid[5].any()
    assert not found.valid[6, 0].any()
    assert found.valid.sum() == HEIGHT * WIDTH - WIDTH - 1
    limits = np.percentile(TWELVE_BITS[found.valid[:, :, 0]], (0.1, 99.9))
    assert (found.decode.low, found.decode.high) == (pytest.approx(limits[0]), pytest.approx(limits[1]))
    assert len(np.unique(found.rgb)) > 200


def test_a_mask_that_follows_its_page_is_applied() -> None:
    buffer = io.BytesIO()
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[10:] = 255
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(TWELVE_BITS, photometric="minisblack", metadata=None)
        writer.write(mask != 0, photometric="mask", subfiletype=4, metadata=None)
    found = decoded(buffer.getvalue())
    assert np.array_equal(found.valid[:, :, 0], mask != 0)
    assert np.array_equal(found.rgb[10:, :, 0], stretched(TWELVE_BITS[10:]))


@pytest.mark.parametrize("form", ["ome", "imagej"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_channels_that_are_pages(form: str, compression: str | None) -> None:
    """Two time points, three depths and four channels: the page counts the first two."""
    stack = np.arange(2 * 3 * 4)[:, None, None] * np.uint16(1000) + TWELVE_BITS
    stack = stack.reshape(2, 3, 4, HEIGHT, WIDTH).astype(np.uint16)
    options: dict[str, Any] = {form: True, "metadata": {"axes": "TZCYX"}, "compression": compression}
    if form == "imagej" and compression:
        pytest.skip("ImageJ writes no compressed hyperstacks")
    data = tiff_of(stack, **options)
    found = decoded(data, page=4, channels=(2, 0))
    assert (found.info.pages, found.info.channels) == (6, 4)
    assert np.array_equal(found.samples, np.moveaxis(stack[1, 1], 0, -1))
    assert np.array_equal(found.rgb[:, :, 0], LEVELS)
    assert found.decode.channels == (2, 0)
    low = np.percentile(TWELVE_BITS, 0.1)
    assert found.decode.low == (pytest.approx(18_000 + low), pytest.approx(16_000 + low))
    assert decoded(data).decode.channels == (0, 1, 2)


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"resolution": (20_000, 10_000), "resolutionunit": "CENTIMETER"}, PixelSize(0.5, 1.0, "tiff")),
        ({"resolution": (25_400, 25_400), "resolutionunit": "INCH"}, PixelSize(1.0, 1.0, "tiff")),
        ({"resolution": (10, 10), "resolutionunit": "NONE"}, None),
        ({"imagej": True, "resolution": (2, 2), "metadata": {"unit": "um"}}, PixelSize(0.5, 0.5, "imagej")),
        ({"imagej": True, "resolution": (2, 2), "metadata": {"unit": "\\u00B5m"}}, PixelSize(0.5, 0.5, "imagej")),
        ({"imagej": True, "resolution": (2, 2), "metadata": {"unit": "pixel"}}, None),
        (
            {"ome": True, "metadata": {"axes": "YX", "PhysicalSizeX": 0.65, "PhysicalSizeY": 0.7}},
            PixelSize(0.65, 0.7, "ome"),
        ),
        (
            {"ome": True, "metadata": {"axes": "YX", "PhysicalSizeX": 65.0, "PhysicalSizeXUnit": "nm"}},
            PixelSize(0.065, 0.065, "ome"),
        ),
    ],
)
def test_the_size_of_a_pixel(options: dict[str, Any], size: PixelSize | None) -> None:
    found = decoded(tiff_of(TWELVE_BITS, **options)).info.pixel_size
    if size is None:
        assert found is None
        return
    assert found is not None
    assert (found.x, found.y) == (pytest.approx(size.x), pytest.approx(size.y))
    assert found.source == size.source


def test_everything_is_turned_upright_together() -> None:
    values = np.dstack([scene(3, np.uint16), np.full((HEIGHT, WIDTH), 65535, np.uint16)])
    for orientation in range(1, 9):
        data = tiff_of(
            values,
            photometric="rgb",
            extrasamples=["unassalpha"],
            extratags=[(274, 3, 1, orientation, True)],
            resolution=(10_000, 5_000),
            resolutionunit="CENTIMETER",
        )
        found = decoded(data)
        exif = Image.Exif()
        exif[274] = orientation
        turned = pillow(encoded(Image.fromarray(stretched(values[:, :, :3])), "PNG", exif=exif))
        assert np.array_equal(found.rgb, turned)
        assert np.array_equal(stretched(found.samples[:, :, :3]), turned)
        assert found.valid.shape == found.samples.shape == (*turned.shape[:2], 4)
        assert found.info.pixel_size is not None
        assert found.info.pixel_size.x == pytest.approx(1.0 if orientation < 5 else 2.0)
