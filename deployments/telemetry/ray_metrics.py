"""Fills the metrics of one replica from what the parts in it report. Knows Ray by its metrics only."""

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any, assert_never

from deployments.telemetry.events import (
    Admitted,
    Answered,
    BatchReport,
    CandidateCacheSize,
    CandidatesLookedUp,
    EmbeddingCacheSize,
    EmbeddingLookedUp,
    Event,
    GridGated,
    Refused,
    Running,
    StoreUsed,
)
from deployments.telemetry.metrics import METRICS, RUNTIME_TAGS, Metric

logger = logging.getLogger(__name__)

OWN_PROTOCOL = "sam-serve"
"""The `protocol` of the server's own API: a tag without a value would be no tag to Prometheus."""

FLUSH_S = 0.5
"""Often enough for Ray, which reports every 10 s and forgets a gauge that was not set for two of its reports."""


class RayMetrics:
    """What a replica reports to. May be called from any thread.

    A call only notes the event: Ray's metrics take long enough that a request, which has a dozen values, would notice.
    `flush` counts what was noted, gauges and counters once for all events since the last.

    Args:
        model: the model's name.
        open_metric: makes a counter (`inc`), gauge (`set`) or histogram (`observe`).
    """

    def __init__(self, model: str, open_metric: Callable[[Metric], Any] = Metric.open) -> None:
        self._model = model
        self._metrics = {metric.name: open_metric(metric) for metric in METRICS}
        self._noted: deque[Event] = deque()
        self._flushing = threading.Lock()
        self._gauges: dict[str, tuple[float, Mapping[str, str] | None]] = {}
        self._counts: Counter[tuple[str, frozenset[tuple[str, str]]]] = Counter()

    def __call__(self, event: Event) -> None:
        self._noted.append(event)

    def flush(self) -> None:
        """Counts what was noted, and sets every gauge to what it is."""
        with self._flushing:
            while self._noted:
                self._take(self._noted.popleft())
            for (name, tags), count in self._counts.items():
                self._metrics[name].inc(count, tags=dict(tags))
            self._counts.clear()
            for name, (level, given) in self._gauges.items():
                self._metrics[name].set(level, tags=given)

    def _take(self, event: Event) -> None:
        match event:
            case BatchReport():
                self._observe("sam_batch_weight", event.weight)
                self._observe("sam_batch_wait_seconds", event.waited_s)
                self._observe("sam_batch_run_seconds", event.ran_s)
                self._set("sam_batch_queued_jobs", event.queued)
            case EmbeddingLookedUp() | EmbeddingCacheSize() | StoreUsed() | CandidatesLookedUp() | CandidateCacheSize():
                self._tell_of_cache(event)
            case GridGated():
                self._count("sam_grid_candidates", event.candidates)
                self._count("sam_grid_candidates_passed", event.passed)
            case Admitted():
                self._set("sam_admitted_requests", event.taken)
                self._set("sam_admitted_requests_max", event.slots)
            case Answered():
                tags = {"route": event.route, "model": event.model, "protocol": event.protocol or OWN_PROTOCOL}
                for stage, milliseconds in event.timing_ms.items():
                    if milliseconds > 0:
                        self._observe("sam_stage_seconds", milliseconds / 1000, {**tags, "stage": stage})
                self._count("sam_masks", event.masks, tags)
            case Refused():
                self._count("sam_problems", 1, {"code": event.code, "protocol": event.protocol or OWN_PROTOCOL})
            case Running():
                runtime = event.runtime
                # A tag without a value would be no tag to Prometheus.
                provider = runtime.providers[0] if runtime.providers else "none"
                values = (self._model, runtime.backend, runtime.precision, provider, runtime.device)
                self._set("sam_server_info", 1, dict(zip(RUNTIME_TAGS, values, strict=True)))
            case _:
                assert_never(event)

    def _tell_of_cache(
        self, event: EmbeddingLookedUp | EmbeddingCacheSize | StoreUsed | CandidatesLookedUp | CandidateCacheSize
    ) -> None:
        match event:
            case EmbeddingLookedUp():
                self._count("sam_embedding_cache_lookups", 1, {"outcome": "hit" if event.held else "miss"})
            case EmbeddingCacheSize():
                self._set("sam_embedding_cache_entries", event.entries)
                self._set("sam_embedding_cache_bytes", event.nbytes)
                self._set("sam_embedding_cache_max_bytes", event.max_bytes)
                self._count("sam_embedding_cache_evictions", event.evicted)
            case StoreUsed():
                self._count("sam_embedding_store", 1, {"outcome": event.outcome})
            case CandidatesLookedUp():
                self._count("sam_candidate_cache_lookups", event.held, {"outcome": "hit"})
                self._count("sam_candidate_cache_lookups", event.missed, {"outcome": "miss"})
            case CandidateCacheSize():
                self._set("sam_candidate_cache_bytes", event.nbytes)
                self._set("sam_candidate_cache_max_bytes", event.max_bytes)

    def _observe(self, name: str, value: float, tags: Mapping[str, str] | None = None) -> None:
        self._metrics[name].observe(value, tags=tags)

    def _set(self, name: str, value: float, tags: Mapping[str, str] | None = None) -> None:
        self._gauges[name] = (value, tags)

    def _count(self, name: str, value: int, tags: Mapping[str, str] | None = None) -> None:
        if value:  # Ray's counters refuse 0
            self._counts[name, frozenset((tags or {}).items())] += value


def open_ray_metrics(model: str = "") -> RayMetrics:
    """The report of this process, which is flushed as long as the process lives; `model` where it runs one."""
    emit = RayMetrics(model)

    def keep_flushing() -> None:
        while True:
            time.sleep(FLUSH_S)
            try:
                emit.flush()
            except Exception:
                # The event is lost, but not those after it.
                logger.exception("an event could not be counted")

    threading.Thread(target=keep_flushing, name="metrics", daemon=True).start()
    return emit
