"""Pixels as an image encoder's network takes them: the first step of every encoder on PyTorch."""

import torch

from segmentation.weights.architecture import Architecture

LEAST_SPAN = 1e-8
"""Of the levels of a picture, so that nothing is divided by zero; MedSAM's."""


class Normalise:
    """`Sam.preprocess` with the numbers of an architecture, or MedSAM's `min_max`, on one device."""

    def __init__(self, architecture: Architecture, device: torch.device) -> None:
        self._stretches = architecture.preprocess.normalise == "min_max"
        self._mean = torch.tensor(architecture.pixel_mean, device=device)
        self._std = torch.tensor(architecture.pixel_std, device=device)

    def __call__(self, images: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
        """float32 [B, S, S, 3] of pictures uint8 [B, S, S, 3] with sizes int64 [B, 2].

        Pixels beyond a picture's (height, width) become 0.
        """
        position = torch.arange(images.shape[1], device=images.device)
        inside = (position < sizes[:, :1])[:, :, None] & (position < sizes[:, 1:])[:, None]
        inside = inside[..., None]
        if not self._stretches:
            return ((images - self._mean) / self._std).mul_(inside)
        low = torch.where(inside, images, 255).amin((1, 2, 3), keepdim=True).float()
        high = torch.where(inside, images, 0).amax((1, 2, 3), keepdim=True).float()
        return ((images - low) / (high - low).clamp(min=LEAST_SPAN)).mul_(inside)
