"""What every answer carries, errors and preflights included: the request's id, and what keeps browsers out of harm."""

import re
import uuid
from collections.abc import Callable
from typing import Literal, TypeAlias

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.http.admission.inlined_body import LARGEST_BYTES

DOCS = "/docs"
"""The API's description for people, and what is under it."""
PAGE = "/"
"""The page."""
PAGE_FILES = "/page"
"""What the page loads."""
PREVIEW = "/preview"
"""A picture as the server reads it."""
PICTURES = "/pictures"
"""The same of pictures that are held."""

ADMITTED = ("/segment", "/embeddings", "/analyze", PREVIEW, PICTURES)
"""Paths, and what is under them, that need a place; `/health` and the like always get in."""

RUNS = ("/segment/auto", "/analyze")
"""Those of them, and what is under them, that may run for minutes: they have slots of their own."""

SlotKind: TypeAlias = Literal["interactive", "run"]
"""The slots that a request counts against: those of `SAM_MAX_QUEUE` or those of `SAM_MAX_AUTO_QUEUE`."""

REQUEST_ID = "X-Request-ID"
SLOTS = "Sam-Slots"
"""How many requests of the path's kind may be under way at once: for `deployments.load_shedder`, which removes it."""
INLINED_BYTES = "Sam-Inlined-Bytes"
"""Largest body that the load shedder may inline (`deployments.http.admission.inlined_body`), told likewise."""

API_POLICY = "default-src 'none'; frame-ancestors 'none'"
DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The description's own files only. Swagger UI sets styles from its script, and has its icons as data."""
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page's own files only, and pictures that it made itself."""

_SAFETY = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}
API_HEADERS = {**_SAFETY, "Content-Security-Policy": API_POLICY, "Cache-Control": "no-store"}
"""What an answer for programs carries, unless it says otherwise itself."""

_HARMLESS_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class AnswerHeaders:
    """The outermost ASGI middleware. Puts `request_id` into the request's state.

    Args:
        slots, run_slots: how many requests may be under way at once on the paths that need a slot; see `Admission`.
        slots_of: which of the two a path's requests count against; None where they need no slot.
        tells_id: add `X-Request-ID` to answers; not behind Serve's proxy, which adds it to every answer itself.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        slots: int,
        run_slots: int,
        slots_of: Callable[[str], SlotKind | None],
        tells_id: bool = True,
    ) -> None:
        self._app = app
        self._slots = {"interactive": str(slots), "run": str(run_slots)}
        self._slots_of = slots_of
        self._tells_id = tells_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_of(Headers(scope=scope))
        scope.setdefault("state", {})["request_id"] = request_id
        path = path_of(scope)
        policy = policy_for(path)
        kind = self._slots_of(path)

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if self._tells_id:
                    headers[REQUEST_ID] = request_id
                if kind is not None:
                    headers[SLOTS] = self._slots[kind]
                    headers[INLINED_BYTES] = str(LARGEST_BYTES)
                headers["Content-Security-Policy"] = policy
                headers.update(_SAFETY)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, send_marked)


def request_id_of(headers: Headers) -> str:
    """The caller's id if it is harmless, or a new one."""
    given = headers.get("x-request-id", "")
    return given if _HARMLESS_ID.fullmatch(given) else new_request_id()


def new_request_id() -> str:
    """An id that no other request has."""
    return uuid.uuid4().hex


def policy_for(path: str) -> str:
    """The `Content-Security-Policy` of answers at the path."""
    if path == PAGE or is_under(path, PAGE_FILES):
        return PAGE_POLICY
    return DOCS_POLICY if is_under(path, DOCS) else API_POLICY


def path_of(scope: Scope) -> str:
    """The path that is routed: without what the server is mounted under."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def is_under(path: str, parent: str) -> bool:
    """Whether the path is the parent or one below it."""
    return path == parent or path.startswith(f"{parent}/")


def needs_slot(path: str) -> bool:
    """Whether a request for the path needs a slot."""
    return any(is_under(path, admitted) for admitted in ADMITTED)


def is_run(path: str) -> bool:
    """Whether a request for the path counts against `SAM_MAX_AUTO_QUEUE`, and not against `SAM_MAX_QUEUE`."""
    return any(is_under(path, run) for run in RUNS)
