"""Masks as the server answers them, and prompts as it takes them."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Union

import numpy as np
from numpy.typing import NDArray

from client import polygon, rle
from client.errors import InvalidArgument
from client.rle import Rle

MaskInput = Union["Mask", NDArray[np.floating]]
MaskLike = Union["Mask", Rle, NDArray[Any], Mapping[str, Any]]


@dataclass(frozen=True)
class Mask:
    """One mask of a picture, in pixels of the upright picture.

    rle: COCO's compressed run-length encoding. bbox: (x, y, width, height), the pixel extent. area: pixels.
    predicted_iou: the model's own estimate of the mask's IoU with the object.
    stability_score: IoU of the mask at two thresholds of the logits.
    logits: float32 [S, S], for refinement by `mask_input`, where it was asked for.
    point_coords, crop_box: the prompt and the crop (x, y, width, height) that gave the mask; automatic masks only.
    """

    rle: Rle
    bbox: tuple[int, int, int, int]
    area: int
    predicted_iou: float | None = None
    stability_score: float | None = None
    logits: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    point_coords: tuple[tuple[float, float], ...] | None = None
    crop_box: tuple[int, int, int, int] | None = None

    @cached_property
    def array(self) -> NDArray[np.bool_]:
        """bool [H, W] of the whole picture; made once, read-only."""
        mask = rle.decode(self.rle)
        mask.flags.writeable = False
        return mask

    @cached_property
    def polygon(self) -> list[list[polygon.Ring]]:
        """The coordinates of a GeoJSON MultiPolygon along the corners of pixels, holes as inner rings."""
        return polygon.trace(self.array)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Mask":
        """A mask of an answer; fields that this version does not know are left out."""
        segmentation = document["segmentation"]
        height, width = segmentation["size"]
        logits, points, crop = (document.get(name) for name in ("logits", "point_coords", "crop_box"))
        return cls(
            rle=Rle((int(height), int(width)), str(segmentation["counts"])),
            bbox=_box(document["bbox"]),
            area=int(document["area"]),
            predicted_iou=_number(document.get("predicted_iou")),
            stability_score=_number(document.get("stability_score")),
            logits=None if logits is None else _from_npy(logits),
            point_coords=None if points is None else tuple((float(x), float(y)) for x, y in points),
            crop_box=None if crop is None else _box(crop),
        )


@dataclass(frozen=True)
class Prompt:
    """What to look for: at least one of points, box and mask_input.

    points: (x, y) each. labels: one per point, 1 foreground (the default) or 0 background. box: (x0, y0, x1, y1).
    mask_input: a mask that was asked for with `return_logits=True`, or its logits, float32 [S, S].
    """

    points: Sequence[Sequence[float]] | NDArray[Any] | None = None
    labels: Sequence[int] | NDArray[Any] | None = None
    box: Sequence[float] | NDArray[Any] | None = None
    mask_input: MaskInput | None = None

    def to_json(self) -> dict[str, Any]:
        """As `/segment` takes it.

        Raises:
            InvalidArgument: nothing given, or a mask without logits.
        """
        given: dict[str, Any] = {}
        for name, value in (("points", self.points), ("labels", self.labels), ("box", self.box)):
            if value is not None:
                given[name] = np.asarray(value).tolist()
        if self.mask_input is not None:
            given["mask_input"] = _to_npy(self.mask_input)
        if not given.keys() - {"labels"}:
            raise InvalidArgument("a prompt needs at least one of points, box and mask_input")
        return given


def mask_json(mask: MaskLike) -> Any:
    """A mask of any kind as a `segmentation` of a request."""
    if isinstance(mask, Mask):
        return mask.rle.to_json()
    if isinstance(mask, Rle):
        return mask.to_json()
    if isinstance(mask, np.ndarray):
        if mask.ndim != 2:
            raise InvalidArgument(f"the array of a mask has the shape (height, width), not {mask.shape}")
        return rle.encode(mask).to_json()
    return mask


def _box(values: Sequence[Any]) -> tuple[int, int, int, int]:
    x, y, width, height = (int(value) for value in values)
    return x, y, width, height


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _from_npy(text: str) -> NDArray[np.float32]:
    array: NDArray[np.float32] = np.load(io.BytesIO(base64.b64decode(text)), allow_pickle=False)
    return array


def _to_npy(source: MaskInput) -> str:
    logits = source.logits if isinstance(source, Mask) else source
    if logits is None:
        raise InvalidArgument("this mask has no logits: ask for it with return_logits=True")
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(logits).astype("<f4"), allow_pickle=False)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
