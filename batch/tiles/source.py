"""Windows of BigTIFF, OME-TIFF, pyramids and OME-Zarr as 8-bit RGB. Reads the tiles under a window, never the whole.

Samples of more than 8 bits are scaled by percentiles of windows all over the picture, the same for every window.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray

from batch.names import is_zarr
from batch.tiles.windows import Window
from segmentation.errors import InvalidImage, InvalidRequest
from segmentation.types import Size

PERCENTILES = (0.1, 99.9)
SAMPLED_SIDE, SAMPLED_WINDOWS = 256, 5
"""Windows that choose the scaling: this side, this many in each direction."""
CHANNEL_AXES = ("s", "c")


class WindowedPicture(AbstractContextManager["WindowedPicture"]):
    """An open picture.

    Args:
        file: a path, or an open binary file of a TIFF.
        level: of a pyramid, 0 is the full resolution.

    Raises:
        InvalidImage: no TIFF and no OME-Zarr, or damaged. InvalidRequest: no such level.
    """

    def __init__(self, file: Any, level: int = 0) -> None:
        self._tiff: tifffile.TiffFile | None = None
        try:
            self._array, axes = self._open_zarr(str(file), level) if _is_zarr(file) else self._open_tiff(file, level)
        except (InvalidRequest, InvalidImage, MemoryError):
            self.close()
            raise
        except Exception as error:  # a damaged file surfaces from tifffile and zarr as almost any type
            self.close()
            raise InvalidImage("with --tile, a picture is a TIFF or an OME-Zarr that can be read by windows") from error
        self._axes = axes.lower()
        if "y" not in self._axes or "x" not in self._axes:
            raise InvalidImage(f"the picture's axes are {axes}, not y and x")
        self._channel = next((self._axes.index(name) for name in CHANNEL_AXES if name in self._axes), None)
        self.size: Size = (self._array.shape[self._axes.index("y")], self._array.shape[self._axes.index("x")])
        self._limits = self._find_limits()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file."""
        if self._tiff is not None:
            self._tiff.close()

    def read(self, window: Window) -> NDArray[np.uint8]:
        """The window, uint8 [h, w, 3], RGB.

        Raises:
            InvalidImage: its tiles are damaged.
        """
        samples = self._samples(window)
        if self._limits is not None:
            low, high = self._limits
            span = np.maximum(high - low, 1e-12)
            levels = np.nan_to_num((samples.astype(np.float64) - low) / span * 255, nan=0.0).clip(0, 255)
            samples = np.floor(levels + 0.5).astype(np.uint8)
        channels = samples.shape[2]
        if channels == 1:
            return np.repeat(samples, 3, axis=2)
        if channels == 2:
            return np.concatenate([samples, np.zeros_like(samples[:, :, :1])], axis=2)
        return np.ascontiguousarray(samples[:, :, :3])

    def _samples(self, window: Window) -> NDArray[Any]:
        """[h, w, C], at most three channels; the first of every other axis."""
        index: list[Any] = [0] * len(self._axes)
        index[self._axes.index("y")] = slice(window.y0, window.y1)
        index[self._axes.index("x")] = slice(window.x0, window.x1)
        if self._channel is not None:
            index[self._channel] = slice(0, min(3, self._array.shape[self._channel]))
        try:
            values = np.asarray(self._array[tuple(index)])
        except MemoryError:
            raise
        except Exception as error:  # as on opening
            raise InvalidImage(f"the picture's tiles at x {window.x0}, y {window.y0} are damaged") from error
        left = [name for name in self._axes if name in "yx" or name == self._channel_name]
        order = [left.index("y"), left.index("x"), *([left.index(self._channel_name)] if self._channel_name else [])]
        values = np.transpose(values, order)
        return values[:, :, None] if values.ndim == 2 else values

    @property
    def _channel_name(self) -> str:
        return "" if self._channel is None else self._axes[self._channel]

    def _find_limits(self) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Samples that become 0 and 255, for each channel, colours together; None leaves 8 bits alone."""
        if self._array.dtype == np.uint8:
            return None
        if self._array.dtype.kind not in "uif":
            raise InvalidImage(f"samples of type {self._array.dtype} are no picture")
        height, width = self.size
        found = []
        for y in np.linspace(0, max(0, height - SAMPLED_SIDE), SAMPLED_WINDOWS).astype(int):
            for x in np.linspace(0, max(0, width - SAMPLED_SIDE), SAMPLED_WINDOWS).astype(int):
                window = Window(int(x), int(y), min(width, int(x) + SAMPLED_SIDE), min(height, int(y) + SAMPLED_SIDE))
                samples = self._samples(window)
                found.append(samples.reshape(-1, samples.shape[2]).astype(np.float64))
        values = np.concatenate(found)
        values[~np.isfinite(values)] = np.nan
        if np.isnan(values).all():
            return np.zeros(1), np.zeros(1)
        low, high = np.nanpercentile(values, PERCENTILES, axis=None if self._channel_name == "s" else 0)
        return np.atleast_1d(low), np.atleast_1d(high)

    def _open_tiff(self, file: Any, level: int) -> tuple[Any, str]:
        self._tiff = tifffile.TiffFile(file)
        levels = self._tiff.series[0].levels
        if level >= len(levels):
            raise InvalidRequest(f"the picture has {len(levels)} levels, counted from 0", "/level")
        return zarr.open(levels[level].aszarr(), mode="r"), levels[level].axes

    def _open_zarr(self, path: str, level: int) -> tuple[Any, str]:
        group = zarr.open(path, mode="r")
        if isinstance(group, zarr.Array):
            return group, "tczyx"[-group.ndim :]
        attributes: Mapping[str, Any] = group.attrs.asdict()
        scales: Sequence[Mapping[str, Any]] = attributes.get("ome", attributes).get("multiscales") or ()
        if not scales:
            raise InvalidImage("the Zarr group has no multiscales: it is no OME-Zarr picture")
        datasets = scales[0]["datasets"]
        if level >= len(datasets):
            raise InvalidRequest(f"the picture has {len(datasets)} levels, counted from 0", "/level")
        axes = scales[0].get("axes") or list("tczyx")
        array = group[datasets[level]["path"]]
        names = [axis if isinstance(axis, str) else str(axis["name"]) for axis in axes]
        return array, "".join(name[0] for name in names)


def _is_zarr(file: Any) -> bool:
    return isinstance(file, str) and is_zarr(file.rstrip("/"))
