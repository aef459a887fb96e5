"""Segment everything in pictures of one megapixel: the reference, segment-anything's ONNX export, and this project.

Times one grid of 32x32 points without crops on a held embedding (decode, post-process, merge): same weights, picture,
parameters and threads, in turn round by round. The IoU threshold is set per picture so that a quarter of all candidates
pass. Then: everything passing, one interactive point, two workers of one thread against one, peak memory. Each
picture's masks are compared with the reference's as the tests compare them.

HF transformers' SAM is not compared: it is not a dependency, and its weights have other names.

Predictions, written before the first run, on two cores: ours 10 times the reference and 4 times the stock export in
all; post-processing below a tenth of our time, and a thirtieth of the reference's; the peak memory a tenth.

    python -m benchmarks.automatic [--checkpoint model/sam_demo.pth] [--rounds 3] [--pictures coins coffee ...]
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from segment_anything import SamPredictor
from segment_anything.utils.amg import coco_encode_rle, mask_to_rle_pytorch

from benchmarks.automatic_contenders import Ours, Outcome, Reference, StockOnnx
from benchmarks.pictures import SOURCES, picture
from benchmarks.report import finish, gemm_peak, interleaved, machine
from conversion.pair import Source, write_pair
from conversion.reference import build_reference
from segmentation.automatic import AutomaticParameters, decode_points, plan_crops
from segmentation.backends.onnx import OnnxDecoder, OnnxEncoder
from segmentation.backends.onnx_files import OnnxPair, verify_pair
from segmentation.backends.weights import load_state_dict
from segmentation.checkpoints import sha256_file
from segmentation.models import ModelSpec, find_model, load_manifest
from segmentation.predict import segment
from segmentation.transforms import pad_to_square, resize_image
from segmentation.types import Prompt, Size
from segmentation.warmup import warm_up
from tests.support.reference import SCORE_TOLERANCE, candidate_keys, compare

STABILITY = 0.9
PASSING = 0.25
CONTENDERS = ("reference", "stock_onnx", "ours")


class Bench:
    """One model on one machine: the reference's modules and our pair of the same weights."""

    def __init__(self, spec: ModelSpec, checkpoint: Path, folder: Path, threads: int, points_per_side: int) -> None:
        state = load_state_dict(checkpoint)
        self.spec, self.folder, self.threads = spec, folder, threads
        self.everything = AutomaticParameters(
            points_per_side=points_per_side, pred_iou_thresh=0, stability_score_thresh=0
        )
        self.sam = build_reference(spec.architecture, state, checkpoint)
        self.pair = _pair(spec, checkpoint, folder)
        self.encoder = OnnxEncoder(self.pair.encoder, spec.architecture, threads=threads)
        self.decoder = OnnxDecoder(self.pair.decoder, spec.architecture, threads=threads)
        torch.set_num_threads(threads)
        warm_up()

    def embedding(self, image: np.ndarray) -> np.ndarray:
        side = self.spec.architecture.image_size
        resized = resize_image(image, side)
        sizes = np.array([resized.shape[:2]], np.int64)
        return self.encoder.encode(pad_to_square(resized, side)[None], sizes)[0]

    def ours(self, image: np.ndarray, parameters: AutomaticParameters) -> Ours:
        return Ours(self.decoder, self.embedding(image), image.shape[:2], parameters)

    def parameters(self, image: np.ndarray) -> AutomaticParameters:
        """With the IoU threshold that the wanted share of candidates passes."""
        iou = self.ours(image, self.everything).all_predicted_iou()
        threshold = float(np.clip(np.quantile(iou, 1 - PASSING), 0, 1))
        return replace(self.everything, pred_iou_thresh=threshold, stability_score_thresh=STABILITY)

    def contender(self, name: str, image: np.ndarray, parameters: AutomaticParameters) -> Reference | StockOnnx | Ours:
        if name == "reference":
            return Reference(self.sam, image, parameters)
        if name == "stock_onnx":
            return StockOnnx(self.sam, image, parameters, self.folder, self.threads)
        return self.ours(image, parameters)


