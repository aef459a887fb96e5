"""How tokens are cut into squares that attend among themselves, and put together again."""

import numpy as np
from numpy.typing import NDArray

from conversion.graph import Graph
from conversion.parts import padded
from segmentation.models import Architecture


class Windows:
    """`window_partition` and `window_unpartition` of `segment_anything`, on tokens [B * hw, E].

    Each is one gather of whole tokens; what pads a window is a token of zeros behind the picture's own.

    side: of one square, in patches; the whole picture is one square for global attention.
    tokens: (hw, E).
    """

    def __init__(self, architecture: Architecture, *, whole: bool) -> None:
        self.is_whole = whole
        self.count = architecture.embedding_side
        self.side = self.count if whole else architecture.window_size
        self.heads = architecture.num_heads
        self.head_dim = architecture.embed_dim // architecture.num_heads
        self._width = architecture.embed_dim
        self.tokens = (self.count**2, self._width)
        self._sources = _sources(self.count, self.side)
        self._beyond = len(self._sources) > self.count**2

    def pad(self, graph: Graph, tokens: str) -> str:
        """[B * hw, E] -> as `cut` takes them: a token of zeros behind each picture's, where windows reach beyond it.

        Products without a bias keep it zero.
        """
        return padded(graph, tokens, self.tokens, 1) if self._beyond else tokens

    def cut(self, graph: Graph, tokens: str) -> str:
        """What `pad` gave, or products of it -> [B * windows * ss, E]; padded tokens are what the last one is."""
        if self.side != self.count:
            tokens = graph.reshape(tokens, -1, self.count**2 + self._beyond, self._width)
            tokens = graph.op("Gather", tokens, graph.ints(*self._sources), axis=1)
        return graph.reshape(tokens, -1, self._width)

    def split(self, graph: Graph, tokens: str) -> str:
        """[N * ss, E] -> [N, ss, heads, d]."""
        return graph.reshape(tokens, -1, self.side**2, self.heads, self.head_dim)

    def join(self, graph: Graph, attended: str) -> str:
        """[N, ss, E] -> [B * hw, E], without the padding."""
        if self.side != self.count:
            attended = graph.reshape(attended, -1, len(self._sources), self._width)
            places = np.argsort(self._sources)[: self.count**2]
            attended = graph.op("Gather", attended, graph.ints(*places), axis=1)
        return graph.reshape(attended, -1, self._width)


def _sources(count: int, side: int) -> NDArray[np.int64]:
    """The token of a picture of count x count at each place of each window, [windows * ss]; the one behind the last
    where there is none."""
    per_axis = -(-count // side)
    tokens = np.arange(count**2).reshape(count, count)
    grid = np.pad(tokens, (0, per_axis * side - count), constant_values=count**2)
    return grid.reshape(per_axis, side, per_axis, side).transpose(0, 2, 1, 3).ravel()
