"""Arrays inside JSON: what we write we read, and nothing else."""

import base64
import io
import struct

import numpy as np
import pytest
from numpy.typing import NDArray

from deployments.calls.npy import from_base64_npy, to_base64_npy, to_npy
from segmentation.errors import InvalidRequest

SHAPE = (4, 4)


def npy(array: NDArray[np.generic]) -> str:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return base64.b64encode(buffer.getvalue()).decode()


def test_written_arrays_are_read_back_bit_by_bit() -> None:
    array = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    assert (from_base64_npy(to_base64_npy(array), SHAPE, "") == array).all()


def test_written_bytes_are_a_little_endian_float32_npy() -> None:
    loaded = np.load(io.BytesIO(to_npy(np.arange(4, dtype=np.float32)[None, ::2])), allow_pickle=False)
    assert loaded.dtype == np.dtype("<f4")
    assert loaded.tolist() == [[0, 2]]


def test_fortran_order_is_understood() -> None:
    array = np.arange(16, dtype=np.float32).reshape(SHAPE)
    assert (from_base64_npy(npy(np.asfortranarray(array)), SHAPE, "") == array).all()


GOOD = base64.b64decode(npy(np.zeros(SHAPE, np.float32)))
HUGE_HEADER = b"\x93NUMPY\x02\x00" + struct.pack("<I", 1 << 31) + b"{"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("%%%", "not base64"),
        ("é", "not base64"),
        ("", "not a .npy"),
        (base64.b64encode(b"PK\x03\x04zip").decode(), "not a .npy"),
        (base64.b64encode(HUGE_HEADER).decode(), "not a .npy"),
        (npy(np.zeros(SHAPE, np.float64)), "float64"),
        (npy(np.zeros(SHAPE, ">f4")), ">f4"),
        (npy(np.array([{}], object)), "object"),
        (npy(np.zeros((4, 5), np.float32)), "[4, 5]"),
        (base64.b64encode(GOOD[:-1]).decode(), "cut short"),
        (base64.b64encode(GOOD + b"\x00").decode(), "cut short"),
    ],
)
def test_anything_else_is_refused_with_the_field_and_what_to_send(text: str, says: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        from_base64_npy(text, SHAPE, "/prompts/3/mask_input")
    assert caught.value.pointer == "/prompts/3/mask_input"
    assert says in caught.value.message
    assert "base64 of a little-endian float32 .npy of shape [4, 4]" in caught.value.message
