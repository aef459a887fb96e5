"""A large picture from its file to objects, by an engine that finds what is bright: what seams do is all there is."""

from pathlib import Path

import numpy as np
from discs import spread_discs, write_large_tiff
from numpy.typing import NDArray
from scipy import ndimage

from batch.engine import Progress
from batch.job import Job, Tiling
from batch.tiles.process import process_tiled
from batch.tiles.windows import plan_windows
from segmentation.automatic.parameters import AutomaticParameters
from segmentation.masks.rle import encode
from segmentation.types import MaskRecord

SIDE = 3000


class BrightEngine:
    """Bright regions as masks, cut where the window cuts them."""

    model = "bright"

    def everything(
        self, data: bytes, image: NDArray[np.uint8], parameters: AutomaticParameters, progress: Progress | None
    ) -> list[MaskRecord]:
        regions, count = ndimage.label(image[:, :, 0] > 100)
        return [
            MaskRecord(encode(regions == number), (0, 0, 1, 1), int((regions == number).sum()), 0.9, 0.9)
            for number in range(1, count + 1)
        ]


def test_discs_on_seams_come_once_and_whole(tmp_path: Path) -> None:
    discs = spread_discs(SIDE, 45, (50, 110), seed=1)
    write_large_tiff(tmp_path / "large.tif", SIDE, discs)
    windows = plan_windows((SIDE, SIDE), 1024, 256)
    seams = {edge for window in windows for edge in (window.x0, window.x1)} - {0, SIDE}
    crossing = sum(any(abs(place - edge) < one.radius for place in (one.x, one.y) for edge in seams) for one in discs)
    assert crossing >= 10
    result = process_tiled(BrightEngine(), tmp_path / "large.tif", "large", Job("bright"), Tiling(1024, 256))
    found = sorted(
        (round(one["centroid"][0]), round(one["centroid"][1]), one["bbox"][2], one["bbox"][3])
        for one in result.analysis.iter_objects("rle")
    )
    assert found == sorted((one.x, one.y, 2 * one.radius + 1, 2 * one.radius + 1) for one in discs)
