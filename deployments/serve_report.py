"""Fills the metrics of one replica from what the parts in it report. Knows Ray by its metrics only."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, assert_never

from deployments.batching import BatchReport
from deployments.metrics import METRICS, RUNTIME_TAGS, Metric
from deployments.reports import (
    Admitted,
    Answered,
    EmbeddingsHeld,
    EmbeddingWanted,
    Event,
    GridGated,
    Refused,
    Report,
    Running,
)

REFRESH_S = 5.0
"""Ray forgets a gauge that was not set for two of its report intervals, 20 s by default."""


class ServeReport:
    """What a replica reports to. May be called from any thread.

    Args:
        model: the model's name.
        open_metric: makes a counter (`inc`), gauge (`set`) or histogram (`observe`).
    """

    def __init__(self, model: str, open_metric: Callable[[Metric], Any] = Metric.open) -> None:
        self._model = model
        self._metrics = {metric.name: open_metric(metric) for metric in METRICS}
        self._gauges: dict[str, tuple[float, Mapping[str, str] | None]] = {}

    def __call__(self, event: Event) -> None:
        match event:
            case BatchReport():
                self._observe("sam_batch_weight", event.weight)
                self._observe("sam_batch_wait_seconds", event.waited_s)
                self._observe("sam_batch_run_seconds", event.ran_s)
                self._set("sam_batch_queued_jobs", event.queued)
            case EmbeddingWanted():
                self._count("sam_embedding_cache_lookups", 1, {"outcome": "hit" if event.held else "miss"})
            case EmbeddingsHeld():
                self._set("sam_embedding_cache_entries", event.entries)
                self._set("sam_embedding_cache_bytes", event.nbytes)
                self._set("sam_embedding_cache_max_bytes", event.max_bytes)
                self._count("sam_embedding_cache_evictions", event.evicted)
            case GridGated():
                self._count("sam_grid_candidates", event.candidates)
                self._count("sam_grid_candidates_passed", event.passed)
            case Admitted():
                self._set("sam_admitted_requests", event.taken)
                self._set("sam_admitted_requests_max", event.places)
            case Answered():
                for stage, milliseconds in event.timing_ms.items():
                    if milliseconds > 0:
                        self._observe("sam_stage_seconds", milliseconds / 1000, {"route": event.route, "stage": stage})
                self._count("sam_masks", event.masks, {"route": event.route})
            case Refused():
                self._count("sam_problems", 1, {"code": event.code})
            case Running():
                runtime = event.runtime
                # A tag without a value would be no tag to Prometheus.
                provider = runtime.providers[0] if runtime.providers else "none"
                values = (self._model, runtime.backend, runtime.precision, provider, runtime.device)
                self._set("sam_server_info", 1, dict(zip(RUNTIME_TAGS, values, strict=True)))
            case _:
                assert_never(event)

    def _observe(self, name: str, value: float, tags: Mapping[str, str] | None = None) -> None:
        self._metrics[name].observe(value, tags=tags)

    def _set(self, name: str, value: float, tags: Mapping[str, str] | None = None) -> None:
        self._gauges[name] = (value, tags)
        self._metrics[name].set(value, tags=tags)

    def _count(self, name: str, value: int, tags: Mapping[str, str] | None = None) -> None:
        if value:  # Ray's counters refuse 0
            self._metrics[name].inc(value, tags=tags)

    def refresh(self) -> None:
        """Sets every gauge again to what it is."""
        for name in tuple(self._gauges):
            value, tags = self._gauges[name]
            self._metrics[name].set(value, tags=tags)


def open_report(model: str) -> Report:
    """The report of this process, whose gauges stay alive as long as it does."""
    report = ServeReport(model)

    def refresh() -> None:
        while True:
            time.sleep(REFRESH_S)
            report.refresh()

    threading.Thread(target=refresh, name="gauges", daemon=True).start()
    return report
