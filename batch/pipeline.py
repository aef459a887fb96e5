"""A batch on Ray Data: a list of pictures, actors that do the work, parts of two tables, checkpoints.

Only this file and `datasink` know Ray.
"""

import contextlib
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.dataset
import ray
from ray.data import ActorPoolStrategy, DataContext, Datasource, ReadTask
from ray.data.block import BlockMetadata
from ray.data.checkpoint import CheckpointConfig

from batch.datasink import PartSink, make_folders
from batch.job import Job
from batch.storage import Place
from batch.tables import FAILED
from batch.worker import Worker, picture_id
from segmentation.backends.select import RuntimePlan
from segmentation.errors import InvalidRequest

SETTINGS = "settings.json"
TABLES, CHECKPOINTS = "tables", "checkpoints"
MOST_IN_BLOCK = 64
ASKED_EVERY_S = 0.5
SPARE_CPUS = 2
"""Of the cluster's count, for tasks that list, filter and write: they wait more than they work. The cluster that is
started here counts so many more than there are.
"""
START_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Input:
    """Pictures: their place, their paths below it, and the names of their results."""

    source: Place
    paths: Sequence[str]
    names: Sequence[str]


@dataclass(frozen=True, slots=True)
class Resources:
    """What a batch may use. address: of a Ray cluster, None starts one here. workers: 0 fits the cluster."""

    address: str | None = None
    workers: int = 0


@dataclass(frozen=True, slots=True)
class Totals:
    """Pictures in the output, over all runs."""

    done: int
    failed: int
    objects: int


def prepare_output(output: Place, job: Job) -> None:
    """Writes down what makes the results, and refuses to mix them with those of other parameters.

    Raises:
        InvalidRequest: the output holds results of other parameters, or can't be written to.
    """
    settings = {"parameters": job.digest(), **job.settings()}
    kept = output.join(SETTINGS)
    try:
        if kept.exists() and json.loads(kept.read())["parameters"] != job.digest():
            raise InvalidRequest(
                f"{output.path!r} holds results of other parameters (see its {SETTINGS}): take another folder"
            )
        kept.write(json.dumps(settings, indent=2, ensure_ascii=False).encode())
        make_folders(output.join(TABLES))
    except OSError as error:
        raise InvalidRequest(f"can't write to {output.path!r}: {error}") from error
    except (ValueError, LookupError, TypeError) as error:
        raise InvalidRequest(f"{kept.path!r} is not a batch's settings: take another folder") from error


