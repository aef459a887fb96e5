"""How large a picture may be, by its header. Nothing of a picture is decoded before its size is known."""

from segmentation.errors import ImageTooLarge, InvalidImage

MAX_SIDE = 65_535
"""Pixels. Work on masks depends on each side, not on their product alone; JPEG ends here as well."""


def require_size(width: int, height: int, max_pixels: int) -> None:
    """Refuses a picture of no pixels, or of too many.

    Raises:
        InvalidImage: no pixels.
        ImageTooLarge: more pixels, or longer, than allowed.
    """
    if min(width, height) < 1:
        raise InvalidImage("the picture has no pixels")
    if width * height > max_pixels:
        raise ImageTooLarge(
            f"the picture has {width} x {height} pixels; at most {max_pixels / 1e6:g} megapixels are read"
        )
    if max(width, height) > MAX_SIDE:
        raise ImageTooLarge(
            f"the picture has {width} x {height} pixels; at most {MAX_SIDE} a side are read, send parts of it"
        )
