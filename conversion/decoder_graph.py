"""SAM's prompt encoder and mask decoder as one ONNX graph for many prompts of one picture.

The same function as `segment_anything.modeling.MaskDecoder.predict_masks`, arranged so that what is large is touched
seldom. Large are the image tokens: 4096 of 256 channels per prompt, against a handful of prompt tokens.

- Projections are folded into the prompt tokens: q (W x) = (W' q) x, so image tokens are never projected per prompt. A
  bias of the keys drops out of the softmax; the values' bias and the output projection move behind the attention, whose
  rows sum to 1.
- The position of image tokens is a constant of the model, so its products with queries go through tables of 128
  channels, which ONNX Runtime makes when it loads the graph; image tokens and position are never added.
- The first layer's image tokens are the same for all prompts of the picture (unless they bring masks): they and their
  projections are a part of the graph by itself, run once per picture.
- The IoU depends on prompt tokens only. The mask head is a part of the graph by itself, so that prompts without a mask
  above the gate never reach it.
"""

from dataclasses import dataclass

import numpy as np

from conversion.cross_attention import NUM_HEADS, CrossAttention, FirstImage
from conversion.graph import Dims, Graph, Output
from conversion.layers import linear, norm
from conversion.mask_head_graph import NUM_MASK_TOKENS, hypernetworks, upscale
from conversion.prompt_graph import dense_embeddings, dense_position, point_embeddings
from conversion.weights import Weights
from segmentation.weights.architecture import Architecture

DEPTH = 2
DOWNSAMPLE_RATE = 2
"""`attention_downsample_rate`: C over the inner channels of attention between tokens and image."""

TOKEN_EPSILON = 1e-5
"""Of `torch.nn.LayerNorm` in the two-way transformer."""


def build_decoder(graph: Graph, weights: Weights, architecture: Architecture) -> None:
    """Adds the decoder to an empty graph.

    It has three parts that share nothing, each of which runs where it is given something: `prepare` an embedding,
    `decode` prompts, `upscale` image tokens. Other inputs of a part that gets nothing may be empty, too, and its
    outputs are. M is 1 where all prompts are alike in what `prepare` takes, else the number of prompts B.

    `prepare`, inputs:
        image_embedding: float32 [1, C, h, w], or none at all, [0, C, h, w].
        mask_input, has_mask_input: float32 [M, 1, 4h, 4w] and bool [M].
    Its outputs, each with `prepared_` before its name, are inputs of `decode`:
        image_tokens: float32 [M, hw, C].
        image_keys, image_values, image_queries: float32 [M, H, d, hw], [M, H, hw, d], [M, H, d, hw], in the first
            layer, for H heads of d channels.

    `decode`, further inputs, in the input frame:
        point_coords, point_labels: float32 [B, N, 2] and int64 [B, N], as `PromptTokens` has them; N may be 0.
        mask_ids: int64 [m], which of the decoder's four masks: 1, 2, 3, or 0 for the single one.
    Outputs:
        iou_predictions: float32 [B, m].
        mask_tokens: float32 [B, hw, C], the image as each prompt sees it.
        mask_weights: float32 [B, m, C / 8].

    `upscale`, inputs:
        upscale_tokens: float32 [P, n, C], any rows of `mask_tokens` of P prompts.
        upscale_weights: float32 [P, k, C / 8], any of their `mask_weights`.
    Output:
        token_logits: float32 [P, k, n, 16], the low-res logits of the 4x4 pixels of each image token, see `upscale`.

    Args:
        graph: takes the nodes.
        weights: the whole checkpoint.
        architecture: of the checkpoint.
    """
    transformer = weights.below("mask_decoder.transformer")
    position = dense_position(graph, weights.below("prompt_encoder"), architecture)
    _build_prepare(graph, weights, transformer, position, architecture)
    _build_decode(graph, weights, transformer, position, architecture)
    _build_upscale(graph, weights.below("mask_decoder.output_upscaling"), architecture)


