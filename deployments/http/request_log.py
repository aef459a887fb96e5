"""One log line a request: its id, route, status, problem, picture size, masks, time by stage and the key's name."""

import logging
import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.http.headers import path_of
from deployments.telemetry.logs import log_request, request_facts


class RequestLog:
    """ASGI middleware. Needs the `request_id` in the request's state.

    What monitors and browsers ask for all day, `/health` and the pages, is logged only where it fails. The handlers
    add what they know (`deployments.telemetry.logs.note`).

    Args:
        is_work: whether requests for a path are logged where they succeed.
    """

    def __init__(self, app: ASGIApp, is_work: Callable[[str], bool]) -> None:
        self._app = app
        self._is_work = is_work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0

        async def send_noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with request_facts() as facts:
            try:
                await self._app(scope, receive, send_noting)
            finally:
                # The route, not the path: a path can hold anything.
                route = getattr(scope.get("route"), "path", None) or ("-" if status == 404 else path_of(scope)[:64])
                total = {"total": 1000 * (time.perf_counter() - started)}
                stages = facts.pop("ms", total)
                # A client that left before its answer began has no status; nginx writes 499.
                line = f"request {scope['state']['request_id']} {scope['method']} {ascii(route)[1:-1]} {status or 499}"
                is_quiet = status < 400 and not self._is_work(path_of(scope))
                level = logging.DEBUG if is_quiet else logging.INFO if status < 500 else logging.WARNING
                log_request(line, {**facts, "ms": stages}, level)
