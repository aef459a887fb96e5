"""Folders of this machine, looked through without going in circles."""

import os
from collections.abc import Iterator
from pathlib import Path

from batch.names import is_picture, is_zarr
from segmentation.errors import InvalidRequest


def pictures_below(folder: Path, above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[Path]:
    """Pictures in a folder and those below it. A link to a folder above, which leads in a circle, is not followed.

    Raises:
        InvalidRequest: a folder that can't be read.
    """
    try:
        status = folder.stat()
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise InvalidRequest(f"can't read the folder {str(folder)!r}: {error.strerror}") from error
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    for entry in entries:
        if entry.is_dir() and is_zarr(entry.name):
            yield folder / entry.name
        elif entry.is_dir():
            yield from pictures_below(folder / entry.name, above | {here})
        elif is_picture(entry.name):
            yield folder / entry.name
