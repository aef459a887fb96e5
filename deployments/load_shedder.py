"""The load shedder: rejects requests in the process that speaks HTTP, before Serve has done anything for them.

Serve's proxy can't hand requests to the ingress as fast as they may have to be rejected. Requests that could get a slot
would wait in the proxy's queue behind the others. The load shedder counts the requests in flight and rejects by itself,
with the ingress's own problem documents, or in the form of an annotation tool's errors. The ingress's answers tell it
the number of slots. The ingress keeps counting: its count decides where several proxies run, and it alone applies the
bounds of an API key.

The load shedder also does what only the process that speaks HTTP can do:
- it bounds connections (`deployments.http.connections`);
- it takes answers over from Serve when their clients read slowly, so that their slots are free (`http.outbox`);
- it inlines small bodies into the request's scope (`http.admission.inlined_body`);
- it gives each request one harmless id, which Serve, the ingress and every log then use;
- it turns Serve's own refusals into problem documents.

Knows no settings. Serve installs it in its proxies, or in the ingress where there are none, if the environment that Ray
was started in says so: `VARIABLE=OPENER`.
"""

import re
from dataclasses import dataclass, field
from typing import TypeAlias

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.calls.errors import Overloaded, ReplicaLost
from deployments.http.admission.inlined_body import inlined
from deployments.http.admission.limiter import Slots
from deployments.http.connections import CONNECTION, install
from deployments.http.headers import ADMITTED, API_HEADERS, INLINED_BYTES, REQUEST_ID, SLOTS, is_run, request_id_of
from deployments.http.outbox import UnsentBytes, open_outbox
from deployments.http.problems import problem_of
from deployments.http.protocols.forms import FORMS, ToolForm, pattern_of
from deployments.telemetry.events import EmitEvent, Refused, discard
from deployments.telemetry.ray_metrics import open_ray_metrics
from segmentation.errors import SegmentationError

VARIABLE = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
OPENER = "deployments.load_shedder.open_load_shedder"

SERVE_HINTS = frozenset({b"x-request-timeout-seconds", b"x-request-disconnect-disabled"})
"""Request headers by which Serve lets a trusted proxy overrule timeouts and the watch for clients that leave."""

_TOOL_PATHS = {pattern_of(path): form for form in FORMS for path in form.slots}
_RUNS_OF_TOOLS = re.compile("|".join(pattern_of(path) for form in FORMS for path in form.runs))
_NEEDS_SLOT = re.compile(f"(.*?)((?:{'|'.join(ADMITTED)})(?:/.*)?|{'|'.join(_TOOL_PATHS)})", re.DOTALL)
"""Under any prefix: where the app is mounted is not known here, nor which tools' protocols it speaks. Answers for
others tell of no slots, and nothing is rejected."""


Kind: TypeAlias = tuple[str, bool]
"""The prefix that an application is mounted under, and whether a request is a run of automatic masks."""


@dataclass(slots=True)
class _ApplicationState:
    """What is known of one kind of request of one application, see `Kind`.

    slots: taken by the requests in flight through this process; unbounded once another application answers there.
    inlined_bytes: the largest body that may be inlined, as the latest answer said; 0 if it said nothing.
    """

    slots: Slots = field(default_factory=Slots)
    inlined_bytes: int = 0


