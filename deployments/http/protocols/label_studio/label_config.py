"""What a project's labelling configuration says: where a task's picture is, and how a mask is to be written."""

import xml.parsers.expat
from dataclasses import dataclass, field

from segmentation.errors import InvalidRequest

MAX_CONFIG = 1_000_000
CONTROLS = ("BrushLabels", "PolygonLabels")
"""Tags that hold a mask, the better one first."""


@dataclass(frozen=True, slots=True)
class Control:
    """A tag that masks are written for.

    kind: `brushlabels` or `polygonlabels`, as in results.
    name, to_name: of the tag and of the picture that it labels.
    value: the key of the picture in a task's `data`.
    labels: its labels in order.
    model: the tag's attribute of that name; None if it has none.
    """

    kind: str
    name: str
    to_name: str
    value: str
    labels: tuple[str, ...]
    model: str | None = None


@dataclass(slots=True)
class _Tags:
    """Tags of a configuration as the parser meets them."""

    images: dict[str, str] = field(default_factory=dict)
    controls: list[tuple[dict[str, str], list[str]]] = field(default_factory=list)
    open_controls: list[int] = field(default_factory=list)

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "Image":
            self.images[attributes.get("name", "")] = attributes.get("value", "").removeprefix("$")
        elif tag in CONTROLS:
            self.controls.append(({**attributes, "tag": tag}, []))
            self.open_controls.append(len(self.controls) - 1)
        elif tag == "Label" and self.open_controls:
            self.controls[self.open_controls[-1]][1].append(attributes.get("value", ""))

    def end(self, tag: str) -> None:
        if tag in CONTROLS:
            self.open_controls.pop()


def control_of(label_config: str) -> Control:
    """The control that masks are written for: brush labels if there are any, else polygon labels.

    Raises:
        InvalidRequest: the configuration is no XML, or has no such control on a picture.
    """
    tags = _parse(label_config)
    for kind in CONTROLS:
        for attributes, labels in tags.controls:
            name, to_name = attributes.get("name", ""), attributes.get("toName", "")
            if attributes["tag"] == kind and to_name in tags.images:
                value, model = tags.images[to_name], attributes.get("model")
                return Control(kind.lower(), name, to_name, value, tuple(labels), model)
    raise InvalidRequest("the labelling configuration has no BrushLabels or PolygonLabels on an Image", "/label_config")


def _parse(label_config: str) -> _Tags:
    if len(label_config) > MAX_CONFIG:
        raise InvalidRequest("the labelling configuration is too long", "/label_config")
    tags = _Tags()
    parser = xml.parsers.expat.ParserCreate()
    parser.StartElementHandler = tags.start
    parser.EndElementHandler = tags.end
    parser.EntityDeclHandler = _refuse_entities
    try:
        parser.Parse(label_config.encode("utf-8", "replace"), True)
    except xml.parsers.expat.ExpatError:
        raise InvalidRequest("the labelling configuration is no XML", "/label_config") from None
    return tags


def _refuse_entities(*declared: object) -> None:
    """Entities that name each other grow without end."""
    raise InvalidRequest("the labelling configuration declares entities", "/label_config")
