"""Decoding in processes that can be ended: the same results, and what happens when one crashes or runs on."""

import os
import signal
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from pictures import TWELVE_BITS, encoded, picture, scene, tiff_of
from processes_tasks import allocate, fill, leave, linger, niceness, own_pid, spin, square, stumble

from segmentation.errors import ImageTooLarge, InvalidImage, InvalidRequest
from segmentation.pictures.options import DecodeOptions
from segmentation.pictures.processes import DecoderProcesses, Interrupted, Task, Ticket
from segmentation.pictures.tasks import everything, resized, spread, whole
from segmentation.transforms import InputFrame


@pytest.fixture(scope="module")
def processes() -> Iterator[DecoderProcesses]:
    pool = DecoderProcesses(1)
    pool.start()
    yield pool
    pool.close()


def test_results_are_the_same_as_in_place(processes: DecoderProcesses) -> None:
    data = encoded(picture("RGB"), "PNG")
    rgb, decode = processes.run(Task(whole, data, (DecodeOptions(), 1.0)))
    assert np.array_equal(rgb, scene())
    assert decode == whole(data, DecodeOptions(), 1.0)[1]
    small = processes.run(Task(resized, data, (DecodeOptions(), 1.0, InputFrame(16))))
    assert np.array_equal(small.pixels, resized(data, DecodeOptions(), 1.0, InputFrame(16)).pixels)
    assert small.size == (23, 37)


def test_stored_samples_come_with_their_mask(processes: DecoderProcesses) -> None:
    found = spread(processes.run(Task(everything, tiff_of(TWELVE_BITS), (DecodeOptions(), 1.0))))
    assert np.array_equal(found.samples[:, :, 0], TWELVE_BITS)
    assert found.valid.shape == found.samples.shape
    assert found.valid.all()


def test_large_results_are_shared(processes: DecoderProcesses) -> None:
    assert np.array_equal(processes.run(Task(square, b"", (3000,))), np.arange(3000 * 3000).reshape(3000, 3000))


def test_errors_are_the_pictures_own(processes: DecoderProcesses) -> None:
    with pytest.raises(InvalidImage, match="no picture"):
        processes.run(Task(whole, b"nothing", (DecodeOptions(), 1.0)))
    with pytest.raises(InvalidRequest) as caught:
        processes.run(Task(whole, encoded(picture("RGB"), "PNG"), (DecodeOptions(page=3), 1.0)))
    assert caught.value.pointer == "/decode/page"
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        processes.run(Task(stumble, b""))


def test_a_crash_is_an_error_of_its_picture_alone(processes: DecoderProcesses) -> None:
    with pytest.raises(InvalidImage, match="could not be decoded"):
        processes.run(Task(leave, b""))
    assert processes.run(Task(square, b"", (2,))).sum() == 6


def test_a_process_that_ended_while_idle_is_replaced(processes: DecoderProcesses) -> None:
    pid = processes.run(Task(own_pid, b""))
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.2)
    assert processes.run(Task(own_pid, b"")) != pid


def test_a_process_stands_back_behind_what_started_it(processes: DecoderProcesses) -> None:
    assert processes.run(Task(niceness, b"")) == min(os.nice(0) + 4, 19)


def test_memory_is_bounded(processes: DecoderProcesses) -> None:
    with pytest.raises(ImageTooLarge, match="more memory"):
        processes.run(Task(allocate, b"", (1_000_000_000,)))
    assert processes.run(Task(allocate, b"", (50_000_000,))) == 50_000_000


def test_memory_grows_with_the_size(processes: DecoderProcesses) -> None:
    assert processes.run(Task(fill, b"", (5_000, 5_000))) == 1_000_000_000


@pytest.mark.slow
def test_time_is_bounded(processes: DecoderProcesses) -> None:
    started = time.monotonic()
    with pytest.raises(InvalidImage, match="more time"):
        processes.run(Task(spin, b""))
    assert time.monotonic() - started < 60


def test_ctrl_c_leaves_no_late_answer(processes: DecoderProcesses) -> None:
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(KeyboardInterrupt):
            processes.run(Task(linger, b"", (0.6,)))
    finally:
        signal.signal(signal.SIGALRM, before)
    time.sleep(0.5)
    assert processes.run(Task(square, b"", (2,))).sum() == 6


def test_a_task_can_be_ended(processes: DecoderProcesses) -> None:
    ticket = Ticket()
    threading.Timer(0.3, ticket.cancel).start()
    with pytest.raises(Interrupted):
        processes.run(Task(spin, b""), ticket)
    with pytest.raises(Interrupted):
        processes.run(Task(spin, b""), ticket)
    assert processes.run(Task(square, b"", (2,))).sum() == 6
