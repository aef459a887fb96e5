"""Pictures in the ingress: their ids, their decoding off the event loop, and what is sent to the encoder.

Knows no HTTP.
"""

import asyncio
import base64
import hashlib
import hmac
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from deployments.calls.messages import InputPicture, PictureFile
from deployments.telemetry.tracing import add_span
from segmentation.pictures import tasks
from segmentation.pictures.options import AppliedDecode
from segmentation.pictures.processes import DecoderProcesses, Task, Ticket
from segmentation.transforms import InputFrame, resize_image
from segmentation.types import CropBox, Size

T = TypeVar("T")

MARK_LENGTH = 20
"""Characters at the end of an id that only its owner's API key makes: 120 bits."""


@dataclass(frozen=True, slots=True)
class ImageSource:
    """The picture of one request: its id, its file unless it came by id, and the model that it is asked of; "" for the
    server's default."""

    image_id: str
    file: PictureFile | None = None
    model: str = ""


def image_id_of(file: PictureFile, *, key: str, model: str) -> str:
    """The id of a picture: a hash of everything that its embedding depends on, and of whose it is.

    Args:
        key: identity of the API key it came with, empty for none; ids of one key mean nothing under another.
        model: model, weights and precision.
    """
    digest = hashlib.sha256()
    for part in (key.encode(), repr(file.options).encode(), model.encode(), file.data):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    name = _text(digest.digest())
    return name + _mark(name, key) if key else name


def belongs_to(image_id: str, key: str) -> bool:
    """Whether an id was made under this key. Without keys, every id may be asked for.

    Told from the id alone, because which replica holds it is not known here. An id that somebody marks as their own
    is another id, under which nothing is held.
    """
    if not key:
        return True
    name, mark = image_id[:-MARK_LENGTH], image_id[-MARK_LENGTH:]
    return hmac.compare_digest(mark.encode(), _mark(name, key).encode())


def crop_key(image_id: str, box: CropBox) -> str:
    """The key of a crop's embedding: its own, so that the crops of one picture spread over the replicas."""
    return f"{image_id}.{'-'.join(map(str, box))}"


class DecoderWorkers:
    """The threads and processes that decode, for all models.

    Args:
        threads: pictures decoded at once.
    """

    def __init__(self, threads: int) -> None:
        self.decoding = ThreadPoolExecutor(threads, thread_name_prefix="picture-decoder")
        self.crops = ThreadPoolExecutor(threads, thread_name_prefix="crop")
        self.processes = DecoderProcesses(threads)

    def start(self) -> None:
        """Starts a process some time soon, so that no picture waits for it."""
        self.decoding.submit(self.processes.start)


class PictureDecoder:
    """Decodes and resizes pictures: small ones of common kinds on threads, all others in processes that can be ended.

    A decode that its request no longer waits for is ended with its process.

    Args:
        workers: threads and processes.
        frame: the model's input, and how pictures fill it.
        max_megapixels: the largest picture that is decoded.
    """

    def __init__(self, workers: DecoderWorkers, *, frame: InputFrame, max_megapixels: float) -> None:
        self._workers = workers
        self._frame = frame
        self._max_megapixels = max_megapixels

    async def decode(self, file: PictureFile) -> tuple[NDArray[np.uint8], AppliedDecode, float]:
        """(uint8 [H, W, 3] upright RGB picture, how it was read, seconds it took)."""
        (pixels, decode), seconds = await self._run(tasks.whole, file)
        return pixels, decode, seconds

    async def input_picture(self, file: PictureFile) -> tuple[InputPicture, float]:
        """(the picture as the encoder takes it, its file beside it; seconds it took)."""
        picture, seconds = await self._run(tasks.resized, file, self._frame)
        return InputPicture(picture.pixels, picture.size, file, decode=picture.decode), seconds

    async def preview(self, file: PictureFile, side: int) -> tasks.Preview:
        """The picture as a PNG whose long side is at most `side`."""
        preview, _ = await self._run(tasks.preview, file, side)
        return preview

    async def crop(self, picture: NDArray[np.uint8], box: CropBox, file: PictureFile | None = None) -> InputPicture:
        """One crop of a decoded picture as the encoder takes it."""

        def work() -> InputPicture:
            x0, y0, x1, y1 = box
            cut = picture[y0:y1, x0:x1]
            return InputPicture(resize_image(cut, self._frame), size_of(cut), file)

        return await asyncio.get_running_loop().run_in_executor(self._workers.crops, work)

    async def _run(self, function: Callable[..., T], file: PictureFile, *arguments: object) -> tuple[T, float]:
        """(the function's result, seconds it took)."""
        given = (file.options, self._max_megapixels, *arguments)
        ticket = Ticket()

        def work() -> tuple[T, float]:
            started = time.perf_counter()
            result = self._workers.processes.decode(Task(function, file.data, given), ticket)
            return result, time.perf_counter() - started

        running = asyncio.get_running_loop().run_in_executor(self._workers.decoding, work)
        try:
            result, seconds = await running
        except asyncio.CancelledError:
            ticket.cancel()
            raise
        add_span("decode", seconds)
        return result, seconds


def size_of(picture: NDArray[np.uint8]) -> Size:
    """(height, width)."""
    return picture.shape[0], picture.shape[1]


def _mark(name: str, key: str) -> str:
    return _text(hmac.digest(key.encode(), name.encode(), "sha256"))[:MARK_LENGTH]


def _text(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).decode("ascii").rstrip("=")
