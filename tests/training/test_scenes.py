"""The generator: the same seed gives the same picture, and labels mean what they say."""

import numpy as np
import pytest

from training.heldout import make_case
from training.scenes import KINDS, MAX_OBJECTS, SIDE, make_scene
from training.truth import MIN_AREA, areas, owners, true_mask


@pytest.mark.parametrize("kind", KINDS)
def test_scene_is_decided_by_its_seed(kind: str) -> None:
    first, second, other = (make_scene(seed, kind) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.labels, second.labels)
    assert (first.image != other.image).any()


@pytest.mark.parametrize("kind", KINDS)
def test_scene_has_visible_objects(kind: str) -> None:
    for seed in range(3):
        scene = make_scene(seed, kind)
        assert scene.image.shape == (SIDE, SIDE, 3)
        assert scene.image.dtype == np.uint8
        assert scene.parents.shape == (MAX_OBJECTS + 1,)
        assert areas(scene.labels, scene.parents)[1:].max() >= MIN_AREA


def test_parts_lie_inside_what_contains_them() -> None:
    scene = make_scene(5, "nested")
    parts = np.flatnonzero(scene.parents)
    assert len(parts) > 0
    for part in parts:
        chain = owners(scene.parents, int(part))
        whole = true_mask(scene.labels, scene.parents, chain[-1])
        assert not (true_mask(scene.labels, scene.parents, int(part)) & ~whole).any()


def test_held_out_points_lie_on_their_objects() -> None:
    case = make_case("touching", (7, 7))
    assert case.objects
    for label, (x, y) in zip(case.objects, case.points, strict=True):
        assert true_mask(case.scene.labels, case.scene.parents, label)[y, x]
