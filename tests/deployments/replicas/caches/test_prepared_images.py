"""What a decoder replica keeps: one preparation per picture, the newest pictures only, bounded in bytes."""

import numpy as np
from numpy.typing import NDArray

from deployments.replicas.caches.prepared_images import PreparedImages
from segmentation.backends.protocol import PreparedImage

ROOM = 1_000_000


class Preparing:
    """Remembers what it was asked to prepare; makes work of three times the embedding's bytes."""

    def __init__(self) -> None:
        self.seen: list[NDArray[np.float32]] = []

    def __call__(self, embedding: NDArray[np.float32]) -> PreparedImage:
        self.seen.append(embedding)
        return PreparedImage(embedding, {"keys": embedding + 1, "values": np.tile(embedding, 2)})


def embedding(value: float) -> NDArray[np.float32]:
    return np.full((1, 2, 2), value, np.float32)


def prepared(images: PreparedImages, key: str, value: NDArray[np.float32]) -> PreparedImage:
    return images.prepare(key, value, (60, 120)).image


def test_a_picture_is_prepared_once() -> None:
    preparing = Preparing()
    images = PreparedImages(preparing, ROOM)
    first = prepared(images, "a", embedding(1))
    assert prepared(images, "a", embedding(1)) is first
    kept = images.get("a")
    assert kept is not None
    assert (kept.image, kept.size) == (first, (60, 120))
    assert images.get("b") is None
    assert len(preparing.seen) == 1


def test_what_was_prepared_counts_beside_the_embedding_and_the_least_recently_used_goes_first() -> None:
    preparing = Preparing()
    images = PreparedImages(preparing, 2 * 4 * embedding(0).nbytes)
    for key in "abac":
        prepared(images, key, embedding(ord(key)))
    prepared(images, "a", embedding(ord("a")))
    assert len(preparing.seen) == 3
    prepared(images, "b", embedding(ord("b")))
    assert len(preparing.seen) == 4


def test_the_bound_can_change_and_a_picture_beyond_it_still_has_its_answer() -> None:
    preparing = Preparing()
    images = PreparedImages(preparing, ROOM)
    prepared(images, "a", embedding(1))
    images.max_bytes = 1
    for _ in range(2):
        assert np.all(prepared(images, "a", embedding(1)).work["keys"] == 2)
    assert len(preparing.seen) == 3


def test_what_is_kept_is_no_view() -> None:
    shared = embedding(1)
    kept = prepared(PreparedImages(Preparing(), ROOM), "a", shared)
    shared[:] = 9
    assert np.all(kept.embedding == 1)
