"""The rules of an analysis as values, in the order in which they are applied."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from analysis.masks.overlaps import OverlapMeasure

Background = Literal["drop", "keep"]
Keep = Literal["larger", "smaller", "score"]
Method = Literal["kmeans", "otsu", "thresholds", "quantiles"]


@dataclass(frozen=True, slots=True)
class Clean:
    """Fills holes of fewer pixels than `holes`, then removes parts of fewer than `islands`; the largest part stays."""

    holes: float = 0.0
    islands: float = 0.0


@dataclass(frozen=True, slots=True)
class Edge:
    """Masks at most `margin` pixels from a side of the picture are dropped, or only marked."""

    margin: float = 0.0
    action: Literal["drop", "mark"] = "mark"


@dataclass(frozen=True, slots=True)
class Parts:
    """Drops masks with two parts whose centroids are more than `max_distance` pixels apart."""

    max_distance: float = 50.0


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Of two masks whose measure is at least the threshold, one goes."""

    measure: OverlapMeasure = "iou"
    threshold: float = 0.8
    keep: Keep = "larger"


@dataclass(frozen=True, slots=True)
class Filter:
    """Keeps masks whose property is within [min, max]; with a group, only masks of that group are tested."""

    property: str
    min: float | None = None
    max: float | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Nesting:
    """A mask lies in a larger one that covers at least this share of its pixels."""

    threshold: float = 0.9


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups of alike objects.

    by: the properties compared.
    count: how many groups; "auto" chooses by silhouette. `thresholds` makes its own count.
    thresholds: limits between groups of one property, in the scale's unit.
    names: of the groups, smallest first.
    """

    by: tuple[str, ...] = ("equivalent_diameter",)
    method: Method = "kmeans"
    count: int | Literal["auto"] = "auto"
    thresholds: tuple[float, ...] | None = None
    names: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Monodisperse:
    """Drops objects of the largest group whose diameter is above a multiple of its mean, once for each ratio."""

    max_ratio: tuple[float, ...] = (1.3, 1.2)


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules; None leaves one out."""

    background: Background = "keep"
    clean: Clean | None = None
    edge: Edge | None = None
    parts: Parts | None = None
    duplicates: Duplicates | None = None
    filters: tuple[Filter, ...] = ()
    nesting: Nesting | None = None
    groups: Groups | None = None
    monodisperse: Monodisperse | None = None

    def to_json(self) -> dict[str, Any]:
        """The rules as they stand in requests and answers."""
        document = asdict(self)
        document["filters"] = [{key: v for key, v in one.items() if v is not None} for one in document["filters"]]
        if self.groups is not None:
            document["groups"] = {key: _plain(v) for key, v in asdict(self.groups).items() if v is not None}
        if self.monodisperse is not None:
            document["monodisperse"] = {"max_ratio": list(self.monodisperse.max_ratio)}
        return document

    def with_values(self, values: Mapping[str, Any]) -> "Rules":
        """The same with other rules in the place of some."""
        return replace(self, **values)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
