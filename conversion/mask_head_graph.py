"""SAM's mask head as part of the decoder graph: `MaskDecoder.output_upscaling` and the hypernetworks, channels last.

A transposed convolution of kernel and stride 2 is one matrix product whose output holds the four pixels side by side.
They stay side by side through norm, GELU and the hypernetworks' product; only finished masks are put in pixel order.

One prompt makes 12 MB of activations from 4 MB of image tokens. Prompts are taken one by one, in strips of rows whose
activations stay in the cache: a third less time than all at once.
"""

import numpy as np

from conversion.graph import Graph
from conversion.weights import Weights
from segmentation.models import Architecture

NUM_MASK_TOKENS = 4
NORM_EPSILON = 1e-6
"""Of `LayerNorm2d`."""

STRIP_TOKENS = 512
"""Image tokens of a strip, at most: 2 MB of the widest activations."""


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
    hyper = graph.op("Gather", _hypernetworks(graph, tokens, decoder), mask_ids, axis=0)
    hyper = graph.transpose(hyper, 1, 2, 0)
    head = _Head(graph, decoder.below("output_upscaling"), image, architecture)

    def masks_of(position: str) -> str:
        prompt = graph.op("Gather", prompts, position, axis=0)
        return head.masks(prompt, graph.op("Gather", hyper, prompt, axis=0))

    side = architecture.low_res_side
    count = graph.op("Squeeze", graph.dim(prompts, 0))
    masks = graph.for_each(count, masks_of, np.float32, ["mask_count", side, side])
    rank = graph.op("Sub", graph.op("CumSum", needed, graph.constant(0, np.int64)), graph.constant(1, np.int32))
    place = graph.op("Cast", graph.op("Gather", rank, graph.slice(index, 1, 0, 1), axis=0), to=7)
    return index, graph.op("GatherND", masks, graph.concat(place, graph.slice(index, 1, 1, 2), axis=1))


class _Head:
    """The head for one prompt at a time.

    image: float32 [B, hw, C], the image tokens of all prompts.
    """

    def __init__(self, graph: Graph, upscaling: Weights, image: str, architecture: Architecture) -> None:
        self.graph = graph
        self.upscaling = upscaling
        self.side = architecture.embedding_side
        self.rows = _strip_rows(self.side)
        self.strips = self.side // self.rows
        self.cut = graph.reshape(image, -1, self.rows * self.side, architecture.prompt_embed_dim)
        self.kernels = [self._kernel(name) for name in ("0", "3")]
        self.scale = graph.weight(upscaling["1.weight"], f"{upscaling.prefix}1.weight")
        self.shift = graph.weight(upscaling["1.bias"], f"{upscaling.prefix}1.bias")

    def masks(self, prompt: str, hyper: str) -> str:
        """Logits [m, 4h, 4w] of one prompt (int64 scalar) from its hypernetworks' output [C / 8, m]."""
        graph = self.graph
        first = graph.mul(prompt, graph.constant(self.strips, np.int64))
        strips = []
        for strip in range(self.strips):
            place = graph.add(first, graph.constant(strip, np.int64)) if strip else first
            tokens = graph.op("Gather", self.cut, place, axis=0)
            # [row, column, first upscaling's 2x2, second's 2x2, mask] -> [mask, pixel row, pixel column]
            split = graph.reshape(self._logits(tokens, hyper), self.rows, self.side, 2, 2, 2, 2, -1)
            strips.append(graph.reshape(graph.transpose(split, 6, 0, 2, 4, 1, 3, 5), -1, 4 * self.rows, 4 * self.side))
        return graph.concat(*strips, axis=1) if len(strips) > 1 else strips[0]

    def _logits(self, tokens: str, hyper: str) -> str:
        """[n, C] -> [16 n, m], each token's pixels in a row."""
        graph, count = self.graph, self.rows * self.side
        (kernel, bias, channels), (last_kernel, last_bias, last_channels) = self.kernels
        x = graph.reshape(graph.linear(tokens, kernel, bias), 4 * count, channels)
        x = graph.op("Gelu", graph.layer_norm(x, self.scale, self.shift, NORM_EPSILON))
        x = graph.op("Gelu", graph.linear(x, last_kernel, last_bias))
        return graph.matmul(graph.reshape(x, 16 * count, last_channels), hyper)

    def _kernel(self, name: str) -> tuple[str, str, int]:
        """(kernel [C, 4 C'], bias [4 C'], C') of a transposed convolution."""
        kernel = self.upscaling[f"{name}.weight"]
        channels, narrow = kernel.shape[:2]
        flat = kernel.transpose(0, 2, 3, 1).reshape(channels, 4 * narrow)
        bias = np.tile(self.upscaling[f"{name}.bias"], 4)
        prefix = f"{self.upscaling.prefix}{name}"
        return self.graph.weight(flat, f"{prefix}.weight"), self.graph.weight(bias, f"{prefix}.bias"), narrow


def _strip_rows(side: int) -> int:
    """Rows of a strip: the most that divide the picture and have at most `STRIP_TOKENS` tokens."""
    return max(rows for rows in range(1, side + 1) if side % rows == 0 and (rows == 1 or rows * side <= STRIP_TOKENS))


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
