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
from segmentation.pictures.decoded import DecodedPicture
from segmentation.pictures.options import DecodeOptions
from segmentation.pictures.processes import DecoderProcesses, Task
from segmentation.pictures.tasks import everything, spread


@dataclass(frozen=True, slots=True)
class Result:
    """What was found in a picture, and how long it took in seconds."""

    analysis: Analysis
    source: Source
    seconds: float


def process(
    engine: Engine, decoders: DecoderProcesses, data: bytes, name: str, job: Job, progress: Progress | None = None
) -> Result:
    """Decodes, segments and analyzes a picture.

    Args:
        decoders: a file that crashes or holds a decoder ends a process of theirs, not this one.
        data: the picture's file. name: as the results call it.

    Raises:
        SegmentationError: the picture can't be read, or the job does not fit it.
    """
    started = time.perf_counter()
    picture = read_picture(decoders, data)
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


def read_picture(decoders: DecoderProcesses, data: bytes) -> DecodedPicture:
    """A picture of at most `MAX_MEGAPIXELS`, with its stored samples.

    Raises:
        SegmentationError: it can't be read.
    """
    return spread(decoders.decode(Task(everything, data, (DecodeOptions(), MAX_MEGAPIXELS))))


def source_settings(job: Job) -> dict[str, Any]:
    """What made the masks, for the files of the results."""
    settings = job.settings()
    return {name: settings[name] for name in ("model", "automatic", "tiling")}
