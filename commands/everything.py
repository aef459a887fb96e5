"""`sam-serve everything`: pictures one after the other, here or by a server. A damaged one costs only itself."""

import errno
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from analysis.result import Analysis
from analysis.warmup import warm_up
from batch.engine import Engine
from batch.job import Job
from batch.names import readable, result_names
from batch.place import LocalFile, process_file
from client.errors import ConnectionFailed, SamError, Unauthorized
from commands.compile import compile_all, start_compiling
from commands.engines import open_for
from commands.failures import INTERRUPTED, WRONG_USE, reason, say, shown
from commands.inputs import find_pictures
from commands.jobs import JobOptions
from commands.results import ResultFolder
from commands.screen import PictureProgress, Row, picture_progress, print_table
from segmentation.errors import SegmentationError
from segmentation.pictures.processes import DecoderLost, DecoderProcesses

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
"""Errors of writing that the next picture would meet too."""


def run(pictures: Sequence[str], output: Path, options: JobOptions, model: str | None, server: str | None) -> int:
    """Returns the exit status."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        paths = find_pictures(pictures)
        options.job("")  # what is wrong with the options is said before a model is loaded
        engine = open_for(server, model)
        job = options.job(engine.model)
        folder = ResultFolder(output, job.formats)
    except (SegmentationError, SamError) as error:
        say(reason(error))
        return WRONG_USE
    start_compiling(compile_all if server is None else warm_up)
    run = _Run(engine, job, folder)
    try:
        with picture_progress(len(paths)) as progress:
            run.work(paths, progress)
        written = folder.finish()
    except KeyboardInterrupt:
        say(f"interrupted: the files of {run.done} of {len(paths)} pictures are written, none half")
        return INTERRUPTED
    except OSError as error:
        say(f"can't write the results: {reason(error)}")
        return 1
    finally:
        folder.close()
    print_table(run.rows)
    for row in run.rows:
        if row.failure and not progress.says_lines:
            say(f"{row.name}: {row.failure}")
    print(f"{run.done} of {len(paths)} pictures in {shown(output)}" + "".join(f", {path.name}" for path in written))
    if run.stopped:
        say(run.stopped)
    return run.status(len(paths))


class _Run:
    """The pictures of one call, one after the other."""

    def __init__(self, engine: Engine, job: Job, folder: ResultFolder) -> None:
        self._engine, self._job, self._folder = engine, job, folder
        self._decoders = DecoderProcesses(1)
        self.rows: list[Row] = []
        self.stopped = ""
        self._refused = False

    @property
    def done(self) -> int:
        """Pictures whose files are written."""
        return sum(not row.failure for row in self.rows)

    def status(self, total: int) -> int:
        """The exit status."""
        if self._refused:
            return WRONG_USE
        return 0 if self.done == total else 1

    def work(self, paths: Sequence[Path], progress: PictureProgress) -> None:
        """Works through the pictures; stops where the next would fail the same way."""
        names = Counter(path.name for path in paths)
        for path, name in zip(paths, result_names([str(path) for path in paths]), strict=True):
            title = shown(path.name if names[path.name] == 1 else path)
            progress.start(title)
            row = self._picture(path, name, title, progress)
            self.rows.append(row)
            progress.end(row.name, row.failure or f"{sum(row.counts.values())} objects in {row.seconds:.1f} s")
            if self.stopped:
                return

    def _picture(self, path: Path, name: str, title: str, progress: PictureProgress) -> Row:
        try:
            file, called = LocalFile(path), readable(path.name)
            result = process_file(self._engine, self._decoders, file, called, self._job, progress.step)
            self._folder.add(result, name)
        except (SegmentationError, SamError, OSError, MemoryError, DecoderLost) as error:
            return self._failed(title, error)
        return Row(title, result.analysis.size, counts(result.analysis), result.seconds)

    def _failed(self, title: str, error: Exception) -> Row:
        text = reason(error)
        if isinstance(error, ConnectionFailed | Unauthorized):
            self.stopped = f"stopped: {text}"
            self._refused = isinstance(error, Unauthorized)
        elif isinstance(error, OSError) and error.errno in FULL:
            self.stopped = f"stopped, the results can't be written: {text}"
        return Row(title, None, {}, 0.0, text)


def counts(analysis: Analysis) -> dict[str, int]:
    """Objects by group."""
    return {group.name: group.count for group in analysis.groups}
