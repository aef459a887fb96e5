"""A SAM with random weights whose masks lie around their points, so that boxes, duplicates and crop edges matter.

Random decoders answer with noise over the whole picture: every box is the picture, and one mask survives. Here a bump
around the point is added to the network's own logits, wide, middle and narrow for the three masks.
"""

from typing import Any

import torch
from oracle import TINY, random_sam
from segment_anything.modeling import Sam

from segmentation.weights.architecture import Architecture

LEVELS = (0.55, 0.75, 0.9)


class Localised(torch.nn.Module):
    """A mask decoder that adds the bump; takes and returns what SAM's does."""

    def __init__(self, sam: Sam, gain: float, noise: float) -> None:
        super().__init__()
        self.decoder = sam.mask_decoder
        self.foreground = sam.prompt_encoder.point_embeddings[1]
        self.gain = gain
        self.noise = noise

    def forward(
        self, image_pe: torch.Tensor, sparse_prompt_embeddings: torch.Tensor, **arguments: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        logits, iou = self.decoder(image_pe=image_pe, sparse_prompt_embeddings=sparse_prompt_embeddings, **arguments)
        # Position codes are sines and cosines of random frequencies: their product is 1 at the point and falls off.
        point = sparse_prompt_embeddings[:, 0] - self.foreground.weight
        near = torch.einsum("bc,chw->bhw", point, image_pe[0]) * 2 / image_pe.shape[1]
        near = torch.nn.functional.interpolate(near[:, None], logits.shape[-2:], mode="bilinear")
        levels = torch.tensor(LEVELS[: logits.shape[1]])[:, None, None]
        return self.gain * (near - levels) + self.noise * logits, 0.5 + iou


def localised_sam(architecture: Architecture = TINY, seed: int = 0, gain: float = 20.0, noise: float = 10.0) -> Sam:
    """`random_sam` with localised masks; more `noise` gives more islands and holes."""
    sam = random_sam(architecture, seed)
    sam.mask_decoder = Localised(sam, gain, noise)
    return sam.eval()
