"""Errors of `FusedViT` against `segment_anything`, for a process of its own: triton reads TRITON_INTERPRET but once.

    python fused_vit_errors.py

prints JSON. `errors`, by architecture and dtype: max|a - b| / max|b| of the embeddings of two pictures, one cut.
`faults`: what `FusedViT.fault` says, and what it says when a position table is wrong.
"""

import copy
import json

import torch
from oracle import random_sam
from segment_anything.modeling import Sam

from segmentation.backends.pytorch.backend import _narrow
from segmentation.backends.pytorch.fused_vit import FusedViT
from segmentation.weights.architecture import VitArchitecture

ARCHITECTURES = {
    # Heads of 64 + 16 channels, as `vit_h`'s; 16 patches a side, so that windows of 6 reach beyond the picture.
    "padded": VitArchitecture(256, embed_dim=160, depth=3, num_heads=2, global_attn_indexes=(1,), window_size=6),
    "whole": VitArchitecture(256, embed_dim=96, depth=2, num_heads=3, global_attn_indexes=(1,), window_size=8),
    "largest_window": VitArchitecture(512, embed_dim=32, depth=1, num_heads=1, global_attn_indexes=(), window_size=16),
}
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# triton's interpreter multiplies bf16 numbers as the integers that keep them.
DTYPES = {"fp16": torch.float16} | ({"bf16": torch.bfloat16} if DEVICE == "cuda" else {})


def fused(sam: Sam, architecture: VitArchitecture, dtype: torch.dtype) -> FusedViT:
    encoder = copy.deepcopy(sam.image_encoder)
    _narrow(encoder, dtype)
    return FusedViT(encoder.to(DEVICE), architecture)


@torch.inference_mode()
def error(architecture: VitArchitecture, dtype: torch.dtype) -> float:
    sam = random_sam(architecture)
    side, cut = architecture.image_size, architecture.image_size // 3
    images = torch.randint(256, (2, side, side, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    planes = images.permute(0, 3, 1, 2).float()
    expected = sam.image_encoder(torch.cat([sam.preprocess(planes[:1]), sam.preprocess(planes[1:, :, :, :cut])]))
    sizes = torch.tensor([(side, side), (side, cut)], device=DEVICE)
    made = fused(sam, architecture, dtype)(images.to(DEVICE), sizes).cpu()
    assert made.dtype == torch.float32
    return float((made - expected).abs().max() / expected.abs().max())


def faults() -> list[str | None]:
    architecture = ARCHITECTURES["whole"]
    encoder = fused(random_sam(architecture), architecture, torch.float16)
    sound = encoder.fault()
    encoder._tables[0].mul_(50)
    return [sound, encoder.fault()]


if __name__ == "__main__":
    errors = {
        f"{name} {precision}": error(architecture, dtype)
        for name, architecture in ARCHITECTURES.items()
        for precision, dtype in DTYPES.items()
    }
    print(json.dumps({"errors": errors, "faults": faults()}))
