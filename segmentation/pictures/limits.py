"""How large a picture may be, by its header. Nothing of a picture is decoded before its size is known."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from segmentation.errors import ImageTooLarge, InvalidImage

MAX_SIDE = 65_535
"""Pixels. Work on masks depends on each side, not on their product alone; JPEG ends here as well."""


class Allowance(Protocol):
    """Bounds of the work on one picture, which grow with what its header says."""

    def grow(self, pixels: int, stored_bytes: int = 0) -> None:
        """The picture was accepted: so many pixels, and so many bytes of samples beside them."""


_allowance: ContextVar[Allowance | None] = ContextVar("allowance", default=None)


@contextmanager
def bounded_by(allowance: Allowance) -> Iterator[None]:
    """Pictures that are read inside tell the allowance how large they are."""
    token = _allowance.set(allowance)
    try:
        yield
    finally:
        _allowance.reset(token)


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
    accept(width * height)


def accept(pixels: int, stored_bytes: int = 0) -> None:
    """Tells the allowance, if there is one, what is going to be decoded."""
    allowance = _allowance.get()
    if allowance is not None:
        allowance.grow(pixels, stored_bytes)
