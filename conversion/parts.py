"""What is computed token by token, for as many of them at a time as a CPU's cache holds.

Products are quicker by parts, too: ONNX Runtime passes over all rows again and again, for some of the kernel at a time.
"""

from collections.abc import Callable, Sequence

import numpy as np

from conversion.graph import Graph, Output


class Parts:
    """Equal parts of each picture's tokens [B * count, E], with tokens of zeros behind a picture's to make them equal.

    total: tokens of a picture, those of zeros included.
    """

    def __init__(self, size: tuple[int, int], most: int | None, spare: int = 0) -> None:
        """
        Args:
            size: (count, E).
            most: tokens of a part at most; None for all of all pictures at a time.
            spare: at least so many tokens of zeros behind a picture's.
        """
        self._count, self._width = size
        needed = self._count + spare
        if most is None:
            self._rows, self.total = None, needed
        else:
            parts = -(-needed // most)
            self._rows = -(-needed // parts)
            self.total = parts * self._rows

    def each(self, graph: Graph, tokens: Sequence[str], build: Callable[..., str], width: int) -> str:
        """What `build` makes of the tokens, part by part: [B * total, width].

        Args:
            graph: takes the nodes.
            tokens: [B * count, E] each.
            build: takes a part of each, [rows, E], and gives [rows, width].
            width: of what it gives.
        """
        padded = [self._pad(graph, x) for x in tokens]
        rows = self._rows
        if rows is None:
            return build(*padded)
        slices = [Output(graph.reshape(x, -1, rows, self._width), np.float32, [rows, self._width]) for x in padded]
        made = graph.each(slices, lambda *part: Output(build(*part), np.float32, [rows, width]))
        return graph.reshape(made, -1, width)

    def crop(self, graph: Graph, made: str, width: int) -> str:
        """[B * total, width] -> [B * count, width]."""
        if self.total == self._count:
            return made
        return graph.reshape(graph.slice(graph.reshape(made, -1, self.total, width), 1, 0, self._count), -1, width)

    def _pad(self, graph: Graph, tokens: str) -> str:
        """[B * count, E] -> [B * total, E]."""
        beyond = self.total - self._count
        if not beyond:
            return tokens
        tokens = graph.reshape(tokens, -1, self._count, self._width)
        return graph.reshape(graph.op("Pad", tokens, graph.ints(0, 0, 0, 0, beyond, 0)), -1, self._width)
