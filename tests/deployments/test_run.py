"""What the command that serves decides by itself, without a server."""

import threading
import time

import pytest
from ray.exceptions import RayError

from deployments.address import MAX_SOCKET_PATH, too_long_for_sockets
from deployments.run import bounded, last_line


def test_a_call_that_hangs_or_fails_is_left_behind() -> None:
    def fail() -> int:
        raise RayError

    assert bounded(lambda: 3, 5) == 3
    assert bounded(fail, 5) is None
    started = time.monotonic()
    assert bounded(threading.Event().wait, 0.1) is None
    assert time.monotonic() - started < 3


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (
            "Traceback (most recent call last):\n  File x\nsegmentation.errors.ModelFileError: no such file",
            "no such file",
        ),
        ("Deploying failed\n\n", "Deploying failed"),
        ("", "no reason was given"),
        ("ConfigurationError: SAM_THREADS is x: say a number\n", "SAM_THREADS is x: say a number"),
    ],
)
def test_a_reason_is_the_last_line_of_its_traceback(message: str, line: str) -> None:
    assert last_line(message) == line


def test_a_long_folder_for_temporary_files_is_named() -> None:
    assert too_long_for_sockets({}) is None
    assert too_long_for_sockets({"TMPDIR": "/var/" + "a" * 60}) == "/var/" + "a" * 60
    assert too_long_for_sockets({"TMPDIR": "/var/" + "a" * 60, "RAY_TMPDIR": "/tmp"}) is None
    assert too_long_for_sockets({"RAY_TMPDIR": "/" + "a" * MAX_SOCKET_PATH}) is not None
