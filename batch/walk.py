"""Folders of this machine, looked through without going in circles."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from batch.names import is_picture, is_zarr
from segmentation.errors import InvalidRequest

Identity = tuple[int, int]


def pictures_below(folder: Path) -> Iterator[Path]:
    """Pictures in a folder and those below it. A link to a folder above, which leads in a circle, is not followed.

    A link that leads nowhere is among them: reading it says so. Pipes, sockets and devices are not.

    Raises:
        InvalidRequest: a folder that can't be read.
    """
    try:
        above = {_identity(parent.stat()) for parent in folder.resolve().parents}
    except (OSError, RuntimeError) as error:
        raise InvalidRequest(f"can't read the folder {str(folder)!r}: {error}") from error
    yield from _below(folder, frozenset(above))


def _below(folder: Path, above: frozenset[Identity]) -> Iterator[Path]:
    try:
        here = _identity(folder.stat())
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise InvalidRequest(f"can't read the folder {str(folder)!r}: {error.strerror}") from error
    if here in above:
        return
    for entry in entries:
        mode = _mode(entry)
        if stat.S_ISDIR(mode) and is_zarr(entry.name):
            yield folder / entry.name
        elif stat.S_ISDIR(mode):
            yield from _below(folder / entry.name, above | {here})
        elif stat.S_IFMT(mode) in {stat.S_IFREG, stat.S_IFLNK} and is_picture(entry.name):
            yield folder / entry.name


def _identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino


def _mode(entry: "os.DirEntry[str]") -> int:
    """Of what a link leads to; of the link where it leads nowhere."""
    try:
        return entry.stat().st_mode
    except OSError:
        return entry.stat(follow_symlinks=False).st_mode