def _pair(spec: ModelSpec, checkpoint: Path, folder: Path) -> OnnxPair:
    """The pair in `folder`, converted there unless it is there already."""
    if not any(folder.glob(f"sam_{spec.name}_encoder*.onnx")):
        source = Source(load_state_dict(checkpoint), sha256_file(checkpoint))
        write_pair(spec, source, folder, lambda encoder, decoder: None)
    return verify_pair(folder, spec)


def run_picture(bench: Bench, name: str, rounds: int, contenders: tuple[str, ...]) -> dict[str, object]:
    """Medians of every contender on one picture, and whether the masks are the same."""
    image = picture(name)
    parameters = bench.parameters(image)
    runs = {contender: bench.contender(contender, image, parameters) for contender in contenders}
    outcomes: dict[str, list[Outcome]] = {contender: [] for contender in contenders}
    runs["ours"].run()
    for _ in range(rounds):
        for contender, run in runs.items():
            outcomes[contender].append(run.run())
    seconds = {
        contender: {
            stage: round(statistics.median(outcome.seconds[stage] for outcome in of_contender), 4)
            for stage in of_contender[0].seconds
        }
        for contender, of_contender in outcomes.items()
    }
    result = {
        "size": list(image.shape[:2]),
        "pred_iou_thresh": parameters.pred_iou_thresh,
        "candidates": len(outcomes["ours"][0].candidates),
        "seconds": seconds,
        "masks": same_masks(outcomes, image.shape[:2], parameters),
        "ratio": _ratios(seconds, "total"),
        "cpu_ratio": _ratios(seconds, "cpu"),
    }
    print(f"{name}: {result}", flush=True)
    return result


def _ratios(seconds: Mapping[str, Mapping[str, float]], of: str) -> dict[str, float]:
    return {other: round(seconds[other][of] / seconds["ours"][of], 2) for other in seconds if other != "ours"}


def same_masks(
    outcomes: Mapping[str, list[Outcome]], size: tuple[int, ...], parameters: AutomaticParameters
) -> dict[str, int]:
    """How many masks both sides have, and how many candidates only one side has that no threshold explains."""
    expected, ours = outcomes["reference"][0], outcomes["ours"][0]
    candidates = compare(candidate_keys(expected.candidates, size), candidate_keys(ours.candidates, size))
    unexplained = [
        index
        for side, indexes in (
            (expected.candidates, candidates.only_expected),
            (ours.candidates, candidates.only_ours),
        )
        for index in indexes
        if abs(side.predicted_iou[index] - parameters.pred_iou_thresh) > SCORE_TOLERANCE
        and abs(side.stability_score[index] - parameters.stability_score_thresh) > SCORE_TOLERANCE
    ]
    final = compare(expected.masks, ours.masks)
    return {
        "same": len(final.pairs),
        "only_reference": len(final.only_expected),
        "only_ours": len(final.only_ours),
        "candidates_same": len(candidates.pairs),
        "candidates_unexplained": len(unexplained),
    }


def interactive(bench: Bench, rounds: int) -> dict[str, float]:
    """Median seconds of one point on a held embedding, to three masks in RLE."""
    image = picture("coins")
    size = (image.shape[0], image.shape[1])
    predictor = SamPredictor(bench.sam)
    predictor.set_image(image)
    embedding = bench.embedding(image)
    point = np.array([[size[1] / 2, size[0] / 2]], np.float32)

    def reference() -> None:
        masks, _, _ = predictor.predict(point, np.array([1]))
        for rle in mask_to_rle_pytorch(torch.as_tensor(masks)):
            coco_encode_rle(rle)

    def ours() -> None:
        segment(bench.decoder, embedding, size, [Prompt(points=point, labels=np.array([1]))])

    return {
        name: round(value, 5) for name, value in interleaved({"reference": reference, "ours": ours}, rounds).items()
    }


_worker: tuple[OnnxDecoder, np.ndarray] | None = None


def _start_worker(decoder: Path, spec: ModelSpec, embedding: np.ndarray) -> None:
    global _worker  # noqa: PLW0603 - a worker process has one decoder
    _worker = OnnxDecoder(decoder, spec.architecture, threads=1), embedding
    warm_up()


