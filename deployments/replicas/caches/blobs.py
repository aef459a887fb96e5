"""Named bytes that outlive the process: in a directory, or behind any fsspec URL. Knows nothing of what they mean."""

import importlib
import logging
import os
import re
import secrets
import time
from pathlib import Path
from typing import Any, Protocol

SUFFIX = ".embedding"
"""Only files of this ending are ever read, counted or deleted; a directory may hold other things too."""

RECOUNT_SHARE = 16
"""A directory is counted again after this part of its bound was written: other processes write there too."""

LEFT_OVER_S = 3600.0
"""A temporary file of this age was left by a process that died."""

_OURS = re.compile(rf"[0-9a-f]{{64}}{re.escape(SUFFIX)}")
_TEMPORARY = re.compile(rf"\.[0-9a-f]{{64}}{re.escape(SUFFIX)}\.[0-9a-f]+")

logger = logging.getLogger(__name__)


class Blobs(Protocol):
    """Blocking; safe from several threads and processes. Any method may raise whatever the medium raises."""

    def read(self, name: str) -> bytes | None:
        """The bytes of that name, or None if there are none."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Puts the bytes in place of those that had the name."""
        ...

    def delete(self, name: str) -> None:
        """Does nothing if there are none."""
        ...


class DirectoryBlobs:
    """Files in one directory, each whole or not there, the least recently read deleted beyond a bound.

    Several processes may share the directory; then each may exceed the bound by 1/16 before it counts again. What is
    written is readable by the server's user only.

    Args:
        folder: made at the first write, with its parents.
        max_bytes: of all files together.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._written = max_bytes  # count before the first write

    def read(self, name: str) -> bytes | None:
        path = self._folder / f"{name}{SUFFIX}"
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            os.utime(path)
        except OSError:
            logger.debug("%s can't be marked as used", path)  # a read-only directory is fine
        return data

    def write(self, name: str, data: bytes) -> None:
        if len(data) > self._max_bytes:
            return
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._make_room(len(data))
        path = self._folder / f"{name}{SUFFIX}"
        temporary = self._folder / f".{path.name}.{secrets.token_hex(8)}"
        try:
            with open(temporary, "xb", opener=lambda file, flags: os.open(file, flags, 0o600)) as file:
                file.write(data)
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise

    def delete(self, name: str) -> None:
        (self._folder / f"{name}{SUFFIX}").unlink(missing_ok=True)

    def _make_room(self, wanted: int) -> None:
        """Deletes the least recently used until there is room for as much as is written before the next count."""
        self._written += wanted
        if self._written * RECOUNT_SHARE < self._max_bytes:
            return
        self._written = wanted
        files = sorted(self._files())
        total = sum(size for _, size, _ in files)
        application_state = self._max_bytes - max(wanted, self._max_bytes // RECOUNT_SHARE)
        for _, size, path in files:
            if total <= application_state:
                break
            path.unlink(missing_ok=True)
            total -= size

    def _files(self) -> list[tuple[float, int, Path]]:
        """(time of use, bytes, path) of all of ours; what a process that died left half-written is deleted."""
        found = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                try:
                    if _OURS.fullmatch(entry.name):
                        status = entry.stat()
                        found.append((status.st_mtime, status.st_size, Path(entry.path)))
                    elif _TEMPORARY.fullmatch(entry.name) and time.time() - entry.stat().st_mtime > LEFT_OVER_S:
                        Path(entry.path).unlink(missing_ok=True)
                except FileNotFoundError:
                    continue  # another process deleted it
        return found


class FsspecBlobs:
    """Objects behind an fsspec URL, as `s3://bucket/folder`. Not bounded: give the bucket a rule that expires objects.

    Args:
        url: what `fsspec.core.url_to_fs` takes.

    Raises:
        ImportError: fsspec, or what it needs for this kind of URL, is not installed.
        ValueError: no such kind of URL.
    """

    def __init__(self, url: str) -> None:
        self._files, self._root = _url_to_fs(url)

    def read(self, name: str) -> bytes | None:
        try:
            data: bytes = self._files.cat_file(self._path(name))
        except FileNotFoundError:
            return None
        return data

    def write(self, name: str, data: bytes) -> None:
        self._files.makedirs(self._root, exist_ok=True)
        self._files.pipe_file(self._path(name), data)

    def delete(self, name: str) -> None:
        try:
            self._files.rm_file(self._path(name))
        except FileNotFoundError:
            return

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}{SUFFIX}"


def open_blobs(where: str, max_bytes: int, *, relative_to: Path) -> Blobs:
    """What a setting names: a URL if it has `://`, else a directory. Errors as `FsspecBlobs`."""
    return FsspecBlobs(where) if "://" in where else DirectoryBlobs(relative_to / Path(where).expanduser(), max_bytes)


def _url_to_fs(url: str) -> tuple[Any, str]:
    """fsspec is not needed by a server without such a URL, so it is imported here."""
    filesystem, root = importlib.import_module("fsspec.core").url_to_fs(url)
    return filesystem, str(root)
