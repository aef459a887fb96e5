"""SAM's prompt encoder and mask decoder as one ONNX graph for many prompts of one picture, with an IoU gate.

The same function as `segment_anything.modeling.MaskDecoder.predict_masks`, arranged so that what is large is touched
seldom. Large are the image tokens: 4096 of 256 channels per prompt, against a handful of prompt tokens.

- Projections are folded into the prompt tokens: q (W x) = (W' q) x, so image tokens are never projected per prompt. A
  bias of the keys drops out of the softmax; the values' bias and the output projection move behind the attention, whose
  rows sum to 1.
- The position of image tokens is a constant of the model, so its products with queries go through tables of 128
  channels made at export; image tokens and position are never added.
- The first layer's image tokens are the same for all prompts of the picture (unless they bring masks): their
  projections are computed once.
- The IoU depends on prompt tokens only. Prompts without a mask above the gate never reach the mask head.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conversion.graph import Graph
from conversion.layers import linear, norm
from conversion.mask_head_graph import mask_head
from conversion.prompt_graph import dense_embeddings, dense_position, point_embeddings
from conversion.weights import Weights
from segmentation.models import Architecture

DEPTH = 2
NUM_HEADS = 8
NUM_MASK_TOKENS = 4
TOKEN_EPSILON = 1e-5
"""Of `torch.nn.LayerNorm` in the two-way transformer."""


def build_decoder(graph: Graph, weights: Weights, architecture: Architecture) -> None:
    """Adds the decoder to an empty graph.

    Inputs, all in the input frame:
        image_embedding: float32 [1, C, h, w].
        point_coords, point_labels: float32 [B, N, 2] and int64 [B, N], as `PromptTokens` has them; N may be 0.
        mask_input, has_mask_input: float32 [M, 1, 4h, 4w] and bool [M]; M is B, or 1 for all prompts alike.
        mask_ids: int64 [m], which of the decoder's four masks: 1, 2, 3, or 0 for the single one.
        min_iou: float32 scalar; logits only of masks whose predicted IoU is strictly above it.

    Outputs:
        iou_predictions: float32 [B, m].
        mask_index: int64 [K, 2], (prompt, position in `mask_ids`) of each row of the logits, ascending.
        low_res_logits: float32 [K, 4h, 4w].

    Args:
        graph: takes the nodes.
        weights: the whole checkpoint.
        architecture: of the checkpoint.
    """
    side, low_res, channels = architecture.embedding_side, architecture.low_res_side, architecture.prompt_embed_dim
    embedding = graph.input("image_embedding", np.float32, [1, channels, side, side])
    coords = graph.input("point_coords", np.float32, ["prompts", "points", 2])
    labels = graph.input("point_labels", np.int64, ["prompts", "points"])
    mask = graph.input("mask_input", np.float32, ["masks", 1, low_res, low_res])
    has_mask = graph.input("has_mask_input", np.bool_, ["masks"])
    mask_ids = graph.input("mask_ids", np.int64, ["mask_count"])
    min_iou = graph.input("min_iou", np.float32, [])

    prompt, decoder = weights.below("prompt_encoder"), weights.below("mask_decoder")
    learned = graph.weight(
        np.concatenate([decoder["iou_token.weight"], decoder["mask_tokens.weight"]]), "output_tokens"
    )
    batch = graph.concat(graph.dim(coords, 0), graph.ints(NUM_MASK_TOKENS + 1, channels), axis=0)
    points = point_embeddings(graph, coords, labels, prompt, architecture)
    tokens = graph.concat(graph.op("Expand", learned, batch), points, axis=1)
    dense = dense_embeddings(graph, mask, has_mask, prompt, architecture)
    image = graph.add(graph.transpose(graph.reshape(embedding, 1, channels, -1), 0, 2, 1), dense)

    position = dense_position(prompt, architecture)
    tokens, image = _TwoWay(graph, decoder.below("transformer"), tokens, position).run(image)

    iou_token = graph.op("Gather", tokens, graph.constant(0, np.int64), axis=1)
    scores = _mlp(graph, iou_token, decoder.below("iou_prediction_head"))
    iou = graph.op("Gather", scores, mask_ids, axis=1)
    index, logits = mask_head(graph, tokens, image, mask_ids, graph.op("Greater", iou, min_iou), decoder, architecture)
    graph.output(iou, "iou_predictions", np.float32, ["prompts", "mask_count"])
    graph.output(index, "mask_index", np.int64, ["kept", 2])
    graph.output(logits, "low_res_logits", np.float32, ["kept", low_res, low_res])


def _mlp(graph: Graph, x: str, weights: Weights) -> str:
    """`segment_anything.modeling.mask_decoder.MLP` of three layers."""
    x = graph.op("Relu", linear(graph, x, weights, "layers.0"))
    x = graph.op("Relu", linear(graph, x, weights, "layers.1"))
    return linear(graph, x, weights, "layers.2")


@dataclass
class _TwoWay:
    """`segment_anything.modeling.TwoWayTransformer`.

    tokens: [B, T, C], also their own position in every layer.
    position: float64 [hw, C], the image tokens'.

    Shapes below: image tokens [M, hw, C], M 1 while they are alike for all prompts; J = heads x T, one row per head and
    token; D the attention's inner channels. A row of "per head" [B, J, D] is zero outside its head's channels, so that
    one plain product serves all heads.
    """

    graph: Graph
    weights: Weights
    tokens: str
    position: NDArray[np.float64]

    def run(self, image: str) -> tuple[str, str]:
        """Tokens [B, T, C] and image tokens [B, hw, C] after all layers, from image tokens [M, hw, C]."""
        graph = self.graph
        tokens = self._self_attention(self.tokens, self.weights.below("layers.0.self_attn"), first=True)
        for index in range(DEPTH):
            layer = self.weights.below(f"layers.{index}")
            if index:
                own = self._self_attention(tokens, layer.below("self_attn"), first=False)
                tokens = graph.add(tokens, own)
            tokens = norm(graph, tokens, layer, "norm1", TOKEN_EPSILON)
            to_image = _CrossAttention(graph, layer.below("cross_attn_token_to_image"), self.position)
            attended = to_image.tokens_to_image(graph.add(tokens, self.tokens), image, shared=index == 0)
            tokens = norm(graph, graph.add(tokens, attended), layer, "norm2", TOKEN_EPSILON)
            hidden = graph.op("Relu", linear(graph, tokens, layer, "mlp.lin1"))
            tokens = graph.add(tokens, linear(graph, hidden, layer, "mlp.lin2"))
            tokens = norm(graph, tokens, layer, "norm3", TOKEN_EPSILON)
            to_tokens = _CrossAttention(graph, layer.below("cross_attn_image_to_token"), self.position)
            change = to_tokens.image_to_tokens(image, graph.add(tokens, self.tokens), tokens, shared=index == 0)
            image = norm(graph, graph.add(change, image), layer, "norm4", TOKEN_EPSILON)
        final = _CrossAttention(graph, self.weights.below("final_attn_token_to_image"), self.position)
        attended = final.tokens_to_image(graph.add(tokens, self.tokens), image, shared=False)
        return norm(graph, graph.add(tokens, attended), self.weights, "norm_final_attn", TOKEN_EPSILON), image

    def _self_attention(self, tokens: str, attn: Weights, *, first: bool) -> str:
        """Attention among tokens; the first layer's goes without position and replaces them."""
        graph = self.graph
        placed = tokens if first else graph.add(tokens, self.tokens)
        head_dim = attn["q_proj.weight"].shape[0] // NUM_HEADS
        query, key, value = (
            graph.transpose(graph.reshape(linear(graph, x, attn, name), 0, 0, NUM_HEADS, head_dim), *axes)
            for x, name, axes in (
                (placed, "q_proj", (0, 2, 1, 3)),
                (placed, "k_proj", (0, 2, 3, 1)),
                (tokens, "v_proj", (0, 2, 1, 3)),
            )
        )
        scores = graph.mul(graph.matmul(query, key), graph.constant(head_dim**-0.5))
        attended = graph.matmul(graph.op("Softmax", scores, axis=-1), value)
        merged = graph.reshape(graph.transpose(attended, 0, 2, 1, 3), 0, 0, NUM_HEADS * head_dim)
        return linear(graph, merged, attn, "out_proj")


