"""The architecture of a SAM, told by the shapes of its tensors. Knows no files and no runtime."""

import math
import re
from collections.abc import Mapping

from segmentation.weights.architecture import Architecture, TinyVitArchitecture, VitArchitecture

Shapes = Mapping[str, tuple[int, ...]]


def architecture_of(shapes: Shapes) -> Architecture | None:
    """The architecture with these shapes by Meta's names, with SAM's own preprocessing; None where they tell none."""
    try:
        return _tiny_vit(shapes) if "image_encoder.patch_embed.seq.0.c.weight" in shapes else _vit(shapes)
    except (KeyError, ValueError, IndexError):  # a tensor is missing, or has a shape that no SAM has
        return None


def describe(architecture: Architecture) -> str:
    """The numbers that tell it from others."""
    if isinstance(architecture, VitArchitecture):
        return (
            f"width {architecture.embed_dim}, {architecture.depth} blocks, mlp_dim {architecture.hidden_dim}, "
            f"{architecture.image_size}-pixel input"
        )
    if isinstance(architecture, TinyVitArchitecture):
        return f"TinyViT, widths {', '.join(map(str, architecture.embed_dims))}, {architecture.image_size}-pixel input"
    return f"{architecture.image_size}-pixel input"


def same_network(one: Architecture, other: Architecture) -> bool:
    """Whether two architectures have the same tensors; how pictures are prepared and scaled may differ."""
    return type(one) is type(other) and describe(one) == describe(other)


def _vit(shapes: Shapes) -> VitArchitecture:
    encoder = "image_encoder."
    width, _, patch, _ = shapes[f"{encoder}patch_embed.proj.weight"]
    side = shapes[f"{encoder}pos_embed"][1]
    depth = 1 + max(_numbers(shapes, r"^image_encoder\.blocks\.(\d+)\."))
    spans = [(shapes[f"{encoder}blocks.{index}.attn.rel_pos_h"][0] + 1) // 2 for index in range(depth)]
    windows = {span for span in spans if span != side}
    if len(windows) > 1:
        raise ValueError("windows of several sizes")
    hidden = shapes[f"{encoder}blocks.0.mlp.lin1.weight"][0]
    return VitArchitecture(
        image_size=side * patch,
        patch_size=patch,
        prompt_embed_dim=shapes[f"{encoder}neck.0.weight"][0],
        embed_dim=width,
        depth=depth,
        num_heads=width // shapes[f"{encoder}blocks.0.attn.rel_pos_h"][1],
        global_attn_indexes=tuple(index for index, span in enumerate(spans) if span == side),
        window_size=windows.pop() if windows else side,
        mlp_dim=None if hidden == 4 * width else hidden,
    )


def _tiny_vit(shapes: Shapes) -> TinyVitArchitecture:
    """Its input's side is in no shape: MobileSAM's."""
    layers = "image_encoder.layers"
    depths = [1 + max(_numbers(shapes, rf"^{re.escape(layers)}\.{stage}\.blocks\.(\d+)\.")) for stage in range(4)]
    first = shapes[f"{layers}.0.blocks.0.conv1.c.weight"][1]
    biases = [shapes[f"{layers}.{stage}.blocks.0.attn.attention_biases"] for stage in range(1, 4)]
    dims = [shapes[f"{layers}.{stage}.blocks.0.attn.norm.weight"][0] for stage in range(1, 4)]
    heads, windows = [shape[0] for shape in biases], [math.isqrt(shape[1]) for shape in biases]
    return TinyVitArchitecture(
        image_size=1024,
        prompt_embed_dim=shapes["image_encoder.neck.0.weight"][0],
        embed_dims=(first, dims[0], dims[1], dims[2]),
        depths=(depths[0], depths[1], depths[2], depths[3]),
        num_heads=(1, heads[0], heads[1], heads[2]),
        window_sizes=(1, windows[0], windows[1], windows[2]),
    )


def _numbers(shapes: Shapes, pattern: str) -> set[int]:
    return {int(found[1]) for name in shapes if (found := re.match(pattern, name))}