def _build_prepare(
    graph: Graph, weights: Weights, transformer: Weights, position: str, architecture: Architecture
) -> None:
    side, low_res, channels = architecture.embedding_side, architecture.low_res_side, architecture.prompt_embed_dim
    embedding = graph.input("image_embedding", np.float32, ["images", channels, side, side])
    mask = graph.input("mask_input", np.float32, ["masks", 1, low_res, low_res])
    has_mask = graph.input("has_mask_input", np.bool_, ["masks"])

    def prepared() -> dict[str, Output]:
        dense = dense_embeddings(graph, mask, has_mask, weights.below("prompt_encoder"), architecture)
        made = prepare_image(graph, transformer, position, embedding, dense, architecture)
        dims = _image_dims(architecture)
        return {f"prepared_image_{name}": Output(getattr(made, name), np.float32, dims[name]) for name in dims}

    graph.outputs_if(_any(graph, embedding), prepared)


def prepare_image(
    graph: Graph, transformer: Weights, position: str, embedding: str, dense: str, architecture: Architecture
) -> FirstImage:
    """The image tokens of an embedding [1, C, h, w] with dense embeddings [M, hw, C], and their projections."""
    channels, cells = architecture.prompt_embed_dim, architecture.embedding_side**2
    tokens = graph.add(graph.transpose(graph.reshape(embedding, -1, channels, cells), 0, 2, 1), dense)
    layer = transformer.below("layers.0")
    to_image = CrossAttention(graph, layer.below("cross_attn_token_to_image"), position, cells)
    to_tokens = CrossAttention(graph, layer.below("cross_attn_image_to_token"), position, cells)
    keys, values = to_image.keys_and_values(tokens)
    return FirstImage(tokens, keys, values, to_tokens.queries(tokens))


