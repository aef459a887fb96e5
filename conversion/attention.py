"""Multi-head attention of the encoder's blocks, within windows or over the whole picture.

The same function as `segment_anything.modeling.image_encoder.Attention`, with less work:

- A padded token of a window is zero before the reference's projections, so its key and value are the biases. The key's
  bias adds the same to all scores of a query and drops out of the softmax. The value's bias comes out of the weighted
  mean as it went in, and is added to the bias of the projection behind it. Then padded keys and values are zero, and
  windows can be cut behind the projections.
- Within windows the decomposed relative position is part of the query-key product: queries get their products with the
  position tables as further channels, keys get one-hot channels. No separate pass over the scores.
- Over the whole picture, where these channels would be two thirds of the product, the position is added to the scores,
  one head at a time: the scores of all heads are 270 MB each for Meta's models. OpenVINO makes one kernel of a head's
  operators, whose scores never leave the cache.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conversion.graph import Graph
from conversion.linears import Linear, scaled_rows
from conversion.mlp import Mlp
from conversion.weights import Weights
from conversion.windows import Windows

Queries = tuple[str, str, str]
"""Query [N, ss, d], and its products with the tables of rows and of columns, [N, ss, s] each; N counts heads."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the blocks of an encoder compute.

    linear: the products before and behind attention.
    mlp: what follows the second norm.
    smooths: whether norms are smoothed for the products behind them.
    """

    linear: Linear
    mlp: Mlp
    smooths: bool


def attention(
    graph: Graph, tokens: str, attn: Weights, windows: Windows, recipe: Recipe, factors: NDArray[np.float64] | None
) -> str:
    """Attention on normed tokens [B * hw, E], without the projection behind it.

    factors: by which the norm divided each channel, None for 1.
    """
    query_bias, key_bias, _ = np.split(attn.exact("qkv.bias"), 3)
    bias = np.concatenate([query_bias, np.zeros(2 * len(key_bias))])
    kernel = scaled_rows(attn["qkv.weight"].T, factors)

    joint = recipe.linear(graph, windows.padded(graph, tokens), kernel, bias, f"{attn.prefix}qkv")
    query, keys, values = windows.cut(graph, joint)
    attend = _attend_by_head if windows.is_whole else _attend
    return windows.join(graph, attend(graph, _with_position(graph, query, attn, windows), keys, values, windows))


def projection(graph: Graph, attended: str, attn: Weights, recipe: Recipe) -> str:
    """The projection behind attention, [n, E]."""
    value_bias = np.split(attn.exact("qkv.bias"), 3)[2]
    bias = attn.exact("proj.bias") + attn.exact("proj.weight") @ value_bias
    return recipe.linear(graph, attended, attn["proj.weight"].T, bias, f"{attn.prefix}proj")


def _attend(graph: Graph, queries: Queries, keys: str, values: str, windows: Windows) -> str:
    """softmax(scale query · key + position) value of all heads at once: for windows, whose scores are few.

    Keys and values are [N, ss, d], as is the result.
    """
    side = windows.side
    hot = graph.constant(_one_hot(side)[None] / windows.scale)
    shape = graph.concat(graph.dim(keys, 0), graph.ints(side**2, 2 * side), axis=0)
    keys = graph.concat(keys, graph.op("Expand", hot, shape), axis=2)
    scores = graph.matmul(graph.concat(*queries, axis=2), graph.transpose(keys, 0, 2, 1))
    weights = graph.op("Softmax", graph.mul(scores, graph.constant(windows.scale)), axis=-1)
    return graph.matmul(weights, values)


def _attend_by_head(graph: Graph, queries: Queries, keys: str, values: str, windows: Windows) -> str:
    """The same as `_attend`, one head of each picture at a time: for the whole picture.

    A loop in the graph would keep OpenVINO from fusing, and saves ONNX Runtime nothing.
    """
    side, tokens, heads = windows.side, windows.side**2, windows.heads

    def attend(query: str, rows: str, columns: str, keys: str, values: str) -> str:
        scores = graph.mul(graph.matmul(query, graph.transpose(keys, 0, 2, 1)), graph.constant(windows.scale))
        grid = graph.add(graph.reshape(scores, -1, tokens, side, side), graph.reshape(rows, -1, tokens, side, 1))
        grid = graph.add(grid, graph.reshape(columns, -1, tokens, 1, side))
        return graph.matmul(graph.op("Softmax", graph.reshape(grid, -1, tokens, tokens), axis=-1), values)

    parts = [graph.ops("Split", x, outputs=heads, axis=0, num_outputs=heads) for x in (*queries, keys, values)]
    return graph.concat(*[attend(*part) for part in zip(*parts, strict=True)], axis=0)


def _with_position(graph: Graph, query: str, attn: Weights, windows: Windows) -> Queries:
    """Query [N, ss, d] -> what `add_decomposed_rel_pos` makes of it before it meets the keys."""
    side = windows.side
    tables = [graph.constant(_position_table(attn, name, side)) for name in ("rel_pos_h", "rel_pos_w")]
    rows = graph.matmul(graph.reshape(query, -1, side, side, windows.head_dim), tables[0])
    # [columns, rows of all N, d]: queries of a column are equally far apart, and the product takes them where they are.
    by_column = graph.transpose(graph.reshape(query, -1, side, windows.head_dim), 1, 0, 2)
    columns = graph.transpose(graph.matmul(by_column, tables[1]), 1, 0, 2)
    return query, graph.reshape(rows, -1, side**2, side), graph.reshape(columns, -1, side**2, side)


def _position_table(attn: Weights, name: str, side: int) -> NDArray[np.float32]:
    """`get_rel_pos` for equal sides, as [query position, d, key position]."""
    offsets = np.arange(side)[:, None] - np.arange(side)[None, :] + side - 1
    table: NDArray[np.float32] = attn[name].astype(np.float32)[offsets]
    return table.transpose(0, 2, 1)


def _one_hot(side: int) -> NDArray[np.float32]:
    """Row and column of each key, [ss, 2s]."""
    one = np.eye(side, dtype=np.float32)
    return np.concatenate([np.repeat(one, side, axis=0), np.tile(one, (side, 1))], axis=1)
