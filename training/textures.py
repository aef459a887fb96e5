"""Random fields: what surfaces look like. Every field is float32 [h, w] of about zero mean and unit deviation."""

import numpy as np
from PIL import Image


def smooth_noise(rng: np.random.Generator, height: int, width: int, grain: float) -> np.ndarray:
    """Noise whose spots are about `grain` pixels wide."""
    coarse = (max(2, round(height / grain) + 1), max(2, round(width / grain) + 1))
    small = Image.fromarray(rng.standard_normal(coarse, dtype=np.float32))
    return _unit(np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)))


def cloud(rng: np.random.Generator, height: int, width: int, grain: float, octaves: int = 3) -> np.ndarray:
    """Noise of several grains, the coarsest strongest."""
    field = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        field += smooth_noise(rng, height, width, max(1.0, grain / 2**octave)) * 0.6**octave
    return _unit(field)


def stripes(rng: np.random.Generator, height: int, width: int, period: float) -> np.ndarray:
    """Waves of `period` pixels in one direction, bent a little."""
    turn = rng.uniform(0, np.pi)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    phase = (columns * np.cos(turn) + rows * np.sin(turn)) * (2 * np.pi / period)
    return _unit(np.sin(phase + rng.uniform(0, 2.0) * smooth_noise(rng, height, width, 8 * period)))


def checks(rng: np.random.Generator, height: int, width: int, period: float) -> np.ndarray:
    """Two crossed waves, hardened."""
    field = stripes(rng, height, width, period) * stripes(rng, height, width, period)
    return _unit(np.tanh(2 * field))


def speckle(rng: np.random.Generator, height: int, width: int, grain: float) -> np.ndarray:
    """Sparse bright spots of about `grain` pixels."""
    return _unit(np.maximum(smooth_noise(rng, height, width, grain) - rng.uniform(0.3, 1.5), 0))


def relief(rng: np.random.Generator, height: int, width: int, grain: float, light: tuple[float, float]) -> np.ndarray:
    """An embossed surface lit from one side, as on a coin: the slope of a height field towards the light (x, y)."""
    surface = np.tanh(2.0 * cloud(rng, height + 1, width + 1, grain, 3))
    slope = (surface[:-1, 1:] - surface[:-1, :-1]) * light[0] + (surface[1:, :-1] - surface[:-1, :-1]) * light[1]
    return _unit(slope)


def any_texture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """One of the fields above at a random scale."""
    grain = float(np.exp(rng.uniform(np.log(2.0), np.log(40.0))))
    kind = rng.choice(["smooth", "cloud", "stripes", "checks", "speckle", "relief"])
    if kind == "smooth":
        return smooth_noise(rng, height, width, grain)
    if kind == "cloud":
        return cloud(rng, height, width, 2 * grain)
    if kind == "stripes":
        return stripes(rng, height, width, max(4.0, grain))
    if kind == "checks":
        return checks(rng, height, width, max(5.0, grain))
    if kind == "speckle":
        return speckle(rng, height, width, max(2.0, grain / 3))
    return relief(rng, height, width, grain, (0.7, 0.7))


def _unit(field: np.ndarray) -> np.ndarray:
    """Zero mean and unit deviation, outliers clipped at 3."""
    field = field - field.mean()
    return np.clip(field / (field.std() + 1e-6), -3, 3).astype(np.float32)