def _run_shard(size: Size, shard: slice, parameters: AutomaticParameters) -> int:
    assert _worker is not None
    decoder, embedding = _worker
    (crop,) = plan_crops(size, parameters)
    return len(decode_points(decoder, embedding, crop, size, crop.points[shard], parameters))


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


def peak_memory(arguments: list[str], contender: str) -> int:
    """Bytes by which a fresh process grows, at its peak, over what it had after loading."""
    command = [sys.executable, "-m", "benchmarks.automatic", *arguments, "--peak", contender]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return int(output.split()[-1])


def _peak(bench: Bench, contender: str) -> int:
    image = picture("coins")
    parameters = bench.parameters(image)
    run = bench.contender(contender, image, parameters)
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # restarts the peak
    run.run()
    return _status("VmHWM") - before


def _status(name: str) -> int:
    """A field of this process's memory, in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def decoder_floor(spec: ModelSpec, gflops: float, points: int, passing: float) -> float:
    """Seconds of the folded decoder's arithmetic for a grid, at the measured peak.

    Per image token: five attentions between 7 tokens x 8 heads and 256 channels, each two products; for prompts with a
    mask that passes the mask head's two transposed convolutions, counted here for the share of masks that pass.
    """
    trunk = 5 * 2 * 2 * 56 * 256
    head = 2 * 256 * 64 * 4 + 4 * 2 * 64 * 32 * 4
    tokens = spec.architecture.embedding_side**2
    return points * tokens * (trunk + min(1, 3 * passing) * head) / gflops / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=Path("model/sam_demo.pth"))
    parser.add_argument("--model-type", default="demo")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--points-per-side", type=int, default=32, help="fewer for a try on a busy machine")
    parser.add_argument("--pictures", nargs="+", choices=SOURCES, default=list(SOURCES))
    parser.add_argument("--peak", choices=CONTENDERS, help="only print one contender's peak memory in bytes")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    spec = find_model(options.model_type, load_manifest())
    if options.peak:
        print(_peak(_bench(options, spec, options.folder), options.peak))
        return
    with tempfile.TemporaryDirectory() as folder:
        benchmark(options, spec, Path(folder))


def _bench(options: argparse.Namespace, spec: ModelSpec, folder: Path) -> Bench:
    return Bench(spec, options.checkpoint, folder, options.threads, options.points_per_side)


def benchmark(options: argparse.Namespace, spec: ModelSpec, folder: Path) -> None:
    """Everything, to the JSON line."""
    print(__doc__)
    started = time.perf_counter()
    result: dict[str, object] = {"machine": machine(options.threads), "model": spec.name, "rounds": options.rounds}
    result["points_per_side"] = options.points_per_side
    gflops = gemm_peak(options.threads)
    bench = _bench(options, spec, folder)
    pictures = {name: run_picture(bench, name, options.rounds, CONTENDERS) for name in options.pictures}
    arguments = ["--checkpoint", str(options.checkpoint), "--model-type", spec.name, "--folder", str(folder)]
    arguments += ["--points-per-side", str(options.points_per_side)]
    image = picture("coins")
    result |= {
        "gflops_peak": round(gflops, 1),
        "floor_s": round(decoder_floor(spec, gflops, options.points_per_side**2, PASSING), 3),
        "passing": PASSING,
        "pictures": pictures,
        "median_ratio": {
            other: statistics.median(entry["ratio"][other] for entry in pictures.values()) for other in CONTENDERS[:-1]
        },
        "everything_passing_s": {
            name: bench.contender(name, image, bench.everything).run().seconds for name in ("reference", "ours")
        },
        "interactive_s": interactive(bench, 2 * options.rounds + 1),
        "two_workers_s": two_workers(bench, options.rounds),
        "peak_bytes": {name: peak_memory(arguments, name) for name in CONTENDERS},
        "seconds": round(time.perf_counter() - started),
    }
    finish("automatic", result)


if __name__ == "__main__":
    main()
