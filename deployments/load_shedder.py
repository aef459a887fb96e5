"""The door: turns requests away in the process that speaks HTTP, before Serve has done anything for them.

Serve's proxy can't hand requests to the ingress as fast as they may have to be refused, and those with a chance of a
place wait before it with all others. So the door counts what is under way and refuses by itself, in the words of the
ingress, whose answers tell it the number of places. The ingress keeps counting too: it has the last word where there
are several doors, and the only one on bounds of an API key. Small bodies it sends along (`deployments.http.admission.inlined_body`).

Knows no settings. Serve opens it in its proxies, or in the ingress where there are none, if the environment that Ray
was started in says so: `VARIABLE=OPENER`.
"""

import re
from dataclasses import dataclass, field

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.calls.errors import Overloaded
from deployments.http.admission.inlined_body import carried
from deployments.http.admission.slots import Places
from deployments.http.headers import ADMITTED, API_HEADERS, CARRIED_BYTES, PLACES, REQUEST_ID, request_id_of
from deployments.http.problems import problem_of
from deployments.telemetry.events import Refused, Report, unreported
from deployments.telemetry.ray_metrics import open_report

VARIABLE = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
OPENER = "deployments.load_shedder.open_door"

_NEEDS_PLACE = re.compile(f"(.*?)(?:{'|'.join(ADMITTED)})(?:/.*)?", re.DOTALL)
"""Under any prefix: where the app is mounted is not known here."""


@dataclass(slots=True)
class _Room:
    """What is known of one app.

    places: taken by its requests under way through this door; without a bound once something else answers there.
    carried_bytes: the largest body that may be sent along, as the latest answer said; 0 if it didn't.
    """

    places: Places = field(default_factory=Places)
    carried_bytes: int = 0


class Door:
    """ASGI middleware around Serve's own HTTP app. Belongs to one event loop.

    A browser's request always goes on, to be refused inside: only the ingress knows which pages may read its answers.
    """

    def __init__(self, app: ASGIApp, report: Report = unreported) -> None:
        self._app = app
        self._report = report
        self._rooms: dict[str, _Room] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        matched = _NEEDS_PLACE.fullmatch(scope["path"]) if scope["type"] == "http" else None
        if matched is None:
            await self._app(scope, receive, send)
            return
        prefix = matched[1]
        room = self._rooms.get(prefix) or _Room()
        headers = Headers(scope=scope)
        if "origin" not in headers and (refusal := room.places.refusal()):
            await self._refuse(refusal, request_id_of(headers))(scope, receive, send)
            return

        takes_place = True

        def leave() -> None:
            nonlocal takes_place
            if takes_place:
                room.places.leave()
            takes_place = False

        async def send_learning(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._learn(prefix, message)
            elif message["type"] == "http.response.body" and not message.get("more_body", False):
                # Before it is sent: who has the whole answer may ask again at once, while Serve still tidies up.
                leave()
            await send(message)

        room.places.take()
        try:
            async with carried(scope, receive, room.carried_bytes) as (laden, receive_rest):
                await self._app(laden, receive_rest, send_learning)
        finally:
            leave()

    def _learn(self, prefix: str, start: Message) -> None:
        headers = MutableHeaders(scope=start)
        places, carried_bytes = headers.get(PLACES, ""), headers.get(CARRIED_BYTES, "")
        if places.isdecimal():
            # Only now: prefixes that nobody answers for would be as many as callers make up.
            self._rooms.setdefault(prefix, _Room()).places.bound = int(places)
            del headers[PLACES], headers[CARRIED_BYTES]
        elif start["status"] < 400 and prefix in self._rooms:
            self._rooms[prefix].places.bound = None
        if prefix in self._rooms:
            self._rooms[prefix].carried_bytes = int(carried_bytes) if carried_bytes.isdecimal() else 0

    def _refuse(self, refusal: Overloaded, request_id: str) -> Response:
        problem = problem_of(refusal)
        self._report(Refused(problem.code))
        headers = {**API_HEADERS, **problem.headers(), REQUEST_ID: request_id}
        return Response(problem.body(request_id), problem.status, headers)


def open_door() -> list[Middleware]:
    """What Serve asks for in each process that speaks HTTP; see `OPENER`."""
    return [Middleware(Door, report=open_report())]
