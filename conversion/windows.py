"""How tokens are cut into squares that attend among themselves, and put together again."""

import numpy as np
from numpy.typing import NDArray

from conversion.graph import Graph
from segmentation.weights.architecture import VitArchitecture


class Windows:
    """`window_partition` and `window_unpartition` of `segment_anything`, head by head.

    Each is one gather of a token's heads.

    heads, head_dim: of one token.
    side: of one square, in patches; the whole picture is one square for global attention.
    scale: of the scores.
    tokens: (hw, E).
    reaches_beyond: whether squares have places outside the picture. A token of zeros behind its own is there.
    """

    def __init__(self, architecture: VitArchitecture, *, whole: bool) -> None:
        self.is_whole = whole
        self._count = architecture.embedding_side
        self.side = self._count if whole else architecture.window_size
        self.heads = architecture.num_heads
        self.head_dim = architecture.embed_dim // architecture.num_heads
        self.scale = self.head_dim**-0.5
        self.tokens = (self._count**2, architecture.embed_dim)
        self._sources = _sources(self._count, self.side)
        self.reaches_beyond = len(self._sources) > self._count**2

    def padded(self, graph: Graph, tokens: str) -> str:
        """[B * hw, E] -> the same with a token of zeros behind each picture's, if squares reach beyond the picture."""
        if not self.reaches_beyond:
            return tokens
        count, width = self.tokens
        tokens = graph.op("Pad", graph.reshape(tokens, -1, count, width), graph.ints(0, 0, 0, 0, 1, 0))
        return graph.reshape(tokens, -1, width)

    def cut(self, graph: Graph, joint: str) -> list[str]:
        """Queries, keys and values of `padded` tokens, [n, 3 E] -> [B * windows * heads, ss, d] each."""
        kinds, tokens = 3, self.tokens[0] + int(self.reaches_beyond)
        places = np.arange(tokens * kinds * self.heads, dtype=np.int32).reshape(tokens, kinds, self.heads)
        # [windows, ss, kinds, heads] -> [kinds, windows, heads, ss]
        places = places[self._sources.reshape(-1, self.side**2)].transpose(2, 0, 3, 1)
        joint = graph.reshape(joint, -1, tokens * kinds * self.heads, self.head_dim)
        cut = (graph.op("Gather", joint, graph.constant(of.ravel(), np.int32), axis=1) for of in places)
        return [graph.reshape(part, -1, self.side**2, self.head_dim) for part in cut]

    def join(self, graph: Graph, attended: str) -> str:
        """[B * windows * heads, ss, d] -> [B * hw, E], without the padding."""
        size = len(self._sources) * self.heads
        places = np.arange(size, dtype=np.int32).reshape(-1, self.heads, self.side**2).transpose(0, 2, 1)
        places = places.reshape(-1, self.heads)[np.argsort(self._sources)[: self._count**2]]
        attended = graph.reshape(attended, -1, size, self.head_dim)
        joined = graph.op("Gather", attended, graph.constant(places.ravel(), np.int32), axis=1)
        return graph.reshape(joined, -1, self.tokens[1])


def _sources(count: int, side: int) -> NDArray[np.int64]:
    """The token of a picture of count x count at each place of each window, [windows * ss]; the one behind the last
    where there is none."""
    per_axis = -(-count // side)
    tokens = np.arange(count**2).reshape(count, count)
    grid = np.pad(tokens, (0, per_axis * side - count), constant_values=count**2)
    return grid.reshape(per_axis, side, per_axis, side).transpose(0, 2, 1, 3).ravel()
