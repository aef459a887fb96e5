"""HF transformers' SAM as a contender, on the weights of a `segment_anything` model.

Not a dependency: install it beside the rest to have it compared (`pip install transformers`).
"""

import re
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything.modeling import Sam

try:
    from transformers import SamConfig, SamModel
except ImportError:
    SamModel = None

# Their names for the parts of segment-anything's state dict; as `convert_sam_to_hf.py` of transformers maps them.
_RENAMED = (
    (r"^(.*(?:iou_prediction_head|output_hypernetworks_mlps\.\d))\.layers\.0\.", r"\1.proj_in."),
    (r"^(.*(?:iou_prediction_head|output_hypernetworks_mlps\.\d))\.layers\.1\.", r"\1.layers.0."),
    (r"^(.*(?:iou_prediction_head|output_hypernetworks_mlps\.\d))\.layers\.2\.", r"\1.proj_out."),
    (r"output_upscaling\.0", "upscale_conv1"),
    (r"output_upscaling\.1", "upscale_layer_norm"),
    (r"output_upscaling\.3", "upscale_conv2"),
    (r"mask_downscaling\.0", "mask_embed.conv1"),
    (r"mask_downscaling\.1", "mask_embed.layer_norm1"),
    (r"mask_downscaling\.3", "mask_embed.conv2"),
    (r"mask_downscaling\.4", "mask_embed.layer_norm2"),
    (r"mask_downscaling\.6", "mask_embed.conv3"),
    (r"point_embeddings", "point_embed"),
    (r"pe_layer\.positional_encoding_gaussian_matrix", "shared_embedding.positional_embedding"),
    (r"\.norm", ".layer_norm"),
)


def open_transformers(
    sam: Sam,
) -> Callable[[NDArray[np.float32], NDArray[np.float32]], tuple[NDArray[np.float32], NDArray[np.float32]]] | None:
    """Takes an embedding [256, 64, 64] and points [B, 1, 2], gives low-res logits [B, 3, 256, 256] and predicted IoU
    [B, 3]; None where transformers is not installed.
    """
    if SamModel is None:
        return None
    small = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "global_attn_indexes": [0]}
    model = SamModel(SamConfig(vision_config=small)).eval()
    for part in ("prompt_encoder", "mask_decoder"):
        state = {_renamed(name): tensor for name, tensor in getattr(sam, part).state_dict().items()}
        getattr(model, part).load_state_dict(state)
    model.shared_image_embedding.load_state_dict(model.prompt_encoder.shared_embedding.state_dict())

    @torch.inference_mode()
    def run(
        embedding: NDArray[np.float32], points: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        answer = model(
            image_embeddings=torch.from_numpy(embedding)[None],
            input_points=torch.from_numpy(points)[None],
            input_labels=torch.ones((1, *points.shape[:2]), dtype=torch.int64),
            multimask_output=True,
        )
        return answer.pred_masks[0].numpy(), answer.iou_scores[0].numpy()

    return run


def _renamed(name: str) -> str:
    for pattern, replacement in _RENAMED:
        name = re.sub(pattern, replacement, name)
    return name
