"""Attention between prompt tokens and image tokens as parts of the decoder graph, projections folded.

`segment_anything.modeling.transformer.Attention`, in the arrangement that `decoder_graph` explains.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conversion.graph import Graph
from conversion.layers import linear
from conversion.weights import Weights

NUM_HEADS = 8


@dataclass(frozen=True)
class FirstImage:
    """The image tokens before the first layer, and what its attentions make of them; see `build_decoder`."""

    tokens: str
    keys: str
    values: str
    queries: str


class CrossAttention:
    """Attention between tokens [B, T, C] and image tokens, in either direction.

    Where prompts share the image tokens, [1, hw, C], the image is projected; where each has its own, [B, hw, C], the
    projections are folded into the tokens.

    Shapes: J = heads x T, one row per head and token; D the inner channels. A row of "per head" [B, J, D] is zero
    outside its head's channels, so that one plain product serves all heads.
    """

    def __init__(self, graph: Graph, attn: Weights, position: NDArray[np.float64]) -> None:
        self.graph = graph
        self.attn = attn
        self.position = position
        self.inner = attn["q_proj.weight"].shape[0]
        self.scale = (self.inner // NUM_HEADS) ** -0.5

    def keys_and_values(self, image: str) -> tuple[str, str]:
        """Of the image for tokens that look at it: [M, D, hw] and [M, hw, D]."""
        graph = self.graph
        keys = graph.transpose(graph.matmul(image, self._kernel("k_proj")), 0, 2, 1)
        return graph.add(keys, self._key_position()), graph.matmul(image, self._kernel("v_proj"))

    def queries(self, image: str) -> str:
        """Of the image that looks at tokens: [M, hw, D]."""
        return self.graph.add(self.graph.matmul(image, self._kernel("q_proj")), self._query_position())

    def tokens_to_first(self, placed: str, first: FirstImage) -> str:
        """What tokens (with their position) gather from the prepared image: [B, T, C]."""
        graph = self.graph
        # All rows of the prompts that share an image become rows of one product.
        rows = graph.reshape_like(self._queries_per_head(placed), graph.dim(first.tokens, 0), -1, self.inner)
        weights = graph.op("Softmax", graph.matmul(rows, first.keys), axis=-1)
        return self._merged(placed, graph.matmul(weights, first.values))

    def tokens_to_image(self, placed: str, image: str) -> str:
        """What tokens (with their position) gather from image tokens [B, hw, C]: [B, T, C]."""
        graph = self.graph
        query = self._queries_per_head(placed)
        folded = graph.matmul(query, self._kernel("k_proj", transposed=True))
        scores = graph.matmul(folded, graph.transpose(image, 0, 2, 1))
        weights = graph.op("Softmax", graph.add(scores, graph.matmul(query, self._key_position())), axis=-1)
        return self._merged(placed, graph.matmul(graph.matmul(weights, image), self._kernel("v_proj")))

    def image_to_tokens(self, image: str, placed: str, tokens: str, queries: str | None) -> str:
        """What image tokens gather from tokens, with (`placed`) and without their position: [B, hw, C].

        queries: of the image, where they were prepared.
        """
        graph = self.graph
        key = self._per_head(graph.matmul(placed, self._kernel("k_proj")), self.scale)
        flipped = graph.transpose(key, 0, 2, 1)
        if queries is not None:
            scores = graph.matmul(queries, flipped)
        else:
            folded = graph.transpose(graph.matmul(key, self._kernel("q_proj", transposed=True)), 0, 2, 1)
            scores = graph.add(graph.matmul(image, folded), graph.matmul(self._query_position(), flipped))
        by_head = graph.op("Softmax", graph.reshape(scores, 0, 0, NUM_HEADS, -1), axis=-1)
        value = self._per_head(graph.matmul(tokens, self._kernel("v_proj")), 1.0)
        change = graph.matmul(value, self._kernel("out_proj"))
        # The weights of head 0 sum to 1, so a bias in its rows reaches every image token once.
        channels = self.position.shape[1]
        once = np.eye(NUM_HEADS)[0].reshape(NUM_HEADS, 1, 1) * self._output_bias()
        split = graph.add(graph.reshape(change, 0, NUM_HEADS, -1, channels), self._constant(once, "out_bias"))
        return graph.matmul(graph.reshape(by_head, 0, 0, -1), graph.reshape(split, 0, -1, channels))

    def _merged(self, placed: str, gathered: str) -> str:
        """[B, T, C] from what the rows [B, J, D] gathered: each head's own channels, projected."""
        graph = self.graph
        split = graph.reshape_like(gathered, graph.dim(placed, 0), NUM_HEADS, -1, self.inner)
        merged = graph.op("ReduceSum", graph.mul(split, self._mask(1.0)), graph.ints(1), keepdims=0)
        return graph.linear(merged, self._kernel("out_proj"), self._constant(self._output_bias(), "out_bias"))

    def _queries_per_head(self, placed: str) -> str:
        return self._per_head(linear(self.graph, placed, self.attn, "q_proj"), self.scale)

    def _key_position(self) -> str:
        """[D, hw]"""
        return self._constant((self.position @ self.attn.exact("k_proj.weight").T).T, "k_position")

    def _query_position(self) -> str:
        """[hw, D]"""
        position = self.position @ self.attn.exact("q_proj.weight").T + self.attn.exact("q_proj.bias")
        return self._constant(position, "q_position")

    def _per_head(self, tokens: str, scale: float) -> str:
        """[B, T, D] -> [B, J, D], rows ordered by head, then token."""
        spread = self.graph.mul(self.graph.op("Unsqueeze", tokens, self.graph.ints(1)), self._mask(scale))
        return self.graph.reshape(spread, 0, -1, self.inner)

    def _mask(self, scale: float) -> str:
        """[heads, 1, D], `scale` in each head's own channels and zero elsewhere."""
        own = np.kron(np.eye(NUM_HEADS), np.ones(self.inner // NUM_HEADS))
        return self.graph.constant(scale * own.reshape(NUM_HEADS, 1, self.inner))

    def _kernel(self, name: str, *, transposed: bool = False) -> str:
        """Weight of a projection, [in, out], or [out, in] when it is folded into the other side."""
        kernel = self.attn[f"{name}.weight"]
        return self.graph.weight(kernel if transposed else kernel.T, f"{self.attn.prefix}{name}.weight")

    def _output_bias(self) -> NDArray[np.float64]:
        """The values' bias through the output projection, and its own."""
        return self.attn.exact("out_proj.weight") @ self.attn.exact("v_proj.bias") + self.attn.exact("out_proj.bias")

    def _constant(self, array: NDArray[np.float64], name: str) -> str:
        return self.graph.weight(array.astype(np.float32), f"{self.attn.prefix}{name}")
