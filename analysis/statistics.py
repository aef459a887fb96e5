"""Statistics of columns of numbers. Knows no objects."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_CLASSES = 20


def statistics(values: NDArray[np.float64]) -> dict[str, float | int | None]:
    """Count, mean, median, standard deviation, CV, extremes and percentiles of the values that are defined.

    std is the sample's, divided by count - 1 as spreadsheets, pandas and ImageJ do: None below two values. cv is
    std / mean in per cent. d10, d50 and d90 are percentiles by number, linear between values. None where there is no
    value.
    """
    defined = values[np.isfinite(values)]
    if not len(defined):
        return {"count": 0, **dict.fromkeys(("mean", "median", "std", "cv", "min", "max", "d10", "d50", "d90"))}
    mean = float(defined.mean())
    std = float(defined.std(ddof=1)) if len(defined) > 1 else None
    d10, d50, d90 = (float(one) for one in np.percentile(defined, (10, 50, 90)))
    return {
        "count": len(defined),
        "mean": mean,
        "median": float(np.median(defined)),
        "std": std,
        "cv": 100 * std / mean if std is not None and mean else None,
        "min": float(defined.min()),
        "max": float(defined.max()),
        "d10": d10,
        "d50": d50,
        "d90": d90,
    }


def size_distribution(diameters: NDArray[np.float64], areas: NDArray[np.float64]) -> dict[str, Any]:
    """D10, D50, D90 and span, by number and weighted by area, and size classes.

    Weighted by area, D50 is the diameter below which half of the objects' area lies. span = (D90 - D10) / D50.
    """
    if not len(diameters):
        return {"number": None, "area_weighted": None, "size_classes": []}
    order = np.argsort(diameters, kind="stable")
    by_number = np.percentile(diameters, (10, 50, 90))
    share = np.cumsum(areas[order]) / areas.sum()
    by_area = diameters[order][np.minimum(np.searchsorted(share, (0.1, 0.5, 0.9)), len(order) - 1)]
    return {
        "number": _quantiles(by_number),
        "area_weighted": _quantiles(by_area),
        "size_classes": size_classes(diameters, areas),
    }


def size_classes(diameters: NDArray[np.float64], areas: NDArray[np.float64]) -> list[Mapping[str, float | int]]:
    """A histogram over diameters with round limits: at most `MAX_CLASSES` classes of one width."""
    if not len(diameters):
        return []
    limits = class_limits(diameters)
    places = np.clip(np.searchsorted(limits, diameters, side="right") - 1, 0, len(limits) - 2)
    counts = np.bincount(places, minlength=len(limits) - 1)
    covered = np.bincount(places, areas, minlength=len(limits) - 1)
    return [
        {
            "from": float(limits[index]),
            "to": float(limits[index + 1]),
            "count": int(counts[index]),
            "share": float(counts[index] / len(diameters)),
            "area_share": float(covered[index] / areas.sum()),
        }
        for index in range(len(limits) - 1)
    ]


def class_limits(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Limits of classes of one round width (1, 2 or 5 times a power of ten) that cover all values."""
    low, high = float(values.min()), float(values.max())
    # About as many classes as Sturges' rule gives.
    wanted = min(MAX_CLASSES - 1, max(1, int(np.ceil(np.log2(len(values)) + 1))))
    raw = (high - low) / wanted or max(abs(high), 1.0) / 10
    power = 10.0 ** np.floor(np.log10(raw))
    width = next(step * power for step in (1, 2, 5, 10) if step * power >= raw * (1 - 1e-9))
    first, last = np.floor(low / width), np.floor(high / width) + 1
    limits: NDArray[np.float64] = np.arange(first, last + 1) * width
    return limits


def _quantiles(values: NDArray[np.float64]) -> dict[str, float | None]:
    d10, d50, d90 = (float(value) for value in values)
    return {"d10": d10, "d50": d50, "d90": d90, "span": (d90 - d10) / d50 if d50 else None}
