"""What every tool's protocol is made of: its routes, where its client puts an API key, and the form of its errors.

Knows no tool.
"""

import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict, model_validator
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from deployments.http.path_policy import bearer_key
from deployments.http.protocols.forms import ToolForm

Handler: TypeAlias = Callable[[Request], Awaitable[Response]]
KeyOf: TypeAlias = Callable[[Scope], str | None]


class ToolModel(BaseModel):
    """A document that a tool sends. Unknown fields are left alone, clients add some; null is a field left out."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _without_null(cls, value: Any) -> Any:
        return {name: part for name, part in value.items() if part is not None} if isinstance(value, dict) else value


def key_in_authorization(scope: Scope) -> str | None:
    """The key of `Authorization: Bearer KEY`, or the password of `Basic` authorization.

    Many clients that know no API keys send a user and a password that stand in the server's URL, `http://any:KEY@host`.
    """
    if (key := bearer_key(scope)) is not None:
        return key
    scheme, _, value = Headers(scope=scope).get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        _, _, password = base64.b64decode(value.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return password or None


def key_in_header(name: str) -> KeyOf:
    """Finds the key in a header of the tool's own, else where `key_in_authorization` does."""

    def key_of(scope: Scope) -> str | None:
        return Headers(scope=scope).get(name, "").strip() or key_in_authorization(scope)

    return key_of


@dataclass(frozen=True, slots=True)
class ToolRoute:
    """One address of a protocol.

    path: as FastAPI takes it; a parameter is one path segment.
    body: the JSON document that the client sends, for the description of the API; None for a GET or another kind.
    body_kinds: media types of a body that is not JSON, or not only.
    answers: media types of the answer.
    example: of the body.
    needs_key: false for what a tool asks before it has a key.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    body: type[BaseModel] | None = None
    body_kinds: tuple[str, ...] = ()
    answers: tuple[str, ...] = ("application/json",)
    example: Mapping[str, Any] | None = None
    needs_key: bool = True


@dataclass(frozen=True, slots=True)
class ToolProtocol:
    """One tool's protocol.

    form: its name, its paths that need a slot, and the form of its errors.
    title: the tool's name, the heading of its routes in the description of the API.
    under: path prefixes of which everything else is answered 404 in the tool's form.
    """

    form: ToolForm
    title: str
    routes: tuple[ToolRoute, ...]
    under: tuple[str, ...] = ()
    key_of: KeyOf = key_in_authorization
    body_may_hold_key: bool = False

    def needs_slot(self, path: str) -> bool:
        """Whether requests for a route's path are work."""
        return path.rstrip("/") in self.form.slots
