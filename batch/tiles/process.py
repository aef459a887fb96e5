"""A picture larger than memory from its file to an analysis."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from analysis.analyze import analyze
from analysis.export.source import Source
from analysis.masks.mask_set import MaskSet, from_rles
from analysis.rules.read import resolve_rules
from batch.engine import Engine
from batch.job import Job, Tiling
from batch.picture import Result, source_settings
from batch.tiles.merge import TileMask, merge
from batch.tiles.runs import area, box, place_runs
from batch.tiles.source import WindowedPicture
from batch.tiles.windows import Window, plan_windows
from segmentation.errors import InvalidRequest

WHOLE_PICTURE_FORMATS = frozenset({"overlay", "archive"})


def process_tiled(
    engine: Engine,
    file: Any,
    name: str,
    job: Job,
    tiling: Tiling,
    progress: Callable[[int, int], None] | None = None,
) -> Result:
    """Segments a picture window by window and analyzes what was merged. Intensities are not measured.

    Args:
        file: a path, or an open binary file of a TIFF. progress: called with (windows done, windows in all).

    Raises:
        SegmentationError: the picture can't be read by windows, or the job does not fit it.
    """
    if drawn := sorted(WHOLE_PICTURE_FORMATS & set(job.formats)):
        raise InvalidRequest(f"{drawn[0]} needs the whole picture in memory: leave it out with --tile", "/formats")
    started = time.perf_counter()
    with WindowedPicture(file, tiling.level) as picture:
        size = picture.size
        windows = plan_windows(size, tiling.tile, tiling.halo)
        found: list[TileMask] = []
        for number, window in enumerate(windows):
            image = picture.read(window)
            if image.min() != image.max():  # an even window, as around a slide's tissue, holds nothing
                masks = engine.everything(b"", image, job.parameters, None)
                local = from_rles([mask.rle for mask in masks], window.size)
                found += [
                    _tile_mask(local, index, number, window, size[0], mask.predicted_iou, mask.stability_score)
                    for index, mask in enumerate(masks)
                    if mask.area
                ]
            if progress is not None:
                progress(number + 1, len(windows))
    objects = merge(found, windows, size)
    offsets = np.concatenate([[0], np.cumsum([len(one.runs) for one in objects])]).astype(np.int64)
    runs = np.concatenate([np.zeros((0, 2), np.int64), *(one.runs for one in objects)])
    analysis = analyze(
        MaskSet(size, runs, offsets),
        rules=resolve_rules(job.preset, job.rules),
        preset=job.preset,
        scale=job.scale,
        predicted_iou=[one.predicted_iou for one in objects],
        stability_score=[one.stability_score for one in objects],
    )
    return Result(analysis, Source(name, None, source_settings(job)), time.perf_counter() - started)


def _tile_mask(
    masks: MaskSet, index: int, number: int, window: Window, height: int, predicted_iou: float, stability: float
) -> TileMask:
    runs = place_runs(masks[index], window, height)
    return TileMask(number, runs, box(runs, height), area(runs), predicted_iou, stability)
