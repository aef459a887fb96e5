"""Peak memory of a grid on a large picture, in a process of its own."""

import subprocess
import sys

GRID = """
import sys
from pathlib import Path
import numpy as np
from bumps import BumpDecoder
from segmentation.automatic.generate import AutomaticParameters, decode_points, merge, merge_crop, plan_crops
from segmentation.weights.manifest import load_manifest
from segmentation.warmup import warm_up

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith(name))

size = (3000, 4000)
parameters = AutomaticParameters(points_per_side=int(sys.argv[1]), pred_iou_thresh=0, stability_score_thresh=0)
decoder = BumpDecoder(load_manifest()["vit_b"].architecture)
(crop,) = plan_crops(size, parameters)
embedding = np.zeros(decoder.architecture.embedding_shape, np.float32)
warm_up()
before = status("VmRSS")
candidates = decode_points(decoder, decoder.prepare(embedding), crop.box, size, crop.points, parameters.decoding)
records = merge([merge_crop([candidates], parameters)], size, parameters)
print(len(candidates), len(records), status("VmHWM") - before)
"""


def run(points_per_side: int) -> tuple[int, int, int]:
    """Candidates, masks, and megabytes added at the peak."""
    command = [sys.executable, "-c", GRID, str(points_per_side)]
    path = {"PYTHONPATH": ".:tests/support", "PATH": "", "OMP_NUM_THREADS": "1"}
    output = subprocess.run(command, check=True, capture_output=True, text=True, env=path).stdout
    candidates, masks, megabytes = map(int, output.split())
    return candidates, masks, megabytes


def test_every_mask_of_a_grid_on_twelve_megapixels_fits_in_500_mb() -> None:
    candidates, masks, megabytes = run(14)
    assert candidates == 3 * 14 * 14
    assert 20 <= masks < candidates
    assert megabytes <= 500


def test_memory_does_not_grow_with_the_grid() -> None:
    assert run(14)[2] - run(8)[2] <= 50
