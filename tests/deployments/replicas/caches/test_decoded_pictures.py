"""Pictures for analyses: decoded once, and in processes that a caller who leaves, or a hostile file, ends."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from pictures import TWELVE_BITS, encoded, picture, tiff_of
from processes_tasks import own_pid

from deployments.calls.messages import PictureFile
from deployments.replicas.caches.decoded_pictures import DecodedPictures
from segmentation.errors import InvalidImage
from segmentation.pictures.processes import DecoderProcesses, Interrupted, Task, Ticket

TIFF = PictureFile(tiff_of(TWELVE_BITS))


@pytest.fixture
def processes() -> Iterator[DecoderProcesses]:
    pool = DecoderProcesses(2)
    yield pool
    pool.close()


def opened(processes: DecoderProcesses, max_bytes: int = 1_000_000) -> DecodedPictures:
    return DecodedPictures(processes, max_megapixels=1, max_bytes=max_bytes)


def test_stored_samples_and_their_mask(processes: DecoderProcesses) -> None:
    pictures = opened(processes)
    found = pictures.read("a", TIFF, Ticket())
    assert np.array_equal(found.samples[:, :, 0], TWELVE_BITS)
    assert found.valid.shape == found.samples.shape
    assert pictures.read("a", TIFF, Ticket()) is found
    small = pictures.read("b", PictureFile(encoded(picture("RGB"), "PNG")), Ticket())
    assert small.samples.shape == (23, 37, 3)


def test_pictures_make_room(processes: DecoderProcesses) -> None:
    pictures = opened(processes, max_bytes=TWELVE_BITS.nbytes * 5 // 2 + 1)
    first = pictures.read("a", TIFF, Ticket())
    pictures.read("b", TIFF, Ticket())
    assert pictures.read("a", TIFF, Ticket()) is not first


def test_two_who_ask_at_once_get_one_decode(processes: DecoderProcesses) -> None:
    pictures = opened(processes)
    with ThreadPoolExecutor(2) as threads:
        one, other = threads.map(lambda _: pictures.read("a", TIFF, Ticket()), range(2))
    assert one is other


def test_a_decoder_that_hangs_ends_with_its_caller_and_holds_nobody_else(processes: DecoderProcesses) -> None:
    pictures = opened(processes)
    os.kill(processes.run(Task(own_pid, b"")), signal.SIGSTOP)
    ticket = Ticket()
    with ThreadPoolExecutor(1) as threads:
        hanging = threads.submit(pictures.read, "hangs", TIFF, ticket)
        time.sleep(0.3)
        assert pictures.read("another", TIFF, Ticket()).samples.size == TWELVE_BITS.size
        threading.Timer(0.1, ticket.cancel).start()
        with pytest.raises(Interrupted):
            hanging.result(10)
    assert pictures.read("hangs", TIFF, Ticket()).samples.size == TWELVE_BITS.size


def test_a_decoder_that_is_killed_is_an_error_of_its_picture(processes: DecoderProcesses) -> None:
    pictures = opened(processes)
    pid = processes.run(Task(own_pid, b""))
    os.kill(pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as threads:
        crashing = threads.submit(pictures.read, "crashes", TIFF, Ticket())
        time.sleep(0.3)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(InvalidImage):
            crashing.result(10)
