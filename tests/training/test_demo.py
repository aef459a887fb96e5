"""The committed weights: what the manifest says of them, and that they find coins."""

import hashlib

import pytest

from segmentation.weights.manifest import PROJECT_ROOT, find_model, load_manifest
from training.coins import FOUND, coins_by_point, reference_masks
from training.evaluate import load_demo

WEIGHTS = PROJECT_ROOT / "model" / "sam_demo.pth"


def test_reference_masks_are_the_24_coins() -> None:
    masks = reference_masks()
    assert len(masks) == 24
    assert masks.sum(0).max() == 1


def test_weights_are_those_of_the_manifest() -> None:
    model = find_model("demo", load_manifest())
    content = WEIGHTS.read_bytes()
    assert (len(content), hashlib.sha256(content).hexdigest()) == (model.bytes, model.sha256)


def test_a_point_on_each_coin_returns_it() -> None:
    found = coins_by_point(load_demo(WEIGHTS))
    assert sum(value >= FOUND for value in found) >= 20, pytest.approx(found)
