"""Paints one object into a picture: body, shading, rim, highlight, shadow.

Pictures here are float32 [side, side, 3], 0 to 1, and are changed in place.
"""

from dataclasses import dataclass

import numpy as np

from training.outlines import Patch
from training.textures import any_texture, relief, smooth_noise

STYLES = ("flat", "dome", "droplet", "relief", "outlined", "textured", "glow")


@dataclass(frozen=True, slots=True)
class Material:
    """How the objects of a picture look.

    `style` is one of STYLES, `colour` RGB 0 to 1, `light` a unit vector (x, y) in the picture plane that points towards
    the lamp, `strength` 0 to 1 scales shading and texture, `shadow` 0 to 1.
    """

    style: str
    colour: np.ndarray
    light: tuple[float, float]
    strength: float
    shadow: float


def paint(
    rng: np.random.Generator, picture: np.ndarray, patch: Patch, material: Material, within: np.ndarray | None = None
) -> None:
    """Draws an object over what is there, its edge antialiased over one pixel; `within`, bool [h, w], clips it."""
    window = picture[patch.rows, patch.columns]
    alpha = np.clip(patch.depth + 0.5, 0, 1)
    if within is not None:
        alpha = alpha * within
    if material.style == "droplet":
        alpha = alpha * rng.uniform(0.5, 1.0)
    body = _BODIES[material.style](rng, patch, material, window)
    window += alpha[..., None] * (body - window)


def cast_shadow(picture: np.ndarray, patch: Patch, strength: float) -> None:
    """Darkens the picture softly inside and a little beyond the outline (a patch moved away from the lamp)."""
    fade = np.clip((1.25 - patch.u) / 0.4, 0, 1)
    picture[patch.rows, patch.columns] *= (1 - strength * fade)[..., None]


def _flat(rng: np.random.Generator, patch: Patch, material: Material, window: np.ndarray) -> np.ndarray:
    ramp = (patch.dx * material.light[0] + patch.dy * material.light[1]) * 0.15 * material.strength
    return _tinted(material.colour, ramp)


def _dome(rng: np.random.Generator, patch: Patch, material: Material, window: np.ndarray) -> np.ndarray:
    """A ball under a lamp, with a highlight."""
    height = np.sqrt(np.clip(1 - np.minimum(patch.u, 1) ** 2, 0, 1))
    lit = 0.8 * (patch.dx * material.light[0] + patch.dy * material.light[1]) + 0.6 * height
    return _tinted(material.colour, (lit - 0.45) * 0.6 * material.strength + _highlight(rng, patch, material))


def _droplet(rng: np.random.Generator, patch: Patch, material: Material, window: np.ndarray) -> np.ndarray:
    """See-through: what lies behind, tinted, with a dark or bright rim and a highlight."""
    rim = np.clip((patch.u - rng.uniform(0.6, 0.9)) / 0.15, 0, 1) * rng.choice([-1, -1, 1]) * rng.uniform(0.1, 0.4)
    core = np.clip(1 - patch.u / rng.uniform(0.3, 0.9), 0, 1) * rng.uniform(-0.1, 0.35)
    behind = window * 0.6 + material.colour * 0.4
    return behind + (rim + core * material.strength + _highlight(rng, patch, material))[..., None]


def _relief(rng: np.random.Generator, patch: Patch, material: Material, window: np.ndarray) -> np.ndarray:
    """A coin: an embossed face inside a raised rim, lit from one side."""
    height, width = patch.u.shape
    face = relief(rng, height, width, rng.uniform(0.12, 0.5) * height, material.light)
    face = face * np.clip((0.9 - patch.u) / 0.1, 0, 1)
    towards = patch.dx * material.light[0] + patch.dy * material.light[1]
    rim = np.clip(1 - np.abs(patch.u - 0.93) / rng.uniform(0.05, 0.12), 0, 1)
    wear = smooth_noise(rng, height, width, 0.4 * height)
    shade = face * 0.09 + rim * (0.05 + towards * 0.22) + wear * 0.05 + towards * 0.06
    return _tinted(material.colour, shade * (0.5 + material.strength))


def _outlined(rng: np.random.Generator, patch: Patch, material: Material, window: np.ndarray) -> np.ndarray:
    """A stroke around a fill that is nearly what lies behind."""
    stroke = np.clip(rng.uniform(1.5, 5.0) - patch.depth, 0, 1)[..., None]
    fill = window + rng.uniform(-0.04, 0.04)
    return fill * (1 - stroke) + material.colour * stroke


def _textured(rng: np.random.Generator, patch: Patch, material: Material, window: np.ndarray) -> np.ndarray:
    height, width = patch.u.shape
    return _tinted(material.colour, any_texture(rng, height, width) * (0.04 + 0.14 * material.strength))


def _glow(rng: np.random.Generator, patch: Patch, material: Material, window: np.ndarray) -> np.ndarray:
    """Bright in the middle, as under fluorescence, or the other way round."""
    profile = np.clip(1 - patch.u, 0, 1) ** rng.uniform(0.5, 1.5) - 0.4
    return _tinted(material.colour, profile * rng.choice([-1, 1, 1]) * 0.5 * material.strength)


def _highlight(rng: np.random.Generator, patch: Patch, material: Material) -> np.ndarray:
    """A specular spot towards the lamp; absent half the time."""
    if rng.random() < 0.5:
        return np.zeros_like(patch.u)
    away, width = rng.uniform(0.2, 0.6), rng.uniform(0.08, 0.3)
    square = (patch.dx - away * material.light[0]) ** 2 + (patch.dy - away * material.light[1]) ** 2
    return rng.uniform(0.2, 0.7) * np.exp(-square / (2 * width**2))


def _tinted(colour: np.ndarray, shade: np.ndarray) -> np.ndarray:
    return colour[None, None] + shade[..., None]


_BODIES = {
    "flat": _flat,
    "dome": _dome,
    "droplet": _droplet,
    "relief": _relief,
    "outlined": _outlined,
    "textured": _textured,
    "glow": _glow,
}
