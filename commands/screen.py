"""Progress and the table of counts on a terminal. Where there is none, one line a picture."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from commands.failures import say

LINE_EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table. counts: by group, or empty where the picture failed, with the reason."""

    name: str
    size: tuple[int, int] | None
    counts: dict[str, int]
    seconds: float
    failure: str = ""


class PictureProgress:
    """A bar for the picture that is worked on, and one for all.

    says_lines: there is no terminal, and every picture has a line instead.
    """

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress = progress
        self.says_lines = progress is None
        if progress is not None:
            self._all = progress.add_task("all pictures", total=total, visible=total > 1)
            self._one = progress.add_task("", total=None)

    def start(self, name: str) -> None:
        """The next picture."""
        if self._progress is not None:
            self._progress.reset(self._one, description=_short(name), total=None)

    def step(self, done: int, total: int) -> None:
        """Points of the picture's grid."""
        if self._progress is not None:
            self._progress.update(self._one, completed=done, total=total)

    def end(self, name: str, text: str) -> None:
        """A picture is done or has failed."""
        if self._progress is not None:
            self._progress.advance(self._all)
        else:
            say(f"{name}: {text}")


@contextmanager
def picture_progress(total: int) -> Iterator[PictureProgress]:
    """Bars on standard error while pictures are worked on."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield PictureProgress(None, total)
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        yield PictureProgress(progress, total)


@contextmanager
def batch_progress(total: int) -> Iterator[Callable[[int, int, int], None]]:
    """A bar with an estimate; where there is no terminal, a line each ten seconds."""
    console = Console(stderr=True)
    started = time.monotonic()
    if not console.is_terminal:
        last = [started]

        def line(pictures: int, objects: int, failures: int) -> None:
            now = time.monotonic()
            if now - last[0] >= LINE_EVERY_S and pictures:
                last[0] = now
                left = (now - started) * (total - pictures) / pictures
                say(f"{pictures} of {total} pictures, {objects} objects, {failures} failed, {left:.0f} s left")

        yield line
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("pictures", total=total)

        def bar(pictures: int, objects: int, failures: int) -> None:
            progress.update(task, completed=pictures, description=f"{objects} objects, {failures} failed")

        yield bar


def print_table(rows: Sequence[Row]) -> None:
    """Counts by picture and group, and in all."""
    groups = list(dict.fromkeys(group for row in rows for group in row.counts))
    table = Table()
    table.add_column("picture", overflow="fold")
    for title in ("size", "objects", *(groups if len(groups) > 1 else ()), "seconds"):
        table.add_column(title, justify="right")
    for row in rows:
        if row.failure:
            table.add_row(Text(row.name), "", Text("failed", style="red"))
            continue
        height, width = row.size or (0, 0)
        by_group = [str(row.counts.get(group, 0)) for group in groups] if len(groups) > 1 else []
        objects = str(sum(row.counts.values()))
        table.add_row(Text(row.name), f"{width} x {height}", objects, *by_group, f"{row.seconds:.1f}")
    done = [row for row in rows if not row.failure]
    if len(rows) > 1:
        by_group = [str(sum(row.counts.get(group, 0) for row in done)) for group in groups] if len(groups) > 1 else []
        everything = str(sum(sum(row.counts.values()) for row in done))
        table.add_section()
        title = f"{len(done)} picture{'' if len(done) == 1 else 's'}"
        table.add_row(title, "", everything, *by_group, f"{sum(row.seconds for row in done):.1f}")
    console = Console()
    settings: dict[str, Any] = {} if console.is_terminal else {"width": 160}
    (Console(**settings) if settings else console).print(table)


def _short(name: str) -> str:
    return name if len(name) <= 40 else f"{name[:18]}...{name[-18:]}"
