"""One grid on one worker process or two: what grid replicas do."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from benchmarks.automatic_bench import Bench
from benchmarks.pictures import picture
from benchmarks.report import interleaved
from segmentation.automatic.generate import AutomaticParameters, decode_points, plan_crops
from segmentation.backends.onnx.decoder import OnnxDecoder
from segmentation.types import Size
from segmentation.warmup import warm_up
from segmentation.weights.manifest import ModelSpec

_worker: tuple[OnnxDecoder, np.ndarray] | None = None


def _start_worker(decoder: Path, spec: ModelSpec, embedding: np.ndarray) -> None:
    global _worker  # noqa: PLW0603 - a worker process has one decoder
    _worker = OnnxDecoder(decoder, spec.architecture, threads=1), embedding
    warm_up()


def _run_shard(size: Size, shard: slice, parameters: AutomaticParameters) -> int:
    assert _worker is not None
    decoder, embedding = _worker
    (crop,) = plan_crops(size, parameters)
    return len(
        decode_points(decoder, decoder.prepare(embedding), crop.box, size, crop.points[shard], parameters.decoding)
    )


def two_workers(bench: Bench, rounds: int) -> dict[str, float]:
    """Median seconds of one grid by one worker process of one thread, and by two, in shards of 64 points."""
    image = picture("coins")
    size = (image.shape[0], image.shape[1])
    parameters = bench.parameters(image)
    shards = [slice(start, start + 64) for start in range(0, len(plan_crops(size, parameters)[0].points), 64)]
    arguments = (bench.pair.decoder, bench.spec, bench.embedding(image))
    context = get_context("spawn")
    with (
        ProcessPoolExecutor(1, context, _start_worker, arguments) as one,
        ProcessPoolExecutor(2, context, _start_worker, arguments) as two,
    ):

        def grid(pool: ProcessPoolExecutor) -> None:
            list(pool.map(_run_shard, [size] * len(shards), shards, [parameters] * len(shards)))

        seconds = interleaved({"one": lambda: grid(one), "two": lambda: grid(two)}, rounds)
    return {
        **{name: round(value, 3) for name, value in seconds.items()},
        "share": round(seconds["two"] / seconds["one"], 3),
    }
