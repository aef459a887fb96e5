"""How the ingress calls the other deployments: a narrow protocol, its Ray form, and what to do when a replica dies."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextvars import Context
from typing import Any, Protocol, TypeVar, cast

from ray.exceptions import (
    LocalRayletDiedError,
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    RayTaskError,
    WorkerCrashedError,
)
from ray.serve.context import _get_serve_request_context, _set_request_context
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle

from deployments.calls.errors import Overloaded, ReplicaLost
from deployments.telemetry.tracing import carrier
from segmentation.errors import SegmentationError

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

logger = logging.getLogger(__name__)

LOSSES = (
    LocalRayletDiedError,
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    RayServeException,
    WorkerCrashedError,
)

MAX_DEATHS = 4
"""A request that was present at so many deaths is answered 503: it may be what kills."""

WATCH_S = 3.0
"""A call that takes longer is asked whether what it was given was ever made."""


class Call(Protocol[T_co]):
    """A call under way. Passed un-awaited as an argument of another call, its result travels by reference."""

    def __await__(self) -> Generator[Any, None, T_co]: ...

    def cancel(self) -> object: ...


class RemoteDeployment(Protocol):
    """One deployment as others see it."""

    name: str

    def call(self, method: str, *args: object, key: str = "") -> Call[Any]:
        """Starts a call on one replica; calls with the same key go to the same replica, while it lives."""
        ...

    async def broadcast(self, method: str, *, timeout_s: float) -> list[Any]:
        """The answers of all replicas that give one within the time; empty if none does."""
        ...


class RayDeployment:
    """A deployment behind a Serve handle."""

    def __init__(self, name: str, handle: "DeploymentHandle[Any]") -> None:
        self.name = name
        self._handle = handle
        self._by_method: dict[str, DeploymentHandle[Any]] = {}

    def call(self, method: str, *args: object, key: str = "") -> Call[Any]:
        handle = self._by_method.get(method)
        if handle is None:
            # By value would go over gRPC, whose limit of 4 MiB an embedding just exceeds.
            handle = self._by_method[method] = self._handle.options(method_name=method, _by_reference=True)
        if key:
            handle = handle.options(session_id=key)
        traced = {} if (trace := carrier()) is None else {"trace": trace}
        return cast("Call[Any]", _context_of_a_call().run(handle.remote, *args, **traced))

    async def broadcast(self, method: str, *, timeout_s: float) -> list[Any]:
        try:
            answers = await self._handle.broadcast(method).results_async(timeout_s=timeout_s, return_exceptions=True)
        except (TimeoutError, RayError, RayServeException):
            return []
        return [answer for answer in answers if not isinstance(answer, BaseException)]


def _context_of_a_call() -> Context:
    """A context with the HTTP request's id and route, so that every replica logs under that id.

    It is a fresh one because Serve's internal id must be the call's own: calls that share the internal id of their HTTP
    request hang in the consistent-hash router when several are under way at once.
    """
    request = _get_serve_request_context()
    context = Context()
    context.run(_set_request_context, route=request.route, request_id=request.request_id)
    return context


async def result(
    call: Call[T | SegmentationError], *upstream: Call[Any], shared: Call[Any] | None = None, watch_s: float = WATCH_S
) -> T:
    """The call's result; cancels it, and the calls whose results it was given, when the caller is cancelled.

    Args:
        shared: a call whose result it was given too, and others with it: it is not cancelled.
        watch_s: seconds after which a call is watched for the loss of what it was given.

    Raises:
        SegmentationError: the peer answered with one, or raised one.
    """
    given = upstream if shared is None else (*upstream, shared)
    watch = asyncio.create_task(_cancel_without(given, call, watch_s)) if given else None
    try:
        value = await call
    except asyncio.CancelledError:
        for pending in (call, *upstream):
            pending.cancel()
        raise
    except RayTaskError as error:
        raise cause_of(error) from None
    finally:
        if watch is not None:
            watch.cancel()
    if isinstance(value, SegmentationError):
        raise value
    return value


async def _cancel_without(given: Sequence[Call[Any]], call: Call[Any], watch_s: float) -> None:
    """Cancels the call once something that it was given turns out to be lost.

    When a node dies, Serve's router (2.60) takes an `ActorUnavailableError` of an argument for one of the replica that
    was to get it, and sends the call again and again, without a pause or an end. To look means to fetch, on the same
    node from shared memory; so only slow calls are looked at.
    """
    await asyncio.sleep(watch_s)
    for one in given:
        try:
            await one
        except Exception as error:
            if is_loss(error):
                call.cancel()


def cause_of(error: RayTaskError) -> Exception:
    """What a replica raised, without Ray's wrapping."""
    cause: Exception = error
    while isinstance(cause, RayTaskError) and isinstance(cause.cause, Exception):
        cause = cause.cause
    return cause


def is_loss(error: BaseException) -> bool:
    """Whether the error says that a replica, or what it had made, is gone, and not that the call was wrong."""
    return isinstance(error, LOSSES) and not isinstance(error, BackPressureError)


async def retry_on_replica_loss(work: Callable[[], Awaitable[T]], *, first_pause_s: float = 0.1) -> T:
    """Runs pure work again, after a pause, when a replica dies under it; the deadline is the caller's.

    Raises:
        ReplicaLost: it was present at `MAX_DEATHS` deaths.
        Overloaded: a replica's queue is full.
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
        except BackPressureError:
            raise Overloaded("every replica's queue is full; try again") from None
        except Exception as error:
            if not is_loss(error):
                raise
            logger.warning("%s during a call (%d of %d)", type(error).__name__, death, MAX_DEATHS)
        await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))
        pause_s = min(2 * pause_s, 2.0)
    raise ReplicaLost("replicas of the server died while they worked on this request; try again")


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
