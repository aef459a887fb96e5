"""Arrays in and out of HTTP: `.npy` bytes, and base64 of them inside JSON. Reads nothing but little-endian float32."""

import base64
import io

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from deployments.calls.base64_text import NotBase64, decode_base64
from segmentation.errors import InvalidRequest

_MAX_HEADER_BYTES = 1024


def to_npy(array: NDArray[np.float32]) -> bytes:
    """The array as the bytes of a little-endian float32 `.npy` file."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array, dtype="<f4"), allow_pickle=False)
    return buffer.getvalue()


def to_base64_npy(array: NDArray[np.float32]) -> str:
    """`to_npy` in base64."""
    return base64.b64encode(to_npy(array)).decode("ascii")


def from_base64_npy(text: str, shape: tuple[int, ...], pointer: str) -> NDArray[np.float32]:
    """The float32 array of that shape in a base64 `.npy`; axes of length 1 before it are left out.

    The header is believed only after it was compared with the shape, so that it can't ask for memory.

    Raises:
        InvalidRequest: anything else; the pointer is the caller's.
    """
    wanted = f"base64 of a little-endian float32 .npy of shape {list(shape)}"
    try:
        data = decode_base64(text)
    except NotBase64:
        raise InvalidRequest(f"not base64; send {wanted}", pointer) from None
    stream = io.BytesIO(data)
    try:
        version = npy.read_magic(stream)
        reader = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
        found, fortran, dtype = reader(stream, max_header_size=_MAX_HEADER_BYTES)
    except Exception:  # numpy reads the header as Python: a damaged one surfaces as almost any type
        raise InvalidRequest(f"not a .npy file; send {wanted}", pointer) from None
    if dtype != np.dtype("<f4") or not _is_shape(found, shape):
        raise InvalidRequest(f"holds {dtype} of shape {list(found)}; send {wanted}", pointer)
    rest = stream.read()
    if len(rest) != int(np.prod(shape)) * 4:
        raise InvalidRequest(f"the .npy is cut short or has bytes after its end; send {wanted}", pointer)
    array = np.frombuffer(rest, "<f4").reshape(shape, order="F" if fortran else "C")
    return np.ascontiguousarray(array, dtype=np.float32)


def _is_shape(found: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether it is the shape, as SAM's own API gives it too: with one more axis before the others."""
    return found in {shape, (1, *shape)}
