"""Prompts for training, and what each of the decoder's four masks should show for them.

Targets are sets of labels, bool [n, MASKS, LABELS]: a mask shows the pixels whose label is in its set. One point on a
part is ambiguous: masks 1 to 3 then show the innermost owner, a middle one, and the outermost; mask 0 the outermost.
With more to go by (a box, a second point) all four show the same.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import max_pool2d

from training.samples import LABELS, PADDING, Batch
from training.truth import members, owners

MASKS = 4
MIN_PIXELS = 60


@dataclass(frozen=True, slots=True)
class Prompts:
    """`count` prompts for each of b pictures, n = b x count, in pixels of the window.

    `points` float32 [n, k, 2] (x, y), `labels` float32 [n, k] (1, 0), `boxes` float32 [n, 4] or None, `targets` bool
    [n, MASKS, LABELS], `goal` bool [n, LABELS]: the one meant, which later clicks work towards.
    """

    count: int
    points: torch.Tensor | None
    labels: torch.Tensor | None
    boxes: torch.Tensor | None
    targets: torch.Tensor
    goal: torch.Tensor


def draw_prompts(rng: np.random.Generator, batch: Batch, count: int, kind: str) -> Prompts:
    """Prompts of one kind: `point`, `box` or `pair` (two points: two objects, or one without the other)."""
    margin = _away_from_edges(batch.labels).numpy()
    pictures = [_Picture(batch.labels[row].numpy(), margin[row], batch.parents[row]) for row in range(len(margin))]
    drawn = [_DRAW[kind](rng, picture) for picture in pictures for _ in range(count)]
    goals = np.stack([row[2] for row in drawn])
    targets = np.stack([row[3] for row in drawn])
    where = torch.from_numpy(np.asarray([row[0] for row in drawn], np.float32))
    labels = None if kind == "box" else torch.from_numpy(np.asarray([row[1] for row in drawn], np.float32))
    return Prompts(
        count=count,
        points=None if kind == "box" else where,
        labels=labels,
        boxes=where if kind == "box" else None,
        targets=torch.from_numpy(targets),
        goal=torch.from_numpy(goals),
    )


class _Picture:
    """One window's pixels by label."""

    def __init__(self, labels: np.ndarray, margin: np.ndarray, parents: np.ndarray) -> None:
        self.labels, self.parents = labels, parents
        flat = labels.ravel()
        self.order = np.argsort(flat, kind="stable")
        self.starts = np.searchsorted(flat[self.order], np.arange(LABELS + 1))
        sizes = np.diff(self.starts)
        self.objects = [int(label) for label in np.flatnonzero(sizes[:PADDING] >= MIN_PIXELS) if label]
        self.largest = int(sizes[:PADDING].argmax())
        self.inner = margin.ravel()

    def table(self, label: int) -> np.ndarray:
        """Labels of an object and its parts, bool [LABELS]."""
        return members(self.parents, label)

    def pixel(self, rng: np.random.Generator, label: int) -> tuple[float, float]:
        """A random visible pixel (x, y) of that very label, away from edges if any is."""
        pixels = self.order[self.starts[label] : self.starts[label + 1]]
        tries = pixels[rng.integers(len(pixels), size=8)]
        good = tries[self.inner[tries]]
        index = int(good[0] if len(good) else tries[0])
        return index % self.labels.shape[1] + 0.5, index // self.labels.shape[1] + 0.5

    def any_label(self, rng: np.random.Generator) -> int:
        """A random object; what fills most of the window when there is none."""
        return int(rng.choice(self.objects)) if self.objects else self.largest


def _point(rng: np.random.Generator, picture: _Picture) -> tuple:
    """One point: mostly on a random object, else on any pixel."""
    if rng.random() < 0.8 and picture.objects:
        label = picture.any_label(rng)
        x, y = picture.pixel(rng, label)
    else:
        usable = picture.starts[PADDING]
        index = int(picture.order[int(rng.integers(usable))])
        y, x = index // picture.labels.shape[1] + 0.5, index % picture.labels.shape[1] + 0.5
        label = int(picture.labels[int(y), int(x)])
    tables = [picture.table(owner) for owner in owners(picture.parents, label)]
    roles = [tables[-1], tables[0], tables[len(tables) // 2], tables[-1]]
    return [(x, y)], [1.0], tables[int(rng.integers(len(tables)))], np.stack(roles)


def _box(rng: np.random.Generator, picture: _Picture) -> tuple:
    """The box of a random object or of one that contains it, its corners moved by a tenth of its side at most."""
    chain = owners(picture.parents, picture.any_label(rng))
    goal = picture.table(int(rng.choice(chain)))
    mask = goal[picture.labels]
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    corners = np.asarray([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)
    sides = np.tile(corners[2:] - corners[:2], 2)
    corners += np.clip(rng.normal(0, 0.05, 4), -0.1, 0.1) * np.minimum(sides, 150)
    return corners.clip(0, mask.shape[0]), [], goal, np.repeat(goal[None], MASKS, 0)


def _pair(rng: np.random.Generator, picture: _Picture) -> tuple:
    """A point on one object and a point on another: both wanted, or the second not."""
    first = picture.any_label(rng)
    second = picture.any_label(rng)
    chain = owners(picture.parents, second)
    if len(chain) > 1 and (picture.starts[chain[1] + 1] - picture.starts[chain[1]]) >= MIN_PIXELS:
        first = chain[1]
    elif picture.table(second)[first]:
        first, second = second, first
    if first == second:
        second = 0 if picture.starts[1] else first
    wanted = rng.random() < 0.4 or first == second
    apart = picture.table(second) if second else np.arange(LABELS) == 0
    goal = picture.table(first) | apart if wanted else picture.table(first) & ~apart
    points = [picture.pixel(rng, first), picture.pixel(rng, second)]
    return points, [1.0, float(wanted)], goal, np.repeat(goal[None], MASKS, 0)


_DRAW = {"point": _point, "box": _box, "pair": _pair}


def _away_from_edges(labels: torch.Tensor) -> torch.Tensor:
    """Pixels whose 5 x 5 neighbourhood has one label: bool, as `labels` [b, side, side]."""
    values = labels[:, None].float()
    return (max_pool2d(values, 5, 1, 2) == -max_pool2d(-values, 5, 1, 2))[:, 0]
