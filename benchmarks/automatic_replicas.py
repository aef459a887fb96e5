"""One point on a held embedding, and one grid on one worker process or two: what a replica does."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from segment_anything import SamPredictor
from segment_anything.utils.amg import coco_encode_rle, mask_to_rle_pytorch

from benchmarks.automatic_bench import Bench
from benchmarks.pictures import picture
from benchmarks.report import interleaved
from segmentation.automatic import AutomaticParameters, decode_points, plan_crops
from segmentation.backends.onnx import OnnxDecoder
from segmentation.models import ModelSpec
from segmentation.predict import segment
from segmentation.types import Prompt, Size
from segmentation.warmup import warm_up


def interactive(bench: Bench, rounds: int) -> dict[str, float]:
    """Median seconds of one point on a held embedding, to three masks in RLE, over nine points spread over the picture:
    on coins, whose masks are small, and on the background, whose masks are large.

    `ours_first` is the first click on a picture in a decoder replica; `ours` any later one, when the replica holds what
    it prepared of the picture.
    """
    image = picture("coins")
    size = (image.shape[0], image.shape[1])
    predictor = SamPredictor(bench.sam)
    predictor.set_image(image)
    embedding = bench.embedding(image)
    prepared = bench.decoder.prepare(embedding)
    grid = np.stack(np.meshgrid([0.2, 0.5, 0.8], [0.2, 0.5, 0.8]), axis=-1).reshape(-1, 1, 2)
    points = (grid * (size[1], size[0])).astype(np.float32)

    def reference() -> None:
        for point in points:
            masks, _, _ = predictor.predict(point, np.array([1]))
            for rle in mask_to_rle_pytorch(torch.as_tensor(masks)):
                coco_encode_rle(rle)

    def ours() -> None:
        for point in points:
            segment(bench.decoder, prepared, size, [Prompt(points=point, labels=np.array([1]))])

    def ours_first() -> None:
        for point in points:
            image = bench.decoder.prepare(embedding)
            segment(bench.decoder, image, size, [Prompt(points=point, labels=np.array([1]))])

    medians = interleaved({"reference": reference, "ours": ours, "ours_first": ours_first}, rounds)
    return {name: round(value / len(points), 5) for name, value in medians.items()}


_worker: tuple[OnnxDecoder, np.ndarray] | None = None


def _start_worker(decoder: Path, spec: ModelSpec, embedding: np.ndarray) -> None:
    global _worker  # noqa: PLW0603 - a worker process has one decoder
    _worker = OnnxDecoder(decoder, spec.architecture, threads=1), embedding
    warm_up()


def _run_shard(size: Size, shard: slice, parameters: AutomaticParameters) -> int:
    assert _worker is not None
    decoder, embedding = _worker
    (crop,) = plan_crops(size, parameters)
    return len(decode_points(decoder, decoder.prepare(embedding), crop, size, crop.points[shard], parameters))


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
