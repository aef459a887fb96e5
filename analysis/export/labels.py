"""A label image: a TIFF whose pixels are the ids of objects, 0 for background. Lossless.

Where objects overlap, the smallest has the pixel: a large one would hide what lies in it.
"""

import io
import json
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from analysis.export.source import Source
from analysis.result import Analysis
from segmentation.compiled import compiled

MOST_IN_16_BITS = 65535


def label_image(analysis: Analysis) -> NDArray[np.uint16] | NDArray[np.uint32]:
    """The ids, [H, W], uint16 or, above 65,535 objects, uint32."""
    height, width = analysis.size
    labels: NDArray[Any] = np.zeros(height * width, np.uint16 if len(analysis) <= MOST_IN_16_BITS else np.uint32)
    # Ids descend by area, so that later ones are smaller.
    _paint(labels, analysis.masks.runs, analysis.masks.offsets)
    return np.ascontiguousarray(labels.reshape(width, height).T)


def write_labels(analysis: Analysis, source: Source) -> bytes:
    """The label image with settings in its description and the scale in its resolution."""
    settings = {"overlap": "the smallest object has the pixel", **source.settings, **analysis.settings()}
    micrometres = analysis.scale.micrometres
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        label_image(analysis),
        compression="zlib",
        photometric="minisblack",
        description=json.dumps(settings),
        metadata=None,
        software="SAM Serve",
        resolution=None if micrometres is None else (1e4 / micrometres, 1e4 / micrometres),
        resolutionunit="NONE" if micrometres is None else "CENTIMETER",
    )
    return buffer.getvalue()


@compiled
def _paint(labels: NDArray[Any], runs: NDArray[np.int64], offsets: NDArray[np.int64]) -> None:
    for mask in range(len(offsets) - 1):
        for index in range(offsets[mask], offsets[mask + 1]):
            for position in range(runs[index, 0], runs[index, 1]):
                labels[position] = mask + 1
