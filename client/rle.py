"""COCO's compressed run-length encoding in numpy alone. Equal to pycocotools' `mask.encode` and `mask.decode`."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

GROUP_BITS = 5
MORE, SIGN, ASCII_ZERO = 32, 16, 48
MAX_GROUPS = 7
"""A count and a difference of counts have at most 32 bits and a sign."""


@dataclass(frozen=True)
class Rle:
    """One mask. size: (height, width). counts: the compressed run lengths of its columns, ASCII."""

    size: tuple[int, int]
    counts: str

    def to_json(self) -> dict[str, Any]:
        """As COCO and the server write it."""
        return {"size": list(self.size), "counts": self.counts}


def decode(rle: Rle) -> NDArray[np.bool_]:
    """The mask, bool [H, W].

    Raises:
        ValueError: the run lengths do not fill the size.
    """
    height, width = rle.size
    counts = run_lengths(rle.counts)
    if int(counts.sum()) != height * width or (counts < 0).any():
        raise ValueError(f"the run lengths do not fill a mask of {width} x {height} pixels")
    inside = np.arange(len(counts)) % 2 == 1
    mask: NDArray[np.bool_] = np.repeat(inside, counts).reshape(width, height).T
    return mask


def encode(mask: NDArray[Any]) -> Rle:
    """The encoding of a mask [H, W], where not zero."""
    flat = np.asarray(mask).astype(bool).T.ravel()
    edges = np.flatnonzero(np.diff(flat, prepend=False))
    counts = np.diff(np.concatenate([[0], edges, [flat.size]]))
    if len(counts) > 1 and counts[-1] == 0:
        counts = counts[:-1]
    values = counts.astype(np.int64)
    values[3:] -= counts[1:-2]
    return Rle((int(mask.shape[0]), int(mask.shape[1])), _characters(values))


def run_lengths(text: str) -> NDArray[np.int64]:
    """The lengths of alternating runs, background first: `rleFrString` of cocoapi's maskApi.c."""
    groups = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64) - ASCII_ZERO
    if not groups.size:
        return np.zeros(0, np.int64)
    last = (groups & MORE) == 0
    ends = np.flatnonzero(last)
    starts = np.concatenate([[0], ends[:-1] + 1])
    shifts = GROUP_BITS * (np.arange(len(groups)) - np.repeat(starts, ends - starts + 1))
    values = np.add.reduceat((groups & (MORE - 1)) << shifts, starts)
    negative = (groups[ends] & SIGN) != 0
    values[negative] -= np.int64(1) << (GROUP_BITS * (ends - starts + 1)[negative])
    # Counts after the third are differences from the one two before.
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def _characters(values: NDArray[np.int64]) -> str:
    """`rleToString`: groups of five bits, lowest first, each with a bit that says whether more follow."""
    table = np.zeros((len(values), MAX_GROUPS), np.uint8)
    rest = values.copy()
    active = np.ones(len(values), bool)
    for column in range(MAX_GROUPS):
        group = rest & (MORE - 1)
        rest >>= GROUP_BITS
        more = rest != np.where(group & SIGN, -1, 0)
        table[active, column] = (group + np.where(more, MORE, 0) + ASCII_ZERO)[active]
        active &= more
        if not active.any():
            break
    return table[table > 0].tobytes().decode("ascii")
