"""Pictures as they are typed: files, folders and globs of this machine."""

import glob
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from batch.names import is_zarr
from batch.walk import pictures_below
from segmentation.errors import InvalidRequest


def find_pictures(given: Sequence[str]) -> list[Path]:
    """The files, each once, in the order of their names inside a folder.

    Raises:
        InvalidRequest: something that is not there, can't be read, or holds no picture.
    """
    found: dict[str, Path] = {}
    for text in given:
        for path in _matches(text):
            found.setdefault(os.path.realpath(path), path)
    return list(found.values())


def _matches(text: str) -> list[Path]:
    path = Path(text)
    mode = _mode(path)
    if stat.S_ISDIR(mode) and not is_zarr(path.name):
        pictures = sorted(pictures_below(path), key=str)
        if not pictures:
            raise InvalidRequest(f"{text!r} holds no pictures")
        return pictures
    if mode:
        if stat.S_IFMT(mode) not in {stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK}:
            raise InvalidRequest(f"{text!r} is neither a file nor a folder")
        return [path]
    matches = sorted(Path(name) for name in glob.glob(text, recursive=True) if Path(name).is_file())  # noqa: PTH207
    if not matches:
        raise InvalidRequest(f"no such file: {text!r}")
    return matches


def _mode(path: Path) -> int:
    """Of what is there; of the link where a link leads nowhere; 0 for nothing."""
    for follow in (True, False):
        try:
            return path.stat(follow_symlinks=follow).st_mode
        except PermissionError as error:
            raise InvalidRequest(f"{error.strerror}: {str(path)!r}") from error
        except OSError:
            continue
    return 0
