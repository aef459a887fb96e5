"""ImageJ ROIs in a zip: each object a traced outline, or a composite of all its outlines if it has holes or parts."""

import io
import zipfile

import numpy as np
from roifile import ROI_OPTIONS, ROI_TYPE, ImagejRoi

from analysis.export.colours import group_colour
from analysis.export.files import zip_entry
from analysis.export.source import Source
from analysis.result import Analysis
from segmentation.masks.polygon import Ring, trace_polygons

MOVE, LINE, CLOSE = 0.0, 1.0, 4.0
"""Segments of `java.awt.geom.PathIterator`, which ImageJ stores composites in."""
MAX_GROUP = 255


def write_rois(analysis: Analysis, source: Source) -> bytes:
    """A zip for ImageJ's ROI manager. Entries are named by id; the group is ImageJ's group, from 1."""
    buffer = io.BytesIO()
    digits = max(4, len(str(len(analysis))))
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for index in range(len(analysis)):
            name = f"{index + 1:0{digits}d}"
            rings = [ring for polygon in trace_polygons(analysis.masks.rle(index)) for ring in polygon]
            archive.writestr(zip_entry(f"{name}.roi"), _roi(analysis, index, rings, name).tobytes())
    return buffer.getvalue()


def _roi(analysis: Analysis, index: int, rings: list[Ring], name: str) -> ImagejRoi:
    number = int(analysis.grouping.numbers[index])
    if len(rings) == 1:
        roi = ImagejRoi.frompoints(np.array(rings[0][:-1]), name=name)
        roi.roitype = ROI_TYPE.TRACED
    else:
        roi = _composite(rings)
        roi.name = name
    roi.group = min(number + 1, MAX_GROUP)
    roi.stroke_color = b"\xff" + bytes(group_colour(number))
    return roi


def _composite(rings: list[Ring]) -> ImagejRoi:
    path: list[float] = []
    for ring in rings:
        path += [MOVE, *ring[0]]
        for corner in ring[1:-1]:
            path += [LINE, *corner]
        path.append(CLOSE)
    corners = np.concatenate([np.array(ring) for ring in rings])
    roi = ImagejRoi()
    roi.roitype = ROI_TYPE.RECT
    roi.options = ROI_OPTIONS.OVERLAY_BACKGROUNDS | ROI_OPTIONS.OVERLAY_LABELS
    roi.left, roi.top = (int(side) for side in corners.min(axis=0))
    roi.right, roi.bottom = (int(side) for side in corners.max(axis=0))
    roi.multi_coordinates = np.array(path, np.float32)
    roi.shape_roi_size = len(path)
    return roi
