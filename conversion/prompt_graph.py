"""SAM's prompt encoder as part of the decoder graph: `segment_anything.modeling.PromptEncoder`, channels last."""

import numpy as np

from conversion.graph import Dims, Graph
from conversion.layers import norm
from conversion.weights import Weights
from segmentation.weights.architecture import Architecture

NORM_EPSILON = 1e-6
"""Of `LayerNorm2d`."""


def point_embeddings(graph: Graph, coords: str, labels: str, prompt: Weights, architecture: Architecture) -> str:
    """Sparse embeddings [B, N, C] of points [B, N, 2] in pixels of the input frame with labels [B, N], as the graph's
    input has them: `PromptEncoder._embed_points` and `_embed_boxes`.
    """
    unit = graph.mul(graph.add(coords, graph.constant(0.5)), graph.constant(1 / architecture.image_size))
    centred = graph.op("Sub", graph.mul(unit, graph.constant(2.0)), graph.constant(1.0))
    position = _waves(graph, centred, prompt)
    kinds = [prompt[f"point_embeddings.{index}.weight"] for index in range(4)]
    # Label -1 takes the last row: the padding point has an embedding of its own and no position.
    table = graph.weight(np.concatenate([*kinds, prompt["not_a_point_embed.weight"]]), "point_embeddings")
    padding = graph.op("Unsqueeze", graph.op("Less", labels, graph.constant(0, np.int64)), graph.ints(-1))
    kind = graph.op("Gather", table, labels, axis=0)
    return graph.add(kind, graph.op("Where", padding, graph.constant(0.0), position))


def dense_embeddings(graph: Graph, mask: str, has_mask: str, prompt: Weights, architecture: Architecture) -> str:
    """Dense embeddings [M, hw, C] of mask inputs [M, 1, 4h, 4w], and the learned "no mask" where `has_mask` [M] is
    false; [1, 1, C] when no prompt has one, at no cost: `PromptEncoder._embed_masks`.
    """
    shape: Dims = ["masks", "tokens", architecture.prompt_embed_dim]
    nothing = graph.weight(prompt["no_mask_embed.weight"][None], "no_mask_embed")
    count = architecture.embedding_side
    with graph.branch() as some:
        # The two strided convolutions as products of 2x2 blocks: [M, row, column, outer 2x2, inner 2x2].
        blocks = graph.transpose(graph.reshape(mask, -1, count, 2, 2, count, 2, 2), 0, 1, 4, 2, 5, 3, 6)
        x = graph.reshape(blocks, -1, count * count, 4, 4)
        for layer, flat in (("0", 16), ("3", 0)):
            kernel = prompt[f"mask_downscaling.{layer}.weight"]
            kernel = kernel.transpose(2, 3, 1, 0).reshape(-1, kernel.shape[0])
            bias = graph.weight(prompt[f"mask_downscaling.{layer}.bias"], f"mask_downscaling.{layer}.bias")
            x = graph.linear(x, graph.weight(kernel, f"mask_downscaling.{layer}.weight"), bias)
            x = graph.op("Gelu", norm(graph, x, prompt.below("mask_downscaling"), str(int(layer) + 1), NORM_EPSILON))
            x = graph.reshape(x, 0, 0, -1) if flat else x
        kernel = prompt["mask_downscaling.6.weight"][:, :, 0, 0].T
        bias = graph.weight(prompt["mask_downscaling.6.bias"], "mask_downscaling.6.bias")
        x = graph.linear(x, graph.weight(kernel, "mask_downscaling.6.weight"), bias)
        given = graph.op("Unsqueeze", has_mask, graph.ints(1, 2))
        graph.output(graph.op("Where", given, x, nothing), "dense_of_masks", np.float32, shape)
    with graph.branch() as none:
        graph.output(nothing, "dense_of_no_mask", np.float32, shape)
    count_given = graph.op("ReduceMax", graph.op("Cast", has_mask, to=6), keepdims=0)
    return graph.choose(graph.op("Cast", count_given, to=9), some, none)[0]


def dense_position(graph: Graph, prompt: Weights, architecture: Architecture) -> str:
    """`PromptEncoder.get_dense_pe`, channels last: [1, hw, C]. Made in the main graph, from constants alone."""
    side = architecture.embedding_side
    centre = 2 * (np.arange(side) + 0.5) / side - 1
    columns, rows = np.meshgrid(centre, centre)
    grid = np.stack([columns, rows], axis=-1).reshape(1, side * side, 2).astype(np.float32)
    with graph.outside():
        return _waves(graph, graph.weight(grid, "image_grid"), prompt)


def _waves(graph: Graph, centred: str, prompt: Weights) -> str:
    """`PositionEmbeddingRandom._pe_encoding` of points [..., 2] between -1 and 1."""
    gaussian = graph.weight(prompt["pe_layer.positional_encoding_gaussian_matrix"], "positional_encoding")
    angle = graph.mul(graph.matmul(centred, gaussian), graph.constant(2 * np.pi))
    return graph.concat(graph.op("Sin", angle), graph.op("Cos", angle), axis=-1)
