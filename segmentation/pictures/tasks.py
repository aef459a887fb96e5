"""What is done with a picture in a process of its own, or in place where it is small: decoded, and resized or encoded.

Functions of bytes to plain values, which `segmentation.pictures.processes` runs elsewhere.
"""

import io
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segmentation.pictures.decode import decode_picture, render_image
from segmentation.pictures.decoded import DecodedPicture, PictureInfo
from segmentation.pictures.options import AppliedDecode, DecodeOptions
from segmentation.transforms import InputFrame, resize_image
from segmentation.types import Size


@dataclass(frozen=True, slots=True)
class ResizedPicture:
    """A picture as an image encoder takes it.

    pixels: uint8 [h, w, 3], resized for the encoder's input.
    size: (height, width) before that.
    """

    pixels: NDArray[np.uint8]
    size: Size
    decode: AppliedDecode


@dataclass(frozen=True, slots=True)
class Preview:
    """A picture as the model sees it, as a file that browsers show.

    size: (height, width) of the picture, which the preview may be smaller than.
    """

    png: bytes
    size: Size
    decode: AppliedDecode
    info: PictureInfo


def resized(data: bytes, options: DecodeOptions, max_megapixels: float, frame: InputFrame) -> ResizedPicture:
    """The picture for an encoder of this input. Errors as of `render_image`."""
    rendering = render_image(data, max_megapixels=max_megapixels, options=options)
    image = rendering.image
    return ResizedPicture(resize_image(image, frame), (image.height, image.width), rendering.decode)


def whole(data: bytes, options: DecodeOptions, max_megapixels: float) -> tuple[NDArray[np.uint8], AppliedDecode]:
    """(uint8 [H, W, 3] upright RGB, how it was read)."""
    rendering = render_image(data, max_megapixels=max_megapixels, options=options)
    return np.asarray(rendering.image), rendering.decode


def everything(data: bytes, options: DecodeOptions, max_megapixels: float) -> DecodedPicture:
    """The picture with its stored samples. A mask of valid samples that is the same for all is one value."""
    picture = decode_picture(data, max_megapixels=max_megapixels, options=options)
    return replace(picture, valid=_compact(picture.valid))


def spread(picture: DecodedPicture) -> DecodedPicture:
    """The picture of `everything` with a mask of its samples' shape."""
    return replace(picture, valid=np.broadcast_to(picture.valid, picture.samples.shape))


def preview(data: bytes, options: DecodeOptions, max_megapixels: float, side: int) -> Preview:
    """The picture as a PNG whose long side is at most `side`."""
    rendering = render_image(data, max_megapixels=max_megapixels, options=options)
    image, buffer = rendering.image, io.BytesIO()
    size = (image.height, image.width)
    if max(size) > side:
        image = image.copy()
        image.thumbnail((side, side), Image.Resampling.BOX)
    image.save(buffer, "PNG", compress_level=1)
    return Preview(buffer.getvalue(), size, rendering.decode, rendering.info)


def _compact(mask: NDArray[Any]) -> NDArray[Any]:
    """One value along each axis along which a broadcast view repeats itself."""
    return mask[tuple(slice(0, 1) if stride == 0 else slice(None) for stride in mask.strides)]
