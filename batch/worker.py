"""One process of a batch: reads pictures, segments and analyzes them, and writes their files. Knows no Ray.

A picture that fails becomes a row that says why. Its files are named after it, so that doing it twice changes nothing.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from analysis.export.formats import export
from batch.engine import open_engine
from batch.files import file_name
from batch.job import Job
from batch.names import readable
from batch.place import process_file
from batch.storage import Place
from batch.tables import PICTURES, object_rows, picture_row, to_ipc
from segmentation.backends.select import RuntimePlan
from segmentation.errors import NumericalError, SegmentationError
from segmentation.pictures.processes import DecoderProcesses

ROW = pa.schema([*PICTURES, ("objects", pa.binary())])


def picture_id(path: str) -> str:
    """The id of a picture in the tables and checkpoints: of its path below the input."""
    return hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:32]


class Worker:
    """A model, loaded once, for pictures of one input.

    Args:
        report: called after each picture with (pictures, objects, failures).
    """

    def __init__(
        self,
        plan: RuntimePlan,
        job: Job,
        source: Place,
        output: Place,
        device: str,
        threads: int,
        report: Callable[[int, int, int], object],
    ) -> None:
        self._engine = open_engine(plan, device=device, threads=threads)
        self._decoders = DecoderProcesses(1)
        self._job, self._source, self._output = job, source, output
        self._parameters = job.digest()
        self._report = report

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Rows of `path` and `name` to rows of `ROW`, a row a picture."""
        return pa.Table.from_pylist([self._row(row) for row in batch.to_pylist()], ROW)

    def _row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        path, name = bytes(row["path"]).decode("utf-8", "surrogateescape"), row["name"]
        key, shown = picture_id(path), readable(path)
        try:
            file, called = self._source.join(path), readable(path.rpartition("/")[2])
            result = process_file(self._engine, self._decoders, file, called, self._job)
        except NumericalError:
            raise  # of the model, not of the picture
        except (SegmentationError, OSError, MemoryError) as error:
            self._report(1, 0, 1)
            reason = error.message if isinstance(error, SegmentationError) else str(error) or type(error).__name__
            return {**picture_row(key, shown, name, self._parameters, reason), "objects": b""}
        for one in self._job.formats:
            self._output.join("files", file_name(name, one)).write(export(result.analysis, one, result.source))
        self._report(1, len(result.analysis), 0)
        rows = object_rows(key, shown, self._parameters, result)
        return {**picture_row(key, shown, name, self._parameters, result), "objects": to_ipc(rows)}
