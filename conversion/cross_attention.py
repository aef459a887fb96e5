"""Attention between prompt tokens and image tokens as parts of the decoder graph, projections folded.

`segment_anything.modeling.transformer.Attention`, in the arrangement that `decoder_graph` explains. Image tokens lie
along the last axis of scores, so that every pass over them runs along memory.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conversion.graph import Graph
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

    Shapes: H heads of d channels each, D together; "by head" is [B, H, T, d].

    Args:
        graph: takes the nodes.
        attn: the attention's weights.
        position: of the image tokens, [hw, C], a value of the main graph that no input changes.
        cells: the number of image tokens, hw.
    """

    def __init__(self, graph: Graph, attn: Weights, position: str, cells: int) -> None:
        self.graph = graph
        self.attn = attn
        self.position = position
        self.cells = cells
        self.inner, self.channels = attn["q_proj.weight"].shape
        self.head_dim = self.inner // NUM_HEADS

    def keys_and_values(self, image: str) -> tuple[str, str]:
        """Of the image for tokens that look at it: [M, H, d, hw] and [M, H, hw, d]."""
        graph = self.graph
        keys = self._along_image(graph.matmul(image, self._kernel("k_proj")))
        return graph.add(keys, self._key_position()), self._split(graph.matmul(image, self._kernel("v_proj")))

    def queries(self, image: str) -> str:
        """Of the image that looks at tokens: [M, H, d, hw]."""
        graph = self.graph
        return graph.add(self._along_image(graph.matmul(image, self._kernel("q_proj"))), self._query_position())

    def tokens_to_first(self, placed: str, first: FirstImage) -> str:
        """What tokens (with their position) gather from the prepared image: [B, T, C]."""
        graph = self.graph
        weights = graph.op("Softmax", graph.matmul(self._token_queries(placed), first.keys), axis=-1)
        return self._merged(graph.matmul(weights, first.values))

    def tokens_to_image(self, placed: str, image: str) -> str:
        """What tokens (with their position) gather from image tokens [B, hw, C]: [B, T, C]."""
        graph = self.graph
        query = self._token_queries(placed)
        scores = graph.add(
            self._scores(graph.matmul(query, self._kernel_by_head("k_proj")), image),
            graph.matmul(query, self._key_position()),
        )
        weights = graph.reshape(graph.op("Softmax", scores, axis=-1), 0, -1, self.cells)
        gathered = graph.reshape(graph.matmul(weights, image), 0, NUM_HEADS, -1, self.channels)
        with graph.outside():
            into_heads = graph.transpose(self._kernel_by_head("v_proj"), 0, 2, 1)
        return self._merged(graph.matmul(gathered, into_heads))

    def image_to_tokens(self, image: str, placed: str, tokens: str, queries: str | None) -> str:
        """What image tokens gather from tokens, with (`placed`) and without their position: [B, hw, C].

        queries: of the image, where they were prepared.
        """
        graph = self.graph
        key = self._scaled(self._split(graph.matmul(placed, self._kernel("k_proj"))))
        if queries is not None:
            scores = graph.matmul(key, queries)
        else:
            scores = graph.add(
                self._scores(graph.matmul(key, self._kernel_by_head("q_proj")), image),
                graph.matmul(key, self._query_position()),
            )
        weights = graph.reshape(self._softmax_over_tokens(scores), 0, -1, self.cells)
        value = self._split(graph.matmul(tokens, self._kernel("v_proj")))
        # The weights of head 0 sum to 1, so a bias in its rows reaches every image token once.
        once = np.eye(NUM_HEADS)[0].reshape(NUM_HEADS, 1, 1) * self._output_bias()
        change = graph.add(graph.matmul(value, self._kernel_by_head("out_proj")), self._constant(once, "out_bias"))
        return graph.matmul(graph.transpose(weights, 0, 2, 1), graph.reshape(change, 0, -1, self.channels))

    def _softmax_over_tokens(self, scores: str) -> str:
        """Softmax of [B, H, T, hw] along T. In steps: ONNX Runtime's operator would take short row after short row,
        these take all image tokens at once, in less than half the time.
        """
        graph, axis = self.graph, self.graph.ints(2)
        powers = graph.op("Exp", graph.op("Sub", scores, graph.op("ReduceMax", scores, axis)))
        return graph.op("Div", powers, graph.op("ReduceSum", powers, axis))

    def _scores(self, folded: str, image: str) -> str:
        """[B, H, T, hw] of tokens [B, H, T, C], with a projection of the image folded into them, and the image."""
        graph = self.graph
        rows = graph.reshape(folded, 0, -1, self.channels)
        scores = graph.matmul(rows, graph.transpose(image, 0, 2, 1))
        return graph.reshape(scores, 0, NUM_HEADS, -1, self.cells)

    def _token_queries(self, placed: str) -> str:
        return self._scaled(self._split(self._query(placed)))

    def _query(self, x: str) -> str:
        bias = self.graph.weight(self.attn["q_proj.bias"], f"{self.attn.prefix}q_proj.bias")
        return self.graph.linear(x, self._kernel("q_proj"), bias)

    def _scaled(self, by_head: str) -> str:
        return self.graph.mul(by_head, self.graph.constant(self.head_dim**-0.5))

    def _split(self, tokens: str) -> str:
        """[B, n, D] -> [B, H, n, d]."""
        graph = self.graph
        return graph.transpose(graph.reshape(tokens, 0, 0, NUM_HEADS, self.head_dim), 0, 2, 1, 3)

    def _merged(self, by_head: str) -> str:
        """By head -> [B, T, C]: heads side by side, projected."""
        graph = self.graph
        merged = graph.reshape(graph.transpose(by_head, 0, 2, 1, 3), 0, 0, self.inner)
        return graph.linear(merged, self._kernel("out_proj"), self._constant(self._output_bias(), "out_bias"))

    def _along_image(self, projected: str) -> str:
        """[M, hw, D] -> [M, H, d, hw]."""
        graph = self.graph
        return graph.reshape(graph.transpose(projected, 0, 2, 1), 0, NUM_HEADS, self.head_dim, self.cells)

    def _key_position(self) -> str:
        """[1, H, d, hw]"""
        with self.graph.outside():
            return self._along_image(self.graph.matmul(self.position, self._kernel("k_proj")))

    def _query_position(self) -> str:
        """[1, H, d, hw], with the bias."""
        with self.graph.outside():
            return self._along_image(self._query(self.position))

    def _kernel(self, name: str) -> str:
        """Weight of a projection, [in, out]."""
        with self.graph.outside():
            return self.graph.transpose(self._stored(name), 1, 0)

    def _kernel_by_head(self, name: str) -> str:
        """Weight of a projection, head by head: [H, d, C] of one that leads into the heads, for what is to be folded;
        of `out_proj` too."""
        with self.graph.outside():
            rows = self._kernel(name) if name == "out_proj" else self._stored(name)
            return self.graph.reshape(rows, NUM_HEADS, self.head_dim, self.channels)

    def _stored(self, name: str) -> str:
        """Weight of a projection as the checkpoint has it, [out, in]."""
        return self.graph.weight(self.attn[f"{name}.weight"], f"{self.attn.prefix}{name}.weight")

    def _output_bias(self) -> NDArray[np.float64]:
        """The values' bias through the output projection, and its own."""
        return self.attn.exact("out_proj.weight") @ self.attn.exact("v_proj.bias") + self.attn.exact("out_proj.bias")

    def _constant(self, array: NDArray[np.float64], name: str) -> str:
        return self.graph.weight(array.astype(np.float32), f"{self.attn.prefix}{name}")
