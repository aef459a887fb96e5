"""Thousands of masks measured: ours on runs, against `skimage.measure.regionprops_table` on crops of the same masks.

    ours        `analysis.objects.measurements.measure`, all measurements and intensities of one channel, two threads.
    skimage     `regionprops_table` with the same properties on the bounding-box crop of each mask, on a part of the
                masks; its time is scaled up to all of them, as it takes the same for each.
    everything  `analysis.analyze` with every rule, nesting and groups, and the CSV.
    growth      `everything` with four times as many masks of the same kind on the same picture.

Masks are discs, ellipses and rings of 5 to 40 pixels on 4 megapixels, some in others, some twice.

Bars: ours at least 5 times as fast as skimage; everything in 4 s on two cores; peak memory at most 300 MB over the
input; four times the masks in at most 5 times the time.

    python -m benchmarks.analysis [--masks 5000] [--rounds 3]
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import regionprops_table

from analysis import Analysis, MaskSet, Source, analyze, export, pack, resolve_rules
from analysis.masks.rasterize import rasterize
from analysis.objects.measurements import measure
from benchmarks.report import RESULTS, machine
from segmentation.workers import Workers

SIZE = (2000, 2000)
THREADS = 2
PROPERTIES = (
    "area",
    "equivalent_diameter_area",
    "perimeter_crofton",
    "axis_major_length",
    "axis_minor_length",
    "orientation",
    "feret_diameter_max",
    "solidity",
    "eccentricity",
    "extent",
    "euler_number",
    "centroid",
    "bbox",
    "intensity_mean",
    "intensity_min",
    "intensity_max",
    "intensity_std",
    "intensity_median",
)
RULES = {
    "clean": {"holes": 20, "islands": 20},
    "edge": {"margin": 0, "action": "drop"},
    "parts": {"max_distance": 50},
    "duplicates": {"measure": "iou", "threshold": 0.8, "keep": "larger"},
    "filters": [{"property": "circularity", "min": 0.2}],
    "nesting": {"threshold": 0.9},
    "groups": {"by": ["equivalent_diameter"], "count": "auto"},
    "monodisperse": {"max_ratio": [3]},
}


@dataclass(frozen=True)
class Samples:
    """One channel of 16 bits."""

    samples: NDArray[Any]
    valid: None = None


def masks(count: int) -> MaskSet:
    """Discs, ellipses and rings; every tenth lies nearly on the one before it."""
    random = np.random.default_rng(5)
    angles = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    drawn = []
    x = y = a = 0.0
    for number in range(count):
        if number % 10 != 9:
            x, y, a = random.uniform(20, 1980), random.uniform(20, 1980), random.uniform(5, 40)
        b, turn = a * random.uniform(0.5, 1), random.uniform(0, np.pi)
        u, v = a * np.cos(angles), b * np.sin(angles)
        ring = np.stack([x + u * np.cos(turn) - v * np.sin(turn), y + u * np.sin(turn) + v * np.cos(turn)], axis=1)
        hole = (ring - (x, y)) * 0.3 + (x, y)
        drawn.append(rasterize([[ring, hole] if number % 7 == 0 else [ring]], SIZE))
    return pack(drawn, SIZE)


def by_skimage(packed: MaskSet, picture: NDArray[Any], chosen: range) -> None:
    """Each mask's crop by `regionprops_table`."""
    for index in chosen:
        crop, x, y = packed.crop(index)
        height, width = crop.shape
        regionprops_table(crop.astype(np.uint8), picture[y : y + height, x : x + width], properties=PROPERTIES)


def everything(packed: MaskSet, picture: NDArray[Any], workers: Workers) -> tuple[Analysis, bytes]:
    """All rules, and the CSV."""
    result = analyze(packed, rules=resolve_rules("objects", RULES), picture=Samples(picture), workers=workers)
    return result, export(result, "csv", Source())


def best(work: Callable[[], object], rounds: int) -> float:
    """Seconds of the fastest round: others' work on the machine only adds to it."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def memory(name: str) -> float:
    """MB that the kernel tells of this process: VmRSS is what it has, VmHWM the most since the peak was started."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1000


def start_of_peak_mb() -> float:
    """Starts VmHWM anew from what the process has now, and tells that."""
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--masks", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    workers = Workers(THREADS)
    picture = np.random.default_rng(0).integers(0, 4096, SIZE).astype(np.uint16)
    packed = masks(arguments.masks)
    everything(masks(50), picture, workers)  # compiles
    before_mb = start_of_peak_mb()
    result, table = everything(packed, picture, workers)
    memory_mb = memory("VmHWM") - before_mb
    measured_s = best(lambda: measure(packed, Samples(picture), workers), arguments.rounds)
    part = range(0, arguments.masks, 50)
    skimage_s = best(lambda: by_skimage(packed, picture, part), 1) * arguments.masks / len(part)
    everything_s = best(lambda: everything(packed, picture, workers), arguments.rounds)
    four_times = masks(4 * arguments.masks)
    growth = best(lambda: everything(four_times, picture, workers), arguments.rounds) / everything_s
    report = {
        "machine": machine(THREADS),
        "masks": arguments.masks,
        "objects": len(result),
        "picture": list(SIZE),
        "csv_kb": len(table) // 1000,
        "measured_s": round(measured_s, 3),
        "skimage_s": round(skimage_s, 1),
        "times_as_fast": round(skimage_s / measured_s, 1),
        "everything_s": round(everything_s, 3),
        "memory_mb": round(memory_mb, 1),
        "four_times_the_masks": round(growth, 2),
        "bars": {
            "times_as_fast >= 5": skimage_s / measured_s >= 5,
            "everything_s <= 4": everything_s <= 4,
            "memory_mb <= 300": memory_mb <= 300,
            "four_times_the_masks <= 5": growth <= 5,
        },
    }
    (RESULTS / "analysis.json").write_text(json.dumps(report, indent=1) + os.linesep)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
