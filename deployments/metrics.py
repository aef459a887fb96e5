"""Batches as Serve metrics, with the tags of deployment and replica. Made inside a replica."""

from collections.abc import Callable

from ray.serve.metrics import Histogram

from deployments.batching import BatchReport

_SIZES: list[float] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64]
_SECONDS = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30]


def open_batch_report() -> Callable[[BatchReport], None]:
    """An observer of batches that fills `sam_batch_weight`, `sam_batch_wait_s` and `sam_batch_run_s`."""
    weight = Histogram("sam_batch_weight", "Pictures or prompts in a batch.", boundaries=_SIZES)
    wait = Histogram("sam_batch_wait_s", "Longest wait in a batch, in seconds.", boundaries=_SECONDS)
    run = Histogram("sam_batch_run_s", "Run time of a batch, in seconds.", boundaries=_SECONDS)

    def report(batch: BatchReport) -> None:
        weight.observe(batch.weight)
        wait.observe(batch.waited_s)
        run.observe(batch.ran_s)

    return report
