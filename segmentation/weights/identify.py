"""What weights are that are no SAM 1, by the names and shapes of their tensors. Knows no files."""

import re
from collections.abc import Mapping
from typing import Any

MASKS = 4
"""Of SAM's decoder: one for a single mask, three for several."""

SIGNS = (
    (r"^(detector|tracker)\.|^detector_model\.|vision_backbone\.trunk\.", "is a SAM 3 checkpoint"),
    (r"^image_encoder\.trunk\.|^memory_attention\.|^memory_encoder\.|^sam_mask_decoder\.", "is a SAM 2 checkpoint"),
    (r"^vision_encoder\.backbone\.", "is a SAM 2 or 3 checkpoint in Hugging Face's layout"),
    (r"mask_decoder\.(hf_token|hf_mlp|hq_token|hq_mask_mlp|compress_vit_feat)", "is a SAM-HQ checkpoint"),
    (r"mask_decoder\.(custom_robust_token|robust_mlp|fourier_|custom_token_block)", "is a RobustSAM checkpoint"),
    (r"lora_|\.lora|linear_[ab]_[qv]|\.w_[ab]_linear|^w_[ab]_\d", "holds LoRA weights, to be merged first"),
    (r"(^|[._])[Aa]dapter|prompt_generator\.", "is a SAM with adapter layers, as SAM-Med2D"),
    (r"^image_encoder\.backbone\.|input_stem\.", "is an EfficientViT-SAM checkpoint"),
    (r"final_output_upscaling_layers", "is an EfficientSAM checkpoint"),
    (r"^image_encoder\.(features|fuse_stage|stages)\.", "is an EdgeSAM or RepViT-SAM checkpoint"),
)  # fmt: skip
"""Of families whose network is another one."""


def foreign_kind(tensors: Mapping[str, Any], *, whole: bool) -> str | None:
    """What the weights are, to go behind a file's name; None for a SAM 1, as far as it can be told.

    Args:
        tensors: by name, of values with a `shape`.
        whole: whether all three parts of a SAM are there.
    """
    for pattern, kind in SIGNS:
        if name := next((name for name in tensors if re.search(pattern, name)), None):
            return f"{kind} (it has {name}), which this server does not run; it runs SAM 1 and MobileSAM"
    if not whole:
        return _part(tensors)
    masks = tensors.get("mask_decoder.mask_tokens.weight")
    if masks is not None and masks.shape[0] != MASKS:
        return f"is a SAM whose decoder makes {masks.shape[0]} masks, not {MASKS}: its interface is another one"
    return None


def _part(tensors: Mapping[str, Any]) -> str:
    names = list(tensors)
    has = {part: any(part in name for name in names) for part in ("image_encoder.", "prompt_encoder.", "mask_decoder.")}
    if any(has.values()):
        absent = " and ".join(part.rstrip(".") for part, there in has.items() if not there)
        there = " and ".join(part.rstrip(".") for part, there in has.items() if there)
        return f"is not a whole SAM: it has the {there}, and lacks the {absent}"
    if any(name.endswith(("iou_token.weight", "output_upscaling.0.weight")) for name in names):
        return "is a mask decoder alone, not a whole SAM"
    if any(name.endswith("patch_embed.proj.weight") for name in names):
        return "is an image encoder alone, not a whole SAM"
    if any(re.search(r"^(decoder|out_conv|deconv)", name) for name in names):
        return f"is a decoder of another kind, as micro-sam's for automatic segmentation (it has {names[0]}), not a SAM"
    return f"is no SAM: it has tensors like {', '.join(names[:3])}"
