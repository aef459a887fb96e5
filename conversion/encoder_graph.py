"""SAM's image encoder as an ONNX graph: `segment_anything.modeling.ImageEncoderViT` with preprocessing in front.

Tokens stay channel-last from the pixels to the neck; `conversion.attention` says what it does differently. A precision
is a `Recipe` of the blocks.
"""

import numpy as np
from numpy.typing import NDArray

from conversion.attention import Recipe, attention, projection
from conversion.graph import Graph
from conversion.layers import norm
from conversion.linears import float_linear, int8_linear, smooth
from conversion.mlp import float_mlp, int8_mlp
from conversion.normalised import inside_picture, stretched
from conversion.tiny_vit_graph import build_tiny_vit
from conversion.weights import Weights
from conversion.windows import Windows
from segmentation.errors import ConfigurationError
from segmentation.weights.architecture import Architecture, TinyVitArchitecture, VitArchitecture

NORM_EPSILON = 1e-6
"""Of every norm in the encoder (`build_sam`, `LayerNorm2d`)."""

RECIPES = {
    "fp32": Recipe(linear=float_linear, mlp=float_mlp, smooths=False),
    "int8": Recipe(linear=int8_linear, mlp=int8_mlp, smooths=True),
}
"""Patch embedding and neck are float32 in all of them: they are little work."""


def build_encoder(graph: Graph, weights: Weights, architecture: Architecture, precision: str = "fp32") -> None:
    """Adds the image encoder of an architecture to an empty graph.

    Inputs: `images` uint8 [B, S, S, 3] RGB, pictures at the top left; `sizes` int64 [B, 2], (height, width) of each
    picture, beyond which pixels count as 0 after normalising. Output: `embeddings` float32 [B, C, h, w].

    Args:
        graph: takes the nodes.
        weights: the whole checkpoint.
        architecture: of the checkpoint.
        precision: a key of `RECIPES`; a TinyViT is built in fp32 only.

    Raises:
        ConfigurationError: there is no graph of this architecture in this precision.
    """
    if isinstance(architecture, VitArchitecture):
        build_vit(graph, weights, architecture, RECIPES[precision])
    elif isinstance(architecture, TinyVitArchitecture) and precision == "fp32":
        build_tiny_vit(graph, weights, architecture)
    else:
        raise ConfigurationError(f"{type(architecture).__name__} can't be converted to {precision}; fp32 can")


def build_vit(graph: Graph, weights: Weights, architecture: VitArchitecture, recipe: Recipe) -> None:
    """Adds a ViT encoder to an empty graph, as `build_encoder` describes."""
    side = architecture.image_size
    images = graph.input("images", np.uint8, ["batch", side, side, 3])
    sizes = graph.input("sizes", np.int64, ["batch", 2])
    vit = weights.below("image_encoder")
    tokens = _patches(graph, images, sizes, vit, architecture)
    tokens = graph.reshape(tokens, -1, architecture.embed_dim)
    for index in range(architecture.depth):
        windows = Windows(architecture, whole=index in architecture.global_attn_indexes)
        tokens = _block(graph, tokens, vit.below(f"blocks.{index}"), windows, recipe)
    embeddings = _neck(graph, tokens, vit.below("neck"), architecture)
    graph.output(embeddings, "embeddings", np.float32, ["batch", *architecture.embedding_shape])


def _patches(graph: Graph, images: str, sizes: str, vit: Weights, architecture: VitArchitecture) -> str:
    """uint8 pictures -> tokens [B, hw, E]: normalised pixels, patch embedding and absolute position."""
    patch, count, dim = architecture.patch_size, architecture.embedding_side, architecture.embed_dim
    grid = graph.reshape(images, 0, count, patch, count, patch * 3)
    pixels = graph.op("Cast", graph.transpose(grid, 0, 1, 3, 2, 4), to=1)
    rows = np.arange(architecture.image_size).reshape(1, count, 1, patch, 1)
    columns = np.repeat(np.arange(architecture.image_size), 3).reshape(1, 1, count, 1, patch * 3)
    inside = inside_picture(graph, sizes, rows, columns)
    kernel = vit.exact("patch_embed.proj.weight")
    if architecture.preprocess.normalise == "min_max":
        scaled = stretched(graph, pixels, inside, axes=(1, 2, 3, 4))
    else:
        scaled = graph.op("Sub", pixels, graph.constant(np.tile(architecture.pixel_mean, patch).astype(np.float32)))
        kernel = kernel / np.reshape(architecture.pixel_std, (1, 3, 1, 1))
    masked = graph.op("Where", inside, scaled, graph.constant(0.0))
    kernel = kernel.transpose(2, 3, 1, 0).reshape(patch * patch * 3, dim)
    tokens = graph.linear(
        graph.reshape(masked, 0, count * count, patch * patch * 3),
        graph.weight(kernel.astype(np.float32), "patch_embed.weight"),
        graph.weight(vit["patch_embed.proj.bias"], "patch_embed.bias"),
    )
    position = vit["pos_embed"].reshape(1, count * count, dim)
    return graph.add(tokens, graph.weight(position, "pos_embed"))


def _block(graph: Graph, tokens: str, block: Weights, windows: Windows, recipe: Recipe) -> str:
    """One transformer block on tokens [B * hw, E]."""
    normed, factors = _norm(graph, tokens, block, "norm1", block["attn.qkv.weight"], recipe)
    attended = attention(graph, normed, block.below("attn"), windows, recipe, factors)
    tokens = graph.add(tokens, projection(graph, attended, block.below("attn"), recipe))
    normed, factors = _norm(graph, tokens, block, "norm2", block["mlp.lin1.weight"], recipe)
    return graph.add(tokens, recipe.mlp(graph, normed, block.below("mlp"), factors))


def _norm(
    graph: Graph, tokens: str, block: Weights, name: str, kernel: NDArray[np.generic], recipe: Recipe
) -> tuple[str, NDArray[np.float64] | None]:
    """Normed tokens, and what each channel was divided by for the kernel [out, in] behind it."""
    if not recipe.smooths:
        return norm(graph, tokens, block, name, NORM_EPSILON), None
    scale, bias = block.exact(f"{name}.weight"), block.exact(f"{name}.bias")
    factors = smooth(scale, bias, kernel.astype(np.float64).T)
    constants = [
        graph.weight((array / factors).astype(np.float32), f"{block.prefix}{name}.{part}")
        for part, array in (("weight", scale), ("bias", bias))
    ]
    return graph.layer_norm(tokens, constants[0], constants[1], NORM_EPSILON), factors


def _neck(graph: Graph, tokens: str, neck: Weights, architecture: VitArchitecture) -> str:
    """Tokens [B, hw, E] -> embeddings [B, C, h, w]: 1x1 and 3x3 convolutions with norms over the channels."""
    count = architecture.embedding_side
    tokens = graph.reshape(tokens, -1, count * count, architecture.embed_dim)
    kernel = neck["0.weight"][:, :, 0, 0].T
    narrow = graph.matmul(tokens, graph.weight(kernel, "neck.0.weight"))
    planes = _planes(graph, norm(graph, narrow, neck, "1", NORM_EPSILON), count)
    mixed = graph.op("Conv", planes, graph.weight(neck["2.weight"], "neck.2.weight"), pads=[1, 1, 1, 1])
    last = graph.transpose(graph.reshape(mixed, 0, 0, -1), 0, 2, 1)
    return _planes(graph, norm(graph, last, neck, "3", NORM_EPSILON), count)


def _planes(graph: Graph, tokens: str, count: int) -> str:
    return graph.reshape(graph.transpose(tokens, 0, 2, 1), 0, 0, count, count)
