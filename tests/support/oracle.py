"""The oracle: `segment_anything` models with weights that make every part of the network matter."""

import torch
from segment_anything.modeling import Sam

from segmentation.backends.pytorch.sam_module import build_sam
from segmentation.weights.architecture import VitArchitecture

TINY = VitArchitecture(image_size=128, embed_dim=32, depth=3, num_heads=2, global_attn_indexes=(1,), window_size=3)
"""The real architecture at a size that encodes in milliseconds; 8 patches a side, so windows of 3 need padding."""


def random_sam(architecture: VitArchitecture = TINY, seed: int = 0) -> Sam:
    """A SAM with random weights, also where its initialisation leaves zeros: position tables, biases, norms.

    Zero position tables and unit norms would hide mistakes from every comparison.
    """
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    sam = build_sam(architecture)
    with torch.no_grad():
        for name, parameter in sam.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if "pos" in name:
                parameter.copy_(0.1 * noise)
            elif parameter.ndim == 1:
                parameter.add_(0.05 * noise)
    return sam
