"""What is sent and in what order, without sockets: generators that ask for a request or a wait and get its outcome.

`SamClient` and `AsyncSamClient` drive the same generators, so both behave alike.
"""

import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from client.errors import ConnectionFailed, SamError, UnknownImage, problem_error
from client.retries import RetryPolicy, retry_after_s

T = TypeVar("T")
Progress = Callable[[int, int], object]
"""Called with (done, total)."""


@dataclass(frozen=True)
class Call:
    """A request to be sent.

    fields: its JSON. picture: the file that goes with it, as a form; None sends JSON alone.
    events: takes the lines of a streamed answer.
    """

    method: str
    path: str
    fields: Mapping[str, Any] | None = None
    picture: bytes | None = None
    events: "Events | None" = None


@dataclass(frozen=True)
class Reply:
    """An answer. body: empty where it was streamed to the call's `events`."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def document(self) -> dict[str, Any]:
        """The body as a JSON object.

        Raises:
            ConnectionFailed: something else answered than this server.
        """
        try:
            document = json.loads(self.body)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise ConnectionFailed("the answer is not of this API: is the address that of the server?")
        return document


@dataclass(frozen=True)
class Wait:
    """A pause before the next attempt."""

    seconds: float


Flow = Generator[Call | Wait, Reply | SamError | None, T]


@dataclass
class Events:
    """Collects the lines of a streamed answer: `start`, `progress`, the items, and `end`.

    items: what the events other than these hold, in order, each under the name of its event.
    """

    progress: Progress | None = None
    head: dict[str, Any] = field(default_factory=dict)
    items: list[Any] = field(default_factory=list)
    end: dict[str, Any] | None = None
    problem: dict[str, Any] | None = None

    def restart(self) -> None:
        """Forgets what an attempt that broke off has brought."""
        self.head, self.items, self.end, self.problem = {}, [], None, None

    def feed(self, line: str) -> None:
        """One line of the answer; empty lines keep a connection alive."""
        if not line.strip():
            return
        event = json.loads(line)
        match event.get("event"):
            case "start":
                self.head = event
            case "progress":
                if self.progress is not None:
                    self.progress(int(event["done"]), int(event["total"]))
            case "end":
                self.end = event
            case "error":
                self.problem = event["problem"]
            case str(name) if name in event:
                self.items.append(event[name])


@dataclass
class SentPicture:
    """What is known of a picture. image_id: the server's id of it; empty before it was sent."""

    data: bytes
    fields: Mapping[str, Any]
    image_id: str = ""
    size: tuple[int, int] | None = None

    def learn(self, document: Mapping[str, Any]) -> None:
        """Keeps what an answer says about the picture."""
        self.image_id = str(document.get("image_id") or self.image_id)
        if document.get("size"):
            height, width = document["size"]
            self.size = (int(height), int(width))


def retried(call: Call, policy: RetryPolicy) -> Flow[Reply]:
    """The answer to a call, after as many attempts as the policy allows.

    Raises:
        SamError: the last attempt's.
    """
    attempt = 0
    while True:
        if call.events is not None:
            call.events.restart()
        outcome = yield call
        error = _error_of(call, outcome)
        if error is None:
            assert isinstance(outcome, Reply)
            return outcome
        seconds = policy.wait_s(attempt, error)
        if seconds is None:
            raise error
        attempt += 1
        yield Wait(seconds)


def on_picture(
    picture: SentPicture, path: str, fields: Mapping[str, Any], policy: RetryPolicy, events: Events | None = None
) -> Flow[Reply]:
    """The answer to a request about a picture: by its id where the server has it, with the file where it has not."""
    if picture.image_id:
        known = {name: value for name, value in picture.fields.items() if name != "decode"}
        call = Call("POST", path, {**fields, **known, "image_id": picture.image_id}, events=events)
        try:
            reply = yield from retried(call, policy)
        except UnknownImage:
            picture.image_id = ""
        else:
            _learn(picture, reply, events)
            return reply
    call = Call("POST", path, {**fields, **picture.fields}, picture=picture.data, events=events)
    reply = yield from retried(call, policy)
    _learn(picture, reply, events)
    return reply


def _learn(picture: SentPicture, reply: Reply, events: Events | None) -> None:
    if events is not None and events.head:
        picture.learn(events.head)
    elif "application/json" in reply.headers.get("content-type", ""):
        picture.learn(reply.document())
    elif image_id := reply.headers.get("x-image-id"):
        picture.image_id = image_id


def _error_of(call: Call, outcome: Reply | SamError | None) -> SamError | None:
    if isinstance(outcome, SamError):
        return outcome
    assert outcome is not None
    if outcome.status < 400:
        if call.events is None or not outcome.headers.get("content-type", "").startswith("application/x-ndjson"):
            return None
        if call.events.problem is not None:
            return problem_error(int(call.events.problem.get("status") or 500), call.events.problem, None)
        return None if call.events.end is not None else ConnectionFailed("the answer ended before it was whole")
    try:
        document = json.loads(outcome.body)
    except ValueError:
        document = None
    return problem_error(
        outcome.status,
        document if isinstance(document, dict) else None,
        retry_after_s(outcome.headers.get("retry-after")),
    )
