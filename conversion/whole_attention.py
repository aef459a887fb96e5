"""Attention over a whole picture, whose scores are 270 MB for each head of Meta's models.

One head and a part of its queries at a time, so that scores stay in the CPU's cache from the product that makes them to
the one that uses them. Nothing is approximated by this: a part holds all keys.
"""

from collections.abc import Callable, Sequence

import numpy as np

from conversion.attention import Queries, one_hot
from conversion.graph import Graph, Output
from conversion.linears import INT8_LEVELS, SHORTEST
from conversion.windows import Windows

ROWS_PER_PART = 512
"""Queries at a time: their scores with 4096 keys are 8 MB."""

Scores = Callable[..., str]
"""Adds the scores of a part of the queries of one head, [rows, ss], from what `_by_parts` was given of them."""


def float_whole_attend(graph: Graph, queries: Queries, keys: str, values: str, windows: Windows) -> str:
    """The position is added to the scores. As further channels of the product, which windows have, it would be two
    thirds of it: 128 beside a head's 64 or 80."""
    side, scale = windows.side, graph.constant(windows.scale)

    def scores(keys: str, part: str, by_row: str, by_column: str) -> str:
        grid = graph.reshape(graph.mul(graph.matmul(part, keys), scale), 0, side, side)
        grid = graph.add(grid, graph.reshape(by_row, 0, side, 1))
        return graph.reshape(graph.add(grid, graph.reshape(by_column, 0, 1, side)), 0, side**2)

    query, rows, columns = queries
    of_keys = [Output(graph.transpose(keys, 0, 2, 1), np.float32, [windows.head_dim, side**2])]
    of_queries = [
        Output(x, np.float32, [side**2, width])
        for x, width in ((query, windows.head_dim), (rows, side), (columns, side))
    ]
    return _by_parts(graph, scores, of_keys, of_queries, values, windows)


def fused_whole_attend(graph: Graph, queries: Queries, keys: str, values: str, windows: Windows) -> str:
    """All heads at once, with the position added to the scores: OpenVINO makes one kernel of it, whose scores stay in
    the cache. A loop over parts, as of `float_whole_attend`, keeps OpenVINO from fusing."""
    side, tokens = windows.side, windows.side**2
    query, rows, columns = queries
    scores = graph.mul(graph.matmul(query, graph.transpose(keys, 0, 2, 1)), graph.constant(windows.scale))
    grid = graph.add(graph.reshape(scores, -1, tokens, side, side), graph.reshape(rows, -1, tokens, side, 1))
    grid = graph.add(grid, graph.reshape(columns, -1, tokens, 1, side))
    return graph.matmul(graph.op("Softmax", graph.reshape(grid, -1, tokens, tokens), axis=-1), values)


def int8_whole_attend(graph: Graph, queries: Queries, keys: str, values: str, windows: Windows) -> str:
    """Scores from 8-bit queries and keys with one range per head; softmax and its product with the values in float.

    The mean key is taken off all keys, which changes no softmax and leaves less to quantise (SageAttention, Zhang et
    al. 2024). The one-hot channels are the largest integer, so they are exact.
    """
    side = windows.side
    step = graph.constant(1 / INT8_LEVELS)
    # A product is much faster than ReduceMean here.
    mean = graph.matmul(graph.constant(np.full((1, 1, side**2), side**-2)), keys)
    keys = graph.op("Sub", keys, mean)
    key_range = _range(graph, keys)
    keys = graph.op("QuantizeLinear", graph.op("Div", keys, key_range), step, graph.constant(0, np.int8))
    hot = graph.constant(INT8_LEVELS * one_hot(side).T[None], np.int8)
    count = graph.dim(keys, 0)
    shape = graph.concat(count, graph.ints(2 * side, side**2), axis=0)
    keys = graph.concat(graph.transpose(keys, 0, 2, 1), graph.op("Expand", hot, shape), axis=1)

    plain, rows, columns = queries
    largest = graph.mul(key_range, graph.constant(windows.scale))
    places = graph.op("Div", graph.concat(rows, columns, axis=2), largest)
    query_range = graph.op("Max", _range(graph, plain), _range(graph, places))
    zero = graph.constant(128, np.uint8)
    small = [graph.op("QuantizeLinear", graph.op("Div", part, query_range), step, zero) for part in (plain, places)]
    query = graph.concat(*small, axis=2)

    scale = graph.mul(graph.mul(largest, query_range), graph.constant(INT8_LEVELS**-2))
    scales = graph.op("Expand", scale, graph.concat(count, graph.ints(1, side**2), axis=0))

    def scores(keys: str, scales: str, part: str) -> str:
        integers = (part, keys, graph.constant(1.0), scales, zero)
        return graph.op("MatMulIntegerToFloat", *integers, domain="com.microsoft")

    width = windows.head_dim + 2 * side
    of_keys = [Output(keys, np.int8, [width, side**2]), Output(scales, np.float32, [1, side**2])]
    return _by_parts(graph, scores, of_keys, [Output(query, np.uint8, [side**2, width])], values, windows)


def _by_parts(
    graph: Graph,
    scores: Scores,
    of_keys: Sequence[Output],
    of_queries: Sequence[Output],
    values: str,
    windows: Windows,
) -> str:
    """Scores, softmax and the product with the values, head by head and for some of its queries at a time.

    of_keys, of_queries: [N, ...] and [N, ss, ...], described as a head's, which `scores` takes in this order.
    values: [N, ss, d], as is what it gives.
    """
    tokens = windows.side**2
    parts = -(-tokens // ROWS_PER_PART)
    of_value = [tokens, windows.head_dim]

    def of_head(values: str, *head: str) -> Output:
        keys, queries = head[: len(of_keys)], head[len(of_keys) :]
        split = (graph.ops("Split", x, outputs=parts, axis=0, num_outputs=parts) for x in queries)
        weights = (graph.op("Softmax", scores(*keys, *part), axis=-1) for part in zip(*split, strict=True))
        return Output(graph.concat(*[graph.matmul(part, values) for part in weights], axis=0), np.float32, of_value)

    return graph.each([Output(values, np.float32, of_value), *of_keys, *of_queries], of_head)


def _range(graph: Graph, x: str) -> str:
    """Largest magnitude of each head of [N, ss, channels], as [N, 1, 1]; never 0."""
    largest = graph.op("ReduceMax", graph.op("Abs", x), graph.ints(1, 2))
    return graph.op("Max", largest, graph.constant(SHORTEST))
