"""COCO JSON: masks as compressed RLE, groups as categories. One file for one picture or for many."""

import json
from collections.abc import Sequence
from typing import Any

from analysis.export.source import Source
from analysis.result import Analysis


def write_coco(analysis: Analysis, source: Source) -> bytes:
    """One picture's objects."""
    return write_coco_of_many([(analysis, source)])


def write_coco_of_many(pictures: Sequence[tuple[Analysis, Source]]) -> bytes:
    """The objects of several pictures; categories of the same name are one."""
    names: dict[str, int] = {}
    for analysis, _ in pictures:
        for name in analysis.grouping.names:
            names.setdefault(name, len(names) + 1)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for picture_id, (analysis, source) in enumerate(pictures, 1):
        height, width = analysis.size
        images.append({"id": picture_id, "file_name": source.name, "height": height, "width": width})
        for index, one in enumerate(analysis.iter_objects("rle")):
            annotations.append(_annotation(one, len(annotations) + 1, picture_id, names[one["group"]], analysis, index))
    document = {
        "info": {
            "description": "Objects found by Segment Anything",
            "settings": [{"picture": source.name, **source.settings, **one.settings()} for one, source in pictures],
        },
        "images": images,
        "categories": [{"id": number, "name": name, "supercategory": "object"} for name, number in names.items()],
        "annotations": annotations,
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _annotation(
    one: dict[str, Any], number: int, picture: int, category: int, analysis: Analysis, index: int
) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": picture,
        "category_id": category,
        "segmentation": one["segmentation"],
        "area": int(analysis.measurements.columns["area"][index]),
        "bbox": one["bbox"],
        "iscrowd": 0,
        "attributes": {
            "object": one["id"],
            "label": one["label"],
            "parent": one["parent"],
            "predicted_iou": one["predicted_iou"],
            "stability_score": one["stability_score"],
            **one["measurements"],
        },
    }
