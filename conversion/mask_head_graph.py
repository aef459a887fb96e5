"""SAM's mask head as part of the decoder graph: `MaskDecoder.output_upscaling` and the hypernetworks, channels last.

A transposed convolution of kernel and stride 2 is one matrix product whose output holds the four pixels side by side.
They stay side by side through norm, GELU and the hypernetworks' product, and leave the graph so: putting them in pixel
order is a fine-grained transpose, which ONNX Runtime does slowly (see `segmentation.backends.onnx.upscale`).
"""

import numpy as np

from conversion.graph import Graph
from conversion.weights import Weights

NUM_MASK_TOKENS = 4
NORM_EPSILON = 1e-6
"""Of `LayerNorm2d`."""


def hypernetworks(graph: Graph, tokens: str, mask_ids: str, decoder: Weights) -> str:
    """What each mask asked for weighs the upscaled channels with: float32 [B, m, C / 8].

    Args:
        graph: takes the nodes.
        tokens: float32 [B, T, C], after the transformer.
        mask_ids: int64 [m], which of the four mask tokens.
        decoder: the mask decoder's weights.
    """
    x = graph.transpose(graph.slice(tokens, 1, 1, 1 + NUM_MASK_TOKENS), 1, 0, 2)
    for layer in range(3):
        names = [f"output_hypernetworks_mlps.{index}.layers.{layer}" for index in range(NUM_MASK_TOKENS)]
        kernel = np.stack([decoder[f"{name}.weight"].T for name in names])
        bias = np.stack([decoder[f"{name}.bias"][None] for name in names])
        prefix = f"{decoder.prefix}output_hypernetworks_mlps.layers.{layer}"
        x = graph.linear(x, graph.weight(kernel, f"{prefix}.weight"), graph.weight(bias, f"{prefix}.bias"))
        x = graph.op("Relu", x) if layer < 2 else x
    return graph.transpose(graph.op("Gather", x, mask_ids, axis=0), 1, 0, 2)


def upscale(graph: Graph, tokens: str, mask_weights: str, upscaling: Weights) -> str:
    """Logits of the 4x4 pixels of each image token, [P, k, n, 16]: the 2x2 of the first upscaling, row by row, each
    with the 2x2 of the second.

    Args:
        graph: takes the nodes.
        tokens: float32 [P, n, C], any n image tokens after the transformer.
        mask_weights: float32 [P, k, C / 8], of the masks wanted, by `hypernetworks`.
        upscaling: the weights of `output_upscaling`.
    """
    x = tokens
    for layer in ("0", "3"):
        kernel = upscaling[f"{layer}.weight"]
        channels, narrow = kernel.shape[:2]
        flat = kernel.transpose(0, 2, 3, 1).reshape(channels, 4 * narrow)
        prefix = f"{upscaling.prefix}{layer}"
        bias = graph.weight(np.tile(upscaling[f"{layer}.bias"], 4), f"{prefix}.bias")
        x = graph.reshape(graph.linear(x, graph.weight(flat, f"{prefix}.weight"), bias), 0, -1, narrow)
        if layer == "0":
            scale = graph.weight(upscaling["1.weight"], f"{upscaling.prefix}1.weight")
            shift = graph.weight(upscaling["1.bias"], f"{upscaling.prefix}1.bias")
            x = graph.layer_norm(x, scale, shift, NORM_EPSILON)
        x = graph.op("Gelu", x)
    logits = graph.matmul(mask_weights, graph.transpose(x, 0, 2, 1))
    return graph.reshape(logits, 0, 0, -1, 16)
