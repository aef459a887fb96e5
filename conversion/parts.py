"""What is computed token by token, for as many of them at a time as a CPU's cache holds."""

from collections.abc import Callable

import numpy as np

from conversion.graph import Graph, Output


def padded(graph: Graph, tokens: str, size: tuple[int, int], beyond: int) -> str:
    """Tokens [B * hw, E], of size (hw, E), with tokens of zeros behind each picture's: [B * (hw + beyond), E]."""
    count, width = size
    tokens = graph.reshape(tokens, -1, count, width)
    return graph.reshape(graph.op("Pad", tokens, graph.ints(0, 0, 0, 0, beyond, 0)), -1, width)


def by_parts(graph: Graph, tokens: str, size: tuple[int, int], most: int, build: Callable[[str], str]) -> str:
    """What `build` makes of tokens [B * hw, E], some of each picture at a time: [B * hw, E].

    Args:
        graph: takes the nodes.
        tokens: [B * hw, E].
        size: (hw, E).
        most: tokens at a time.
        build: takes and gives [rows, E]. `rows` is even; some may be zeros behind a picture's tokens.
    """
    count, width = size
    parts = -(-count // most)
    rows = 2 * -(-count // (2 * parts))
    beyond = parts * rows - count
    if beyond:
        tokens = padded(graph, tokens, size, beyond)

    def of_part(part: str) -> Output:
        return Output(build(part), np.float32, [rows, width])

    made = graph.each([Output(graph.reshape(tokens, -1, rows, width), np.float32, [rows, width])], of_part)
    if beyond:
        made = graph.slice(graph.reshape(made, -1, parts * rows, width), 1, 0, count)
    return graph.reshape(made, -1, width)
