"""The edge of the HTTP app: admits requests, and answers errors with problem documents."""

import logging

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.http.admission.byte_budget import ByteBudget
from deployments.http.admission.limiter import Admission
from deployments.http.auth import ANYBODY, ApiKeys
from deployments.http.headers import path_of
from deployments.http.path_policy import PathPolicy, PolicyOf, own_policy
from deployments.http.problems import INTERNAL, Problem, problem_of
from deployments.telemetry.events import Admitted, EmitEvent, Refused, discard
from deployments.telemetry.logs import note

logger = logging.getLogger(__name__)


class Edge:
    """ASGI middleware. Puts the `caller` into the request's state, and `place` and `body_share` where it needs a slot.

    Args:
        policy_of: how requests of a path are treated.
    """

    def __init__(
        self,
        app: ASGIApp,
        api_keys: ApiKeys,
        admission: Admission,
        body_budget: ByteBudget,
        emit: EmitEvent = discard,
        policy_of: PolicyOf = own_policy,
    ) -> None:
        self._app = app
        self._policy_of = policy_of
        self._api_keys = api_keys
        self._admission = admission
        self._body_budget = body_budget
        self._emit = emit
        self._report_slots()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id: str = scope["state"]["request_id"]
        policy = self._policy_of(path_of(scope))
        started = False

        async def send_noting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._admit(policy, scope, receive, send_noting)
        except ClientDisconnect:
            note(code="client_left")
        except Exception as error:
            if started:
                raise
            problem = problem_for(error, request_id)
            note(code=problem.code)
            self._emit(Refused(problem.code, policy.protocol))
            await policy.answer(problem, request_id)(scope, receive, send)

    async def _admit(self, policy: PathPolicy, scope: Scope, receive: Receive, send: Send) -> None:
        caller = ANYBODY
        if policy.needs_key:
            key = policy.key_of(scope)
            if key is not None or not policy.body_may_hold_key:
                caller = self._api_keys.caller(key)
        scope["state"]["caller"] = caller
        if caller.name:
            note(key=caller.name)
        if policy.needs_slot:
            try:
                with (
                    self._admission.place(caller, is_run=policy.is_run) as place,
                    self._body_budget.share() as share,
                ):
                    self._report_slots()
                    scope["state"]["place"] = place
                    scope["state"]["body_share"] = share
                    await self._app(scope, receive, send)
            finally:
                self._report_slots()
        else:
            await self._app(scope, receive, send)

    def _report_slots(self) -> None:
        self._emit(Admitted(self._admission.taken - self._admission.runs, self._admission.slots))


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
        allowed = (error.headers or {}).get("Allow", "").replace("GET", "GET, HEAD")
        return Problem("method_not_allowed", f"this address takes {allowed}", allow=allowed)
    if error.status_code == 404:
        return Problem("not_found", "there is nothing here; /docs lists what there is")
    return INTERNAL
