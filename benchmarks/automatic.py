"""Segment everything in pictures of one megapixel: the reference, segment-anything's ONNX export, and this project.

Times one grid of 32x32 points without crops on a held embedding (decode, post-process, merge): same weights, picture,
parameters and threads, in turn round by round. The IoU threshold is set per picture so that two fifths of all
candidates pass. Then: everything passing, two workers of one thread against one, peak memory.
Each picture's masks are compared with the reference's as the tests compare them.

HF transformers' SAM is compared in `benchmarks.decoder`: what follows its decoder is a pipeline with other thresholds.

Predictions, written before the first run, on two cores: ours 10 times the reference and 4 times the stock export in
all; post-processing below a tenth of our time, and a thirtieth of the reference's; the peak memory a tenth.

    python -m benchmarks.automatic [--checkpoint model/sam_demo.pth] [--rounds 3] [--pictures coins cat ...]
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from benchmarks.automatic_bench import PASSING, STABILITY, Bench
from benchmarks.automatic_contenders import Outcome
from benchmarks.automatic_replicas import two_workers
from benchmarks.pictures import MANY_MASKS, SOURCES, picture
from benchmarks.report import finish, gemm_peak, machine
from segmentation.automatic.generate import AutomaticParameters
from segmentation.weights.manifest import ModelSpec, find_model, load_manifest
from tests.support.reference import SCORE_TOLERANCE, candidate_keys, compare

CONTENDERS = ("reference", "stock_onnx", "ours")


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


def peak_memory(options: list[str], contender: str, threshold: float) -> int:
    """Bytes by which a fresh process grows, at its peak, over what it had with the model and an embedding loaded."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.automatic",
        *options,
        "--peak",
        contender,
        "--threshold",
        repr(threshold),
    ]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return int(output.split()[-1])


def _peak(bench: Bench, contender: str, threshold: float) -> int:
    parameters = replace(bench.everything, pred_iou_thresh=threshold, stability_score_thresh=STABILITY)
    run = bench.contender(contender, picture("coins"), parameters)
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
    parser.add_argument("--pictures", nargs="+", choices=SOURCES, default=list(MANY_MASKS))
    parser.add_argument("--peak", choices=CONTENDERS, help="only print one contender's peak memory in bytes")
    parser.add_argument("--threshold", type=float, default=0.5, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    spec = find_model(options.model_type, load_manifest())
    if options.peak:
        print(_peak(_bench(options, spec, options.folder), options.peak, options.threshold))
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
    threshold = bench.parameters(image).pred_iou_thresh
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
        "two_workers_s": two_workers(bench, options.rounds),
        "peak_bytes": {name: peak_memory(arguments, name, threshold) for name in CONTENDERS},
        "seconds": round(time.perf_counter() - started),
    }
    finish("automatic", result)


if __name__ == "__main__":
    main()
