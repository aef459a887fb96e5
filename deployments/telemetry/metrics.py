"""The metrics of this server: what each is called, what it means, what tags it has. Opened inside a replica, where Ray
adds the tags of application, deployment and replica.

Knows no Grafana and no Prometheus but the names they see. No tag takes its value from a request: routes, stages, models
and codes are this server's own, so the number of series is bounded.

Ray passes a histogram on as counts by bucket, and the agent of the node makes up its sum from the middles of the
buckets. So ask for quantiles, not for means; only `sam_batch_weight`, whose buckets hold one value each up to 8, has a
sum that can be believed.
"""

from dataclasses import dataclass
from typing import Any, Literal

from ray.serve.metrics import Counter, Gauge, Histogram

_SIZES = (0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 12.5, 16.5, 24.5, 32.5, 48.5, 64.5)
_BATCH_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
_STAGE_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0, 600.0)
RUNTIME_TAGS = ("model", "backend", "precision", "provider", "device")


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: what it is called here, and what it means."""

    kind: Literal["counter", "gauge", "histogram"]
    name: str
    meaning: str
    tags: tuple[str, ...] = ()
    boundaries: tuple[float, ...] = ()

    @property
    def series(self) -> tuple[str, ...]:
        """The names that Prometheus has for it."""
        suffixes = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
        return tuple(f"ray_{self.name}{suffix}" for suffix in suffixes[self.kind])

    def open(self) -> Any:
        """The metric in this process."""
        tags: Any = self.tags  # declared by Ray as a tuple of one
        if self.kind == "histogram":
            return Histogram(self.name, self.meaning, boundaries=list(self.boundaries), tag_keys=tags)
        return {"counter": Counter, "gauge": Gauge}[self.kind](self.name, self.meaning, tag_keys=tags)


METRICS = (
    Metric("gauge", "sam_server_info", "1 for each replica, with what it really runs in its tags.", RUNTIME_TAGS),
    Metric(
        "histogram",
        "sam_stage_seconds",
        "Time that answered requests took by stage; stages that had nothing to do are left out.",
        ("route", "stage", "model", "protocol"),
        _STAGE_SECONDS,
    ),
    Metric("counter", "sam_masks", "Masks in answers.", ("route", "model", "protocol")),
    Metric("counter", "sam_problems", "Errors in answers by their code.", ("code", "protocol")),
    Metric("gauge", "sam_admitted_requests", "Requests under way in the ingress."),
    Metric("gauge", "sam_admitted_requests_max", "Requests under way at which more are turned away."),
    Metric("histogram", "sam_batch_weight", "Pictures, prompts or grid shards in a batch.", (), _SIZES),
    Metric("histogram", "sam_batch_wait_seconds", "Longest wait in a batch.", (), _BATCH_SECONDS),
    Metric("histogram", "sam_batch_run_seconds", "Run time of a batch.", (), _BATCH_SECONDS),
    Metric("gauge", "sam_batch_queued_jobs", "Jobs that still waited when the latest batch ended."),
    Metric(
        "counter",
        "sam_embedding_cache_lookups",
        "Embeddings that were wanted, by outcome: hit, or miss where the encoder had to run.",
        ("outcome",),
    ),
    Metric("counter", "sam_embedding_cache_evictions", "Embeddings that made room for others."),
    Metric("gauge", "sam_embedding_cache_entries", "Embeddings held."),
    Metric("gauge", "sam_embedding_cache_bytes", "Bytes of the embeddings and pictures held."),
    Metric("gauge", "sam_embedding_cache_max_bytes", "Bytes that may be held."),
    Metric("counter", "sam_embedding_store", "Uses of the store of embeddings by what came of them.", ("outcome",)),
    Metric(
        "counter",
        "sam_candidate_cache_lookups",
        "Crops of automatic masks whose candidates were wanted, by outcome: hit, or miss where the decoder had to run.",
        ("outcome",),
    ),
    Metric("gauge", "sam_candidate_cache_bytes", "Bytes of the candidates held."),
    Metric("gauge", "sam_candidate_cache_max_bytes", "Bytes of candidates that may be held."),
    Metric("counter", "sam_grid_candidates", "Masks that point grids gave, before any threshold."),
    Metric("counter", "sam_grid_candidates_passed", "Those of them above the threshold of predicted IoU."),
)
