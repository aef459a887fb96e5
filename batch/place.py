"""A picture's file: read whole, or by windows where the job says so. Knows no storage but this machine's disk."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from batch.engine import Engine, Progress
from batch.job import Job
from batch.picture import Result, process
from segmentation.errors import InvalidRequest
from segmentation.pictures.processes import DecoderProcesses


class PictureFile(Protocol):
    """A file anywhere."""

    def read(self) -> bytes:
        """All of it."""
        ...

    def windowed(self) -> AbstractContextManager[Any]:
        """A path of this machine, or an open binary file, for reading parts of it."""
        ...


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file, or an OME-Zarr folder, of this machine."""

    path: Path

    def read(self) -> bytes:
        """All of it."""
        return self.path.read_bytes()

    def windowed(self) -> AbstractContextManager[str]:
        """Its path."""
        return nullcontext(str(self.path))


def process_file(
    engine: Engine,
    decoders: DecoderProcesses,
    file: PictureFile,
    name: str,
    job: Job,
    progress: Progress | None = None,
) -> Result:
    """As `batch.picture.process` or `batch.tiles.process.process_tiled`.

    Raises:
        SegmentationError: the picture can't be read, or the job does not fit it. OSError: of its storage.
    """
    if job.tiling is None:
        return process(engine, decoders, file.read(), name, job, progress)
    try:
        from batch.tiles.process import process_tiled  # noqa: PLC0415 - zarr, for tiles only
    except ModuleNotFoundError as error:
        raise InvalidRequest(f"--tile needs {error.name}: install the extra 'batch'", "/tile") from error
    with file.windowed() as opened:
        return process_tiled(engine, opened, name, job, job.tiling, progress)
