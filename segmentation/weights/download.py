"""One large file over HTTP: resumes after interruptions, never mixes two versions of a file, gives up with a reason.

Knows nothing of models: it fills a partial file, whose owner verifies it and puts it in place.
"""

import http.client
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

from segmentation.weights.https import DownloadError, Interrupted, RangeRefused, open_url, read_some

logger = logging.getLogger(__name__)

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and the bytes in all, None while unknown."""

TIMEOUT_S = 30.0
RETRY_WAITS_S = (1.0, 2.0, 4.0)
CHUNK = 1 << 20


class PartialFile:
    """A file on its way, and beside it the validator (ETag or date) of the version that its bytes belong to.

    Without a validator nobody can tell whether the server's file is still the same one, so the bytes are not reused.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._validator_path = path.with_suffix(".etag.part")

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def validator(self) -> str | None:
        """What `If-Range` takes, or None."""
        return self._validator_path.read_text(encoding="latin-1") if self._validator_path.exists() else None

    def begin(self, validator: str | None) -> None:
        """Empties the file for the version of that validator."""
        self.discard()
        self.path.touch()
        if validator:
            self._validator_path.write_text(validator, encoding="latin-1")

    def discard(self) -> None:
        """Removes both files."""
        self.path.unlink(missing_ok=True)
        self._validator_path.unlink(missing_ok=True)

    def finish(self, target: Path) -> None:
        """Renames the bytes into place, durably."""
        _sync(self.path)
        self.path.replace(target)
        _sync(target.parent)
        self._validator_path.unlink(missing_ok=True)


def fetch(
    url: str,
    part: PartialFile,
    *,
    size: int | None = None,
    progress: Progress | None = None,
    retry_waits_s: Sequence[float] = RETRY_WAITS_S,
    timeout_s: float = TIMEOUT_S,
) -> None:
    """Fills `part` with the file at `url`, from where it stopped if the server's file is still the same one.

    Args:
        url: https, or http on the loopback interface; redirects obey the same rule.
        part: the partial file; kept after a failure, for the next call to resume.
        size: bytes that the file must have, if known.
        progress: called after each piece; by default it is logged.
        retry_waits_s: seconds before each further attempt after failures in a row without progress.
        timeout_s: seconds without a byte after which an attempt has failed.

    Raises:
        DownloadError: the url is refused, the server says no or has a file of another size, the disk is too small, or
            every attempt failed.
        OSError: the partial file can't be written.
    """
    name = part.path.stem
    transfer = _Transfer(url, part, size, progress or ProgressLog(name), timeout_s)
    failures, best = 0, part.size
    while True:
        try:
            transfer.attempt()
            return
        except Interrupted as error:
            reached = part.size
            failures = 1 if reached >= best + CHUNK else failures + 1
            best = max(best, reached)
            if failures > len(retry_waits_s):
                raise DownloadError(f"{error}; attempts without progress: {failures}") from error
            wait = retry_waits_s[failures - 1]
            logger.warning("download of %s interrupted: %s; again in %g s", name, error, wait)
            time.sleep(wait)


class ProgressLog:
    """Writes a line at every twentieth of the file, and after 10 seconds without one."""

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._clock = clock
        self._begun: tuple[float, int] | None = None
        self._last = (0.0, 0)

    def __call__(self, done: int, total: int | None) -> None:
        now = self._clock()
        step = 20 * done // total if total else 0
        if self._begun is None:
            self._begun, self._last = (now, done), (now, step)
            return
        if now - self._last[0] < 10 and step == self._last[1]:
            return
        self._last = (now, step)
        begun, already = self._begun
        rate = (done - already) / max(now - begun, 1e-3) / 1e6
        whole = f" of {total} bytes ({100 * done // total} %)" if total else " bytes"
        logger.info("downloading %s: %d%s, %.1f MB/s", self._name, done, whole, rate)


@dataclass(frozen=True, slots=True)
class _Transfer:
    url: str
    part: PartialFile
    size: int | None
    progress: Progress
    timeout_s: float

    def attempt(self) -> None:
        """One request; leaves what arrived in the partial file."""
        validator = self.part.validator
        offset = self.part.size if validator else 0
        if offset and offset == self.size:
            return
        if self.size is not None:
            self._require_space(self.size - offset)
        headers = {"Range": f"bytes={offset}-", "If-Range": validator} if offset and validator else {}
        try:
            with open_url(self.url, headers, self.timeout_s) as response:
                self._receive(response, offset)
        except RangeRefused:
            self.part.discard()
            raise

    def _receive(self, response: http.client.HTTPResponse, offset: int) -> None:
        done, total = _place(response, offset)
        if self.size is not None and total not in {None, self.size}:
            raise DownloadError(f"the server's file has {total} bytes, not {self.size}")
        total = self.size if total is None else total
        if done == 0:
            self.part.begin(_validator(response.headers))
        if total is not None:
            self._require_space(total - done)
        with self.part.path.open("ab") as file:
            while total is None or done < total:
                piece = read_some(response, CHUNK if total is None else min(CHUNK, total - done))
                if not piece:
                    break
                file.write(piece)
                done += len(piece)
                self.progress(done, total)
        if total is not None and done != total:
            raise Interrupted(f"the connection closed after {done} of {total} bytes")

    def _require_space(self, bytes_to_come: int) -> None:
        folder = self.part.path.parent
        free = shutil.disk_usage(folder).free
        if bytes_to_come > free:
            raise DownloadError(f"{bytes_to_come} bytes are to come, and the disk of {folder} has {free} free")


def _place(response: http.client.HTTPResponse, offset: int) -> tuple[int, int | None]:
    """Where the body begins in the file, and the file's size if the server says it."""
    if response.status != http.HTTPStatus.PARTIAL_CONTENT:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdecimal() else None
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if match is None or int(match[1]) != offset:
        raise RangeRefused("the server answered with another range than was asked for")
    return offset, None if match[2] == "*" else int(match[2])


def _validator(headers: Message) -> str | None:
    """A strong ETag, else the date of the last change, else None."""
    etag = headers.get("ETag", "")
    return etag if etag.startswith('"') else headers.get("Last-Modified")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
