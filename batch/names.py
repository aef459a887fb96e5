"""Which files are pictures, and what their results are called. Knows paths as text only."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".avif", ".jp2", ".j2k", ".ppm", ".pgm"}
)
"""Of files in folders; a file that is named itself may have any."""


def is_picture(name: str) -> bool:
    """Whether a file of a folder is taken for a picture. Hidden files are not."""
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def is_zarr(name: str) -> bool:
    """Whether a folder is one picture."""
    return name.lower().endswith(".zarr")


def readable(name: str) -> str:
    """Text that any file can hold: bytes that are no UTF-8 are replaced."""
    return os.fsencode(name).decode("utf-8", "replace")


def result_names(paths: Sequence[str]) -> list[str]:
    """A name for the results of each picture, without an ending: no two are equal, also where case does not count.

    The file's stem where that is the only one; else the whole file name; else folders before it; else a number behind.
    """
    names = [PurePosixPath(path).stem for path in paths]
    for candidate in (
        lambda path: path.name,
        lambda path: "_".join(path.parts[-2:]),
        lambda path: "_".join(path.parts),
    ):
        taken = Counter(name.casefold() for name in names)
        if max(taken.values(), default=1) == 1:
            return names
        names = [
            name if taken[name.casefold()] == 1 else candidate(PurePosixPath(path.lstrip("/")))
            for name, path in zip(names, paths, strict=True)
        ]
    used: Counter[str] = Counter()
    numbered = []
    for name in names:
        used[name.casefold()] += 1
        numbered.append(name if used[name.casefold()] == 1 else f"{name}~{used[name.casefold()]}")
    return numbered
