"""The JSON of answers, for `/openapi.json` only: answers are written by hand, and tests hold them to these models."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from deployments.http.requests import IMAGE_ID
from segmentation.pictures.options import Scaling

Ring = list[list[float]]


class Answer(BaseModel):
    """What is not listed is not sent."""

    model_config = ConfigDict(extra="forbid")


class RleSegmentation(Answer):
    """COCO's compressed run-length encoding."""

    size: list[int] = Field(min_length=2, max_length=2, description="[height, width]")
    counts: str


Segmentation = RleSegmentation | list[list[Ring]] | str
"""By `mask_format`: `rle`, `polygon` (MultiPolygon coordinates), `png` (base64)."""


class Mask(Answer):
    """One mask of a prompt."""

    segmentation: Segmentation = Field(description="as `mask_format` says: rle, polygon or png")
    bbox: list[int] = Field(min_length=4, max_length=4, description="[x, y, width, height], the pixel extent")
    area: int = Field(ge=0, description="pixels")
    predicted_iou: float = Field(description="the model's own estimate of the mask's quality")
    stability_score: float = Field(ge=0, le=1)
    logits: str = Field(default="", description="with `return_logits`: base64 of a little-endian float32 .npy")


class AutomaticMask(Answer):
    """One mask of `/segment/auto`: a record of `SamAutomaticMaskGenerator`."""

    segmentation: Segmentation = Field(description="as `mask_format` says: rle, polygon or png")
    area: int = Field(ge=0, description="pixels")
    bbox: list[int] = Field(min_length=4, max_length=4, description="[x, y, width, height], the pixel extent")
    predicted_iou: float
    point_coords: list[list[float]] = Field(description="[[x, y]] of the point that gave the mask")
    stability_score: float = Field(ge=0, le=1)
    crop_box: list[int] = Field(min_length=4, max_length=4, description="[x, y, width, height]")


class PromptMasks(Answer):
    """The masks of one prompt, best `predicted_iou` first."""

    masks: list[Mask]


class TimingMs(Answer):
    """Milliseconds by stage. Work of several replicas is added up, so a stage can be more than the total."""

    decode: float
    encode: float
    prompt: float
    postprocess: float
    queue: float
    total: float


class Parameters(Answer):
    """The parameters that were used: the profile's, with the request's own over them."""

    points_per_side: int | None
    points_per_batch: int
    pred_iou_thresh: float
    stability_score_thresh: float
    stability_score_offset: float
    box_nms_thresh: float
    crop_n_layers: int
    crop_nms_thresh: float
    crop_overlap_ratio: float
    crop_n_points_downscale_factor: int
    point_grids: list[list[list[float]]] | None
    min_mask_region_area: float
    min_mask_area: int


class Decode(Answer):
    """How a picture was read."""

    page: int = Field(ge=0)
    channels: list[int] = Field(min_length=1, max_length=3, description="shown as grey, RG or RGB")
    scaling: Scaling | None = Field(description="null: samples of up to 8 bits, left as they are")
    low: float | list[float] | None = Field(description="the sample value that became 0; a list where channels differ")
    high: float | list[float] | None = Field(description="the sample value that became 255")


class Pictured(Answer):
    """What every answer about a picture has."""

    image_id: str = Field(pattern=IMAGE_ID, description="stands for the picture in later requests")
    size: list[int] = Field(min_length=2, max_length=2, description="[height, width] of the upright picture")
    decode: Decode = Field(description="how the picture was read")


class SegmentAnswer(Pictured):
    """Masks of each prompt, in the prompts' order."""

    results: list[PromptMasks]
    timing_ms: TimingMs


class AutomaticAnswer(Pictured):
    """All masks of the picture, in SAM's order."""

    masks: list[AutomaticMask]
    parameters: Parameters
    timing_ms: TimingMs


class EmbeddingAnswer(Pictured):
    """A picture that can now be asked about by its id."""

    model_type: str
    shape: list[int] = Field(min_length=4, max_length=4, description="[1, C, h, w] of the embedding")


class PixelSize(Answer):
    """The size of a pixel by the file's metadata."""

    x: float = Field(gt=0)
    y: float = Field(gt=0)
    unit: Literal["µm"]
    source: Literal["ome", "imagej", "tiff"]


class PictureAnswer(Pictured):
    """How a picture was read, and what else its file holds."""

    pages: int | None = Field(description="null where only decoding all of an animation would tell")
    channels: int = Field(ge=1)
    channel_names: list[str]
    dtype: str = Field(description="numpy's name of the stored samples' type")
    pixel_size: PixelSize | None


class MeasuredQuality(Answer):
    """What the encoder's precision costs against PyTorch in float32, measured when these weights were converted."""

    embedding_error: float = Field(ge=0, description="the largest max|a - b| / max|b| of a picture's embedding")
    mask_iou: float = Field(ge=0, le=1, description="mean over the masks of points all over the pictures")
    masks: int = Field(ge=0, description="how many those are")
    pictures: str = Field(description="names of the pictures, comma separated")


class BackendInfo(Answer):
    """What really runs."""

    backend: Literal["onnx", "pytorch"]
    model_type: str
    models: list[str] = Field(description="every model that is offered, the default first; `GET /models` says more")
    use_gpu: bool = Field(description="the setting")
    performance_mode: bool
    device: Literal["cuda", "cpu"] = Field(description="what the encoders run on; cpu if they differ")
    onnx_available: bool
    pytorch_available: bool
    onnx_providers: list[str] = Field(description="of the running session")
    precision: str
    quality: MeasuredQuality | None = Field(description="of this precision; null where it was not measured")
    versions: dict[str, str]
    limits: dict[str, float]
    settings_source: dict[str, str] = Field(description="environment, args or default, by setting")


class OfferedModel(Answer):
    """One model of the server."""

    name: str
    family: str = Field(description="whose training and interface: sam, mobile_sam, micro_sam, medsam, ...")
    default: bool = Field(description="the model of requests that name none")
    ready: bool = Field(description="a replica answers; the first request for a model that is not ready waits for one")
    image_size: int = Field(description="side of the model's input in pixels")
    embedding_shape: list[int] = Field(description="of `GET /embeddings/{image_id}`: [1, C, h, w]")
    precision: str
    licence: str | None = Field(description="of the weights; null where none is known")


class ModelList(Answer):
    """Every model that the server offers, the default first."""

    models: list[OfferedModel]


class Health(Answer):
    """Each deployment has a replica that answers."""

    status: Literal["ok"]
