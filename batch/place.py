"""A picture at its place: read whole, or by windows where the job says so."""

from batch.engine import Engine, Progress
from batch.job import Job
from batch.picture import Result, process
from batch.storage import Place
from segmentation.errors import InvalidImage


def process_place(engine: Engine, place: Place, name: str, job: Job, progress: Progress | None = None) -> Result:
    """As `batch.picture.process` or `batch.tiles.process.process_tiled`.

    Raises:
        SegmentationError: the picture can't be read, or the job does not fit it. OSError: of its storage.
    """
    if job.tiling is None:
        return process(engine, place.read(), name, job, progress)
    from batch.tiles.process import process_tiled  # noqa: PLC0415 - zarr, for tiles only

    if place.is_local:
        return process_tiled(engine, place.path, name, job, job.tiling, progress)
    if name.lower().endswith(".zarr"):
        raise InvalidImage("OME-Zarr is read from this machine's own folders only: copy it, or send a TIFF")
    with place.filesystem.open_input_file(place.path) as file:
        return process_tiled(engine, file, name, job, job.tiling, progress)
