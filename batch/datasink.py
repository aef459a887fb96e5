"""Writes both tables as one part, under one name: Ray Data's checkpoints then commit or undo both together."""

import posixpath
from typing import Any

import pyarrow as pa
from pyarrow import fs
from pyarrow import parquet as pq
from ray.data._internal.planner.plan_write_op import WRITE_UUID_KWARG_NAME
from ray.data.block import BlockAccessor
from ray.data.datasource import BlockBasedFileDatasink

from batch.storage import Place
from batch.tables import OBJECTS, PICTURES, from_ipc

TABLES = ("objects.parquet", "pictures.parquet")


class PartSink(BlockBasedFileDatasink):
    """`objects.parquet/PART.parquet` and `pictures.parquet/PART.parquet`, pictures last.

    part: pictures in a part, at least; the last parts have fewer.
    """

    def __init__(self, tables: Place, part: int) -> None:
        super().__init__(tables.path, filesystem=tables.filesystem, file_format="parquet", min_rows_per_file=part)
        self._tables = tables

    def write_block(self, block: BlockAccessor, block_index: int, ctx: Any) -> None:
        """One part. The name depends on the task alone: a task that is repeated replaces its own part."""
        name = self.filename_provider.get_filename_for_task(ctx.kwargs[WRITE_UUID_KWARG_NAME], ctx.task_idx)
        rows = block.to_arrow()
        objects = [from_ipc(data) for data in rows.column("objects").to_pylist() if data]
        tables = (pa.concat_tables([OBJECTS.empty_table(), *objects]), rows.select(PICTURES.names).cast(PICTURES))
        for folder, table in zip(TABLES, tables, strict=True):
            buffer = pa.BufferOutputStream()
            pq.write_table(table, buffer, compression="zstd")
            self._tables.join(folder, name).write(buffer.getvalue().to_pybytes())


def make_folders(tables: Place) -> None:
    """The folders of both tables; an object store has none."""
    if isinstance(tables.filesystem, fs.S3FileSystem):
        return
    for folder in TABLES:
        tables.filesystem.create_dir(posixpath.join(tables.path, folder), recursive=True)
