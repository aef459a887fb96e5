"""One picture from bytes to an analysis. The same steps for one file on the screen and for two million on a cluster."""

import time
from dataclasses import dataclass
from typing import Any

from analysis.analyze import analyze
from analysis.export.source import Source
from analysis.masks.mask_set import from_rles
from analysis.result import Analysis
from analysis.rules.read import resolve_rules
from batch.engine import Engine, Progress
from batch.job import MAX_MEGAPIXELS, Job
from segmentation.pictures.decode import decode_picture


@dataclass(frozen=True, slots=True)
class Result:
    """What was found in a picture, and how long it took in seconds."""

    analysis: Analysis
    source: Source
    seconds: float


def process(engine: Engine, data: bytes, name: str, job: Job, progress: Progress | None = None) -> Result:
    """Decodes, segments and analyzes a picture.

    Args:
        data: its file. name: as the results call it.

    Raises:
        SegmentationError: the picture can't be read, or the job does not fit it.
    """
    started = time.perf_counter()
    picture = decode_picture(data, max_megapixels=MAX_MEGAPIXELS)
    masks = engine.everything(data, picture.rgb, job.parameters, progress)
    size = (picture.rgb.shape[0], picture.rgb.shape[1])
    analysis = analyze(
        from_rles([mask.rle for mask in masks], size),
        rules=resolve_rules(job.preset, job.rules),
        preset=job.preset,
        scale=job.scale,
        picture=picture,
        predicted_iou=[mask.predicted_iou for mask in masks],
        stability_score=[mask.stability_score for mask in masks],
    )
    return Result(analysis, Source(name, picture.rgb, source_settings(job)), time.perf_counter() - started)


def source_settings(job: Job) -> dict[str, Any]:
    """What made the masks, for the files of the results."""
    settings = job.settings()
    return {name: settings[name] for name in ("model", "automatic", "tiling")}