class _CrossAttention:
    """Attention between tokens [B, T, C] and image tokens [M, hw, C], in either direction."""

    def __init__(self, graph: Graph, attn: Weights, position: NDArray[np.float64]) -> None:
        self.graph = graph
        self.attn = attn
        self.position = position
        self.inner = attn["q_proj.weight"].shape[0]
        self.scale = (self.inner // NUM_HEADS) ** -0.5

    def tokens_to_image(self, placed: str, image: str, *, shared: bool) -> str:
        """What tokens (with their position) gather from the image: [B, T, C].

        shared: whether M may be 1 while B is not, so that the image is projected and not the tokens.
        """
        graph, attn = self.graph, self.attn
        query = self._per_head(linear(graph, placed, attn, "q_proj"), self.scale)
        key_position = self._constant((self.position @ attn.exact("k_proj.weight").T).T, "k_position")
        if shared:
            # All rows of the prompts that share an image become rows of one product.
            query = graph.reshape_like(query, graph.dim(image, 0), -1, self.inner)
            keys = graph.add(graph.transpose(graph.matmul(image, self._kernel("k_proj")), 0, 2, 1), key_position)
            weights = graph.op("Softmax", graph.matmul(query, keys), axis=-1)
            gathered = graph.matmul(weights, graph.matmul(image, self._kernel("v_proj")))
        else:
            keys = graph.transpose(image, 0, 2, 1)
            folded = graph.matmul(graph.matmul(query, self._kernel("k_proj", transposed=True)), keys)
            weights = graph.op("Softmax", graph.add(folded, graph.matmul(query, key_position)), axis=-1)
            gathered = graph.matmul(graph.matmul(weights, image), self._kernel("v_proj"))
        split = graph.reshape_like(gathered, graph.dim(placed, 0), NUM_HEADS, -1, self.inner)
        own = graph.mul(split, self._mask(1.0))
        merged = graph.op("ReduceSum", own, graph.ints(1), keepdims=0)
        return graph.linear(merged, self._kernel("out_proj"), self._constant(self._output_bias(), "out_bias"))

    def image_to_tokens(self, image: str, placed: str, tokens: str, *, shared: bool) -> str:
        """What image tokens gather from tokens, with (`placed`) and without their position: [B, hw, C]."""
        graph, attn = self.graph, self.attn
        key = self._per_head(graph.matmul(placed, self._kernel("k_proj")), self.scale)
        position = self.position @ attn.exact("q_proj.weight").T + attn.exact("q_proj.bias")
        query_position = self._constant(position, "q_position")
        flipped = graph.transpose(key, 0, 2, 1)
        if shared:
            queries = graph.add(graph.matmul(image, self._kernel("q_proj")), query_position)
            scores = graph.matmul(queries, flipped)
        else:
            folded = graph.transpose(graph.matmul(key, self._kernel("q_proj", transposed=True)), 0, 2, 1)
            scores = graph.add(graph.matmul(image, folded), graph.matmul(query_position, flipped))
        by_head = graph.op("Softmax", graph.reshape(scores, 0, 0, NUM_HEADS, -1), axis=-1)
        value = self._per_head(graph.matmul(tokens, self._kernel("v_proj")), 1.0)
        change = graph.matmul(value, self._kernel("out_proj"))
        # The weights of head 0 sum to 1, so a bias in its rows reaches every image token once.
        channels = self.position.shape[1]
        once = np.eye(NUM_HEADS)[0].reshape(NUM_HEADS, 1, 1) * self._output_bias()
        split = graph.add(graph.reshape(change, 0, NUM_HEADS, -1, channels), self._constant(once, "out_bias"))
        return graph.matmul(graph.reshape(by_head, 0, 0, -1), graph.reshape(split, 0, -1, channels))

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