def run_batch(
    pictures: Input,
    output: Place,
    job: Job,
    plan: RuntimePlan,
    resources: Resources,
    *,
    part: int,
    progress: Callable[[int, int, int], None],
) -> Totals:
    """Does every picture that the output does not hold yet.

    Args:
        part: pictures in one part of the tables. progress: told of (pictures, objects, failures) of this run.
    """
    with _cluster(resources.address):
        available = ray.cluster_resources()  # type: ignore[no-untyped-call]
        gpus, cpus = int(available.get("GPU", 0)), max(1, int(available.get("CPU", 1)) - SPARE_CPUS)
        workers = resources.workers or gpus or cpus
        device = "cuda" if gpus else "cpu"
        context = DataContext.get_current()
        context.enable_progress_bars = False
        context.checkpoint_config = _checkpoints(output)
        counter = _Counter.remote()  # type: ignore[attr-defined]
        block = max(1, min(MOST_IN_BLOCK, len(pictures.paths) // (8 * workers)))
        rows = ray.data.read_datasource(_Listing(pictures, block)).map_batches(
            Worker,
            batch_size=1,
            batch_format="pyarrow",
            zero_copy_batch=True,
            compute=ActorPoolStrategy(min_size=1, max_size=workers, initial_size=workers),
            fn_constructor_kwargs={
                "plan": plan, "job": job, "source": pictures.source, "output": output, "device": device,
                "threads": max(1, cpus // workers), "report": counter.add.remote,
            },
            num_gpus=min(1.0, gpus / workers) if gpus else 0,
            num_cpus=min(1.0, cpus / workers) if not gpus else 1,
        )  # fmt: skip
        with _told(counter, progress):
            rows.write_datasink(PartSink(output.join(TABLES), part), ray_remote_args={"num_cpus": 0.01})
    return read_totals(output)


def read_totals(output: Place) -> Totals:
    """What the output holds."""
    tables = output.join(TABLES, "pictures.parquet")
    found = pa.dataset.dataset(tables.path, filesystem=tables.filesystem, format="parquet")
    table = found.to_table(columns=["status", "count"])
    failed = sum(status == FAILED for status in table.column("status").to_pylist())
    objects = sum(count or 0 for count in table.column("count").to_pylist())
    return Totals(len(table) - failed, failed, objects)


class _Listing(Datasource):
    """The list of pictures as a dataset: a read that checkpoints can filter."""

    def __init__(self, pictures: Input, block: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._pictures, self._block = pictures, block

    def estimate_inmemory_data_size(self) -> int | None:
        return sum(map(len, self._pictures.paths)) + 64 * len(self._pictures.paths)

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: Any = None
    ) -> list[ReadTask]:
        """A task for each block; Ray Data's own number would put all of a small input into few."""
        paths, names = self._pictures.paths, self._pictures.names
        tasks = []
        for start in range(0, len(paths), self._block):
            some = slice(start, start + self._block)
            table = pa.table(
                {
                    "picture_id": [picture_id(path) for path in paths[some]],
                    "path": pa.array([os.fsencode(path) for path in paths[some]], pa.binary()),
                    "name": list(names[some]),
                }
            )
            metadata = BlockMetadata(
                num_rows=table.num_rows, size_bytes=table.nbytes, input_files=None, exec_stats=None
            )
            tasks.append(ReadTask(lambda table=table: [table], metadata, table.schema))  # type: ignore[misc]
        return tasks


@ray.remote(num_cpus=0)
class _Counter:
    """Counts what workers report."""

    def __init__(self) -> None:
        self._sums = [0, 0, 0]

    def add(self, pictures: int, objects: int, failures: int) -> None:
        self._sums = [one + more for one, more in zip(self._sums, (pictures, objects, failures), strict=True)]

    def sums(self) -> list[int]:
        return self._sums


@contextlib.contextmanager
def _told(counter: Any, progress: Callable[[int, int, int], None]) -> Iterator[None]:
    """Asks the counter now and then while work goes on."""
    ended = threading.Event()

    def ask() -> None:
        while not ended.wait(ASKED_EVERY_S):
            with contextlib.suppress(ray.exceptions.RayError):
                progress(*ray.get(counter.sums.remote()))

    thread = threading.Thread(target=ask, name="progress", daemon=True)
    thread.start()
    try:
        yield
        progress(*ray.get(counter.sums.remote()))
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def _cluster(address: str | None) -> Iterator[None]:
    """Joins a cluster, or starts one on this machine and stops it in the end."""
    joined = ray.is_initialized()
    if not joined:
        os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        cores = len(os.sched_getaffinity(0)) + SPARE_CPUS
        local: dict[str, Any] = {} if address else {"include_dashboard": False, "num_cpus": cores}
        _start({"address": address or "local", **quiet, **local})
        logging.getLogger("ray.data").setLevel(logging.WARNING)
    try:
        yield
    finally:
        if not joined:
            ray.shutdown()


def _start(options: dict[str, Any]) -> None:
    """Ray gives its first processes half a minute, which a busy machine may take: tried again.

    Raises:
        InvalidRequest: there is no cluster, or it does not start.
    """
    for attempt in range(START_ATTEMPTS):
        try:
            ray.init(**options)
            return
        except Exception as error:  # Ray raises a bare Exception where a node starts slowly
            ray.shutdown()
            if attempt == START_ATTEMPTS - 1 or isinstance(error, ConnectionError | ValueError):
                raise InvalidRequest(f"Ray does not start: {error}") from error


def _checkpoints(output: Place) -> CheckpointConfig:
    """Kept after success: a run that finds everything done does nothing."""
    folder = output.join(CHECKPOINTS)
    config = CheckpointConfig(
        "picture_id",
        folder.path,
        delete_checkpoint_on_success=False,
        override_filesystem=folder.filesystem,
    )
    config.checkpoint_actor_memory_bytes = 64 << 20
    return config
