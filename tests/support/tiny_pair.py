"""A tiny model as files: a checkpoint, its ONNX pair, and a manifest that names it."""

from pathlib import Path

import torch
from oracle import TINY, random_sam

from conversion.pair import LARGEST_EMBEDDED, Check, Source, write_pair
from segmentation.backends.onnx.files import OnnxPair, verify_pair
from segmentation.weights.checkpoints import sha256_file
from segmentation.weights.manifest import ModelSpec
from segmentation.weights.tensors import load_state_dict

SPEC = ModelSpec(name="tiny", architecture=TINY, file="tiny.pth")

MANIFEST = """
[architectures.tiny]
image_size = 128
embed_dim = 32
depth = 3
num_heads = 2
global_attn_indexes = [1]
window_size = 3

[models.tiny]
architecture = "tiny"
file = "tiny.pth"
"""


def save_checkpoint(path: Path, *, seed: int = 0, dtype: torch.dtype = torch.float32) -> Path:
    """The tiny model's checkpoint, random by `seed`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({name: tensor.to(dtype) for name, tensor in random_sam(seed=seed).state_dict().items()}, path)
    return path


def convert(
    checkpoint: Path,
    onnx_dir: Path,
    *,
    spec: ModelSpec = SPEC,
    check: Check = lambda encoder, decoder: None,
    precision: str = "fp32",
    largest_embedded: int = LARGEST_EMBEDDED,
) -> OnnxPair:
    """The pair of a checkpoint, by default without the comparison."""
    source = Source(load_state_dict(checkpoint), sha256_file(checkpoint))
    write_pair(spec, source, onnx_dir, check, precision=precision, largest_embedded=largest_embedded)
    return verify_pair(onnx_dir, spec, precision)
