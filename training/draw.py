"""Draws what the demo model finds by itself on real pictures of round objects, for the model card.

The pictures are scikit-image's: `coins` (no known restrictions), `coffee` and `cell` (CC0).
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import binary_erosion
from segment_anything import SamAutomaticMaskGenerator
from skimage import data

from segmentation.weights.manifest import PROJECT_ROOT
from training.evaluate import load_demo

PICTURES = ("coins", "coffee", "cell")
STRENGTH = 0.5


def picture(name: str) -> np.ndarray:
    """One of scikit-image's pictures, uint8 [h, w, 3]."""
    image = np.asarray(getattr(data, name)())
    return image[..., :3] if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)


def overlay(image: np.ndarray, masks: list[np.ndarray]) -> np.ndarray:
    """The picture with each mask tinted and outlined, large ones first: uint8 [h, w, 3]."""
    rng = np.random.default_rng(4)
    drawn = image.astype(np.float32)
    for mask in sorted(masks, key=lambda mask: -int(mask.sum())):
        colour = rng.permutation([255, rng.integers(60, 255), 0]).astype(np.float32)
        drawn[mask] = (1 - STRENGTH) * drawn[mask] + STRENGTH * colour
        drawn[mask & ~binary_erosion(mask, iterations=2)] = colour
    return drawn.astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=PROJECT_ROOT / "model" / "sam_demo.pth")
    parser.add_argument("--output", type=Path, default=PROJECT_ROOT / "docs" / "images")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.output.mkdir(parents=True, exist_ok=True)
    generator = SamAutomaticMaskGenerator(load_demo(arguments.weights))
    for name in PICTURES:
        image = picture(name)
        masks = [record["segmentation"] for record in generator.generate(image)]
        path = arguments.output / f"demo-{name}.jpg"
        Image.fromarray(overlay(image, masks)).save(path, quality=85)
        print(f"{path}: {len(masks)} masks")


if __name__ == "__main__":
    main()
