"""Pictures of every kind become files that Pillow and tifffile read back unchanged."""

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from client.errors import InvalidArgument
from client.files import picture_bytes

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 2), (5, 7, 3), (5, 7, 4)])
def test_bytes_become_png(shape: tuple[int, ...]) -> None:
    array = RANDOM.integers(0, 256, shape).astype(np.uint8)
    with Image.open(io.BytesIO(picture_bytes(array))) as image:
        assert image.format == "PNG"
        assert np.array_equal(np.asarray(image).reshape(shape), array)


@pytest.mark.parametrize("dtype", ["uint16", ">u2", "int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("channels", [0, 1, 2, 3, 4])
def test_other_numbers_become_tiff(dtype: str, channels: int) -> None:
    shape = (5, 7, channels) if channels else (5, 7)
    array = (RANDOM.random(shape) * 1000).astype(dtype)
    read = tifffile.imread(io.BytesIO(picture_bytes(array)))
    assert read.dtype == np.dtype(dtype).newbyteorder("=")
    assert np.array_equal(read.reshape(shape), array)


def test_paths_files_and_bytes_are_sent_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "Größe \N{SNOWMAN}.bin").write_bytes(b"data")
    assert picture_bytes(tmp_path / "Größe \N{SNOWMAN}.bin") == b"data"
    assert picture_bytes(str(tmp_path / "Größe \N{SNOWMAN}.bin")) == b"data"
    assert picture_bytes(io.BytesIO(b"data")) == b"data"
    assert picture_bytes(bytearray(b"data")) == b"data"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere.png", "can't read the picture 'nowhere.png': No such file"),
        (np.zeros((3, 3, 5)), "1 to 4 channels"),
        (np.zeros((0, 3)), "1 to 4 channels"),
        (np.zeros((3, 3), complex), "integers or floats"),
        (7, "not int"),
        (io.StringIO("text"), "not StringIO"),
    ],
)
def test_what_is_no_picture_is_named(source: object, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        picture_bytes(source)  # type: ignore[arg-type]
