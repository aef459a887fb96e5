"""The training pool: pictures made once, read many times: uncompressed arrays under `runs/pool`, mapped.

`images.npy` uint8 [n, side, side, 3], `labels.npy` uint8 [n, side, side], `parents.npy` uint8 [n, objects + 1].
"""

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from segmentation.weights.manifest import PROJECT_ROOT
from training.scenes import KINDS, MAX_OBJECTS, SIDE, make_scene

POOL_SEED = 1
POOL = PROJECT_ROOT / "runs" / "pool"
SHARES = (0.35, 0.25, 0.2, 0.2)
CHUNK = 50


@dataclass(frozen=True, slots=True)
class Pool:
    """The mapped arrays; see the module."""

    images: np.ndarray
    labels: np.ndarray
    parents: np.ndarray


def open_pool(folder: Path = POOL) -> Pool:
    """Maps a finished pool, read-only."""
    return Pool(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("images", "labels", "parents")))


def make_pool(folder: Path, count: int, workers: int) -> None:
    """Makes `count` pictures, classes in the proportions of SHARES."""
    folder.mkdir(parents=True, exist_ok=True)
    shapes = {"images": (count, SIDE, SIDE, 3), "labels": (count, SIDE, SIDE), "parents": (count, MAX_OBJECTS + 1)}
    for name, shape in shapes.items():
        open_memmap(folder / f"{name}.npy", "w+", np.uint8, shape)
    with ProcessPoolExecutor(workers) as executor:
        jobs = [executor.submit(_fill, folder, first, min(first + CHUNK, count)) for first in range(0, count, CHUNK)]
        for job in jobs:
            job.result()


def _fill(folder: Path, first: int, last: int) -> None:
    images, labels, parents = (open_memmap(folder / f"{name}.npy", "r+") for name in ("images", "labels", "parents"))
    for index in range(first, last):
        kind = str(np.random.default_rng((POOL_SEED, index)).choice(KINDS, p=SHARES))
        scene = make_scene((POOL_SEED, index, 1), kind)
        images[index], labels[index], parents[index] = scene.image, scene.labels, scene.parents


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=5000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=POOL)
    arguments = parser.parse_args()
    start = time.perf_counter()
    make_pool(arguments.folder, arguments.pictures, arguments.workers)
    print(f"{arguments.pictures} pictures in {time.perf_counter() - start:.0f} s: {arguments.folder}")


if __name__ == "__main__":
    main()