class LoadShedder:
    """ASGI middleware around Serve's own HTTP app. Belongs to one event loop.

    A browser's request is never rejected here: only the ingress knows which pages may read its answers.
    """

    def __init__(self, app: ASGIApp, emit: EmitEvent = discard, unsent: UnsentBytes | None = None) -> None:
        self._app = app
        self._emit = emit
        self._unsent = unsent or UnsentBytes()
        self._applications: dict[Kind, _ApplicationState] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        connection = scope.pop(CONNECTION, None)  # Serve pickles the scope
        matched = _NEEDS_SLOT.fullmatch(scope["path"])
        request_id = request_id_of(Headers(scope=scope))
        scope = {**scope, "headers": _clean(scope["headers"], request_id, hints=matched is None)}
        if matched is None:
            await self._app(scope, receive, send)
            return
        kind = (matched[1], is_run(matched[2]) or _RUNS_OF_TOOLS.fullmatch(matched[2]) is not None)
        tool = next((form for pattern, form in _TOOL_PATHS.items() if re.fullmatch(pattern, matched[2])), None)
        application_state = self._applications.get(kind) or _ApplicationState()
        if "origin" not in Headers(scope=scope) and (refusal := application_state.slots.refusal()):
            await self._refuse(refusal, request_id, tool)(scope, receive, send)
            return

        async with open_outbox(send, connection, self._unsent) as put:
            await self._pass_on(scope, receive, put, kind, application_state, request_id, tool)

    async def _pass_on(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        kind: Kind,
        application_state: _ApplicationState,
        request_id: str,
        tool: ToolForm | None,
    ) -> None:
        takes_slot = True
        started = replaced = left = False

        def leave() -> None:
            nonlocal takes_slot
            if takes_slot:
                application_state.slots.leave()
            takes_slot = False

        async def receive_noting() -> Message:
            nonlocal left
            message = await receive()
            left = left or message["type"] == "http.disconnect"
            return message

        async def send_learning(message: Message) -> None:
            nonlocal started, replaced
            if message["type"] == "http.response.start":
                started = True
                self._learn(kind, message)
                replaced = _is_serves_own_refusal(message)
            elif message["type"] == "http.response.body" and not message.get("more_body", False):
                # Before it is sent: who has the whole answer may ask again at once, while Serve still tidies up.
                leave()
            if not replaced:
                await send(message)

        application_state.slots.take()
        try:
            async with inlined(scope, receive_noting, application_state.inlined_bytes) as (laden, receive_rest):
                await self._app(laden, receive_rest, send_learning)
        finally:
            leave()
        if replaced:
            refusal: SegmentationError = Overloaded("the server has more requests than it can queue; try again")
            await self._refuse(refusal, request_id, tool)(scope, receive, send)
        elif not started and not left:
            # The ingress replica died, or Serve could not reach it: Serve ends the request without a word.
            refusal = ReplicaLost("the server lost the process that worked on this request; try again")
            await self._refuse(refusal, request_id, tool)(scope, receive, send)

    def _learn(self, kind: Kind, start: Message) -> None:
        headers = MutableHeaders(scope=start)
        slots, inlined_bytes = headers.get(SLOTS, ""), headers.get(INLINED_BYTES, "")
        if slots.isdecimal():
            # Only now: prefixes that nobody answers for would be as many as callers make up.
            self._applications.setdefault(kind, _ApplicationState()).slots.bound = int(slots)
            del headers[SLOTS], headers[INLINED_BYTES]
        elif start["status"] < 400 and kind in self._applications:
            self._applications[kind].slots.bound = None
        if kind in self._applications:
            self._applications[kind].inlined_bytes = int(inlined_bytes) if inlined_bytes.isdecimal() else 0

    def _refuse(self, refusal: SegmentationError, request_id: str, tool: ToolForm | None) -> Response:
        problem = problem_of(refusal)
        if tool is not None:
            self._emit(Refused(problem.code, tool.name))
            answer = tool.answer(problem, request_id)
            answer.headers.update({**API_HEADERS, REQUEST_ID: request_id})
            return answer
        self._emit(Refused(problem.code))
        headers = {**API_HEADERS, **problem.headers(), REQUEST_ID: request_id}
        return Response(problem.body(request_id), problem.status, headers)


def _clean(headers: list[tuple[bytes, bytes]], request_id: str, *, hints: bool) -> list[tuple[bytes, bytes]]:
    """The request's headers with the one id, and without what Serve can't decode or would obey.

    Args:
        hints: keep Serve's hints, for applications other than this one.
    """
    name_of_id = REQUEST_ID.lower().encode()
    kept = [
        (name, value)
        for name, value in headers
        if name != name_of_id and (hints or name not in SERVE_HINTS) and (value.isascii() or not _is_serves_own(name))
    ]
    return [*kept, (name_of_id, request_id.encode())]


def _is_serves_own(name: bytes) -> bool:
    """Whether Serve decodes the header itself, and fails if it can't."""
    return name in SERVE_HINTS or name.replace(b"-", b"_").startswith((b"serve_", b"x_session_id"))


def _is_serves_own_refusal(start: Message) -> bool:
    """Whether Serve's proxy refuses by itself, in plain text: the ingress writes problem documents only."""
    kind: str = Headers(raw=start["headers"]).get("content-type", "")
    return start["status"] == 503 and kind.startswith("text/plain")


def open_load_shedder() -> list[Middleware]:
    """What Serve asks for in each process that speaks HTTP; see `OPENER`."""
    install()
    return [Middleware(LoadShedder, emit=open_ray_metrics())]
