"""What lies behind the objects, and what lens and sensor do to the picture."""

import io

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from training.textures import any_texture, cloud


def background(rng: np.random.Generator, side: int, colour: np.ndarray, textured: bool) -> np.ndarray:
    """A ground float32 [side, side, 3] around `colour` (RGB, 0 to 1), with uneven light, stains and dust."""
    picture = np.empty((side, side, 3), np.float32)
    picture[:] = colour
    picture += (cloud(rng, side, side, rng.uniform(20, 200)) * rng.uniform(0, 0.05))[..., None]
    if textured or rng.random() < 0.15:
        picture += (any_texture(rng, side, side) * rng.uniform(0.03, 0.15))[..., None]
    if rng.random() < 0.3:
        _scratches(rng, picture)
    return picture


def finish(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """Uneven light, blur, grey, gamma, noise, compression: uint8 [side, side, 3]."""
    side = picture.shape[0]
    picture = np.clip(picture, 0, 1)
    if rng.random() < 0.6:
        picture = picture * _light(rng, side)[..., None]
    if rng.random() < 0.5:
        picture = picture.mean(axis=2, keepdims=True).repeat(3, axis=2)
    if rng.random() < 0.6:
        sigma = rng.uniform(0.3, 2.0)
        picture = gaussian_filter(picture, (sigma, sigma, 0))
    picture = np.clip(picture, 0, 1) ** rng.uniform(0.7, 1.4)
    if rng.random() < 0.6:
        channels = rng.choice([1, 3])
        noise = rng.standard_normal((side, side, channels), dtype=np.float32)
        picture = picture + noise * float(np.exp(rng.uniform(np.log(0.005), np.log(0.06))))
    pixels = (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
    return _compressed(rng, pixels) if rng.random() < 0.3 else pixels


def _light(rng: np.random.Generator, side: int) -> np.ndarray:
    """A lamp to one side, or a vignette: factors float32 [side, side], at most 1."""
    rows, columns = np.mgrid[:side, :side].astype(np.float32) / side
    turn, depth = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.6)
    if rng.random() < 0.6:
        ramp = (columns - 0.5) * np.cos(turn) + (rows - 0.5) * np.sin(turn) + 0.5
    else:
        x, y = rng.uniform(0.2, 0.8, 2)
        ramp = np.hypot(columns - x, rows - y) * 1.2
    return (1 - depth * np.clip(ramp, 0, 1)).astype(np.float32)


def _scratches(rng: np.random.Generator, picture: np.ndarray) -> None:
    """Thin lines and specks that belong to no object."""
    side = picture.shape[0]
    for _ in range(int(rng.integers(1, 25))):
        length = int(rng.uniform(1, 60))
        x, y = rng.uniform(0, side, 2)
        turn = rng.uniform(0, 2 * np.pi)
        steps = np.arange(length)
        rows = np.clip(y + steps * np.sin(turn), 0, side - 1).astype(int)
        columns = np.clip(x + steps * np.cos(turn), 0, side - 1).astype(int)
        picture[rows, columns] += rng.uniform(-0.3, 0.3)


def _compressed(rng: np.random.Generator, pixels: np.ndarray) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=int(rng.integers(35, 95)))
    return np.asarray(Image.open(buffer))
