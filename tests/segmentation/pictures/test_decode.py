"""Pictures as people have them, against Pillow's own decode or the documented rule."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from pictures import HEIGHT, KINDS, WIDTH, decode, encoded, picture, pillow, scene
from PIL import Image

from segmentation.errors import ImageTooLarge, InvalidRequest
from segmentation.pictures.decode import open_image
from segmentation.transforms import InputFrame, resize_image


@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        *(("PNG", mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")),
        *(("JPEG", mode, {"quality": 90}) for mode in ("L", "RGB", "CMYK")),
        ("JPEG", "RGB", {"progressive": True}),
        *(("TIFF", mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB")),
        *(("TIFF", "RGB", {"compression": name}) for name in ("tiff_lzw", "tiff_deflate", "jpeg", "packbits")),
        ("TIFF", "1", {"compression": "group4"}),
        *(("WebP", mode, {"lossless": lossless}) for mode in ("RGB", "RGBA") for lossless in (True, False)),
        *(("BMP", mode, {}) for mode in ("1", "L", "P", "RGB", "RGBA")),
        *(("GIF", mode, {}) for mode in ("1", "L", "P")),
        ("PNG", "P", {"transparency": 3}),
        ("PNG", "P", {"transparency": bytes(range(0, 256, 8))}),
        ("PNG", "RGB", {"transparency": (1, 2, 3)}),
        ("GIF", "P", {"transparency": 3}),
    ],
    ids=str,
)
def test_eight_bit_kinds_equal_pillow(kind: str, mode: str, options: dict[str, Any]) -> None:
    data = encoded(picture(mode), kind, **options)
    rgb = decode(data)
    assert rgb.shape == (HEIGHT, WIDTH, 3)
    assert rgb.dtype == np.uint8
    assert rgb.flags.writeable
    assert rgb.flags.c_contiguous
    assert np.array_equal(rgb, pillow(data))
    assert rgb.std() > 10, "a flat picture would prove nothing"


def test_alpha_is_dropped_and_not_blended() -> None:
    colours = scene()
    rgba = np.dstack([colours, np.zeros((HEIGHT, WIDTH), np.uint8)])
    assert np.array_equal(decode(encoded(Image.fromarray(rgba), "PNG")), colours)


def test_inverted_cmyk_of_adobe_jpegs() -> None:
    data = encoded(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), "JPEG", quality=95)
    assert b"Adobe" in data
    red, green, blue = decode(data)[0, 0]
    assert red < 10
    assert min(green, blue) > 240, "cyan"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WebP"])
def test_every_orientation_is_turned_upright(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    options: dict[str, Any] = {"WebP": {"lossless": True}, "JPEG": {"quality": 95}}.get(kind, {})
    data = encoded(picture("RGB"), kind, exif=exif, **options)
    assert np.array_equal(decode(data), pillow(data))
    assert decode(data).shape == ((HEIGHT, WIDTH, 3) if orientation < 5 else (WIDTH, HEIGHT, 3))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_picture_resized_before_it_is_an_array_is_the_same(mode: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    data = encoded(picture(mode).resize((400, 300)), "JPEG", exif=exif)
    resized = resize_image(open_image(data, max_megapixels=1), InputFrame(96))
    assert resized.shape == ((72, 96, 3) if orientation < 5 else (96, 72, 3))
    assert np.array_equal(resized, resize_image(pillow(data), InputFrame(96)))


def test_orientation_by_hand() -> None:
    """6: the stored first row is the right side of the upright picture."""
    exif = Image.Exif()
    exif[274] = 6
    upright = decode(encoded(picture("RGB"), "PNG", exif=exif))
    assert np.array_equal(upright[:, -1], scene()[0])


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x63\0\0\0\0\0\0\0"]
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_damaged_exif_is_ignored(kind: str, exif: bytes) -> None:
    assert np.array_equal(decode(encoded(picture("RGB"), kind, exif=exif)), decode(encoded(picture("RGB"), kind)))


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (4000, 37)])
def test_odd_sizes(size: tuple[int, int]) -> None:
    assert decode(encoded(Image.new("RGB", size, (1, 2, 3)), "PNG")).shape == (size[1], size[0], 3)


def test_channels_of_common_pictures() -> None:
    rgba = picture("RGBA")
    data = encoded(rgba, "PNG")
    assert np.array_equal(
        decode(data, channels=(3, 1)), np.dstack([np.asarray(rgba)[:, :, [3, 1]], np.zeros((HEIGHT, WIDTH))])
    )
    palette = encoded(picture("P"), "PNG")
    assert np.array_equal(decode(palette, channels=(2,))[:, :, 0], pillow(palette)[:, :, 2])
    with pytest.raises(InvalidRequest, match="1 channels"):
        decode(encoded(picture("L"), "PNG"), channels=(1,))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WebP"])
def test_frames_of_an_animation(kind: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ((250, 0, 0), (0, 250, 0), (0, 0, 250))]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    assert decode(data)[8, 8].argmax() == 0
    assert decode(data, page=2)[8, 8].argmax() == 2
    with pytest.raises(InvalidRequest):
        decode(data, page=3)
    with pytest.raises(ImageTooLarge, match="too far into an animation"):
        decode(data, page=16, megapixels=16 * 16 / 1e6)


@pytest.mark.parametrize("kind", ["JPEG", "BMP"])
def test_kinds_of_one_page_have_no_second(kind: str) -> None:
    with pytest.raises(InvalidRequest):
        decode(encoded(picture("RGB"), kind), page=1)


@pytest.mark.parametrize("kind", KINDS)
def test_size_limit_is_exact(kind: str) -> None:
    data = encoded(picture("L"), kind)
    assert decode(data, megapixels=HEIGHT * WIDTH / 1e6).shape == (HEIGHT, WIDTH, 3)
    with pytest.raises(ImageTooLarge, match=f"{WIDTH} x {HEIGHT} pixels"):
        decode(data, megapixels=(HEIGHT * WIDTH - 1) / 1e6)


def test_threads_do_not_disturb_each_other() -> None:
    datas = [
        encoded(picture(mode), kind) for kind, mode in (("PNG", "P"), ("JPEG", "CMYK"), ("TIFF", "RGB"), ("GIF", "L"))
    ]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(decode, datas * 20))
    for index, rgb in enumerate(results):
        assert np.array_equal(rgb, pillow(datas[index % 4]))
