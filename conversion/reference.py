"""The reference: `segment_anything` models with a checkpoint's weights."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything.modeling import Sam
from torch.nn import functional

from segmentation.backends.pytorch.checkpoint import fit
from segmentation.backends.pytorch.normalise import LEAST_SPAN
from segmentation.backends.pytorch.sam_module import build_sam
from segmentation.backends.select import models_of
from segmentation.settings import resolve_runtime
from segmentation.weights.architecture import Architecture, Preprocess
from segmentation.weights.checkpoints import ensure_checkpoint
from segmentation.weights.manifest import find_model
from segmentation.weights.tensors import load_into, load_state_dict


def build_reference(architecture: Architecture, state: Mapping[str, torch.Tensor], source: Path) -> Sam:
    """The model with these weights, float32, in eval mode.

    Raises:
        ModelFileError: the weights are of another architecture; `source` is what it calls them.
    """
    with torch.device("meta"):  # leaves out the random initialisation, which takes longer than all the rest
        sam = build_sam(architecture)
    sam = sam.to_empty(device="cpu")
    sam.pixel_mean.copy_(torch.tensor(architecture.pixel_mean).view(-1, 1, 1))
    sam.pixel_std.copy_(torch.tensor(architecture.pixel_std).view(-1, 1, 1))
    load_into(sam, state, source=str(source))
    return sam.requires_grad_(False)


def embed(sam: Sam, picture: NDArray[np.uint8], preprocess: Preprocess) -> torch.Tensor:
    """The reference's embedding [1, C, h, w] of a picture uint8 [h, w, 3] in the input frame."""
    pixels = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float()
    with torch.inference_mode():
        if preprocess.normalise == "mean_std":
            prepared = sam.preprocess(pixels)
        else:  # MedSAM's, whose package has it in scripts only
            stretched = (pixels - pixels.min()) / (pixels.max() - pixels.min()).clip(min=LEAST_SPAN)
            side = sam.image_encoder.img_size
            prepared = functional.pad(stretched, (0, side - pixels.shape[3], 0, side - pixels.shape[2]))
        embedding: torch.Tensor = sam.image_encoder(prepared)
    return embedding


def load_sam(model_type: str) -> Sam:
    """As `conversion.load_sam`."""
    settings = resolve_runtime(os.environ)
    spec = find_model(model_type, models_of(settings))
    checkpoint = ensure_checkpoint(spec, settings.model_dir)
    state = load_state_dict(checkpoint)
    return build_reference(fit(spec, state, str(checkpoint)).architecture, state, checkpoint)
