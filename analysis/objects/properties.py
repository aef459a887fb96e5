"""The table of what is measured: each property's name, unit and definition. Nothing is computed here."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Dimension = Literal["area", "length", "degrees", "count", "ratio", "intensity"]


@dataclass(frozen=True, slots=True)
class Property:
    """One measurement.

    dimension: areas and lengths are given in the scale's unit, and in pixels beside.
    definition: one sentence, as the documents print it.
    """

    name: str
    dimension: Dimension
    definition: str

    @property
    def is_scaled(self) -> bool:
        """Whether it has a unit of length."""
        return self.dimension in ("area", "length")


MEASUREMENTS: Mapping[str, Property] = {
    one.name: one
    for one in (
        Property("area", "area", "Number of mask pixels."),
        Property("equivalent_diameter", "length", "Diameter of the disc with the same area: 2 sqrt(area / pi)."),
        Property(
            "perimeter",
            "length",
            "Length of all outlines, holes included, by the Crofton formula over lines in four directions.",
        ),
        Property("circularity", "ratio", "4 pi area / perimeter^2: 1 for a disc, less for all else."),
        Property("major_axis", "length", "Long axis of the ellipse with the same second moments."),
        Property("minor_axis", "length", "Short axis of the ellipse with the same second moments."),
        Property("aspect_ratio", "ratio", "major_axis / minor_axis; none for a straight line of pixels."),
        Property("orientation", "degrees", "Direction of the major axis, counter-clockwise from the x axis, 0 to 180."),
        Property("feret_max", "length", "Largest distance between two parallel tangents of the convex hull."),
        Property("feret_min", "length", "Smallest distance between two parallel tangents of the convex hull."),
        Property("solidity", "ratio", "area / number of pixels in the convex hull."),
        Property("eccentricity", "ratio", "sqrt(1 - (minor_axis / major_axis)^2): 0 for a disc, towards 1 for a line."),
        Property("extent", "ratio", "area / area of the bounding box."),
        Property("holes", "count", "Number of holes: 4-connected regions of background that the mask encloses."),
    )
}
"""The measurements of an object, in the order in which they are reported. Each is scikit-image's, where it has it."""

INTENSITIES = ("mean", "std", "min", "max", "median")
"""Of each channel, over the valid samples of the mask as they are stored."""

EXTRAS: Mapping[str, Property] = {
    one.name: one
    for one in (
        Property("predicted_iou", "ratio", "The model's own estimate of the mask's quality."),
        Property("stability_score", "ratio", "IoU of the mask at a stricter and at a looser threshold."),
        Property("centroid_x", "count", "x of the centroid, in pixels."),
        Property("centroid_y", "count", "y of the centroid, in pixels."),
        Property("bbox_width", "count", "Width of the bounding box, in pixels."),
        Property("bbox_height", "count", "Height of the bounding box, in pixels."),
        Property("edge_distance", "count", "Pixels between the mask and the nearest side of the picture."),
        Property("parts", "count", "Number of 8-connected parts of the mask."),
        Property("parts_distance", "count", "Largest distance between the centroids of two parts, in pixels."),
        Property("depth", "count", "How many masks the mask lies in."),
        Property("children", "count", "How many masks lie directly in the mask."),
        Property(
            "brightness",
            "ratio",
            "Mean intensity over all channels as a share of the picture's range: 0 to 255 for 8-bit samples, "
            "else from the 0.1 to the 99.9 percentile of the channel.",
        ),
        *(
            Property(
                f"intensity_{name}",
                "intensity",
                f"Intensity: {name}; of several channels, "
                f"{'the smallest' if name == 'min' else 'the largest' if name == 'max' else 'their mean'}. "
                f"`intensity_{name}_0` is of channel 0 alone.",
            )
            for name in INTENSITIES
        ),
    )
}
"""What filters and groups may use besides."""

LATE = frozenset({"depth", "children"})
"""Properties that are known after nesting only."""

SIZES = frozenset(name for name, one in MEASUREMENTS.items() if one.is_scaled)
"""Properties that say how large an object is."""


def property_names(channels: int) -> list[str]:
    """All names that filters and groups may use for a picture with so many channels."""
    names = [*MEASUREMENTS, *(f"{name}_px" for name in SIZES_IN_ORDER), *EXTRAS]
    names += [f"intensity_{name}_{channel}" for channel in range(channels) for name in INTENSITIES]
    return names


SIZES_IN_ORDER = tuple(name for name in MEASUREMENTS if name in SIZES)


def describe(names: Iterable[str]) -> str:
    """The names as an error message lists them."""
    return ", ".join(names)
