"""How tokens are cut into squares that attend among themselves, and put together again."""

from conversion.graph import Graph
from segmentation.models import Architecture


class Windows:
    """`window_partition` and `window_unpartition` of `segment_anything`, on tokens [B * hw, E].

    side: of one square, in patches; the whole picture is one square for global attention.
    """

    def __init__(self, architecture: Architecture, *, whole: bool) -> None:
        self.is_whole = whole
        self.count = architecture.embedding_side
        self.side = self.count if whole else architecture.window_size
        self.heads = architecture.num_heads
        self.head_dim = architecture.embed_dim // architecture.num_heads
        self._per_axis = -(-self.count // self.side)
        self._padded = self._per_axis * self.side
        self._width = architecture.embed_dim

    def cut(self, graph: Graph, tokens: str) -> str:
        """[B * hw, E] -> [B * windows * ss, E]; padded tokens are 0."""
        if self._padded > self.count:
            added = self._padded - self.count
            grid = graph.reshape(tokens, -1, self.count, self.count, self._width)
            tokens = graph.op("Pad", grid, graph.ints(0, 0, 0, 0, 0, added, added, 0))
        if self._per_axis > 1:
            grid = graph.reshape(tokens, -1, self._per_axis, self.side, self._per_axis, self.side, self._width)
            tokens = graph.transpose(grid, 0, 1, 3, 2, 4, 5)
        return graph.reshape(tokens, -1, self._width)

    def split(self, graph: Graph, tokens: str) -> str:
        """[N * ss, E] -> [N, ss, heads, d]."""
        return graph.reshape(tokens, -1, self.side**2, self.heads, self.head_dim)

    def join(self, graph: Graph, attended: str) -> str:
        """[N, ss, E] -> [B * hw, E], without the padding."""
        if self._per_axis > 1:
            grid = graph.reshape(attended, -1, self._per_axis, self._per_axis, self.side, self.side, self._width)
            attended = graph.transpose(grid, 0, 1, 3, 2, 4, 5)
        if self._padded > self.count:
            grid = graph.reshape(attended, -1, self._padded, self._padded, self._width)
            end = graph.ints(self.count, self.count)
            attended = graph.op("Slice", grid, graph.ints(0, 0), end, graph.ints(1, 2))
        return graph.reshape(attended, -1, self._width)
