"""Ray's errors in the words of `deployments.calls.remote`."""

import pytest
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    ObjectLostError,
    OutOfMemoryError,
    RaySystemError,
    RayTaskError,
)
from ray.serve.exceptions import BackPressureError, RayServeException

from deployments.calls.errors import Overloaded
from deployments.calls.ray_remote import cause_of, translated
from deployments.calls.remote import CallLost
from segmentation.errors import InvalidRequest

LOSSES = [
    ActorDiedError(),
    ActorUnavailableError("away", b"x" * 16),
    ObjectLostError("0" * 56, None, "here"),
    OutOfMemoryError("the node was about to run out of memory"),
    RayServeException("an upstream actor died before finishing a dependent task"),
    RaySystemError("an argument could not be deserialised"),
    MemoryError(),
]


@pytest.mark.parametrize("error", LOSSES)
def test_what_says_that_something_is_gone_is_a_loss(error: Exception) -> None:
    assert isinstance(translated(error), CallLost)
    assert isinstance(translated(RayTaskError("f", "trace", error)), CallLost)


def test_a_full_queue_is_overload_and_no_loss() -> None:
    assert isinstance(translated(BackPressureError(5, 5)), Overloaded)


@pytest.mark.parametrize("error", [InvalidRequest("no", "/a"), RuntimeError("bug")])
def test_what_a_replica_raised_is_raised_as_it_was(error: Exception) -> None:
    assert translated(RayTaskError("f", "trace", error).as_instanceof_cause()) is error
    assert translated(error) is error


def test_the_cause_is_found_under_rays_wrapping() -> None:
    cause = InvalidRequest("no", "/points")
    error = RayTaskError("f", "trace", cause).as_instanceof_cause()
    assert cause_of(error) is cause
    assert cause_of(RayTaskError("g", "trace", error)) is cause
