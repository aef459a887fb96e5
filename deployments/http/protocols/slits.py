"""A polygon with holes as one ring: a slit leads from each hole to the outline, or to another hole."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Points: TypeAlias = NDArray[np.float64]
"""(x, y) of points, [N, 2]."""


@dataclass(frozen=True, slots=True)
class Protected:
    """A ring whose first point is not repeated, and the indices of points that a simplification must keep."""

    points: Points
    kept: NDArray[np.int64]


Simplify: TypeAlias = Callable[[Protected], NDArray[np.bool_]]
"""Which points of a ring are left, [N]; the kept ones are among them."""


@dataclass(frozen=True, slots=True)
class _Slit:
    """A slit to the west of a hole, along the middle of a row of pixels.

    hole: index of the hole's ring; its side there starts at point `side` and goes down.
    target, target_side: the ring that the slit ends at, and its side, which goes up.
    """

    hole: int
    side: int
    target: int
    target_side: int
    y: float


def joined(rings: Sequence[Points], half_width: float, simplify: Simplify) -> Points:
    """The rings as one.

    Args:
        rings: the outline and its holes, with sides along the axes and corners near those of pixels. Each has the
            inside at the right hand of its direction, with y pointing down. The first point is not repeated.
        half_width: of the slits.
        simplify: applied to each ring before they are joined.
    """
    if len(rings) == 1:
        (ring,) = rings
        return ring[simplify(Protected(ring, np.empty(0, np.int64)))]
    leading_from: dict[int, _Slit] = {}
    ending_at: defaultdict[int, list[_Slit]] = defaultdict(list)
    for slit in _slits(rings):
        leading_from[slit.hole] = slit
        ending_at[slit.target].append(slit)
    opened = [
        _opened(ring, leading_from.get(index), ending_at[index], half_width, simplify)
        for index, ring in enumerate(rings)
    ]
    return np.concatenate(_walk(opened))


def apart(rings: Sequence[Points]) -> list[Points]:
    """Rings of one part that meet at corners as rings that do not, the outline first.

    Two that meet at a corner become one, which goes around the pixels there instead of between them.
    """
    if len(rings) == 1:
        return list(rings)
    corners = np.concatenate(rings)
    _, places, counts = np.unique(corners, axis=0, return_inverse=True, return_counts=True)
    if counts.max() == 1:
        return list(rings)
    following = np.arange(1, len(corners) + 1)
    ends = np.cumsum([len(ring) for ring in rings])
    following[ends - 1] = np.concatenate(([0], ends[:-1]))
    twice = np.flatnonzero(counts[places.ravel()] == 2)
    pairs = twice[places.ravel()[twice].argsort(kind="stable")].reshape(-1, 2)
    following[pairs] = following[pairs[:, ::-1]]
    successors, seen = following.tolist(), np.zeros(len(corners), np.bool_)
    found = []
    for start in (0, *ends[:-1].tolist()):
        if not seen[start]:
            ring = [start]
            while (index := successors[ring[-1]]) != start:
                ring.append(index)
            seen[ring] = True
            found.append(corners[ring])
    return found


@dataclass(frozen=True, slots=True)
class _Opened:
    """A simplified ring that begins and ends at its own slit.

    branches: (index of a point, the hole whose slit ends after that point), in order.
    """

    points: Points
    branches: tuple[tuple[int, int], ...]


def _slits(rings: Sequence[Points]) -> list[_Slit]:
    """A slit for each hole: from its westernmost side to the next side in the west."""
    width = int(max(ring[:, 0].max() for ring in rings)) + 2
    keys, owners = [], []
    for index, ring in enumerate(rings):
        ends = np.roll(ring, -1, axis=0)
        rising = np.flatnonzero(ends[:, 1] < ring[:, 1] - 0.5)  # the inside is in the east
        top, bottom = np.round(ends[rising, 1]).astype(np.int64), np.round(ring[rising, 1]).astype(np.int64)
        counts = bottom - top
        rows = np.repeat(top, counts) + np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
        x = np.repeat(np.round(ring[rising, 0]).astype(np.int64), counts)
        keys.append(rows * width + x)
        owners.append(np.stack((np.full(len(rows), index), np.repeat(rising, counts)), axis=1))
    all_keys, all_owners = np.concatenate(keys), np.concatenate(owners)
    order = all_keys.argsort()
    all_keys, all_owners = all_keys[order], all_owners[order]
    slits = []
    for index in range(1, len(rings)):
        ring = rings[index]
        sinking = np.roll(ring, -1, axis=0)[:, 1] > ring[:, 1] + 0.5
        side = int(np.where(sinking, ring[:, 0], np.inf).argmin())
        x, row = (round(value) for value in ring[side].tolist())
        nearest = int(np.searchsorted(all_keys, row * width + x, side="right")) - 1
        target, target_side = all_owners[nearest].tolist()
        slits.append(_Slit(index, side, target, target_side, row + 0.5))
    return slits


def _opened(
    ring: Points,
    own: _Slit | None,
    ending: Sequence[_Slit],
    half_width: float,
    simplify: Simplify,
) -> _Opened:
    """The ring with the ends of slits among its points."""
    after: defaultdict[int, list[tuple[float, int]]] = defaultdict(list)
    for slit in ending:
        after[slit.target_side].append((-slit.y, slit.hole))
    points: list[list[float]] = []
    kept: list[int] = []
    holes: list[tuple[int, int]] = []
    start = 0 if own is None else own.side + 1
    corners = ring.tolist()
    corners = corners[start:] + corners[:start]
    if own is not None:
        kept.append(0)
        points.append([corners[-1][0], own.y + half_width])
    position = 0
    for index in sorted(after, key=lambda side: (side - start) % len(corners)):
        step = (index - start) % len(corners)
        points += corners[position : step + 1]
        position = step + 1
        for minus_y, hole in sorted(after[index]):
            x = corners[step][0]
            kept += [len(points), len(points) + 1]
            holes.append((len(points), hole))
            points += [[x, -minus_y + half_width], [x, -minus_y - half_width]]
    points += corners[position:]
    if own is not None:
        kept.append(len(points))
        points.append([corners[-1][0], own.y - half_width])
    whole = np.array(points, np.float64)
    chosen = simplify(Protected(whole, np.array(kept, np.int64)))
    places = chosen.cumsum() - 1
    return _Opened(whole[chosen], tuple((int(places[place]), hole) for place, hole in holes))


def _walk(opened: Sequence[_Opened]) -> list[Points]:
    """The pieces of the ring from the outline on: a hole's points follow the point at which its slit begins."""
    pieces: list[Points] = []
    waiting: list[tuple[int, int, int]] = [(0, 0, 0)]
    while waiting:
        index, begin, branch = waiting.pop()
        ring = opened[index]
        if branch == len(ring.branches):
            pieces.append(ring.points[begin:])
            continue
        place, hole = ring.branches[branch]
        pieces.append(ring.points[begin : place + 1])
        waiting += [(index, place + 1, branch + 1), (hole, 0, 0)]
    return pieces
