"""Measures a trained model on the held-out pictures and on `coins`, through segment-anything's own predictor.

Prints one line a finding and ends in one JSON line, which goes to `--output` too.
"""

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from segment_anything import SamPredictor
from segment_anything.modeling import Sam

from segmentation.backends.pytorch.sam_module import build_sam
from segmentation.weights.checkpoints import sha256_file
from segmentation.weights.manifest import PROJECT_ROOT, find_model, load_manifest
from training.coins import FOUND, coins_automatically, coins_by_point
from training.heldout import PICTURES_PER_KIND, held_out
from training.measures import Picture, Values, measure_picture


def load_demo(path: Path) -> Sam:
    """The demo model with the weights of a file, fp32."""
    sam = build_sam(find_model("demo", load_manifest()).architecture)
    sam.load_state_dict({key: value.float() for key, value in torch.load(path, weights_only=True).items()})
    return sam


def measure(sam: Sam, pictures_per_kind: int) -> dict[str, float]:
    """Every held-out figure by name, mean over objects; `point` is the mean of the classes."""
    predictor = SamPredictor(sam)
    values: Values = defaultdict(list)
    for case in held_out(pictures_per_kind):
        if case.objects:
            measure_picture(Picture(predictor, case), values)
    figures = {name: float(np.mean(numbers)) for name, numbers in values.items()}
    figures["point"] = float(np.mean([figures[name] for name in figures if name.startswith("point/")]))
    figures["iou_correlation"] = float(np.corrcoef(values["predicted_iou"], values["true_iou"])[0, 1])
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=PROJECT_ROOT / "model" / "sam_demo.pth")
    parser.add_argument("--pictures", type=int, default=PICTURES_PER_KIND, help="held-out pictures of each class")
    parser.add_argument("--no-automatic", action="store_true", help="leave out automatic masks, the slow part")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--output", type=Path, help="a file for the JSON line")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    sam = load_demo(arguments.weights)
    start = time.perf_counter()
    figures = measure(sam, arguments.pictures)
    by_point = coins_by_point(sam)
    figures["coins_by_point"] = sum(value >= FOUND for value in by_point)
    figures["coins_by_point_miou"] = float(np.mean(by_point))
    if not arguments.no_automatic:
        found, count, _ = coins_automatically(sam)
        figures["coins_automatically"], figures["coins_masks"] = found, count
    figures["seconds"] = time.perf_counter() - start
    for name, value in sorted(figures.items()):
        print(f"{name:24} {value:8.3f}")
    rounded = {name: round(value, 4) for name, value in figures.items()}
    facts = {
        "weights": arguments.weights.name,
        "sha256": sha256_file(arguments.weights),
        "pictures_per_class": arguments.pictures,
        "torch": torch.__version__,
    }
    line = json.dumps({**facts, **rounded})
    print(line)
    if arguments.output:
        arguments.output.write_text(f"{line}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
