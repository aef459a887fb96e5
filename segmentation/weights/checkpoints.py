"""Checkpoint files: finds, verifies, downloads. Whatever path this returns holds a whole file, as the manifest has it.

Knows bytes, not tensors: `segmentation.weights.tensors` reads them.
"""

import contextlib
import fcntl
import hashlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from segmentation.errors import ModelFileError
from segmentation.weights.download import RETRY_WAITS_S, PartialFile, Progress, fetch
from segmentation.weights.https import DownloadError
from segmentation.weights.manifest import ModelEntry

logger = logging.getLogger(__name__)


def sha256_file(path: Path) -> str:
    """The file's SHA-256 in lower-case hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def find_checkpoint(spec: ModelEntry, model_dir: Path) -> Path | None:
    """The model's checkpoint if it is there and has the manifest's size. Quick: the content is not read."""
    path = model_dir / spec.file
    if not path.is_file() or (spec.bytes is not None and path.stat().st_size != spec.bytes):
        return None
    return path


def verify_checkpoint(spec: ModelEntry, path: Path) -> None:
    """Reads the whole file and compares it with the manifest; what the manifest does not say is not checked.

    Raises:
        ModelFileError: the file is missing, or its size or SHA-256 differs.
    """
    _verify(spec, path, f"delete it, or put the right file there: {_by_hand(spec, path)}")


def ensure_checkpoint(
    spec: ModelEntry,
    model_dir: Path,
    *,
    download: bool = True,
    progress: Progress | None = None,
    retry_waits_s: Sequence[float] = RETRY_WAITS_S,
) -> Path:
    """The model's verified checkpoint, downloaded first if it is not there.

    Safe when several processes start at once: one downloads, the others wait for its file. A download that stopped
    half way is resumed. A file that is there but wrong is never replaced: it may be somebody's only copy.

    Args:
        spec: the model.
        model_dir: the folder; made when a download needs it.
        download: False to fail instead of going to the network.
        progress: called with (bytes there, bytes in all or None) during a download; by default it is logged.
        retry_waits_s: seconds before each further attempt after failures in a row.

    Raises:
        ModelFileError: the file is not there and can't be downloaded, or is not what the manifest says; tells what to
            do by hand.
    """
    path = model_dir / spec.file
    if path.exists():
        verify_checkpoint(spec, path)
    elif spec.url is None:
        raise ModelFileError(f"{path} is missing and the manifest has no url for it: put the file there")
    elif not download:
        raise ModelFileError(f"{path} is missing; put the file there: {_by_hand(spec, path)}")
    else:
        try:
            model_dir.mkdir(parents=True, exist_ok=True)
            with _only_one(path.with_name(f"{path.name}.lock"), path.name):
                if path.exists():
                    verify_checkpoint(spec, path)
                else:
                    _download(spec, spec.url, path, progress, retry_waits_s)
        except (DownloadError, OSError) as error:
            raise ModelFileError(
                f"can't download {path.name}: {error}; put the file there by hand: {_by_hand(spec, path)}"
            ) from error
    return path


def _download(
    spec: ModelEntry, url: str, path: Path, progress: Progress | None, retry_waits_s: Sequence[float]
) -> None:
    logger.info("downloading %s to %s", url, path)
    part = PartialFile(path.with_name(f"{path.name}.part"))
    fetch(url, part, size=spec.bytes, progress=progress, retry_waits_s=retry_waits_s)
    try:
        _verify(spec, part.path, f"it was deleted; start again, or put the file there by hand: {_by_hand(spec, path)}")
    except ModelFileError:
        part.discard()
        raise
    part.finish(path)
    logger.info("downloaded and verified %s", path)


def _verify(spec: ModelEntry, path: Path, remedy: str) -> None:
    try:
        size = path.stat().st_size
        if spec.bytes is not None and size != spec.bytes:
            raise ModelFileError(f"{path} has {size} bytes, {spec.name} has {spec.bytes}; {remedy}")
        if spec.sha256 is not None and (found := sha256_file(path)) != spec.sha256.lower():
            raise ModelFileError(f"{path} has SHA-256 {found}, {spec.name} has {spec.sha256.lower()}; {remedy}")
    except OSError as error:
        raise ModelFileError(f"can't read {path}: {error.strerror or error}; {remedy}") from error


def _by_hand(spec: ModelEntry, path: Path) -> str:
    facts = [f"{spec.url or 'your own copy'} -> {path}"]
    facts += [f"{spec.bytes} bytes"] if spec.bytes is not None else []
    facts += [f"SHA-256 {spec.sha256}"] if spec.sha256 is not None else []
    return ", ".join(facts)


@contextlib.contextmanager
def _only_one(lock: Path, name: str) -> Iterator[None]:
    """Holds the lock file of a download. The kernel releases it however the process ends; the file stays."""
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.info("another process is downloading %s; waiting for it", name)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
