"""The names of the files of a picture's results."""

from collections.abc import Mapping

from analysis.export.formats import EXPORTS

FILE_NAMES: Mapping[str, str] = {
    "labels": "{}.labels.tif",
    "rois": "{}.rois.zip",
    "overlay": "{}.overlay.png",
    "archive": "{}.archive.zip",
}
"""Of formats whose own ending would not tell them from pictures or from each other."""


def file_name(name: str, file_format: str) -> str:
    """The file of a picture's results in a format."""
    return FILE_NAMES.get(file_format, "{}" + EXPORTS[file_format].suffix).format(name)
