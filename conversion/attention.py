"""Multi-head attention of the encoder's blocks, within windows or over the whole picture.

The same function as `segment_anything.modeling.image_encoder.Attention`, with less work:

- A padded token of a window is zero before the reference's projections, so its key and value are the biases. The key's
  bias adds the same to all scores of a query and drops out of the softmax. The value's bias comes out of the weighted
  mean as it went in, and is added to the bias of the projection behind it. Then padded keys and values are zero, and
  windows can be cut behind the projections.
- Within windows the decomposed relative position is part of the query-key product: queries get their products with the
  position tables as further channels, keys get one-hot channels. No separate pass over the scores.
  `conversion.whole_attention` has what is done over the whole picture.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conversion.graph import Graph
from conversion.linears import Linear, scaled_rows
from conversion.mlp import Mlp
from conversion.weights import Weights
from conversion.windows import Windows

Queries = tuple[str, str, str]
"""Scaled query [N, ss, heads, d], and its products with the tables of rows and of columns, [N, ss, heads, s] each."""

Attend = Callable[[Graph, Queries, str, str, Windows], str]
"""Adds softmax(query · key + position) value, per head. Key and value are [N, ss, heads, d]; gives [N, ss, E]."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the blocks of an encoder compute.

    linear: the products behind the first norm.
    projection: the products behind attention, whose tokens differ in length.
    mlp: what follows the second norm.
    mlp_rows: tokens at a time there; None for all, which products with a range per call need.
    attend, attend_windows: over the whole picture, and within windows.
    cut_first: windows are cut before the products, which copies less and computes more; else behind them.
    smooths: whether norms are smoothed for the products behind them.
    """

    linear: Linear
    projection: Linear
    mlp: Mlp
    mlp_rows: int | None
    attend: Attend
    attend_windows: Attend
    cut_first: bool
    smooths: bool


def attention(
    graph: Graph, tokens: str, attn: Weights, windows: Windows, recipe: Recipe, factors: NDArray[np.float64] | None
) -> str:
    """Attention on normed tokens [B * hw, E], the projection behind it included.

    factors: by which the norm divided each channel, None for 1.
    """
    tokens = windows.pad(graph, tokens)
    if recipe.cut_first:
        tokens = windows.cut(graph, tokens)
    kernels, biases = np.split(attn["qkv.weight"], 3), np.split(attn["qkv.bias"], 3)
    parts = []
    for part, kernel, bias in zip(("query", "key", "value"), kernels, (biases[0], None, None), strict=True):
        made = recipe.linear(graph, tokens, scaled_rows(kernel.T, factors), bias, f"{attn.prefix}{part}")
        parts.append(windows.split(graph, made if recipe.cut_first else windows.cut(graph, made)))
    query, key, value = parts
    attend = recipe.attend if windows.is_whole else recipe.attend_windows
    attended = attend(graph, _with_position(graph, query, attn, windows), key, value, windows)
    kernel = attn["proj.weight"]
    bias = attn.exact("proj.bias") + attn.exact("proj.weight") @ biases[2].astype(np.float64)
    joined = windows.join(graph, attended)
    return recipe.projection(graph, joined, kernel.T, bias.astype(np.float32), f"{attn.prefix}proj")


def plain_attend(graph: Graph, queries: Queries, key: str, value: str, windows: Windows) -> str:
    """All scores at once: for windows, whose scores are few."""
    side, heads = windows.side, windows.heads
    query = graph.transpose(graph.concat(*queries, axis=-1), 0, 2, 1, 3)
    hot = graph.constant(one_hot(side).T[None, None])
    shape = graph.concat(graph.dim(key, 0), graph.ints(heads, 2 * side, side**2), axis=0)
    keys = graph.concat(graph.transpose(key, 0, 2, 3, 1), graph.op("Expand", hot, shape), axis=2)
    weights = graph.op("Softmax", graph.matmul(query, keys), axis=-1)
    attended = graph.matmul(weights, graph.transpose(value, 0, 2, 1, 3))
    return graph.reshape(graph.transpose(attended, 0, 2, 1, 3), 0, 0, windows.heads * windows.head_dim)


def _with_position(graph: Graph, query: str, attn: Weights, windows: Windows) -> Queries:
    """Query [N, ss, heads, d] -> what `add_decomposed_rel_pos` makes of it before it meets the keys."""
    side, heads = windows.side, windows.heads
    grid = graph.reshape(query, -1, side, side, heads, windows.head_dim)
    tables = [graph.constant(_position_table(attn, name, side)) for name in ("rel_pos_h", "rel_pos_w")]
    rows = graph.matmul(graph.reshape(grid, 0, side, side * heads, -1), tables[0])
    across = graph.reshape(graph.transpose(grid, 0, 2, 1, 3, 4), 0, side, side * heads, -1)
    columns = graph.reshape(graph.matmul(across, tables[1]), 0, side, side, heads, side)
    columns = graph.transpose(columns, 0, 2, 1, 3, 4)
    shape = (-1, side**2, heads, side)
    scaled = graph.mul(query, graph.constant(windows.head_dim**-0.5))
    return scaled, graph.reshape(rows, *shape), graph.reshape(columns, *shape)


def _position_table(attn: Weights, name: str, side: int) -> NDArray[np.float32]:
    """`get_rel_pos` for equal sides, as [query position, d, key position]."""
    offsets = np.arange(side)[:, None] - np.arange(side)[None, :] + side - 1
    table: NDArray[np.float32] = attn[name].astype(np.float32)[offsets]
    return table.transpose(0, 2, 1)


def one_hot(side: int) -> NDArray[np.float32]:
    """Row and column of each key, [ss, 2s]."""
    one = np.eye(side, dtype=np.float32)
    return np.concatenate([np.repeat(one, side, axis=0), np.tile(one, (side, 1))], axis=1)
