"""Work of every kind for decoder processes, which import it by name."""

import os
import time

import numpy as np
from numpy.typing import NDArray

from segmentation.pictures.limits import require_size


def square(data: bytes, side: int) -> NDArray[np.int64]:
    return np.arange(side * side).reshape(side, side)


def stumble(data: bytes) -> float:
    return 1 / len(data)


def own_pid(data: bytes) -> int:
    return os.getpid()


def niceness(data: bytes) -> int:
    return os.nice(0)


def leave(data: bytes) -> None:
    os.abort()


def allocate(data: bytes, size: int) -> int:
    return len(bytearray(size))


def fill(data: bytes, width: int, height: int) -> int:
    require_size(width, height, width * height)
    return allocate(data, 40 * width * height)


def linger(data: bytes, seconds: float) -> str:
    time.sleep(seconds)
    return "late"


def spin(data: bytes) -> None:
    while True:
        pass