def _build_decode(
    graph: Graph, weights: Weights, transformer: Weights, position: str, architecture: Architecture
) -> None:
    cells, channels = architecture.embedding_side**2, architecture.prompt_embed_dim
    dims = _image_dims(architecture)
    image = FirstImage(**{name: graph.input(f"image_{name}", np.float32, dims[name]) for name in dims})
    coords = graph.input("point_coords", np.float32, ["prompts", "points", 2])
    labels = graph.input("point_labels", np.int64, ["prompts", "points"])
    mask_ids = graph.input("mask_ids", np.int64, ["mask_count"])

    def decoded() -> dict[str, Output]:
        points = point_embeddings(graph, coords, labels, weights.below("prompt_encoder"), architecture)
        iou, image_tokens, mask_weights = decode_prompts(
            graph, weights.below("mask_decoder"), position, image, points, mask_ids, architecture
        )
        return {
            "iou_predictions": Output(iou, np.float32, ["prompts", "mask_count"]),
            "mask_tokens": Output(image_tokens, np.float32, ["prompts", cells, channels]),
            "mask_weights": Output(mask_weights, np.float32, ["prompts", "mask_count", channels // 8]),
        }

    graph.outputs_if(_any(graph, coords), decoded)


def decode_prompts(
    graph: Graph,
    decoder: Weights,
    position: str,
    image: FirstImage,
    points: str,
    mask_ids: str,
    architecture: Architecture,
) -> tuple[str, str, str]:
    """(predicted IoU [B, m], the image as each prompt sees it [B, hw, C], mask weights [B, m, C / 8]) of prompts with
    sparse embeddings [B, N, C]."""
    learned = graph.weight(
        np.concatenate([decoder["iou_token.weight"], decoder["mask_tokens.weight"]]), "output_tokens"
    )
    batch = graph.concat(graph.dim(points, 0), graph.ints(NUM_MASK_TOKENS + 1, architecture.prompt_embed_dim), axis=0)
    prompts = graph.concat(graph.op("Expand", learned, batch), points, axis=1)
    two_way = _TwoWay(graph, decoder.below("transformer"), prompts, position, architecture.embedding_side**2)
    tokens, image_tokens = two_way.run(image)
    iou_token = graph.op("Gather", tokens, graph.constant(0, np.int64), axis=1)
    scores = _mlp(graph, iou_token, decoder.below("iou_prediction_head"))
    iou = graph.op("Gather", scores, mask_ids, axis=1)
    return iou, image_tokens, hypernetworks(graph, tokens, mask_ids, decoder)


def _build_upscale(graph: Graph, upscaling: Weights, architecture: Architecture) -> None:
    channels = architecture.prompt_embed_dim
    tokens = graph.input("upscale_tokens", np.float32, ["upscaled", "tokens", channels])
    mask_weights = graph.input("upscale_weights", np.float32, ["upscaled", "wanted", channels // 8])

    def upscaled() -> dict[str, Output]:
        logits = upscale(graph, tokens, mask_weights, upscaling)
        return {"token_logits": Output(logits, np.float32, ["upscaled", "wanted", "tokens", 16])}

    graph.outputs_if(_any(graph, tokens), upscaled)


def _any(graph: Graph, value: str) -> str:
    """Whether a value has rows: a bool scalar."""
    return graph.op("Squeeze", graph.op("Greater", graph.dim(value, 0), graph.ints(0)))


def _image_dims(architecture: Architecture) -> dict[str, Dims]:
    """Shapes of a `FirstImage`'s values."""
    count, channels = architecture.embedding_side**2, architecture.prompt_embed_dim
    head_dim = channels // DOWNSAMPLE_RATE // NUM_HEADS
    return {
        "tokens": ["prepared", count, channels],
        "keys": ["prepared", NUM_HEADS, head_dim, count],
        "values": ["prepared", NUM_HEADS, count, head_dim],
        "queries": ["prepared", NUM_HEADS, head_dim, count],
    }


def _mlp(graph: Graph, x: str, weights: Weights) -> str:
    """`segment_anything.modeling.mask_decoder.MLP` of three layers."""
    x = graph.op("Relu", linear(graph, x, weights, "layers.0"))
    x = graph.op("Relu", linear(graph, x, weights, "layers.1"))
    return linear(graph, x, weights, "layers.2")


@dataclass
class _TwoWay:
    """`segment_anything.modeling.TwoWayTransformer`.

    tokens: [B, T, C], also their own position in every layer.
    position: [hw, C], of the `cells` image tokens.
    """

    graph: Graph
    weights: Weights
    tokens: str
    position: str
    cells: int

    def run(self, first: FirstImage) -> tuple[str, str]:
        """Tokens [B, T, C] and image tokens [B, hw, C] after all layers."""
        graph = self.graph
        image = first.tokens
        tokens = self._self_attention(self.tokens, self.weights.below("layers.0.self_attn"), first=True)
        for index in range(DEPTH):
            layer = self.weights.below(f"layers.{index}")
            if index:
                own = self._self_attention(tokens, layer.below("self_attn"), first=False)
                tokens = graph.add(tokens, own)
            tokens = norm(graph, tokens, layer, "norm1", TOKEN_EPSILON)
            to_image = CrossAttention(graph, layer.below("cross_attn_token_to_image"), self.position, self.cells)
            placed = graph.add(tokens, self.tokens)
            attended = to_image.tokens_to_image(placed, image) if index else to_image.tokens_to_first(placed, first)
            tokens = norm(graph, graph.add(tokens, attended), layer, "norm2", TOKEN_EPSILON)
            hidden = graph.op("Relu", linear(graph, tokens, layer, "mlp.lin1"))
            tokens = graph.add(tokens, linear(graph, hidden, layer, "mlp.lin2"))
            tokens = norm(graph, tokens, layer, "norm3", TOKEN_EPSILON)
            to_tokens = CrossAttention(graph, layer.below("cross_attn_image_to_token"), self.position, self.cells)
            placed = graph.add(tokens, self.tokens)
            queries = None if index else first.queries
            change = to_tokens.image_to_tokens(image, placed, tokens, queries)
            image = norm(graph, graph.add(change, image), layer, "norm4", TOKEN_EPSILON)
        final = CrossAttention(graph, self.weights.below("final_attn_token_to_image"), self.position, self.cells)
        attended = final.tokens_to_image(graph.add(tokens, self.tokens), image)
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
