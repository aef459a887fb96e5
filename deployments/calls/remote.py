"""How the ingress calls the other deployments: a narrow protocol, and what to do when a replica dies. Knows no Ray.

`deployments.calls.ray_remote` is the form behind Serve's handles. It translates Ray's errors into those named here.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any, Protocol, TypeVar

from deployments.calls.errors import ReplicaLost
from segmentation.errors import SegmentationError

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

logger = logging.getLogger(__name__)

MAX_DEATHS = 4
"""A request that was present at so many deaths is answered 503: the request may be the cause."""

WATCH_S = 3.0
"""A call that takes longer is checked: the results it was given may be lost."""


class CallLost(Exception):
    """The replica that ran a call, or a result that it had made, is gone. The call itself may have been right."""


class Call(Protocol[T_co]):
    """A call under way. Passed un-awaited as an argument of another call, its result travels by reference.

    Awaiting it raises `CallLost`, `Overloaded` where every replica's queue is full, or what the replica raised.
    """

    def __await__(self) -> Generator[Any, None, T_co]: ...

    def cancel(self) -> object: ...


class RemoteDeployment(Protocol):
    """One deployment as others see it."""

    name: str

    def call(self, method: str, *args: object, key: str = "") -> Call[Any]:
        """Starts a call on one replica; calls with the same key go to the same replica, while it lives."""
        ...

    async def share(self, value: object) -> object:
        """Something to pass in the value's place to several calls: the value is sent only once for all of them."""
        ...

    async def broadcast(self, method: str, *, timeout_s: float) -> list[Any]:
        """The answers of all replicas that give one within the time; empty if none does."""
        ...


async def result(
    call: Call[T | SegmentationError], *upstream: Call[Any], shared: Call[Any] | None = None, watch_s: float = WATCH_S
) -> T:
    """The call's result; cancels it, and the calls whose results it was given, when the caller is cancelled.

    Args:
        shared: a call whose result was given to this call and to others: it is not cancelled.
        watch_s: seconds after which a call is watched for the loss of what it was given.

    Raises:
        SegmentationError: the deployment answered with one, or raised one.
    """
    given = upstream if shared is None else (*upstream, shared)
    watch = asyncio.create_task(_cancel_without(given, call, watch_s)) if given else None
    try:
        value = await call
    except asyncio.CancelledError:
        for pending in (call, *upstream):
            pending.cancel()
        raise
    finally:
        if watch is not None:
            watch.cancel()
    if isinstance(value, SegmentationError):
        raise value
    return value


async def _cancel_without(given: Sequence[Call[Any]], call: Call[Any], watch_s: float) -> None:
    """Cancels the call once something that it was given turns out to be lost.

    When a node dies, Serve's router (2.60) takes an `ActorUnavailableError` of an argument for one of the replica that
    was to get it, and sends the call again and again, without a pause or an end. Looking fetches the result, on the
    same node from shared memory; therefore only slow calls are checked.
    """
    await asyncio.sleep(watch_s)
    for one in given:
        try:
            await one
        except CallLost:
            call.cancel()
        except Exception:
            # The call fails with this error by itself.
            logger.debug("a call was given another's error", exc_info=True)


async def retry_on_replica_loss(work: Callable[[], Awaitable[T]], *, first_pause_s: float = 0.1) -> T:
    """Runs pure work again, after a pause, when a replica dies under it; the deadline is the caller's.

    Raises:
        ReplicaLost: it was present at `MAX_DEATHS` deaths.
    """
    pause_s = first_pause_s
    for death in range(1, MAX_DEATHS + 1):
        try:
            return await work()
        except asyncio.CancelledError:
            # Ray raises the same error when another caller's cancellation took down what this one waited for.
            if _is_cancelled():
                raise
            logger.warning("a call was cancelled from elsewhere (%d of %d)", death, MAX_DEATHS)
        except CallLost as error:
            logger.warning("%s during a call (%d of %d)", error, death, MAX_DEATHS)
        await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))
        pause_s = min(2 * pause_s, 2.0)
    raise ReplicaLost("replicas of the server died while they worked on this request; try again")


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
