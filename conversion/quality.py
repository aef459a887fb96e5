"""Measures what a variant of an encoder costs in quality: embeddings and masks against PyTorch in float32.

The pictures are made here, so that the same weights give the same record everywhere, plus photographs of scikit-image
where it is installed. Works for weights of any kind, random ones included.
"""

import importlib.util
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from segment_anything.modeling import Sam

from conversion.reference import embed
from conversion.verify import relative_error
from segmentation.backends.protocol import DecoderBackend, EncoderBackend
from segmentation.backends.quality import Quality
from segmentation.transforms import pad_to_square
from segmentation.types import PromptTokens

POINTS_PER_AXIS = 6
"""Of the grid of points whose masks are compared, on each picture."""

Picture = NDArray[np.uint8]
"""uint8 [H, W, 3], RGB."""


def measure(encoder: EncoderBackend, decoder: DecoderBackend, sam: Sam) -> Quality:
    """The record of an encoder.

    Args:
        encoder: the variant.
        decoder: in float32, of the same weights; decodes both embeddings.
        sam: the same weights in PyTorch, float32.
    """
    errors, ious, names = [], [], []
    for name, picture in _pictures(encoder.architecture.image_size):
        names.append(name)
        size = picture.shape[:2]
        images = pad_to_square(picture, encoder.architecture.image_size)[None]
        ours = encoder.encode(images, np.array([size]))[0]
        exact = embed(sam, picture, encoder.architecture.preprocess).numpy()[0]
        errors.append(relative_error(ours, exact))
        tokens = _points(size)
        ious.append(_mask_ious(*(_masks(decoder, embedding, tokens) for embedding in (ours, exact))))
    compared = np.concatenate(ious)
    return Quality(float(np.max(errors)), float(compared.mean()), compared.size, ",".join(names))


def _masks(decoder: DecoderBackend, embedding: NDArray[np.float32], tokens: PromptTokens) -> NDArray[np.bool_]:
    """All three low-res masks of each point, [masks, pixels]."""
    decoded = decoder.decode(decoder.prepare(embedding), tokens)
    return decoded.logits.reshape(len(decoded.logits), -1) > 0


def _mask_ious(ours: NDArray[np.bool_], exact: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Of each mask with its counterpart; 1 where both are empty."""
    union = (ours | exact).sum(axis=1)
    both = (ours & exact).sum(axis=1)
    return np.where(union > 0, both / np.maximum(union, 1), 1.0)


def _points(size: tuple[int, int]) -> PromptTokens:
    """A grid of single points over a picture, each with SAM's padding point."""
    steps = (np.arange(POINTS_PER_AXIS) + 0.5) / POINTS_PER_AXIS
    columns, rows = np.meshgrid(steps * size[1], steps * size[0])
    coords = np.stack([columns.ravel(), rows.ravel()], axis=-1).astype(np.float32)[:, None]
    coords = np.concatenate([coords, np.zeros_like(coords)], axis=1)
    return PromptTokens(coords, np.tile(np.array([1, -1]), (len(coords), 1)))


def _pictures(side: int) -> list[tuple[str, Picture]]:
    """Named pictures whose long side is the model's."""
    made = [("discs", _discs(side)), ("tiles", _tiles(side))]
    if importlib.util.find_spec("skimage"):
        import skimage.data  # noqa: PLC0415  (optional)

        photographs: dict[str, Callable[[], Picture]] = {
            "coins": skimage.data.coins,
            "astronaut": skimage.data.astronaut,
        }
        made += [(name, _resized(np.asarray(load()), side)) for name, load in photographs.items()]
    return made


def _resized(picture: NDArray[np.uint8], side: int) -> Picture:
    colour = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)
    scale = side / max(colour.shape[:2])
    size = round(colour.shape[1] * scale), round(colour.shape[0] * scale)
    resized: Picture = np.asarray(Image.fromarray(colour).resize(size, Image.Resampling.BICUBIC))
    return resized


def _discs(side: int) -> Picture:
    """Shaded discs of many sizes on a noisy slope, wide."""
    rng = np.random.default_rng(1)
    rows, columns = np.mgrid[: side * 3 // 4, :side] / side
    picture = 60 + 60 * columns[..., None] + rng.normal(0, 6, (*rows.shape, 3))
    for _ in range(40):
        row, column, radius = rng.uniform(0, 0.75), rng.uniform(0, 1), rng.uniform(0.02, 0.1)
        distance = np.hypot(rows - row, columns - column) / radius
        shade = rng.uniform(0, 255, 3) * (1 - 0.3 * distance[..., None] ** 2)
        picture = np.where(distance[..., None] < 1, shade + rng.normal(0, 4, picture.shape), picture)
    clipped: Picture = picture.clip(0, 255).astype(np.uint8)
    return clipped


def _tiles(side: int) -> Picture:
    """Sharp rectangles in full contrast, overlapping, tall."""
    rng = np.random.default_rng(2)
    picture = np.full((side, side * 2 // 3, 3), 255, np.uint8)
    for _ in range(50):
        top, left = rng.integers(0, side * 9 // 10), rng.integers(0, side * 6 // 10)
        height, width = rng.integers(side // 40, side // 5, 2)
        picture[top : top + height, left : left + width] = rng.choice([0, 128, 255], 3)
    return picture
