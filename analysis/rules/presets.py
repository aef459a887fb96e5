"""Named sets of rules, each with its reason."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from analysis.rules.parameters import Clean, Duplicates, Edge, Filter, Groups, Monodisperse, Nesting, Parts, Rules

DEFAULT = "objects"


@dataclass(frozen=True, slots=True)
class Preset:
    """A named set of rules."""

    name: str
    description: str
    reasons: Mapping[str, str]
    rules: Rules

    def to_json(self) -> dict[str, Any]:
        """The preset as `GET /analyze/presets` lists it."""
        return {
            "name": self.name,
            "description": self.description,
            "reasons": dict(self.reasons),
            "rules": self.rules.to_json(),
        }


_TWO_SIZES = Groups(count=2, names=("small", "large"))
_MEDIUM = "The medium between droplets is no droplet."
_CELL_IN_DROPLET = "By IoU: a cell inside a droplet is no duplicate of it."
_EDGE = "An object that the picture cuts off has no true size."
_CIRCULARITY = (
    "Masks of round things have 0.9 to 1.05 by this estimator; 0.8 leaves room for small ones and drops merged pairs."
)

_DROPLETS = Rules(
    background="drop",
    clean=Clean(100, 100),
    edge=Edge(5, "drop"),
    parts=Parts(50),
    duplicates=Duplicates("overlap", 0.8, "larger"),
    filters=(Filter("circularity", min=0.8),),
    groups=_TWO_SIZES,
)
_CELLS = Rules(
    background="drop",
    clean=Clean(20, 20),
    edge=Edge(5, "drop"),
    parts=Parts(50),
    duplicates=Duplicates("iou", 0.7, "larger"),
    filters=(Filter("circularity", min=0.6),),
    nesting=Nesting(0.8),
    groups=_TWO_SIZES,
)

PRESETS: Mapping[str, Preset] = {
    one.name: one
    for one in (
        Preset(
            "objects",
            "Everything in the picture but its background, without duplicates.",
            {
                "background": "Segment Anything gives the background a mask too; it is no object.",
                "edge": "Objects at the edge are counted, and marked because their sizes are too small.",
                "duplicates": "Automatic masks compare boxes only; the better scored of two masks with IoU 0.8 stays.",
                "nesting": "Says which masks are parts of others, and drops none.",
                "groups": "As many sizes as there are; one group if there is one size.",
            },
            Rules(
                background="drop",
                edge=Edge(0, "mark"),
                duplicates=Duplicates("iou", 0.8, "score"),
                nesting=Nesting(0.9),
                groups=Groups(),
            ),
        ),
        Preset(
            "droplets",
            "Round, whole droplets in two sizes.",
            {
                "background": _MEDIUM,
                "clean": "Reflections leave holes and specks of some ten pixels.",
                "edge": _EDGE,
                "parts": "A mask in two distant pieces joins two things.",
                "duplicates": "A droplet's rim and its inside are found as one mask each; the larger is the droplet.",
                "filters": _CIRCULARITY,
                "groups": "Droplets and their satellites.",
            },
            _DROPLETS,
        ),
        Preset(
            "cells_in_droplets",
            "How many small objects lie in each large one, and whether that is what chance would do (Poisson).",
            {
                "background": _MEDIUM,
                "clean": "Specks of a few pixels are no cells.",
                "edge": "The content of a droplet that is cut off can't be counted.",
                "parts": "A mask in two distant pieces joins two cells.",
                "duplicates": _CELL_IN_DROPLET,
                "filters": "Cells are less round than droplets; 0.6 drops fragments only.",
                "nesting": "A cell on a droplet's rim lies in it with most of its pixels: 0.8.",
                "groups": "Cells are the small group, droplets the large one.",
            },
            _CELLS,
        ),
        Preset(
            "monodisperse",
            "Droplets of one size: mean diameter and its variation, without merged ones.",
            {
                "background": _MEDIUM,
                "clean": "Reflections leave holes and specks.",
                "edge": _EDGE,
                "duplicates": "The larger of a droplet's masks is the droplet.",
                "filters": _CIRCULARITY,
                "groups": "Satellites become a group of their own where there are any.",
                "monodisperse": "Merged droplets have 1.26 times the diameter. They widen the mean, so the limit is "
                "applied twice: 1.3 times, then 1.2 times the mean that is left.",
            },
            replace(_DROPLETS, groups=Groups(), monodisperse=Monodisperse((1.3, 1.2))),
        ),
        Preset(
            "particles",
            "The size distribution of particles or grains: D10, D50, D90, span and size classes.",
            {
                "background": "The matrix is no particle.",
                "clean": "Dust inside a grain's outline belongs to it.",
                "edge": _EDGE,
                "duplicates": "Two masks of one grain share most of the smaller; the better scored one stays.",
                "groups": "A distribution has no groups; `summary.size_classes` has its classes.",
            },
            Rules(
                background="drop",
                clean=Clean(100, 20),
                edge=Edge(0, "drop"),
                parts=Parts(50),
                duplicates=Duplicates("overlap", 0.6, "score"),
            ),
        ),
        Preset(
            "fluorescent",
            "Droplets, and of the small ones only those that shine.",
            {
                "background": _MEDIUM,
                "clean": "Specks of a few pixels are no cells.",
                "edge": _EDGE,
                "parts": "A mask in two distant pieces joins two things.",
                "duplicates": _CELL_IN_DROPLET,
                "filters": "A small object below 200 of 255 levels, 0.78 of the range, does not shine.",
                "nesting": "Which droplet a shining cell lies in.",
                "groups": "The small ones are tested, the large ones are not.",
            },
            replace(_CELLS, filters=(*_CELLS.filters, Filter("brightness", min=0.78, group="small"))),
        ),
        Preset("none", "Every mask as it is.", {}, Rules()),
    )
}
