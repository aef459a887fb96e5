"""Candidates of point grids that were decoded, so that the same grid with stricter thresholds needs no decoder.

They live with the picture's owner, the encoder replica that its id is routed to: there every ingress replica finds
them, in one call for all crops of a run, and ingress and grid replicas stay without state. They have a bound of their
own and are not evicted with the picture: a picture that is sent again, after its embedding went, needs neither encoder
nor decoder. Ids are hashes that include the API key, so nobody is answered from another's grids.

Knows neither Ray nor a runtime.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deployments.replicas.caches.byte_lru import ByteLru
from segmentation.automatic.candidates import Candidates, concatenate
from segmentation.automatic.grid import Crop
from segmentation.automatic.thresholds import Thresholds, passing

LARGEST_SHARE = 4
"""One crop's candidates take at most this part of the cache, so that one huge grid does not push out all others."""

_STRING_BYTES = 64
"""A str's own, beside its characters, and its place in the tuple."""


def grid_key(crop: Crop, stability_score_offset: float) -> str:
    """The key of one crop's grid: a hash of all that its candidates depend on beside the picture and the thresholds."""
    digest = hashlib.sha256(np.array(crop.box, np.int64).tobytes())
    digest.update(np.float64(stability_score_offset).tobytes())
    digest.update(np.ascontiguousarray(crop.points, np.float64).tobytes())
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class _CachedCandidates:
    candidates: Candidates
    thresholds: Thresholds

    @property
    def nbytes(self) -> int:
        columns = self.candidates
        arrays = (columns.boxes, columns.predicted_iou, columns.stability_score)
        more = (columns.points, columns.areas, columns.crop_boxes)
        return sum(len(text) + _STRING_BYTES for text in columns.counts) + sum(one.nbytes for one in (*arrays, *more))


class CandidateCache:
    """Candidates before any suppression of duplicates, by picture and grid. Belongs to one thread."""

    def __init__(self, max_bytes: int) -> None:
        self._held: ByteLru[_CachedCandidates] = ByteLru(max_bytes)

    @property
    def nbytes(self) -> int:
        return self._held.nbytes

    @property
    def max_bytes(self) -> int:
        return self._held.max_bytes

    def get(self, image_id: str, grid: str, thresholds: Thresholds) -> Candidates | None:
        """What passes these thresholds, or None where only the decoder can tell."""
        held = self._held.get(f"{image_id}.{grid}")
        if held is None or not held.thresholds.covers(thresholds):
            return None
        return passing(held.candidates, thresholds)

    def put(self, image_id: str, grid: str, thresholds: Thresholds, shards: Sequence[Candidates]) -> None:
        """Holds the shards of a whole grid, in order, unless more of it is held already."""
        key = f"{image_id}.{grid}"
        held = self._held.get(key)
        if held is not None and held.thresholds.covers(thresholds):
            return
        new = _CachedCandidates(
            concatenate(shards), thresholds
        )  # a copy: views would keep objects in Ray's shared memory
        if new.nbytes * LARGEST_SHARE <= self._held.max_bytes:
            self._held.put(key, new)
