"""What a model's network is made of, and how pictures reach it. Knows no files and no runtime."""

import json
from dataclasses import KW_ONLY, asdict, dataclass
from functools import cached_property
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from segmentation.transforms import InputFrame

Count = Annotated[int, Field(gt=0)]
Stages = tuple[Count, Count, Count, Count]

_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class Preprocess:
    """How a model's training resized and normalised pictures.

    resize: `longest_side` resizes the long side to the model's input and pads the rest, as SAM; `squash` resizes both
        sides to it, without keeping their ratio, as MedSAM.
    normalise: `mean_std` takes `pixel_mean` off and divides by `pixel_std`, as SAM; `min_max` stretches the levels of
        each picture or crop to 0 to 1, all channels together, as MedSAM.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    resize: Literal["longest_side", "squash"] = "longest_side"
    normalise: Literal["mean_std", "min_max"] = "mean_std"

    def __str__(self) -> str:
        return f"{self.resize}, {self.normalise}"


SAM_PREPROCESS = Preprocess()


@dataclass(frozen=True)
class Architecture:
    """An image encoder of some kind, SAM's prompt encoder and mask decoder behind it.

    `image_size` is the side of the square model input in pixels; an embedding has one cell a patch of `patch_size`.
    `pixel_mean` and `pixel_std` are per RGB channel, in levels of 0 to 255.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    image_size: Count
    _: KW_ONLY
    patch_size: Count = 16
    prompt_embed_dim: Count = 256
    pixel_mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    pixel_std: tuple[float, float, float] = (58.395, 57.12, 57.375)
    preprocess: Preprocess = SAM_PREPROCESS

    def __post_init__(self) -> None:
        if self.image_size % self.patch_size:
            raise ValueError("image_size must be a multiple of patch_size")
        if self.prompt_embed_dim % 16:
            raise ValueError("prompt_embed_dim must be a multiple of 16")

    @cached_property
    def embedding_side(self) -> int:
        """Side of the image embedding, in patches."""
        return self.image_size // self.patch_size

    @cached_property
    def low_res_side(self) -> int:
        """Side of the decoder's logits and of `mask_input`: four times the embedding's."""
        return 4 * self.embedding_side

    @cached_property
    def embedding_shape(self) -> tuple[int, int, int]:
        """Shape of one picture's embedding, channels first."""
        return (self.prompt_embed_dim, self.embedding_side, self.embedding_side)

    @cached_property
    def frame(self) -> InputFrame:
        """The model's input, and how a picture fills it."""
        return InputFrame(self.image_size, squash=self.preprocess.resize == "squash")


@dataclass(frozen=True)
class VitArchitecture(Architecture):
    """What `segment_anything.build_sam` hard-codes: a ViT encoder.

    `window_size` is in patches. `mlp_dim` is the width of the MLPs' hidden layer; None for four times `embed_dim`.
    """

    embed_dim: Count
    depth: Count
    num_heads: Count
    global_attn_indexes: tuple[int, ...]
    window_size: Count = 14
    mlp_dim: Count | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.embed_dim % self.num_heads or self.embed_dim % 2:
            raise ValueError("embed_dim must be a multiple of num_heads and of 2")
        if self.hidden_dim % 2:
            raise ValueError("mlp_dim must be a multiple of 2")
        if any(not 0 <= index < self.depth for index in self.global_attn_indexes):
            raise ValueError("global_attn_indexes are block numbers from 0 to depth - 1")

    @cached_property
    def hidden_dim(self) -> int:
        """Width of the MLPs' hidden layer."""
        return self.mlp_dim or 4 * self.embed_dim


@dataclass(frozen=True)
class TinyVitArchitecture(Architecture):
    """MobileSAM's encoder: a TinyViT of four stages, at a 4th, an 8th, a 16th and a 16th of the picture's side.

    The first stage has convolutions only, so its number of heads and its window are not used. `window_sizes` are in
    cells of the stage.
    """

    embed_dims: Stages = (64, 128, 160, 320)
    depths: Stages = (2, 2, 6, 2)
    num_heads: Stages = (2, 4, 5, 10)
    window_sizes: Stages = (7, 7, 14, 7)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.patch_size != 16:
            raise ValueError("patch_size of a tiny_vit is 16")
        if self.embed_dims[0] % 2:
            raise ValueError("the first of embed_dims must be even")
        if any(dim % heads for dim, heads in zip(self.embed_dims, self.num_heads, strict=True)):
            raise ValueError("each of embed_dims must be a multiple of num_heads of its stage")


ENCODERS: dict[str, type[Architecture]] = {"vit": VitArchitecture, "tiny_vit": TinyVitArchitecture}
"""Kinds of image encoder, by their name in the manifest."""


def format_architecture(architecture: Architecture) -> str:
    """The architecture as JSON, for `parse_architecture`."""
    kind = next(name for name, of in ENCODERS.items() if type(architecture) is of)
    return json.dumps({"encoder": kind, **asdict(architecture)})


def parse_architecture(text: str) -> Architecture:
    """What `format_architecture` wrote.

    Raises:
        ValueError: it is something else.
    """
    numbers = json.loads(text)
    if not isinstance(numbers, dict) or numbers.get("encoder") not in ENCODERS:
        raise ValueError("no architecture")
    return TypeAdapter(ENCODERS[numbers.pop("encoder")]).validate_python(numbers)
