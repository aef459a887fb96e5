"""Errors as RFC 9457 problem documents. The one place that knows which `code` has which HTTP status."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from deployments.calls.errors import InvalidFields, Unavailable
from segmentation.errors import InvalidRequest, SegmentationError

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Kind:
    """What all problems of one code have in common."""

    status: int
    title: str


KINDS = {
    "invalid_json": Kind(400, "The body is not valid JSON"),
    "invalid_image": Kind(400, "The image can't be read"),
    "unauthorized": Kind(401, "An API key is needed"),
    "forbidden": Kind(403, "The server may not do that"),
    "not_found": Kind(404, "There is nothing at this address"),
    "unknown_image": Kind(404, "No image is held under this id"),
    "method_not_allowed": Kind(405, "This address does not take this method"),
    "headers_too_slow": Kind(408, "The request's headers came too slowly"),
    "body_too_large": Kind(413, "The request is too large"),
    "image_too_large": Kind(413, "The image has too many pixels"),
    "unsupported_media_type": Kind(415, "This kind of content is not supported"),
    "invalid_request": Kind(422, "The request is not valid"),
    "limit_exceeded": Kind(422, "The request asks for more than this server allows"),
    "headers_too_large": Kind(431, "The request's headers are too large"),
    "internal": Kind(500, "The server failed"),
    "overloaded": Kind(503, "The server is busy"),
    "not_ready": Kind(503, "The server is not ready"),
    "replica_lost": Kind(503, "The server lost a replica"),
    "timeout": Kind(504, "The request took too long"),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem of one request.

    errors: (JSON pointer, message) of each field that is wrong.
    retry_after_s: when the same request can succeed.
    allow: the methods that the address takes.
    """

    code: str
    detail: str
    errors: Sequence[tuple[str, str]] = ()
    retry_after_s: int | None = None
    allow: str | None = None

    @property
    def status(self) -> int:
        return KINDS[self.code].status

    def document(self, request_id: str) -> dict[str, object]:
        """The problem document."""
        kind = KINDS[self.code]
        return {
            "type": f"urn:sam-serve:problem:{self.code}",
            "title": kind.title,
            "status": kind.status,
            "code": self.code,
            "detail": self.detail,
            "errors": [{"pointer": pointer, "message": message} for pointer, message in self.errors],
            "request_id": request_id,
        }

    def headers(self) -> dict[str, str]:
        """The HTTP headers that go with it."""
        headers = {"content-type": MEDIA_TYPE}
        if self.retry_after_s is not None:
            headers["retry-after"] = str(self.retry_after_s)
        if self.allow is not None:
            headers["allow"] = self.allow
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        return headers

    def body(self, request_id: str) -> bytes:
        """The problem document as bytes; ASCII, so that no text of a caller can break it."""
        return json.dumps(self.document(request_id)).encode("ascii")


INTERNAL = Problem("internal", "The request failed on the server; its log has more under this request_id.")


def problem_of(error: Exception) -> Problem:
    """The problem that an error is for the caller. What is no fault of the caller's says nothing of the insides."""
    if not isinstance(error, SegmentationError) or KINDS.get(error.code, KINDS["internal"]).status == 500:
        return INTERNAL
    errors: Sequence[tuple[str, str]] = ()
    if isinstance(error, InvalidFields):
        errors = error.errors
    elif isinstance(error, InvalidRequest):
        errors = ((error.pointer, error.message),)
    retry_after_s = error.retry_after_s if isinstance(error, Unavailable) else None
    return Problem(error.code, error.message, errors, retry_after_s)
