"""What can go wrong between a request and the core, in the core's own tree: the HTTP edge maps each `code` to a status.

Positional arguments only, so that each survives pickling.
"""

from collections.abc import Sequence

from segmentation.errors import InvalidRequest, SegmentationError, UnknownImage


def pointer_to(location: Sequence[str | int]) -> str:
    """A JSON pointer, RFC 6901."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in location)


def not_held() -> UnknownImage:
    """The same words whether an id was evicted, never given out, or is somebody else's: they tell nothing."""
    return UnknownImage("no picture is held under this image_id (evicted, or the server restarted): send it again")


class Unauthorized(SegmentationError):
    """The request has no API key, or one that the server does not know."""

    code = "unauthorized"


class Forbidden(SegmentationError):
    """The request asks the server to go where it may not: to a picture's URL that its operator did not list."""

    code = "forbidden"


class InvalidJson(SegmentationError):
    """The body, or the `request` part of a form, is not one JSON document."""

    code = "invalid_json"


class InvalidFields(InvalidRequest):
    """Several fields are wrong: `InvalidFields(message, pointer, errors)`, errors as (pointer, message)."""

    def __init__(self, message: str, pointer: str, errors: tuple[tuple[str, str], ...]) -> None:
        super().__init__(message, pointer)
        self.args = (message, pointer, errors)

    @property
    def errors(self) -> tuple[tuple[str, str], ...]:
        return tuple(self.args[2])


class BodyTooLarge(SegmentationError):
    """The request's body has more bytes than the server accepts."""

    code = "body_too_large"


class Unavailable(SegmentationError):
    """Nothing is wrong with the request; sending it again after `retry_after_s` can succeed."""

    code = "not_ready"
    retry_after_s = 1


class NotReady(Unavailable):
    """A deployment has no replica that answers."""

    code = "not_ready"
    retry_after_s = 2


class Overloaded(Unavailable):
    """Every place is taken, or all the memory for bodies."""

    code = "overloaded"
    retry_after_s = 1


class ReplicaLost(Unavailable):
    """Replicas kept dying while they worked on this request."""

    code = "replica_lost"
    retry_after_s = 5


class DeadlineExceeded(SegmentationError):
    """The request took longer than the server allows for its kind."""

    code = "timeout"
