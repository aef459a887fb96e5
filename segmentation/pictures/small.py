"""Which pictures may be decoded in the server's own process: those whose work and memory are bounded as it says here.

A JPEG or PNG of 8 bits, of few megabytes and pixels, with few scans, segments or chunks: at most about a fifth of a
second, and memory of a few times its pixels. Their decoders (libjpeg-turbo, libpng's format in Pillow) are the oldest
and the most attacked that there are.
"""

from segmentation.errors import InvalidImage
from segmentation.pictures.jpeg import read_markers
from segmentation.pictures.png import read_chunks

MAX_BYTES = 2_000_000
MAX_PIXELS = 2_000_000
MAX_SCANS = 12
MAX_PROFILE_BYTES = 100_000


def is_small(data: bytes) -> bool:
    """Whether the picture is bounded so. Errors of the file are left to its decoder."""
    if len(data) > MAX_BYTES:
        return False
    try:
        if data.startswith(b"\xff\xd8\xff"):
            jpeg = read_markers(data)
            size, plain = jpeg.width * jpeg.height, jpeg.pillow and jpeg.ended and jpeg.scans <= MAX_SCANS
        elif data.startswith(b"\x89PNG\r\n\x1a\n"):
            png = read_chunks(data)
            size, plain = png.width * png.height, png.bits <= 8 and not png.animated
            plain = plain and len(png.profile or b"") <= MAX_PROFILE_BYTES
        else:
            return False
    except InvalidImage:
        return True  # refused before anything is decoded
    return plain and size <= MAX_PIXELS
