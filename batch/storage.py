"""Folders anywhere that pyarrow or fsspec reach: listing, reading, and writing whole or not at all. Knows no Ray."""

import os
import posixpath
import re
import uuid
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyarrow import fs

from batch.names import is_picture, is_zarr
from batch.walk import pictures_below
from segmentation.errors import InvalidImage, InvalidRequest

WILDCARDS = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Place:
    """A path on a filesystem. is_local: this machine's own."""

    filesystem: fs.FileSystem
    path: str

    @property
    def is_local(self) -> bool:
        return isinstance(self.filesystem, fs.LocalFileSystem)

    def join(self, *parts: str) -> "Place":
        """A place below."""
        return Place(self.filesystem, posixpath.join(self.path, *parts))

    def read(self) -> bytes:
        """A file's bytes."""
        if self.is_local:
            return Path(self.path).read_bytes()
        with self.filesystem.open_input_stream(self.path) as stream:
            data: bytes = stream.read()
            return data

    def windowed(self) -> AbstractContextManager[Any]:
        """A local path, or an open file, for reading parts.

        Raises:
            InvalidImage: an OME-Zarr in an object store.
        """
        if self.is_local:
            return nullcontext(self.path)
        if is_zarr(self.path):
            raise InvalidImage("OME-Zarr is read from this machine's own folders only: copy it, or give a TIFF")
        opened: AbstractContextManager[Any] = self.filesystem.open_input_file(self.path)
        return opened

    def write(self, data: bytes) -> None:
        """A file, whole or not at all: renamed into place on a disk; an object store's objects appear whole."""
        parent, name = posixpath.split(self.path)
        if not self.is_local:
            with self.filesystem.open_output_stream(self.path) as stream:
                stream.write(data)
            return
        Path(parent).mkdir(parents=True, exist_ok=True)
        temporary = Path(parent) / f".{name[:100]}.{uuid.uuid4().hex}.tmp"
        try:
            temporary.write_bytes(data)
            temporary.replace(self.path)
        finally:
            temporary.unlink(missing_ok=True)

    def exists(self) -> bool:
        """Whether there is a file or folder."""
        return bool(self.filesystem.get_file_info(self.path).type != fs.FileType.NotFound)


def place(text: str) -> Place:
    """A folder, a file or a URL as it is typed.

    Raises:
        InvalidRequest: a URL that neither pyarrow nor fsspec knows.
    """
    if "://" not in text:
        return Place(fs.LocalFileSystem(), str(Path(text).absolute()))
    try:
        filesystem, path = fs.FileSystem.from_uri(text)
    except (ValueError, OSError, NotImplementedError) as error:
        return _by_fsspec(text, error)
    return Place(filesystem, path)


def _by_fsspec(text: str, reason: Exception) -> Place:
    try:
        from fsspec.core import url_to_fs  # noqa: PLC0415 - optional

        filesystem, path = url_to_fs(text)
    except (ImportError, ValueError, OSError) as error:
        scheme = text.partition("://")[0]
        raise InvalidRequest(f"no filesystem for {scheme}://: {reason}; fsspec: {error}") from error
    return Place(fs.PyFileSystem(fs.FSSpecHandler(filesystem)), path)


def list_pictures(text: str) -> tuple[Place, list[str]]:
    """Where a folder, glob, file or URL is, and the paths of its pictures relative to it, ascending.

    Raises:
        InvalidRequest: nothing there, no pictures, or no permission.
    """
    head, pattern = _split(text)
    root = place(head)
    try:
        info = root.filesystem.get_file_info(root.path)
        if not pattern and info.is_file:
            parent, name = posixpath.split(root.path)
            return Place(root.filesystem, parent), [name]
        if root.is_local and info.type == fs.FileType.NotFound:
            raise InvalidRequest(f"no such folder: {head!r}")
        names = sorted(_below(root))
    except OSError as error:
        raise InvalidRequest(f"can't list {head!r}: {error}") from error
    if pattern:
        matches = re.compile(_regular(pattern)).fullmatch
        names = [name for name in names if matches(name)]
    if not names:
        raise InvalidRequest(f"{text!r} holds no pictures")
    return root, names


def _split(text: str) -> tuple[str, str]:
    """The part before the first wildcard, up to a slash, and the pattern behind. A URL's query stays with the head."""
    query = ""
    if "://" in text and (found := re.search(r"\?(?=[A-Za-z_]+=)", text)):
        text, query = text[: found.start()], text[found.start() :]
    wildcard = WILDCARDS.search(text, text.find("://") + 3 if "://" in text else 0)
    if wildcard is None or os.path.exists(text):  # noqa: PTH110 - a file may have such a name
        return text + query, ""
    cut = text.rfind("/", 0, wildcard.start())
    return (text[: max(cut, 1)] if cut >= 0 else ".") + query, text[cut + 1 :]


def _below(root: Place) -> list[str]:
    if root.is_local:
        folder = Path(root.path)
        return [os.fsdecode(os.path.relpath(path, folder)) for path in pictures_below(folder)]
    selector = fs.FileSelector(root.path, recursive=True, allow_not_found=True)
    found = root.filesystem.get_file_info(selector)
    return [posixpath.relpath(one.path, root.path) for one in found if one.is_file and is_picture(one.path)]


def _regular(pattern: str) -> str:
    """A glob as a regular expression: `*` and `?` stay in a folder, `**` does not."""
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    pieces = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", pattern)
    return "".join(parts.get(piece, piece if piece.startswith("[") else re.escape(piece)) for piece in pieces)
