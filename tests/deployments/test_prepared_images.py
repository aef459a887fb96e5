"""What a decoder replica keeps: one preparation per picture, the newest pictures only."""

import numpy as np
from numpy.typing import NDArray

from deployments.prepared_images import PreparedImages
from segmentation.backends.protocol import PreparedImage


class Preparing:
    """Remembers what it was asked to prepare."""

    def __init__(self) -> None:
        self.seen: list[NDArray[np.float32]] = []

    def __call__(self, embedding: NDArray[np.float32]) -> PreparedImage:
        self.seen.append(embedding)
        return PreparedImage(embedding, {})


def embedding(value: float) -> NDArray[np.float32]:
    return np.full((1, 2, 2), value, np.float32)


def test_a_picture_is_prepared_once() -> None:
    preparing = Preparing()
    images = PreparedImages(preparing)
    first = images.get("a", embedding(1))
    assert images.get("a", embedding(1)) is first
    assert len(preparing.seen) == 1


def test_the_least_recently_used_goes_first() -> None:
    preparing = Preparing()
    images = PreparedImages(preparing, max_images=2)
    for key in "abac":
        images.get(key, embedding(ord(key)))
    images.get("a", embedding(ord("a")))
    assert len(preparing.seen) == 3
    images.get("b", embedding(ord("b")))
    assert len(preparing.seen) == 4


def test_what_is_kept_is_no_view() -> None:
    shared = embedding(1)
    kept = PreparedImages(Preparing()).get("a", shared)
    shared[:] = 9
    assert np.all(kept.embedding == 1)
