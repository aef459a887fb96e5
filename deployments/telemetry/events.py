"""What the parts of the graph tell of their work, for whoever counts it. Plain data; knows neither Ray nor metrics.

Each part is given a `EmitEvent` and calls it with what happened; `discard` is the one for those who don't count.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from segmentation.backends.protocol import RuntimeInfo


@dataclass(frozen=True, slots=True)
class BatchReport:
    """One batch that ran: jobs, their summed weight, the longest wait and the run time in seconds.

    queued: jobs that waited when it ended.
    """

    jobs: int
    weight: int
    waited_s: float
    ran_s: float
    queued: int


@dataclass(frozen=True, slots=True)
class Running:
    """A replica opened its runtime."""

    runtime: RuntimeInfo


@dataclass(frozen=True, slots=True)
class EmbeddingLookedUp:
    """Somebody wanted an embedding: held says that it was there, and no encoder had to run."""

    held: bool


@dataclass(frozen=True, slots=True)
class EmbeddingCacheSize:
    """What an encoder replica holds now, its bound, and how many it let go of on the way here."""

    entries: int
    nbytes: int
    max_bytes: int
    evicted: int


@dataclass(frozen=True, slots=True)
class StoreUsed:
    """The store of embeddings was used: what came of it is one of `STORE_OUTCOMES`."""

    outcome: str


STORE_OUTCOMES = ("read", "missing", "dropped", "written", "skipped", "failed", "slow")
"""Read; not there; damaged or foreign, and deleted; written; not asked or not written, because writing is behind or the
store is left alone; failed; no answer in time, which counts as missing."""


@dataclass(frozen=True, slots=True)
class CandidatesLookedUp:
    """A run of automatic masks asked for the candidates of its crops: how many of them were held, and how many not."""

    held: int
    missed: int


@dataclass(frozen=True, slots=True)
class CandidateCacheSize:
    """The candidates that an encoder replica holds now, and its bound."""

    nbytes: int
    max_bytes: int


@dataclass(frozen=True, slots=True)
class GridGated:
    """The masks that a shard of a point grid gave, and those of them above the gate of predicted IoU."""

    candidates: int
    passed: int


@dataclass(frozen=True, slots=True)
class Admitted:
    """Requests under way in one ingress replica, and the most it lets in."""

    taken: int
    slots: int


@dataclass(frozen=True, slots=True)
class Answered:
    """A request got its answer: milliseconds by stage as in `timing_ms`, and how many masks.

    model: the one that answered.
    protocol: the tool's protocol that it came in by; empty for the server's own API.
    """

    route: str
    timing_ms: Mapping[str, float]
    masks: int
    model: str
    protocol: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """A request got an error, alone or at the end of a stream; `protocol` as in `Answered`."""

    code: str
    protocol: str = ""


Event: TypeAlias = (
    BatchReport
    | Running
    | EmbeddingLookedUp
    | EmbeddingCacheSize
    | StoreUsed
    | CandidatesLookedUp
    | CandidateCacheSize
    | GridGated
    | Admitted
    | Answered
    | Refused
)
EmitEvent: TypeAlias = Callable[[Event], None]


def discard(event: Event) -> None:
    """Tells nobody."""


def open_discard() -> EmitEvent:
    """What opens `discard`."""
    return discard
