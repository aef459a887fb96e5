"""The answer of `/analyze`: objects, groups and a summary, as plain values and as a table."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from client.masks import Mask

if TYPE_CHECKING:
    import pandas as pd

A = TypeVar("A", bound="AnalysisResult")


@dataclass(frozen=True)
class AnalysisObject:
    """One object of a picture.

    id: from 1, the largest first. centroid: (x, y). group, label: of its group, or None. parent, children: ids of the
        objects that it lies in and that lie in it; depth counts the former. touches_edge: of the picture.
    measurements: by name, lengths and areas in the unit of the analysis' `scale`; `measurements_px` in pixels.
    """

    id: int
    mask: Mask
    centroid: tuple[float, float]
    group: Any
    label: Any
    parent: int | None
    children: tuple[int, ...]
    depth: int
    touches_edge: bool
    measurements: Mapping[str, Any]
    measurements_px: Mapping[str, Any]

    @property
    def bbox(self) -> tuple[int, int, int, int]:
        """(x, y, width, height), the pixel extent."""
        return self.mask.bbox

    @property
    def predicted_iou(self) -> float | None:
        """The model's own estimate; None for masks that came with the request."""
        return self.mask.predicted_iou

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "AnalysisObject":
        """An object of an answer."""
        pixels = document.get("measurements_px") or document["measurements"].get("measurements_px") or {}
        measurements = {name: value for name, value in document["measurements"].items() if name != "measurements_px"}
        x, y = document["centroid"]
        return cls(
            id=int(document["id"]),
            mask=Mask.from_json({"area": pixels.get("area", measurements["area"]), **document}),
            centroid=(float(x), float(y)),
            group=document.get("group"),
            label=document.get("label"),
            parent=document.get("parent"),
            children=tuple(document.get("children") or ()),
            depth=int(document.get("depth") or 0),
            touches_edge=bool(document.get("touches_edge")),
            measurements=measurements,
            measurements_px=pixels,
        )


@dataclass(frozen=True)
class AnalysisResult:
    """What `/analyze` found.

    size: (height, width). scale: the unit of the measurements, or None for pixels. groups: name, count, share and
        statistics of each. dropped: how many masks each rule left out. rules: as the server resolved them.
    document: the whole answer as it came.
    """

    objects: list[AnalysisObject]
    groups: list[Mapping[str, Any]]
    summary: Mapping[str, Any]
    size: tuple[int, int]
    scale: Mapping[str, Any] | None
    dropped: list[Mapping[str, Any]]
    rules: Mapping[str, Any]
    document: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_json(cls: type[A], document: Mapping[str, Any], **more: Any) -> A:
        """The answer of `/analyze` in its format `json`. `more` are the fields that a subclass adds."""
        height, width = document["size"]
        return cls(
            objects=[AnalysisObject.from_json(entry) for entry in document["objects"]],
            groups=list(document.get("groups") or ()),
            summary=document.get("summary") or {},
            size=(int(height), int(width)),
            scale=document.get("scale"),
            dropped=list(document.get("dropped") or ()),
            rules=document.get("rules") or {},
            document=document,
            **more,
        )

    @property
    def masks(self) -> list[Mask]:
        """The objects' masks, in their order."""
        return [entry.mask for entry in self.objects]

    def rows(self) -> list[dict[str, Any]]:
        """One flat row an object: what a table holds. Intensities have a column for each channel."""
        return [_row(entry) for entry in self.objects]

    def to_pandas(self) -> "pd.DataFrame":
        """One row an object, `id` as the index. Needs pandas, which the client does not install."""
        import pandas as pd  # noqa: PLC0415 - optional

        rows = self.rows()
        return pd.DataFrame(rows).set_index("id") if rows else pd.DataFrame()


def _row(entry: AnalysisObject) -> dict[str, Any]:
    x, y, width, height = entry.bbox
    row: dict[str, Any] = {
        "id": entry.id, "group": entry.group, "label": entry.label, "x": x, "y": y, "width": width, "height": height,
        "centroid_x": entry.centroid[0], "centroid_y": entry.centroid[1], "parent": entry.parent, "depth": entry.depth,
        "touches_edge": entry.touches_edge, "predicted_iou": entry.predicted_iou,
        "stability_score": entry.mask.stability_score,
    }  # fmt: skip
    for name, value in entry.measurements.items():
        row.update(_columns(name, value))
    return row


def _columns(name: str, value: Any) -> dict[str, Any]:
    """A measurement as columns: nested ones by joined names, lists with the channel's number."""
    if isinstance(value, Mapping):
        return {key: cell for part, inner in value.items() for key, cell in _columns(f"{name}_{part}", inner).items()}
    if isinstance(value, list):
        return _columns(name, {str(index): inner for index, inner in enumerate(value)})
    return {name: value}
