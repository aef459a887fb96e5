"""Which pages of a TIFF are channels of one picture, and which are other pictures.

OME-TIFFs, ImageJ's hyperstacks and files of microscopes say so: their time points and depths are the `page`s, in the
order of the file, and their channels are channels, each a page of its own. In every other file each table is a page.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffFile, TiffFrame, TiffPage, TiffPageSeries

from segmentation.errors import InvalidImage, InvalidRequest

Page = TiffPage | TiffFrame

STACKS = ("ome", "imagej", "shaped", "lsm", "mmstack", "stk", "fluoview", "scanimage", "nih")
"""tifffile's names of formats whose metadata order pages by time, depth and channel."""
MAX_PLANES = 1_000_000


def keyframe(page: Page) -> TiffPage:
    """The page whose tags describe this one's samples.

    Raises:
        InvalidImage: there is none.
    """
    if page.keyframe is None:
        raise InvalidImage("the TIFF picture is truncated or damaged")
    return page.keyframe


@dataclass(frozen=True, slots=True)
class Plane:
    """Where the samples of one channel, or of all of them, are.

    page: the plane's own page; the first one's where the file has a single table for a run of uncompressed planes.
    offset: of the plane's samples in such a file.
    """

    page: Page
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """One of the pictures of a file.

    planes: one a channel; a single one where the channels are samples of one page. None where another file of the
        picture's set has it.
    pages: how many pictures the file has.
    """

    planes: tuple[Plane | None, ...]
    pages: int

    def plane(self, channel: int) -> Plane:
        """Raises InvalidImage where it is in another file."""
        plane = self.planes[channel]
        if plane is None:
            raise InvalidImage(
                f"channel {channel} of this picture is in another file of its set; send that file, or choose channels"
            )
        return plane

    @property
    def first(self) -> Plane:
        """The first plane that is in this file."""
        return next((plane for plane in self.planes if plane is not None), None) or self.plane(0)


def find_picture(file: TiffFile, page: int, tables: int) -> Picture:
    """The picture at `page`.

    Args:
        tables: how many pages the file has, as `count_tables` found.

    Raises:
        InvalidRequest: no such page.
        InvalidImage: the page is described, but not in this file.
    """
    stacks = _stacks(file)
    if not stacks:
        _require_page(page, tables)
        return Picture((Plane(file.pages[page]),), tables)
    pages = sum(len(order) for _, order in stacks)
    _require_page(page, pages)
    for series, order in stacks:
        if page < len(order):
            return Picture(tuple(_plane(series, int(index)) for index in order[page]), pages)
        page -= len(order)
    raise InvalidImage("the TIFF picture is truncated or damaged")


def _require_page(page: int, pages: int) -> None:
    if page >= pages:
        raise InvalidRequest(f"the picture has {pages} pages, counted from 0", "/decode/page")


def _stacks(file: TiffFile) -> list[tuple[TiffPageSeries, NDArray[np.int64]]]:
    """Each series of the file with its planes by (page, channel); none where metadata do not order them."""
    if not any(getattr(file, f"is_{kind}") for kind in STACKS):
        return []
    found = []
    for series in file.series:
        order = _order(series) if series.kind in STACKS and 0 not in series.shape else None
        if order is None:
            return []
        found.append((series, order))
    return found


def _order(series: TiffPageSeries) -> NDArray[np.int64] | None:
    """The numbers of the series' planes by (page, channel)."""
    shape, axes = series.get_shape(squeeze=False), series.get_axes(squeeze=False)
    inside = len(series.keyframe.shape)
    # The series' shape may end with the samples of a pixel, which the page's own shape leaves out if there is one.
    while inside < len(shape) and math.prod(shape[-inside:]) < series.keyframe.size:
        inside += 1
    if math.prod(shape[-inside:]) != series.keyframe.size:
        return None
    outer, names = shape[:-inside], axes[:-inside]
    if math.prod(outer) > MAX_PLANES:
        raise InvalidImage(f"the TIFF picture has more than {MAX_PLANES} planes; send the one that is meant")
    order = np.arange(math.prod(outer), dtype=np.int64).reshape(outer or (1,))
    if "C" not in names:
        return order.reshape(-1, 1)
    place = names.index("C")
    return np.moveaxis(order, place, -1).reshape(-1, outer[place])


def _plane(series: TiffPageSeries, index: int) -> Plane | None:
    keyframe = series.keyframe
    if index and series.dataoffset is not None:
        return Plane(keyframe, series.dataoffset + index * keyframe.nbytes)
    page = series[index] if index < len(series) else None
    return None if page is None else Plane(page)
