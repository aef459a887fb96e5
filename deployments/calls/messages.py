"""What travels between the ingress and the replicas. Plain frozen data; everything crosses processes by pickle.

An error that a caller can mend (`SegmentationError`) travels as a value where an answer could stand: a raise in a
replica would log a trace for what is no fault of the server.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from segmentation.automatic.generate import Candidates, DecodingParameters
from segmentation.errors import SegmentationError
from segmentation.masks.formats import MaskFormat
from segmentation.pictures.options import LEFT_ALONE, AppliedDecode, DecodeOptions
from segmentation.types import CropBox, Prompt, Size

Json: TypeAlias = Mapping[str, object]
"""One JSON object, ready to be written."""


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A picture as it came, and how it is to be read."""

    data: bytes
    options: DecodeOptions = field(default_factory=DecodeOptions)


@dataclass(frozen=True, slots=True)
class InputPicture:
    """A picture on its way to the encoder.

    pixels: uint8 [h, w, 3], RGB, its long side resized to the model's input side.
    size: (height, width) of the upright picture before that.
    file: to be kept beside the embedding; None for a crop.
    is_urgent: somebody waits for this picture alone; encoded before the crops of automatic masks.
    decode: how the picture was read.
    """

    pixels: NDArray[np.uint8]
    size: Size
    file: PictureFile | None = None
    is_urgent: bool = True
    decode: AppliedDecode = LEFT_ALONE


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """A picture whose embedding the encoder keeps.

    size: (height, width) of the upright picture.
    encode_s: seconds the encoder took; 0 when the embedding was in the cache.
    waited_s: seconds the picture waited for the encoder.
    decode: how the picture was read.
    """

    size: Size
    encode_s: float = 0.0
    waited_s: float = 0.0
    decode: AppliedDecode = LEFT_ALONE


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """An embedding on its way to a decoder or grid replica; travels by reference, past the ingress.

    key: the image's id, or a crop's key.
    embedding: float32 [C, h, w].
    size: (height, width) of the upright picture (of the crop, for a crop).
    encode_s, waited_s, decode: as in `ImageRecord`.
    """

    key: str
    embedding: NDArray[np.float32]
    size: Size
    encode_s: float = 0.0
    waited_s: float = 0.0
    decode: AppliedDecode = LEFT_ALONE


Encoded: TypeAlias = EncodedImage | SegmentationError


@dataclass(frozen=True, slots=True)
class PromptJob:
    """The prompts of one request, and how it wants the answer.

    validated_for: the (height, width) that the prompts were validated against; None if they were not yet.
    """

    prompts: tuple[Prompt, ...]
    multimask: bool = True
    return_logits: bool = False
    mask_format: MaskFormat = "rle"
    validated_for: Size | None = None


@dataclass(frozen=True, slots=True)
class NotPrepared:
    """A decoder replica's answer about a picture that it doesn't keep prepared: it needs the embedding."""


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Seconds that one answer cost, by stage.

    Work of several replicas is added up, so it can be more than the time that passed; waiting is what passed before
    the work began.
    """

    encode_s: float = 0.0
    prompt_s: float = 0.0
    postprocess_s: float = 0.0
    queue_s: float = 0.0

    def __add__(self, other: "StageTimes") -> "StageTimes":
        return StageTimes(
            self.encode_s + other.encode_s,
            self.prompt_s + other.prompt_s,
            self.postprocess_s + other.postprocess_s,
            self.queue_s + other.queue_s,
        )


@dataclass(frozen=True, slots=True)
class PromptAnswer:
    """`results[p][m]`: JSON of mask m of prompt p, best predicted IoU first; `decode` as of `ImageRecord`."""

    size: Size
    results: tuple[tuple[Json, ...], ...]
    stage_times: StageTimes
    decode: AppliedDecode = LEFT_ALONE


@dataclass(frozen=True, slots=True)
class GridShard:
    """A part of one crop's point grid.

    crop_box: (x0, y0, x1, y1) in the original frame, x1 and y1 exclusive.
    size: (height, width) of the whole picture.
    points: float64 [N, 2], (x, y) in the original frame.
    """

    crop_box: CropBox
    size: Size
    points: NDArray[np.float64]
    parameters: DecodingParameters


@dataclass(frozen=True, slots=True)
class ShardAnswer:
    """The candidate masks of a shard, what they cost, and what the crop's embedding, shared by all shards, cost."""

    candidates: Candidates
    stage_times: StageTimes
    encoding: StageTimes


@dataclass(frozen=True, slots=True)
class GridAnswer:
    """The automatic masks of a whole picture, in SAM's order, as JSON objects."""

    masks: tuple[Json, ...]
    stage_times: StageTimes
