"""Training samples: a window of a pool picture, scaled, turned, recoloured, and padded as SAM pads.

A window is a square of `side` pixels. Beyond the picture (at the bottom and right) labels are PADDING and pixels become
0 after normalising.
"""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from training.pool import Pool

PADDING = 255
LABELS = 256


@dataclass(frozen=True, slots=True)
class Batch:
    """`images` uint8 [b, 3, side, side], `labels` uint8 [b, side, side], `parents` uint8 numpy [b, LABELS]."""

    images: torch.Tensor
    labels: torch.Tensor
    parents: np.ndarray


def draw_batch(rng: np.random.Generator, pool: Pool, size: int, side: int) -> Batch:
    """`size` random windows of `side` pixels."""
    images, labels, parents = [], [], np.zeros((size, LABELS), np.uint8)
    for row in range(size):
        index = int(rng.integers(len(pool.images)))
        image, label = draw_window(rng, pool.images[index], pool.labels[index], side)
        images.append(image)
        labels.append(label)
        parents[row, : pool.parents.shape[1]] = pool.parents[index]
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    return Batch(pixels, torch.from_numpy(np.stack(labels)), parents)


def draw_window(
    rng: np.random.Generator, image: np.ndarray, labels: np.ndarray, side: int
) -> tuple[np.ndarray, np.ndarray]:
    """A random window of a picture uint8 [h, w, 3] and its labels uint8 [h, w]: both [side, side]."""
    limit = image.shape[0]
    zoom = float(np.exp(rng.uniform(np.log(0.6 if side < limit else 0.8), np.log(2.0))))
    height, width = (side, side) if rng.random() < 0.5 else rng.integers(side // 2, side + 1, 2)
    if rng.random() < 0.5:
        height, width = (side, width) if rng.random() < 0.5 else (height, side)
    rows, columns = min(limit, round(height / zoom)), min(limit, round(width / zoom))
    top, left = int(rng.integers(limit - rows + 1)), int(rng.integers(limit - columns + 1))
    picture = np.ascontiguousarray(image[top : top + rows, left : left + columns])
    owners = np.ascontiguousarray(labels[top : top + rows, left : left + columns])
    size = (min(side, round(columns * zoom)), min(side, round(rows * zoom)))
    smooth = Image.Resampling.BILINEAR if rng.random() < 0.7 else Image.Resampling.BICUBIC
    picture = np.asarray(Image.fromarray(picture).resize(size, smooth))
    owners = np.asarray(Image.fromarray(owners).resize(size, Image.Resampling.NEAREST))
    turns = int(rng.integers(4))
    picture, owners = np.rot90(picture, turns), np.rot90(owners, turns)
    if rng.random() < 0.5:
        picture, owners = picture[:, ::-1], owners[:, ::-1]
    out_image = np.zeros((side, side, 3), np.uint8)
    out_labels = np.full((side, side), PADDING, np.uint8)
    height, width = owners.shape
    out_image[:height, :width] = recolour(rng, picture)
    out_labels[:height, :width] = owners
    return out_image, out_labels


def recolour(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """Other colours, contrast, brightness and noise: uint8 [h, w, 3] in and out."""
    if rng.random() < 0.3:
        picture = picture[..., rng.permutation(3)]
    if rng.random() < 0.15:
        picture = picture.mean(axis=2, keepdims=True).astype(np.uint8).repeat(3, axis=2)
    levels = np.arange(256, dtype=np.float32) / 255
    shared = rng.random() < 0.5
    tables = []
    for channel in range(3):
        if channel == 0 or not shared:
            gamma, gain, bias = np.exp(rng.normal(0, 0.25)), rng.uniform(0.6, 1.25), rng.normal(0, 0.08)
        tables.append(np.clip((levels**gamma - 0.5) * gain + 0.5 + bias, 0, 1) * 255)
    if rng.random() < 0.12:
        tables = [255 - table for table in tables]
    out = np.stack([tables[channel].astype(np.uint8)[picture[..., channel]] for channel in range(3)], -1)
    if rng.random() < 0.2:
        noise = rng.standard_normal(out.shape[:2], dtype=np.float32) * rng.uniform(2, 14)
        out = np.clip(out + noise[..., None], 0, 255).astype(np.uint8)
    return out
