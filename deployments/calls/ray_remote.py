"""A deployment behind a Serve handle: `RemoteDeployment` over Ray, with Ray's errors translated."""

import asyncio
from collections.abc import Generator
from contextvars import Context
from typing import Any

import ray
from ray.exceptions import (
    LocalRayletDiedError,
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    RaySystemError,
    RayTaskError,
    WorkerCrashedError,
)
from ray.serve.context import _get_serve_request_context, _set_request_context
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle

from deployments.calls.errors import Overloaded
from deployments.calls.remote import CallLost
from deployments.telemetry.tracing import carrier

LOSSES = (
    LocalRayletDiedError,
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    RayServeException,
    RaySystemError,
    WorkerCrashedError,
    MemoryError,
)
"""Errors that say that a replica, its memory, or a result that it had made is gone, and not that the call was wrong.

A replica that can't get memory fails before its method runs, while Ray deserialises the arguments: the error is then
`RaySystemError` or `MemoryError`.
"""


class RayCall:
    """A call under way."""

    __slots__ = ("response",)

    def __init__(self, response: Any) -> None:
        self.response = response

    def __await__(self) -> Generator[Any, None, Any]:
        return self._value().__await__()

    def cancel(self) -> object:
        return self.response.cancel()

    async def _value(self) -> Any:
        try:
            return await self.response
        except Exception as error:
            raise translated(error) from None


class RayDeployment:
    """A deployment behind a Serve handle."""

    def __init__(self, name: str, handle: "DeploymentHandle[Any]") -> None:
        self.name = name
        self._handle = handle
        self._by_method: dict[str, DeploymentHandle[Any]] = {}

    def call(self, method: str, *args: object, key: str = "") -> RayCall:
        handle = self._by_method.get(method)
        if handle is None:
            # By value would go over gRPC, whose limit of 4 MiB an embedding just exceeds.
            handle = self._by_method[method] = self._handle.options(method_name=method, _by_reference=True)
        if key:
            handle = handle.options(session_id=key)
        given = [argument.response if isinstance(argument, RayCall) else argument for argument in args]
        traced = {} if (trace := carrier()) is None else {"trace": trace}
        return RayCall(_context_of_a_call().run(handle.remote, *given, **traced))

    async def share(self, value: object) -> object:
        """A reference to the value in Ray's shared memory."""
        return await asyncio.to_thread(ray.put, value)

    async def broadcast(self, method: str, *, timeout_s: float) -> list[Any]:
        try:
            answers = await self._handle.broadcast(method).results_async(timeout_s=timeout_s, return_exceptions=True)
        except (TimeoutError, RayError, RayServeException):
            return []
        return [answer for answer in answers if not isinstance(answer, BaseException)]


def translated(error: Exception) -> Exception:
    """The error of a call without Ray: `CallLost`, `Overloaded`, or what the replica raised."""
    if isinstance(error, BackPressureError):  # a `RayServeException` too, and no loss
        return Overloaded("every replica's queue is full; try again")
    cause = cause_of(error) if isinstance(error, RayTaskError) else error
    return CallLost(type(cause).__name__) if isinstance(cause, LOSSES) else cause


def cause_of(error: RayTaskError) -> Exception:
    """What a replica raised, without Ray's wrapping."""
    cause: Exception = error
    while isinstance(cause, RayTaskError) and isinstance(cause.cause, Exception):
        cause = cause.cause
    return cause


def _context_of_a_call() -> Context:
    """A context with the HTTP request's id and route, so that every replica logs under that id.

    Serve's internal id must be the call's own: calls that share the internal id of their HTTP request hang in the
    consistent-hash router when several are under way at once.
    """
    request = _get_serve_request_context()
    context = Context()
    context.run(_set_request_context, route=request.route, request_id=request.request_id)
    return context
