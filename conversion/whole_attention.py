"""Attention over a whole picture, whose scores are 270 MB for each head of Meta's models.

One head and a part of its queries at a time, so that scores stay in the CPU's cache from the product that makes them to
the one that uses them. Nothing is approximated by this: a part holds all keys.
"""

from collections.abc import Callable

import numpy as np

from conversion.attention import Queries, merge_heads, one_hot
from conversion.graph import Graph
from conversion.linears import INT8_LEVELS, SHORTEST
from conversion.windows import Windows

FLOAT_ROWS = 512
"""Queries at a time in float: their scores with 4096 keys are 8 MB."""

INT8_ROWS = 1024
"""Queries at a time in int8, 16 MB: products of bytes are quick enough for the start of each operator to count."""

Scores = Callable[..., str]
"""Adds the scores of a part of the queries of one head, [B, 1, rows, ss], from what `_by_parts` was given of them."""


def float_whole_attend(graph: Graph, queries: Queries, key: str, value: str, windows: Windows) -> str:
    """The position is added to the scores. As further channels of the product, which windows have, it would be two
    thirds of it: 128 beside a head's 64 or 80."""
    side = windows.side
    query, rows, columns = (graph.transpose(part, 0, 2, 1, 3) for part in queries)
    rows, columns = graph.reshape(rows, 0, 0, 0, side, 1), graph.reshape(columns, 0, 0, 0, 1, side)

    def scores(keys: str, part: str, by_row: str, by_column: str) -> str:
        grid = graph.reshape(graph.matmul(part, keys), 0, 0, 0, side, side)
        return graph.reshape(graph.add(graph.add(grid, by_row), by_column), 0, 0, 0, side**2)

    keys = graph.transpose(key, 0, 2, 3, 1)
    return _by_parts(graph, FLOAT_ROWS, scores, [keys], [query, rows, columns], value, windows)


def int8_whole_attend(graph: Graph, queries: Queries, key: str, value: str, windows: Windows) -> str:
    """Scores from 8-bit queries and keys with one range per head; softmax and its product with the values in float.

    The mean key is taken off all keys, which changes no softmax and leaves less to quantise (SageAttention, Zhang et
    al. 2024). The one-hot channels are the largest integer, so they are exact.
    """
    side, heads = windows.side, windows.heads
    step = graph.constant(1 / INT8_LEVELS)
    mean = graph.matmul(  # a product is much faster than ReduceMean here
        graph.constant(np.full((1, 1, side**2), side**-2)), graph.reshape(key, 0, 0, heads * windows.head_dim)
    )
    keys = graph.op("Sub", key, graph.reshape(mean, 0, 1, heads, windows.head_dim))
    key_range = _range(graph, keys)
    keys = graph.op("QuantizeLinear", graph.op("Div", keys, key_range), step, graph.constant(0, np.int8))
    hot = graph.constant(INT8_LEVELS * one_hot(side).T[None, None], np.int8)
    shape = graph.concat(graph.dim(key, 0), graph.ints(heads, 2 * side, side**2), axis=0)
    keys = graph.concat(graph.transpose(keys, 0, 2, 3, 1), graph.op("Expand", hot, shape), axis=2)

    plain, rows, columns = queries
    places = graph.op("Div", graph.concat(rows, columns, axis=-1), key_range)
    query_range = graph.op("Max", _range(graph, plain), _range(graph, places))
    zero = graph.constant(128, np.uint8)
    small = [graph.op("QuantizeLinear", graph.op("Div", part, query_range), step, zero) for part in (plain, places)]
    query = graph.transpose(graph.concat(*small, axis=-1), 0, 2, 1, 3)

    scale = graph.mul(graph.mul(key_range, query_range), graph.constant(1 / INT8_LEVELS**2))
    scale = graph.transpose(scale, 0, 2, 1, 3)
    per_key = graph.concat(graph.dim(key, 0), graph.ints(heads, 1, side**2), axis=0)
    scales = graph.op("Expand", scale, per_key)

    def scores(keys: str, scales: str, part: str) -> str:
        integers = (part, keys, graph.constant(1.0), scales, zero)
        return graph.op("MatMulIntegerToFloat", *integers, domain="com.microsoft")

    return _by_parts(graph, INT8_ROWS, scores, [keys, scales], [query], value, windows)


def _by_parts(
    graph: Graph, rows: int, scores: Scores, of_keys: list[str], of_queries: list[str], value: str, windows: Windows
) -> str:
    """Scores, softmax and the product with the values, head by head and for so many rows of queries at a time.

    of_keys, of_queries: [B, heads, ...] and [B, heads, ss, ...]: what `scores` takes, in this order. value:
    [B, ss, heads, d]. Gives [B, ss, E].
    """
    values = graph.transpose(value, 0, 2, 1, 3)
    attended = []
    for head_values, *head in zip(
        *(_split(graph, x, 1, windows.heads) for x in (values, *of_keys, *of_queries)), strict=True
    ):
        keys, queries = head[: len(of_keys)], head[len(of_keys) :]
        parts = -(-(windows.side**2) // rows)
        for part in zip(*(_split(graph, x, 2, parts) for x in queries), strict=True):
            weights = graph.op("Softmax", scores(*keys, *part), axis=-1)
            attended.append(graph.matmul(weights, head_values))
    joined = graph.reshape(graph.concat(*attended, axis=2), 0, windows.heads, windows.side**2, -1)
    return merge_heads(graph, joined, windows)


def _split(graph: Graph, x: str, axis: int, count: int) -> list[str]:
    """In as many equal parts, the last of which may be smaller."""
    return graph.ops("Split", x, outputs=count, axis=axis, num_outputs=count)


def _range(graph: Graph, x: str) -> str:
    """Largest magnitude per head of [B, ss, heads, channels], as [B, 1, heads, 1]; never 0."""
    largest = graph.op("ReduceMax", graph.op("Abs", x), graph.ints(1, 3))
    return graph.op("Max", largest, graph.constant(SHORTEST))
