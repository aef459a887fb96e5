"""Whole synthetic pictures with their true masks: the generator behind the training pool and the held-out pictures.

A scene is decided by its seed and kind alone.
"""

from dataclasses import dataclass

import numpy as np

from training import layouts
from training.finish import background, finish
from training.grains import paint_grains
from training.outlines import MAKERS, rasterise
from training.painting import STYLES, Material, cast_shadow, paint

SIDE = 512
KINDS = ("isolated", "touching", "nested", "textured")
MAX_OBJECTS = 250


@dataclass(frozen=True, slots=True)
class Scene:
    """`image` uint8 [SIDE, SIDE, 3] RGB. `labels` uint8 [SIDE, SIDE]: the topmost object of each pixel, 0 = background.
    `parents` uint8 [MAX_OBJECTS + 1]: the object that contains each object, 0 = none; parents have smaller numbers."""

    image: np.ndarray
    labels: np.ndarray
    parents: np.ndarray


class _Canvas:
    """A picture being painted; objects get numbers in the order of painting."""

    def __init__(self, rng: np.random.Generator, picture: np.ndarray) -> None:
        self.rng = rng
        self.picture = picture
        self.labels = np.zeros((SIDE, SIDE), np.uint8)
        self.parents = np.zeros(MAX_OBJECTS + 1, np.uint8)
        self.count = 0

    def add(self, place: layouts.Place, shape: str, material: Material, parent: int = 0) -> int:
        """Paints an object and returns its number, or 0 when there is no room for it."""
        radii = MAKERS[shape](self.rng)
        patch = rasterise(radii, place, SIDE)
        if patch is None or self.count == MAX_OBJECTS:
            return 0
        if material.shadow and not parent:
            x, y, radius = place
            moved = (x - 0.15 * radius * material.light[0], y - 0.15 * radius * material.light[1], radius)
            below = rasterise(radii, moved, SIDE, 0.3 * radius)
            if below is not None:
                cast_shadow(self.picture, below, material.shadow)
        window = self.labels[patch.rows, patch.columns]
        within = window == parent if parent else None
        paint(self.rng, self.picture, patch, material, within)
        self.count += 1
        window[patch.depth > 0 if within is None else within & (patch.depth > 0)] = self.count
        self.parents[self.count] = parent
        return self.count


def make_scene(seed: int | tuple[int, ...], kind: str) -> Scene:
    """A picture of one of KINDS. Every random choice comes from `seed`."""
    rng = np.random.default_rng(seed)
    ground = rng.uniform(0.1, 0.9, 3) if rng.random() < 0.5 else np.full(3, rng.uniform(0.05, 0.95))
    canvas = _Canvas(rng, background(rng, SIDE, ground, textured=kind == "textured"))
    if kind == "touching" and rng.random() < 0.25:
        canvas.labels, canvas.count = paint_grains(rng, canvas.picture, MAX_OBJECTS)
    elif kind == "nested":
        _nested(canvas, ground)
    else:
        _crowd(canvas, ground, kind)
    return Scene(finish(rng, canvas.picture), canvas.labels, canvas.parents)


def _crowd(canvas: _Canvas, ground: np.ndarray, kind: str) -> None:
    """Objects of one family in one layout."""
    rng = canvas.rng
    material = _material(rng, ground, kind)
    shapes = _shapes(rng)
    mixed = rng.random() < 0.3
    for place in _slots(rng, kind):
        own = _material(rng, ground, kind) if mixed else _vary(rng, material)
        canvas.add(place, str(rng.choice(shapes)), own)


def _nested(canvas: _Canvas, ground: np.ndarray) -> None:
    """Objects with parts inside, some of which have parts themselves."""
    rng = canvas.rng
    low = rng.uniform(30, 90)
    shapes, part_shapes = _shapes(rng), _shapes(rng)
    outer = _material(rng, ground, "nested")
    part = _material(rng, outer.colour, "nested")
    count = int(rng.integers(2, 14))
    for place in layouts.scatter(rng, SIDE, 3.0, count=count, low=low, high=min(230.0, low * 2.5)):
        number = canvas.add(place, str(rng.choice(shapes)), _vary(rng, outer))
        if not number or rng.random() < 0.1:
            continue
        for inner in layouts.inside(rng, place, int(rng.integers(1, 5))):
            child = canvas.add(inner, str(rng.choice(part_shapes)), _vary(rng, part), number)
            if child and inner[2] > 25 and rng.random() < 0.3:
                for innermost in layouts.inside(rng, inner, 1):
                    canvas.add(innermost, "disc", _material(rng, part.colour, "nested"), child)


def _slots(rng: np.random.Generator, kind: str) -> list[layouts.Place]:
    low = float(np.exp(rng.uniform(np.log(16 if kind == "textured" else 10), np.log(60))))
    high = min(160.0, low * rng.uniform(1.1, 4.0))
    room = int(np.clip(0.5 * SIDE**2 / (np.pi * low * high), 2, 120))
    count = int(rng.integers(2, room + 2))
    layout = rng.random()
    if kind == "touching" or (kind == "textured" and layout < 0.25):
        if layout < 0.15:
            return layouts.grid(rng, SIDE, rng.uniform(0.96, 1.0))
        if layout < 0.7:
            return layouts.clusters(rng, SIDE, count=max(count, 5), low=low, high=high)
        return layouts.scatter(rng, SIDE, -0.7 * low, count=count, low=low, high=high)
    if layout < 0.45:
        return layouts.grid(rng, SIDE, rng.uniform(0.55, 0.9))
    return layouts.scatter(rng, SIDE, 3.0, count=count, low=low, high=high)


def _shapes(rng: np.random.Generator) -> list[str]:
    """What shapes a picture has: round things most often."""
    if rng.random() < 0.45:
        return ["disc"]
    return list(rng.choice(list(MAKERS), size=int(rng.integers(1, 4))))


def _material(rng: np.random.Generator, ground: np.ndarray, kind: str) -> Material:
    """A look that differs from what lies below by a little or a lot."""
    turn = rng.uniform(0, 2 * np.pi)
    style = "textured" if kind == "textured" and rng.random() < 0.7 else str(rng.choice(STYLES))
    contrast = float(np.exp(rng.uniform(np.log(0.05), np.log(0.6))))
    step = rng.choice([-1.0, 1.0]) if rng.random() < 0.6 else rng.uniform(-1, 1, 3)
    if style in ("flat", "glow", "outlined"):
        contrast = max(contrast, 0.1)
    colour = np.asarray(ground + contrast * step, np.float64)
    colour = np.where((colour < 0) | (colour > 1), ground - contrast * step, colour)
    shadow = rng.uniform(0.1, 0.6) if rng.random() < 0.3 else 0.0
    light = (float(np.cos(turn)), float(np.sin(turn)))
    return Material(style, np.clip(colour, 0, 1).astype(np.float32), light, float(rng.uniform(0.2, 1.0)), float(shadow))


def _vary(rng: np.random.Generator, material: Material) -> Material:
    """The same look, a shade apart."""
    colour = np.clip(material.colour + rng.normal(0, 0.02, 3), 0, 1).astype(np.float32)
    return Material(material.style, colour, material.light, material.strength, material.shadow)
