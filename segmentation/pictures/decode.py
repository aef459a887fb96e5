"""From the bytes of a picture to upright 8-bit RGB. Nothing of a picture is decoded before its size is known.

The default decode is Pillow's: the first frame, turned upright by its EXIF orientation, and `convert("RGB")`, which
drops alpha without blending, as nearly every user of SAM loads pictures. Beyond that: embedded colour profiles are
converted to sRGB, and samples of more than 8 bits are scaled as `segmentation.pictures.pixels` says.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segmentation.pictures.colour import to_srgb
from segmentation.pictures.content import Content, photograph_samples, read_content, shown_image
from segmentation.pictures.decoded import DecodedPicture, PictureInfo
from segmentation.pictures.options import AppliedDecode, DecodeOptions
from segmentation.pictures.pixels import to_rgb
from segmentation.pictures.upright import turned, upright, upright_info


@dataclass(frozen=True, slots=True)
class Rendering:
    """A picture as the model sees it.

    image: mode RGB, upright. Resize it as it is: an array of a large picture costs as much as its decoding.
    decode: how it was read.
    info: what its file holds beside it.
    """

    image: Image.Image
    decode: AppliedDecode
    info: PictureInfo


def decode_image(data: bytes, *, max_megapixels: float, options: DecodeOptions | None = None) -> NDArray[np.uint8]:
    """A picture as the model sees it: `open_image` as an array, uint8 [H, W, 3], RGB, upright, writable."""
    return np.array(open_image(data, max_megapixels=max_megapixels, options=options))


def open_image(data: bytes, *, max_megapixels: float, options: DecodeOptions | None = None) -> Image.Image:
    """A picture as the model sees it: the `image` of `render_image`."""
    return render_image(data, max_megapixels=max_megapixels, options=options).image


def render_image(data: bytes, *, max_megapixels: float, options: DecodeOptions | None = None) -> Rendering:
    """A picture as the model sees it, decoded. Safe from several threads.

    Args:
        data: an encoded picture.
        max_megapixels: the largest size, in millions of pixels; compared with the header.
        options: page, channels and scaling.

    Raises:
        InvalidImage: empty, truncated or damaged.
        UnsupportedMediaType: another kind of file.
        ImageTooLarge: too many pixels.
        InvalidRequest: a page or a channel that the picture does not have.
    """
    options = options or DecodeOptions()
    content = read_content(data, options, int(max_megapixels * 1e6), every_channel=False)
    return _render(content, options)


def decode_picture(data: bytes, *, max_megapixels: float, options: DecodeOptions | None = None) -> DecodedPicture:
    """A picture as the model sees it and as it is stored, with what its file tells of it.

    Args, errors: as of `render_image`. Channels that are pages are all read.
    """
    options = options or DecodeOptions()
    content = read_content(data, options, int(max_megapixels * 1e6), every_channel=True)
    rendering = _render(content, options)
    samples = content.samples or photograph_samples(shown_image(content))
    values = turned(samples.values, content.orientation)
    valid = np.ones((1, 1, 1), np.bool_) if samples.valid is None else turned(samples.valid, content.orientation)
    return DecodedPicture(
        np.asarray(rendering.image),
        values,
        np.broadcast_to(valid, values.shape),
        rendering.decode,
        rendering.info,
    )


def _render(content: Content, options: DecodeOptions) -> Rendering:
    info = upright_info(content.info, content.orientation)
    if content.photograph is None and content.samples is not None:
        rgb, decode = to_rgb(content.samples, options)
        return Rendering(upright(Image.fromarray(rgb), content.orientation), decode, info)
    image = _convert(shown_image(content), content.photograph.profile if content.photograph else None)
    channels = content.samples.shown if content.samples else (0, 1, 2) if content.info.channels >= 3 else (0,)
    return Rendering(upright(image, content.orientation), AppliedDecode(options.page, channels), info)


def _convert(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Mode RGB, in sRGB."""
    image.info.pop("transparency", None)  # dropped with the palette; Pillow would warn
    if image.mode in {"La", "RGBa"}:
        image = image.convert(image.mode.upper())
    if not profile:
        return image if image.mode == "RGB" else image.convert("RGB")
    flat = {"1": "L", "L": "L", "LA": "L", "CMYK": "CMYK"}.get(image.mode, "RGB")
    return to_srgb(image.convert(flat), profile)
