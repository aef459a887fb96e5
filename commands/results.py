"""The files of a run on this machine: each appears whole or not at all, those of one picture together."""

import os
import pickle
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import overload

from analysis.export.formats import EXPORTS, export, export_many
from analysis.export.source import Source
from analysis.result import Analysis
from batch.files import file_name
from batch.picture import Result
from segmentation.errors import InvalidRequest


def write_together(files: Mapping[Path, bytes]) -> None:
    """Writes every file beside its place, then renames them all.

    Raises:
        OSError: names the file; nothing was renamed, and nothing is left behind.
    """
    written: list[tuple[str, Path]] = []
    try:
        for path, data in files.items():
            try:
                handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
                written.append((temporary, path))
                with open(handle, "wb") as file:  # noqa: PTH123 - of a descriptor
                    file.write(data)
                Path(temporary).chmod(0o644)
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(path)) from error
        for temporary, path in written:
            Path(temporary).replace(path)
    finally:
        for temporary, _ in written:
            Path(temporary).unlink(missing_ok=True)


class ResultFolder:
    """A folder of results. Formats that hold several pictures become one file, written at the end.

    Raises:
        InvalidRequest: the folder can't be made or written to.
    """

    def __init__(self, folder: Path, formats: Sequence[str]) -> None:
        self._folder = folder
        self._single = [name for name in formats if not EXPORTS[name].many]
        self._joined = [name for name in formats if EXPORTS[name].many]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise InvalidRequest(f"can't write to {str(folder)!r}: {error.strerror}") from error
        self._kept = _Spilled() if self._joined else None

    def add(self, result: Result, name: str) -> list[Path]:
        """Writes a picture's files, named after it."""
        files = {
            self._folder / file_name(name, one): export(result.analysis, one, result.source) for one in self._single
        }
        write_together(files)
        if self._kept is not None:
            self._kept.append((result.analysis, replace(result.source, pixels=None)))
        return list(files)

    def finish(self) -> list[Path]:
        """Writes the files of all pictures together."""
        if self._kept is None or not len(self._kept):
            return []
        files = {self._folder / file_name("all", one): export_many(self._kept, one) for one in self._joined}
        write_together(files)
        return list(files)

    def close(self) -> None:
        """Lets go of what was kept for the end."""
        if self._kept is not None:
            self._kept.close()


class _Spilled(Sequence[tuple[Analysis, Source]]):
    """Analyses in a temporary file: ten thousand pictures do not fit into memory."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._starts: list[int] = []

    def append(self, entry: tuple[Analysis, Source]) -> None:
        self._starts.append(self._file.seek(0, os.SEEK_END))
        pickle.dump(entry, self._file, pickle.HIGHEST_PROTOCOL)

    def close(self) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[tuple[Analysis, Source]]:
        return (self[index] for index in range(len(self)))

    @overload
    def __getitem__(self, index: int) -> tuple[Analysis, Source]: ...
    @overload
    def __getitem__(self, index: slice) -> "list[tuple[Analysis, Source]]": ...
    def __getitem__(self, index: int | slice) -> "tuple[Analysis, Source] | list[tuple[Analysis, Source]]":
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        self._file.seek(self._starts[index])
        entry: tuple[Analysis, Source] = pickle.load(self._file)  # of this process's own making
        return entry
