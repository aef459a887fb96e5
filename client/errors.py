"""Everything the client raises, in one tree under `SamError`.

A problem that the server answers (RFC 9457) becomes the class of its `code`; docs/api.md lists the codes.
"""

from collections.abc import Mapping, Sequence
from typing import Any


class SamError(Exception):
    """Root of the tree.

    code: stable, for programs; detail: one line, for people, that says what to do.
    request_id: the server's id of the request, to be looked up in its log; empty where no server answered.
    """

    code = "error"

    def __init__(self, detail: str, *, code: str = "", request_id: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.code
        self.request_id = request_id


class InvalidArgument(SamError, ValueError):
    """An argument that can't be sent at all; nothing was sent."""

    code = "invalid_argument"


class ConnectionFailed(SamError):
    """No server at the address, or the connection broke off before the whole answer was there."""

    code = "connection_failed"


class ProblemError(SamError):
    """The server answered with an error.

    status: the HTTP status. errors: for each field that is wrong its JSON pointer and a message.
    retry_after_s: how long to wait before the next attempt, where the server says so.
    """

    def __init__(
        self,
        detail: str,
        *,
        code: str = "",
        request_id: str = "",
        status: int = 0,
        errors: Sequence[Mapping[str, str]] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail, code=code, request_id=request_id)
        self.status = status
        self.errors = tuple(errors)
        self.retry_after_s = retry_after_s


class InvalidRequest(ProblemError):
    """A field is wrong or beyond a limit; `errors` says which."""


class InvalidImage(ProblemError):
    """The picture is damaged, or no picture."""


class UnsupportedMediaType(ProblemError):
    """A kind of file that the server does not read."""


class TooLarge(ProblemError):
    """The picture has too many pixels, or the request too many bytes."""


class Unauthorized(ProblemError):
    """The server needs an API key, or does not know this one."""


class Forbidden(ProblemError):
    """The server does not do this for anybody."""


class NotFound(ProblemError):
    """No such address."""


class UnknownImage(NotFound):
    """The server does not hold the picture any more. `Picture` sends it again by itself."""


class Unavailable(ProblemError):
    """Overloaded, starting, or a replica was lost: the same request may succeed later."""


class DeadlineExceeded(ProblemError):
    """The server gave up after its own deadline."""


class ServerError(ProblemError):
    """A fault of the server; its log has more under the `request_id`."""


BY_CODE: Mapping[str, type[ProblemError]] = {
    "invalid_json": InvalidRequest,
    "invalid_request": InvalidRequest,
    "limit_exceeded": InvalidRequest,
    "invalid_image": InvalidImage,
    "unsupported_media_type": UnsupportedMediaType,
    "body_too_large": TooLarge,
    "image_too_large": TooLarge,
    "unauthorized": Unauthorized,
    "forbidden": Forbidden,
    "unknown_image": UnknownImage,
    "not_found": NotFound,
    "method_not_allowed": NotFound,
    "overloaded": Unavailable,
    "not_ready": Unavailable,
    "replica_lost": Unavailable,
    "timeout": DeadlineExceeded,
    "internal": ServerError,
}

BY_STATUS: Mapping[int, type[ProblemError]] = {
    400: InvalidRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    405: NotFound,
    408: DeadlineExceeded,
    413: TooLarge,
    415: UnsupportedMediaType,
    422: InvalidRequest,
    429: Unavailable,
    502: Unavailable,
    503: Unavailable,
    504: DeadlineExceeded,
}
"""For answers that are no problem documents: a proxy's own, and Ray Serve's."""


def problem_error(status: int, document: Mapping[str, Any] | None, retry_after_s: float | None) -> ProblemError:
    """The error of a problem document; None where the answer was none."""
    document = document or {}
    code = str(document.get("code") or "")
    kind = BY_CODE.get(code) or BY_STATUS.get(status, ServerError)
    errors = document.get("errors")
    return kind(
        str(document.get("detail") or f"the server answered with status {status}"),
        code=code or f"http_{status}",
        request_id=str(document.get("request_id") or ""),
        status=status,
        errors=errors if isinstance(errors, list) else (),
        retry_after_s=retry_after_s,
    )
