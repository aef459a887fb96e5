"""`sam-serve segment`: one prompt on one picture, and its best mask."""

import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from analysis.analyze import analyze
from analysis.export.formats import export
from analysis.export.source import Source
from analysis.masks.mask_set import from_rles
from analysis.rules.read import resolve_rules
from batch.names import readable
from batch.picture import read_picture
from client.errors import SamError
from commands.engines import open_for
from commands.failures import WRONG_USE, reason, say, shown
from commands.jobs import numbers
from commands.results import write_together
from segmentation.errors import InvalidRequest, SegmentationError
from segmentation.masks.rle import decode
from segmentation.pictures.processes import DecoderLost, DecoderProcesses
from segmentation.types import MaskRecord, Prompt

ENDINGS = (".png", ".json", ".geojson", ".txt")


def run(
    picture: Path,
    points: Sequence[str],
    boxes: Sequence[str],
    output: Path | None,
    model: str | None,
    server: str | None,
) -> int:
    """Returns the exit status."""
    try:
        prompt = read_prompt(points, boxes)
        if output is not None and output.suffix.lower() not in ENDINGS:
            raise InvalidRequest(f"{output.name!r} ends with none of {', '.join(ENDINGS)}")
        data = picture.read_bytes()
        image = read_picture(DecoderProcesses(1), data).rgb
        mask = open_for(server, model).segment(data, image, prompt)
        written = _file(mask, readable(picture.name), output)
        if output is None:
            sys.stdout.write(written.decode())
        else:
            write_together({output: written})
            print(f"{mask.area} pixels, predicted IoU {mask.predicted_iou:.2f}: {shown(output)}")
    except (SegmentationError, SamError, OSError, MemoryError, DecoderLost) as error:
        say(reason(error))
        return WRONG_USE
    return 0


def read_prompt(points: Sequence[str], boxes: Sequence[str]) -> Prompt:
    """The prompt of `--point` and `--box`.

    Raises:
        InvalidRequest: something else than numbers, or nothing.
    """
    if len(boxes) > 1:
        raise InvalidRequest("a prompt has one box; give --box once")
    if not points and not boxes:
        raise InvalidRequest("give --point X,Y or --box X0,Y0,X1,Y1")
    read = [numbers(text, (2, 3), "a point: X,Y of the object, or X,Y,0 of the background") for text in points]
    return Prompt(
        points=np.array([point[:2] for point in read], np.float32).reshape(-1, 2),
        labels=np.array([point[2] if len(point) == 3 else 1 for point in read], np.int64),
        box=np.array(numbers(boxes[0], (4,), "a box: X0,Y0,X1,Y1"), np.float32) if boxes else None,
    )


def _file(mask: MaskRecord, name: str, output: Path | None) -> bytes:
    ending = ".json" if output is None else output.suffix.lower()
    if ending == ".png":
        buffer = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(decode(mask.rle)).view(np.uint8) * np.uint8(255)).save(buffer, "PNG")
        return buffer.getvalue()
    if ending == ".json":
        document: dict[str, Any] = {
            "picture": name,
            "size": list(mask.rle.size),
            "segmentation": {"size": list(mask.rle.size), "counts": mask.rle.counts},
            "bbox": list(mask.bbox),
            "area": mask.area,
            "predicted_iou": mask.predicted_iou,
            "stability_score": mask.stability_score,
        }
        return (json.dumps(document, ensure_ascii=False) + "\n").encode()
    analysis = analyze(
        from_rles([mask.rle], mask.rle.size),
        rules=resolve_rules("none"),
        preset="none",
        predicted_iou=[mask.predicted_iou],
        stability_score=[mask.stability_score],
    )
    return export(analysis, {".geojson": "geojson", ".txt": "yolo"}[ending], Source(name))
