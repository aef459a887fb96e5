"""The documents that Roboflow's client sends, and their prompts and models as this server takes them."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from deployments.http.protocols.protocol import ToolModel
from deployments.http.protocols.segmenter import Segmenter
from segmentation.errors import InvalidRequest
from segmentation.types import Prompt

SAM_VERSIONS = ("vit_h", "vit_l", "vit_b")
SAM2_VERSIONS = ("hiera_large", "hiera_small", "hiera_tiny", "hiera_b_plus")
"""Of which the client sends one with every request."""

Coordinates = Annotated[list[float], Field(min_length=2, max_length=2)]


class ImageField(ToolModel):
    """A picture's file."""

    type: Literal["base64"]
    value: str


class ImageRequest(ToolModel):
    """The picture of a request: its file, or the `image_id` of one that was embedded before."""

    api_key: str | None = None
    model_id: str | None = Field(default=None, description="a model of this server's")
    sam_version_id: str | None = Field(default=None, description="the same; Roboflow's own stand for the default")
    sam2_version_id: str | None = Field(default=None, description="the same; Roboflow's own stand for the default")
    image: ImageField | None = None
    image_id: Annotated[str, Field(max_length=256)] | None = None
    format: Literal["json", "rle", "binary"] = "json"

    def model(self, segmenter: Segmenter) -> str:
        """The model that is asked.

        Raises:
            InvalidRequest: it is not offered.
        """
        given = (self.model_id, self.sam2_version_id, self.sam_version_id)
        name = next((name for name in given if name), None)
        if name is not None and name.startswith(("sam/", "sam2/")):
            name = name.partition("/")[2]
        return segmenter.model_named(name, (*SAM_VERSIONS, *SAM2_VERSIONS))


class SamSegmentRequest(ImageRequest):
    """One prompt of `/sam/segment_image`."""

    point_coords: list[Coordinates] | None = None
    point_labels: list[float] | None = None
    embeddings: Any = Field(default=None, description="not taken: embeddings are kept here under image_id")
    has_mask_input: bool | None = False

    def prompt(self, segmenter: Segmenter) -> Prompt:
        """The prompt.

        Raises:
            InvalidRequest: it can't be answered.
        """
        if self.embeddings is not None:
            raise InvalidRequest("send the image or its image_id: embeddings of clients are not taken", "/embeddings")
        if self.has_mask_input:
            raise InvalidRequest("a mask is not taken as input here; /segment takes one", "/has_mask_input")
        points = self.point_coords or []
        labels = self.point_labels if self.point_labels is not None else [1.0] * len(points)
        if any(label not in {-1.0, 0.0, 1.0} for label in labels):
            raise InvalidRequest("a label is 1 (positive) or -1 (negative)", "/point_labels")
        return segmenter.prompt([(x, y) for x, y in points], [int(label == 1) for label in labels])


class Point(ToolModel):
    """A click."""

    x: float
    y: float
    positive: bool = True


class Box(ToolModel):
    """A box by its centre."""

    x: float
    y: float
    width: float
    height: float


class Sam2Prompt(ToolModel):
    """Points, a box, or both."""

    points: list[Point] | None = None
    box: Box | None = None


class Sam2SegmentRequest(ImageRequest):
    """Prompts of `/sam2/segment_image`; without any, everything."""

    prompts: list[Sam2Prompt] = Field(default_factory=list)
    multimask_output: bool = True

    @field_validator("prompts", mode="before")
    @classmethod
    def _flat(cls, value: Any) -> Any:
        """A list, `{"prompts": list}`, or one prompt."""
        if isinstance(value, dict):
            value = value.get("prompts", [value] if value else [])
        return value

    def asked(self, segmenter: Segmenter) -> Sequence[Prompt]:
        """The prompts; none stands for everything."""
        return [_prompt(prompt, segmenter) for prompt in self.prompts]


def _prompt(prompt: Sam2Prompt, segmenter: Segmenter) -> Prompt:
    points = prompt.points or []
    box = None
    if prompt.box is not None:
        half_width, half_height = prompt.box.width / 2, prompt.box.height / 2
        x, y = prompt.box.x, prompt.box.y
        box = [x - half_width, y - half_height, x + half_width, y + half_height]
    return segmenter.prompt([(point.x, point.y) for point in points], [int(point.positive) for point in points], box)
