"""The outermost layer of the HTTP app: request ids, admission, and a problem document for what goes wrong inside."""

import logging
import re
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.admission import Admission
from deployments.problems import INTERNAL, Problem, problem_of

ADMITTED = ("/segment", "/embeddings")
"""Paths, and what is under them, that need a place; `/health` and the like always get in."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")

logger = logging.getLogger(__name__)


class Edge:
    """ASGI middleware. Puts `request_id` into the request's state.

    Args:
        tells_id: add `X-Request-ID` to answers; not behind Serve's proxy, which adds it to every answer itself.
    """

    def __init__(self, app: ASGIApp, admission: Admission, *, tells_id: bool = True) -> None:
        self._app = app
        self._admission = admission
        self._tells_id = tells_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_of(Headers(scope=scope))
        scope.setdefault("state", {})["request_id"] = request_id
        started = False

        async def send_marked(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                if self._tells_id:
                    headers["X-Request-ID"] = request_id
                headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        try:
            await self._admit(scope, receive, send_marked)
        except ClientDisconnect:
            logger.info("the client of request %s left", request_id)
        except Exception as error:
            if started:
                raise
            problem = problem_for(error, request_id)
            answer = Response(problem.body(request_id), problem.status, problem.headers())
            await answer(scope, receive, send_marked)

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if any(path == admitted or path.startswith(f"{admitted}/") for admitted in ADMITTED):
            with self._admission.place():
                await self._app(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def request_id_of(headers: Headers) -> str:
    """The caller's id if it is harmless, or a new one."""
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def problem_for(error: Exception, request_id: str) -> Problem:
    """The problem for the caller; what is the server's fault goes to the log with its trace."""
    if isinstance(error, HTTPException):
        return _routing_problem(error)
    problem = problem_of(error)
    if problem is INTERNAL:
        logger.error("request %s failed", request_id, exc_info=error)
    return problem


def _routing_problem(error: HTTPException) -> Problem:
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        return Problem("method_not_allowed", f"this address takes {allowed}", allow=allowed)
    if error.status_code == 404:
        return Problem("not_found", "there is nothing here; /docs lists what there is")
    return INTERNAL
