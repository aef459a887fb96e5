"""The held-out pictures and prompts: fixed seeds that the training pool never uses."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from training.scenes import KINDS, Scene, make_scene
from training.truth import MIN_AREA, areas, interior_point, true_mask

HELD_OUT_SEED = 20261123
PICTURES_PER_KIND = 25
OBJECTS_PER_PICTURE = 12


@dataclass(frozen=True, slots=True)
class Case:
    """One picture, some of its objects, and a random interior point (x, y) of each."""

    kind: str
    scene: Scene
    objects: list[int]
    points: list[tuple[int, int]]


def held_out(pictures_per_kind: int = PICTURES_PER_KIND) -> Iterator[Case]:
    """Every case, class by class. Objects of fewer than MIN_AREA visible pixels are left out."""
    for index, kind in enumerate(KINDS):
        for number in range(pictures_per_kind):
            yield make_case(kind, (HELD_OUT_SEED, index, number))


def make_case(kind: str, seed: tuple[int, ...]) -> Case:
    """The picture of that seed with at most OBJECTS_PER_PICTURE of its objects."""
    scene = make_scene(seed, kind)
    rng = np.random.default_rng((*seed, 1))
    large = np.flatnonzero(areas(scene.labels, scene.parents) >= MIN_AREA)
    large = large[large > 0]
    objects = [int(label) for label in rng.permutation(large)[:OBJECTS_PER_PICTURE]]
    points = [interior_point(rng, true_mask(scene.labels, scene.parents, label)) for label in objects]
    return Case(kind, scene, objects, points)
