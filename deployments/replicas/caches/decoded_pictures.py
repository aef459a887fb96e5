"""Decoded pictures with their stored samples: read once, kept within a bound in bytes. Knows no analysis."""

import threading
from dataclasses import dataclass
from weakref import WeakValueDictionary

from deployments.calls.messages import PictureFile
from deployments.replicas.caches.byte_lru import ByteLru
from segmentation.pictures.decoded import DecodedPicture
from segmentation.pictures.processes import DecoderProcesses, Task, Ticket
from segmentation.pictures.tasks import everything, spread


@dataclass(frozen=True, slots=True)
class _Entry:
    decoded: DecodedPicture

    @property
    def nbytes(self) -> int:
        valid = self.decoded.valid
        # `valid` may be a view of one byte.
        own = valid.nbytes if all(valid.strides) else 0
        return self.decoded.rgb.nbytes + self.decoded.samples.nbytes + own


class _Reading:
    """A picture that is decoded now."""

    __slots__ = ("__weakref__", "lock")

    def __init__(self) -> None:
        self.lock = threading.Lock()


class DecodedPictures:
    """Pictures by id. Safe from several threads; blocks its caller.

    Args:
        processes: decode what is not small.
        max_megapixels: the largest picture that is decoded.
        max_bytes: of all pictures that are kept.
    """

    def __init__(self, processes: DecoderProcesses, *, max_megapixels: float, max_bytes: int) -> None:
        self._processes = processes
        self._max_megapixels = max_megapixels
        self._kept: ByteLru[_Entry] = ByteLru(max_bytes)
        self._readings: WeakValueDictionary[str, _Reading] = WeakValueDictionary()
        self._lock = threading.Lock()

    def read(self, image_id: str, file: PictureFile, ticket: Ticket) -> DecodedPicture:
        """The picture of a file, decoded unless it is kept. One that is decoded now is waited for.

        Raises:
            Interrupted: the ticket was cancelled.
            SegmentationError: the picture can't be read.
        """
        with self._lock:
            reading = self._readings.setdefault(image_id, _Reading())
        with reading.lock:
            with self._lock:
                entry = self._kept.get(image_id)
            if entry is None:
                task = Task(everything, file.data, (file.options, self._max_megapixels))
                entry = _Entry(spread(self._processes.decode(task, ticket)))
                with self._lock:
                    self._kept.put(image_id, entry)
            return entry.decoded
