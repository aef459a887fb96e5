"""The reference: `segment_anything` models with a checkpoint's weights."""

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from segment_anything.modeling import Sam

from segmentation.backends.pytorch.checkpoint import fit
from segmentation.backends.pytorch.sam_module import build_sam
from segmentation.backends.select import models_of
from segmentation.settings import resolve_runtime
from segmentation.weights.architecture import Architecture
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


def load_sam(model_type: str) -> Sam:
    """As `conversion.load_sam`."""
    settings = resolve_runtime(os.environ)
    spec = find_model(model_type, models_of(settings))
    checkpoint = ensure_checkpoint(spec, settings.model_dir)
    state = load_state_dict(checkpoint)
    return build_reference(fit(spec, state, str(checkpoint)).architecture, state, checkpoint)
