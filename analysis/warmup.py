"""Compiles every kernel of the analysis before the first request: seconds on a fresh machine, then from a cache."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.analyze import analyze
from analysis.export.formats import EXPORTS, Source, export
from analysis.masks.read import read_masks
from analysis.rules.read import resolve_rules
from analysis.scale import read_scale

SIZE = (24, 24)


@dataclass(frozen=True, slots=True)
class _Samples:
    samples: NDArray[Any]
    valid: NDArray[np.bool_]


@cache
def warm_up() -> None:
    """Runs all compiled code once in this process, on masks of a few pixels."""
    ring = [[[5, 5], [19, 5], [19, 19], [5, 19]], [[9, 9], [9, 15], [15, 15], [15, 9]]]
    squares = [[[[x, y], [x + 3, y], [x + 3, y + 3], [x, y + 3]]] for x, y in ((1, 1), (10, 10), (20, 1), (1, 20))]
    values: list[Any] = [[ring], *([one] for one in squares), squares[:2]]
    masks = read_masks(values, SIZE)
    read_masks([{"size": list(SIZE), "counts": masks.rle(0).counts}], SIZE)
    picture = _Samples(np.zeros(SIZE, np.uint8), np.ones(SIZE, np.bool_))
    rules = resolve_rules("cells_in_droplets", {"edge": None, "filters": None, "groups": {"count": "auto"}})
    result = analyze(masks, rules=rules, picture=picture)
    for method in ("otsu", "quantiles"):
        analyze(masks, rules=resolve_rules("none", {"groups": {"method": method, "count": 2}}), picture=picture)
    for dtype in (np.uint16, np.float32, np.float64):
        analyze(masks, picture=_Samples(np.zeros(SIZE, dtype), picture.valid), scale=read_scale(1.0, "um"))
    for name in EXPORTS:
        if name != "archive":
            export(result, name, Source(pixels=np.zeros((*SIZE, 3), np.uint8)))
