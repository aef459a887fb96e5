"""What every cache does: bounded in bytes, least recently used first out."""

import numpy as np

from deployments.calls.messages import PictureFile
from deployments.replicas.caches.byte_lru import ByteLru
from deployments.replicas.caches.cached_image import CachedImage


def image(kilobytes: int, file: int = 0) -> CachedImage:
    embedding = np.zeros((1, 1, 250 * kilobytes), np.float32)
    return CachedImage(embedding, (1, 1), PictureFile(b"x" * 1000 * file) if file else None)


def test_the_least_recently_used_goes_first() -> None:
    cache: ByteLru[CachedImage] = ByteLru(3000)
    for key in "abc":
        cache.put(key, image(1))
    cache.get("a")
    cache.put("d", image(1))
    assert [key for key in "abcd" if cache.get(key)] == ["a", "c", "d"]
    assert (cache.nbytes, cache.evictions) == (3000, 1)


def test_the_picture_counts_beside_its_embedding() -> None:
    cache: ByteLru[CachedImage] = ByteLru(3000)
    cache.put("a", image(1, file=1))
    assert cache.nbytes == 2000
    cache.put("b", image(1, file=1))
    assert cache.get("a") is None


def test_a_second_value_under_a_key_takes_the_first_ones_place() -> None:
    cache: ByteLru[CachedImage] = ByteLru(3000)
    cache.put("a", image(1))
    cache.put("a", image(2))
    assert (len(cache), cache.nbytes, cache.evictions) == (1, 2000, 0)


def test_what_is_larger_than_the_bound_is_not_held_and_costs_nobody_a_place() -> None:
    cache: ByteLru[CachedImage] = ByteLru(3000)
    cache.put("a", image(1))
    cache.put("b", image(4))
    assert cache.get("a")
    assert cache.get("b") is None
    assert cache.nbytes == 1000


def test_a_lower_bound_takes_effect_at_once() -> None:
    cache: ByteLru[CachedImage] = ByteLru(3000)
    for key in "abc":
        cache.put(key, image(1))
    cache.max_bytes = 1500
    assert (len(cache), cache.nbytes) == (1, 1000)
    assert cache.get("c")
