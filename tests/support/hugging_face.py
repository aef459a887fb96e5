"""Meta's names of a SAM's tensors as `transformers.SamModel` has them, written the other way round than the reader."""

import re
from collections.abc import Mapping

import torch

NECK = {"0": "conv1", "1": "layer_norm1", "2": "conv2", "3": "layer_norm2"}
DOWNSCALING = {"0": "conv1", "1": "layer_norm1", "3": "conv2", "4": "layer_norm2", "6": "conv3"}
UPSCALING = {"0": "upscale_conv1", "1": "upscale_layer_norm", "3": "upscale_conv2"}
MLP = {"0": "proj_in", "1": "layers.0", "2": "proj_out"}


def to_hugging_face(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state dict of `SamModel`, which has the matrix of positions twice."""
    named = {_name(name): tensor for name, tensor in state.items()}
    gaussian = named["prompt_encoder.shared_embedding.positional_embedding"]
    return {**named, "shared_image_embedding.positional_embedding": gaussian.clone()}


def _name(name: str) -> str:
    part, rest = name.split(".", 1)
    if part == "image_encoder":
        rest = rest.replace("patch_embed.proj.", "patch_embed.projection.")
        rest = re.sub(r"^blocks\.(\d+)\.norm(\d)", r"layers.\1.layer_norm\2", rest)
        rest = re.sub(r"^blocks\.", "layers.", rest)
        rest = re.sub(r"^neck\.(\d)", lambda found: f"neck.{NECK[found[1]]}", rest)
        return f"vision_encoder.{rest}"
    if part == "prompt_encoder":
        rest = rest.replace("pe_layer.positional_encoding_gaussian_matrix", "shared_embedding.positional_embedding")
        rest = rest.replace("point_embeddings.", "point_embed.")
        rest = re.sub(r"^mask_downscaling\.(\d)", lambda found: f"mask_embed.{DOWNSCALING[found[1]]}", rest)
        return f"prompt_encoder.{rest}"
    rest = re.sub(r"^output_upscaling\.(\d)", lambda found: UPSCALING[found[1]], rest)
    mlps = r"^(iou_prediction_head|output_hypernetworks_mlps\.\d+)\.layers\.(\d)"
    rest = re.sub(mlps, lambda found: f"{found[1]}.{MLP[found[2]]}", rest)
    rest = rest.replace("norm_final_attn", "layer_norm_final_attn")
    rest = re.sub(r"^(transformer\.layers\.\d+)\.norm(\d)", r"\1.layer_norm\2", rest)
    return f"mask_decoder.{rest}"
