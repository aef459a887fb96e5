"""The formats by name, and how an analysis is written in one."""

import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from analysis.export.coco import write_coco, write_coco_of_many
from analysis.export.csv import write_csv
from analysis.export.files import zip_entry
from analysis.export.geojson import write_geojson
from analysis.export.labels import write_labels
from analysis.export.overlay import write_overlay
from analysis.export.rois import write_rois
from analysis.export.source import Source
from analysis.export.xlsx import write_xlsx, write_xlsx_of_many
from analysis.export.yolo import write_yolo
from analysis.result import Analysis
from segmentation.errors import InvalidRequest

__all__ = ["EXPORTS", "ExportFormat", "Source", "export", "export_many"]


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """How a format is written and named.

    suffix: of file names, with the dot.
    many: one file can hold several pictures.
    needs_picture: `Source.pixels` must be given.
    """

    name: str
    media_type: str
    suffix: str
    write: Callable[[Analysis, Source], bytes]
    write_many: Callable[[Sequence[tuple[Analysis, Source]]], bytes] | None = None
    needs_picture: bool = False

    @property
    def many(self) -> bool:
        """Whether one file can hold several pictures."""
        return self.write_many is not None


def write_archive(analysis: Analysis, source: Source) -> bytes:
    """A zip of every format and `settings.json`; names of entries are the formats' own."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for one in EXPORTS.values():
            if one.name == "archive":
                continue
            archive.writestr(zip_entry(f"{one.name}{one.suffix}"), one.write(analysis, source))
        settings = {
            "picture": source.name,
            "size": list(analysis.size),
            **source.settings,
            **analysis.settings(),
            "dropped": [{"rule": one.rule, "count": one.count} for one in analysis.dropped],
            "classes": list(analysis.grouping.names),
        }
        archive.writestr(zip_entry("settings.json"), json.dumps(settings, ensure_ascii=False, indent=2).encode())
    return buffer.getvalue()


EXPORTS: Mapping[str, ExportFormat] = {
    one.name: one
    for one in (
        ExportFormat("csv", "text/csv; charset=utf-8", ".csv", write_csv),
        ExportFormat(
            "xlsx",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            ".xlsx",
            write_xlsx,
            write_xlsx_of_many,
        ),
        ExportFormat("geojson", "application/geo+json", ".geojson", write_geojson),
        ExportFormat("coco", "application/json", ".json", write_coco, write_coco_of_many),
        ExportFormat("yolo", "text/plain; charset=utf-8", ".txt", write_yolo),
        ExportFormat("labels", "image/tiff", ".tif", write_labels),
        ExportFormat("rois", "application/zip", ".zip", write_rois),
        ExportFormat("overlay", "image/png", ".png", write_overlay, needs_picture=True),
        ExportFormat("archive", "application/zip", ".zip", write_archive, needs_picture=True),
    )
}
"""All formats, in the order in which an archive holds them."""


def export(analysis: Analysis, name: str, source: Source | None = None) -> bytes:
    """An analysis as a file.

    Args:
        name: of a format in `EXPORTS`.
        source: the picture's name, and its pixels for `overlay` and `archive`.

    Raises:
        InvalidRequest: no such format, or a format that needs the picture's pixels.
    """
    return _format(name).write(analysis, source or Source())


def export_many(pictures: Sequence[tuple[Analysis, Source]], name: str) -> bytes:
    """Several analyses as one file, `coco` or `xlsx`.

    Raises:
        InvalidRequest: a format that holds one picture only.
    """
    write_many = _format(name).write_many
    if write_many is None:
        raise InvalidRequest(f"{name} holds one picture a file", "/format")
    return write_many(pictures)


def _format(name: str) -> ExportFormat:
    if name not in EXPORTS:
        raise InvalidRequest(f"unknown format; there are {', '.join(EXPORTS)}", "/format")
    return EXPORTS[name]
