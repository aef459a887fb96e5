"""Windows of every kind of large file are those of the whole picture."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from batch.tiles.source import WindowedPicture
from batch.tiles.windows import Window
from segmentation.errors import InvalidImage, InvalidRequest

RGB = np.random.default_rng(0).integers(0, 256, (300, 420, 3)).astype(np.uint8)
WINDOW = Window(70, 30, 250, 290)
SEEN = RGB[30:290, 70:250]


TILED = {"tile": (64, 64)}


@pytest.mark.parametrize(
    "options", [TILED, {**TILED, "bigtiff": True}, {**TILED, "compression": "zstd"}, {"rowsperstrip": 50}]
)
def test_tiffs(tmp_path: Path, options: dict[str, object]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", RGB, photometric="rgb", **options)
    with WindowedPicture(str(tmp_path / "a.tif")) as picture:
        assert picture.size == (300, 420)
        assert np.array_equal(picture.read(WINDOW), SEEN)


def test_a_level_of_a_pyramid(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", bigtiff=True) as writer:
        writer.write(RGB, subifds=1, tile=(64, 64), photometric="rgb")
        writer.write(RGB[::2, ::2], subfiletype=1, tile=(64, 64), photometric="rgb")
    with WindowedPicture(str(tmp_path / "a.ome.tif"), 1) as picture:
        assert picture.size == (150, 210)
        assert np.array_equal(picture.read(Window(10, 20, 30, 40)), RGB[::2, ::2][20:40, 10:30])
    with pytest.raises(InvalidRequest, match="2 levels"):
        WindowedPicture(str(tmp_path / "a.ome.tif"), 2)


def test_ome_tiff_with_channels_as_pages(tmp_path: Path) -> None:
    channels = np.moveaxis(RGB, 2, 0)
    tifffile.imwrite(
        tmp_path / "a.ome.tif", channels, tile=(64, 64), photometric="minisblack", metadata={"axes": "CYX"}
    )
    with WindowedPicture(str(tmp_path / "a.ome.tif")) as picture:
        assert np.array_equal(picture.read(WINDOW), SEEN)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr(tmp_path: Path, version: str) -> None:
    path = tmp_path / "a.ome.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    array = group.create_array("0", shape=(1, 3, 300, 420), chunks=(1, 1, 64, 64), dtype="uint8")
    array[:] = np.moveaxis(RGB, 2, 0)[None]
    axes = [{"name": name} for name in "tcyx"]
    document = {"multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}
    group.attrs.update(document if version == "0.4" else {"ome": document})
    with WindowedPicture(str(path)) as picture:
        assert picture.size == (300, 420)
        assert np.array_equal(picture.read(WINDOW), SEEN)


def test_every_window_has_the_same_scaling(tmp_path: Path) -> None:
    wide = (np.arange(420, dtype=np.uint16) * 100)[None].repeat(300, 0)
    tifffile.imwrite(tmp_path / "a.tif", wide, tile=(64, 64))
    with WindowedPicture(str(tmp_path / "a.tif")) as picture:
        whole = picture.read(Window(0, 0, 420, 300))
        assert np.array_equal(picture.read(WINDOW), whole[30:290, 70:250])
        assert whole[0, 0, 0] == 0
        assert whole[0, -1, 0] == 255
        assert abs(int(whole[0, 210, 0]) - 127) <= 3


def test_what_is_no_large_picture(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(InvalidImage, match="TIFF or an OME-Zarr"):
        WindowedPicture(str(tmp_path / "a.png"))
    zarr.open_group(tmp_path / "b.zarr", mode="w")
    with pytest.raises(InvalidImage, match="multiscales"):
        WindowedPicture(str(tmp_path / "b.zarr"))
