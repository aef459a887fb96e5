"""How the edge treats the requests of a path: who may come in, and in which form errors are answered.

The server's own paths have one policy each; the paths of a tool's protocol have that protocol's. Knows no route.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Scope

from deployments.http.headers import DOCS, PAGE, PAGE_FILES, SlotKind, is_run, is_under, needs_slot
from deployments.http.problems import Problem

OPEN = ("/health", "/openapi.json", DOCS, PAGE_FILES)
"""Paths, and what is under them, that need no API key: load balancers have none, people read before they ask, and the
page asks for the key itself."""


def bearer_key(scope: Scope) -> str | None:
    """The API key in `Authorization: Bearer KEY`; None if there is none."""
    scheme, _, key = Headers(scope=scope).get("authorization", "").partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None


def problem_response(problem: Problem, request_id: str) -> Response:
    """The problem as an RFC 9457 document."""
    return Response(problem.body(request_id), problem.status, problem.headers())


@dataclass(frozen=True, slots=True)
class PathPolicy:
    """The policy of one path.

    needs_key: the request needs an API key where the server has some.
    needs_slot: the request counts against `SAM_MAX_QUEUE`, and its body against `SAM_MAX_BODY_TOTAL_MB`.
    is_run: the request counts against `SAM_MAX_AUTO_QUEUE` instead.
    key_of: finds the API key in what comes before the body.
    body_may_hold_key: a request without a key comes in as nobody; its handler finds the key in the body, or refuses.
    answer: writes a problem as the client of this path reads errors.
    protocol: the tool's protocol, for metrics; empty for the server's own API.
    """

    needs_key: bool
    needs_slot: bool
    key_of: Callable[[Scope], str | None] = bearer_key
    body_may_hold_key: bool = False
    answer: Callable[[Problem, str], Response] = problem_response
    protocol: str = ""
    is_run: bool = False

    @property
    def slots(self) -> SlotKind | None:
        """The slots that its requests count against."""
        if not self.needs_slot:
            return None
        return "run" if self.is_run else "interactive"


PolicyOf: TypeAlias = Callable[[str], PathPolicy]
"""The policy of a path, as `path_of` gives it."""


def own_policy(path: str) -> PathPolicy:
    """The policy of the server's own API."""
    return PathPolicy(
        needs_key=path != PAGE and not any(is_under(path, open_path) for open_path in OPEN),
        needs_slot=needs_slot(path),
        is_run=is_run(path),
    )
