"""The load shedder: rejects requests in the process that speaks HTTP, before Serve has done anything for them.

Serve's proxy can't hand requests to the ingress as fast as they may have to be rejected. Requests that could get a slot
would wait in the proxy's queue behind the others. The load shedder counts the requests in flight and rejects by itself,
with the ingress's own problem documents. The ingress's answers tell it the number of slots. The ingress keeps counting:
its count decides where several proxies run, and it alone applies the bounds of an API key. The load shedder inlines
small bodies into the request's scope (`deployments.http.admission.inlined_body`).

Knows no settings. Serve installs it in its proxies, or in the ingress where there are none, if the environment that Ray
was started in says so: `VARIABLE=OPENER`.
"""

import re
from dataclasses import dataclass, field

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.calls.errors import Overloaded
from deployments.http.admission.inlined_body import inlined
from deployments.http.admission.slots import Slots
from deployments.http.headers import ADMITTED, API_HEADERS, INLINED_BYTES, REQUEST_ID, SLOTS, request_id_of
from deployments.http.problems import problem_of
from deployments.telemetry.events import EmitEvent, Refused, discard
from deployments.telemetry.ray_metrics import open_ray_metrics

VARIABLE = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
OPENER = "deployments.load_shedder.open_load_shedder"

_NEEDS_SLOT = re.compile(f"(.*?)(?:{'|'.join(ADMITTED)})(?:/.*)?", re.DOTALL)
"""Under any prefix: where the app is mounted is not known here."""


@dataclass(slots=True)
class _ApplicationState:
    """What is known of one app.

    places: taken by its requests under way through this door; without a bound once something else answers there.
    carried_bytes: the largest body that may be sent along, as the latest answer said; 0 if it didn't.
    """

    slots: Slots = field(default_factory=Slots)
    inlined_bytes: int = 0


class LoadShedder:
    """ASGI middleware around Serve's own HTTP app. Belongs to one event loop.

    A browser's request always goes on, to be refused inside: only the ingress knows which pages may read its answers.
    """

    def __init__(self, app: ASGIApp, emit: EmitEvent = discard) -> None:
        self._app = app
        self._emit = emit
        self._applications: dict[str, _ApplicationState] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        matched = _NEEDS_SLOT.fullmatch(scope["path"]) if scope["type"] == "http" else None
        if matched is None:
            await self._app(scope, receive, send)
            return
        prefix = matched[1]
        application_state = self._applications.get(prefix) or _ApplicationState()
        headers = Headers(scope=scope)
        if "origin" not in headers and (refusal := application_state.slots.refusal()):
            await self._refuse(refusal, request_id_of(headers))(scope, receive, send)
            return

        takes_slot = True

        def leave() -> None:
            nonlocal takes_slot
            if takes_slot:
                application_state.slots.leave()
            takes_slot = False

        async def send_learning(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._learn(prefix, message)
            elif message["type"] == "http.response.body" and not message.get("more_body", False):
                # Before it is sent: who has the whole answer may ask again at once, while Serve still tidies up.
                leave()
            await send(message)

        application_state.slots.take()
        try:
            async with inlined(scope, receive, application_state.inlined_bytes) as (laden, receive_rest):
                await self._app(laden, receive_rest, send_learning)
        finally:
            leave()

    def _learn(self, prefix: str, start: Message) -> None:
        headers = MutableHeaders(scope=start)
        slots, inlined_bytes = headers.get(SLOTS, ""), headers.get(INLINED_BYTES, "")
        if slots.isdecimal():
            # Only now: prefixes that nobody answers for would be as many as callers make up.
            self._applications.setdefault(prefix, _ApplicationState()).slots.bound = int(slots)
            del headers[SLOTS], headers[INLINED_BYTES]
        elif start["status"] < 400 and prefix in self._applications:
            self._applications[prefix].slots.bound = None
        if prefix in self._applications:
            self._applications[prefix].inlined_bytes = int(inlined_bytes) if inlined_bytes.isdecimal() else 0

    def _refuse(self, refusal: Overloaded, request_id: str) -> Response:
        problem = problem_of(refusal)
        self._emit(Refused(problem.code))
        headers = {**API_HEADERS, **problem.headers(), REQUEST_ID: request_id}
        return Response(problem.body(request_id), problem.status, headers)


def open_load_shedder() -> list[Middleware]:
    """What Serve asks for in each process that speaks HTTP; see `OPENER`."""
    return [Middleware(LoadShedder, emit=open_ray_metrics())]
