"""SAM's mask head as part of the decoder graph: `MaskDecoder.output_upscaling` and the hypernetworks, channels last.

A transposed convolution of kernel and stride 2 is one matrix product whose output holds the four pixels side by side.
They stay side by side through norm, GELU and the hypernetworks' product; only finished masks are put in pixel order.
"""

import numpy as np

from conversion.graph import Graph
from conversion.layers import norm
from conversion.weights import Weights
from segmentation.models import Architecture

NUM_MASK_TOKENS = 4
NORM_EPSILON = 1e-6
"""Of `LayerNorm2d`."""


def mask_head(
    graph: Graph, tokens: str, image: str, mask_ids: str, passing: str, decoder: Weights, architecture: Architecture
) -> tuple[str, str]:
    """(index int64 [K, 2], logits float32 [K, 4h, 4w]) of the masks that pass.

    Args:
        graph: takes the nodes.
        tokens: float32 [B, T, C], after the transformer.
        image: float32 [B, hw, C], after the transformer.
        mask_ids: int64 [m].
        passing: bool [B, m].
        decoder: the mask decoder's weights.
        architecture: for the sizes.
    """
    index = graph.transpose(graph.op("NonZero", passing), 1, 0)
    needed = graph.op("ReduceMax", graph.op("Cast", passing, to=6), graph.ints(1), keepdims=0)
    prompts = graph.reshape(graph.op("NonZero", needed), -1)

    upscaling = decoder.below("output_upscaling")
    side, low_res = architecture.embedding_side, architecture.low_res_side
    x = _upscale(graph, graph.op("Gather", image, prompts, axis=0), upscaling, "0", side**2)
    x = graph.op("Gelu", norm(graph, x, upscaling, "1", NORM_EPSILON))
    x = graph.op("Gelu", _upscale(graph, x, upscaling, "3", 4 * side**2))
    hyper = graph.op("Gather", _hypernetworks(graph, tokens, decoder), mask_ids, axis=0)
    hyper = graph.transpose(graph.op("Gather", hyper, prompts, axis=1), 1, 2, 0)
    split = graph.reshape_like(
        graph.matmul(x, hyper), graph.dim(prompts, 0), side, side, 2, 2, 2, 2, graph.dim(mask_ids, 0)
    )
    masks = graph.transpose(split, 0, 7, 1, 3, 5, 2, 4, 6)
    masks = graph.reshape_like(masks, graph.dim(prompts, 0), graph.dim(mask_ids, 0), low_res, low_res)

    rank = graph.op("Sub", graph.op("CumSum", needed, graph.constant(0, np.int64)), graph.constant(1, np.int32))
    place = graph.op("Cast", graph.op("Gather", rank, graph.slice(index, 1, 0, 1), axis=0), to=7)
    return index, graph.op("GatherND", masks, graph.concat(place, graph.slice(index, 1, 1, 2), axis=1))


def _upscale(graph: Graph, x: str, upscaling: Weights, name: str, count: int) -> str:
    """[P, n, C] -> [P, 4n, C'], each pixel's four children in a row; n is `count`."""
    kernel = upscaling[f"{name}.weight"]
    channels, narrow = kernel.shape[:2]
    kernel = kernel.transpose(0, 2, 3, 1).reshape(channels, 4 * narrow)
    product = graph.linear(
        x,
        graph.weight(kernel, f"{upscaling.prefix}{name}.weight"),
        graph.weight(np.tile(upscaling[f"{name}.bias"], 4), f"{upscaling.prefix}{name}.bias"),
    )
    return graph.reshape(product, 0, 4 * count, narrow)


def _hypernetworks(graph: Graph, tokens: str, decoder: Weights) -> str:
    """The four mask tokens of [B, T, C] through their own MLPs: [4, B, C / 8]."""
    x = graph.transpose(graph.slice(tokens, 1, 1, 1 + NUM_MASK_TOKENS), 1, 0, 2)
    for layer in range(3):
        names = [f"output_hypernetworks_mlps.{index}.layers.{layer}" for index in range(NUM_MASK_TOKENS)]
        kernel = np.stack([decoder[f"{name}.weight"].T for name in names])
        bias = np.stack([decoder[f"{name}.bias"][None] for name in names])
        prefix = f"{decoder.prefix}output_hypernetworks_mlps.layers.{layer}"
        x = graph.linear(x, graph.weight(kernel, f"{prefix}.weight"), graph.weight(bias, f"{prefix}.bias"))
        x = graph.op("Relu", x) if layer < 2 else x
    return x
