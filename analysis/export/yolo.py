"""YOLO segmentation: one outline a line, `class x1 y1 x2 y2 ...` as shares of the picture's width and height.

The format has no holes and no parts: a hole is filled, and each part of a mask is a line of its own. The class is the
number of the group, from 0, smallest first.
"""

from analysis.export.source import Source
from analysis.result import Analysis
from segmentation.masks.polygon import trace_polygons


def write_yolo(analysis: Analysis, source: Source) -> bytes:
    """The outlines along the corners of pixels."""
    height, width = analysis.size
    lines = []
    for index in range(len(analysis)):
        number = int(analysis.grouping.numbers[index])
        for outline, *_ in trace_polygons(analysis.masks.rle(index)):
            corners = " ".join(f"{x / width:.8g} {y / height:.8g}" for x, y in outline[:-1])
            lines.append(f"{number} {corners}\n")
    return "".join(lines).encode("ascii")
