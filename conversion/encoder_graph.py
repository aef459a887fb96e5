"""SAM's image encoder as an ONNX graph: `segment_anything.modeling.ImageEncoderViT` with preprocessing in front.

Tokens stay channel-last from the pixels to the neck. The same function as the reference, with less work:

- Windows are cut after the query, key and value projections, so that padding costs no matrix products: a padded token
  is zero before the projection and the bias behind it.
- The decomposed relative position is part of the query-key product: queries get their products with the position tables
  as further channels, keys get one-hot rows. Nothing passes over the scores again.
- Global attention runs in chunks of queries, so that the scores of a chunk stay in the cache.
"""

import numpy as np
from numpy.typing import NDArray

from conversion.graph import Graph
from conversion.layers import linear, norm
from conversion.weights import Weights
from segmentation.models import Architecture

QUERIES_PER_CHUNK = 256
"""Of global attention, unrolled. Measured on CPUs: 256 is as good as any size whose scores fit the cache."""

NORM_EPSILON = 1e-6
"""Of every norm in the encoder (`build_sam`, `LayerNorm2d`)."""


def build_encoder(graph: Graph, weights: Weights, architecture: Architecture) -> None:
    """Adds the encoder to an empty graph.

    Inputs: `images` uint8 [B, S, S, 3] RGB, pictures at the top left; `sizes` int64 [B, 2], (height, width) of each
    picture, beyond which pixels count as 0 after normalising. Output: `embeddings` float32 [B, C, h, w].

    Args:
        graph: takes the nodes.
        weights: the whole checkpoint.
        architecture: of the checkpoint.
    """
    side = architecture.image_size
    images = graph.input("images", np.uint8, ["batch", side, side, 3])
    sizes = graph.input("sizes", np.int64, ["batch", 2])
    vit = weights.below("image_encoder")
    tokens = _patches(graph, images, sizes, vit, architecture)
    for index in range(architecture.depth):
        windowed = index not in architecture.global_attn_indexes
        tokens = _block(graph, tokens, vit.below(f"blocks.{index}"), architecture, windowed)
    embeddings = _neck(graph, tokens, vit.below("neck"), architecture)
    graph.output(embeddings, "embeddings", np.float32, ["batch", *architecture.embedding_shape])


def _patches(graph: Graph, images: str, sizes: str, vit: Weights, architecture: Architecture) -> str:
    """uint8 pictures -> tokens [B, hw, E]: `Sam.preprocess`, patch embedding and absolute position."""
    patch, count, dim = architecture.patch_size, architecture.embedding_side, architecture.embed_dim
    grid = graph.reshape(images, 0, count, patch, count, patch * 3)
    pixels = graph.op("Cast", graph.transpose(grid, 0, 1, 3, 2, 4), to=1)
    mean = np.tile(architecture.pixel_mean, patch).astype(np.float32)
    centred = graph.op("Sub", pixels, graph.constant(mean))
    rows = np.arange(architecture.image_size).reshape(1, count, 1, patch, 1)
    columns = np.repeat(np.arange(architecture.image_size), 3).reshape(1, 1, count, 1, patch * 3)
    inside = graph.op(
        "And",
        graph.op("Less", graph.constant(rows, np.int64), _per_picture(graph, sizes, 0)),
        graph.op("Less", graph.constant(columns, np.int64), _per_picture(graph, sizes, 1)),
    )
    masked = graph.op("Where", inside, centred, graph.constant(0.0))
    kernel = vit.exact("patch_embed.proj.weight") / np.reshape(architecture.pixel_std, (1, 3, 1, 1))
    kernel = kernel.transpose(2, 3, 1, 0).reshape(patch * patch * 3, dim)
    tokens = graph.linear(
        graph.reshape(masked, 0, count * count, patch * patch * 3),
        graph.weight(kernel.astype(np.float32), "patch_embed.weight"),
        graph.weight(vit["patch_embed.proj.bias"], "patch_embed.bias"),
    )
    position = vit["pos_embed"].reshape(1, count * count, dim)
    return graph.add(tokens, graph.weight(position, "pos_embed"))


def _per_picture(graph: Graph, sizes: str, axis: int) -> str:
    """One column of `sizes` as [B, 1, 1, 1, 1]."""
    return graph.reshape(graph.slice(sizes, 1, axis, axis + 1), -1, 1, 1, 1, 1)


def _block(graph: Graph, tokens: str, block: Weights, architecture: Architecture, windowed: bool) -> str:
    """One transformer block on tokens [B, hw, E]."""
    normed = norm(graph, tokens, block, "norm1", NORM_EPSILON)
    attended = _attention(graph, normed, block.below("attn"), architecture, windowed)
    tokens = graph.add(tokens, attended)
    hidden = linear(graph, norm(graph, tokens, block, "norm2", NORM_EPSILON), block, "mlp.lin1")
    return graph.add(tokens, linear(graph, graph.op("Gelu", hidden), block, "mlp.lin2"))


def _attention(graph: Graph, tokens: str, attn: Weights, architecture: Architecture, windowed: bool) -> str:
    """Multi-head attention on tokens [B, hw, E], within windows or over the whole picture."""
    frame = _Windows(architecture) if windowed else _Windows(architecture, whole=True)
    head_dim = architecture.embed_dim // architecture.num_heads
    scale = head_dim**-0.5
    projections = np.split(attn["qkv.weight"], 3), np.split(attn["qkv.bias"], 3)
    query, key, value = (
        frame.heads(
            graph,
            graph.matmul(tokens, graph.weight(kernel.T, f"{attn.prefix}{name}.weight")),
            graph.weight(bias, f"{attn.prefix}{name}.bias"),
            transposed=name == "key",
        )
        for name, kernel, bias in zip(("query", "key", "value"), *projections, strict=True)
    )
    query, key = _with_position(graph, query, key, attn, frame.side, scale)
    count = frame.side**2
    step = count if windowed else min(count, QUERIES_PER_CHUNK)
    chunks = []
    for start in range(0, count, step):
        part = query if step == count else graph.slice(query, 2, start, min(count, start + step))
        chunks.append(graph.matmul(graph.op("Softmax", graph.matmul(part, key), axis=-1), value))
    attended = chunks[0] if len(chunks) == 1 else graph.concat(*chunks, axis=2)
    return linear(graph, frame.merge(graph, attended), attn, "proj")


def _with_position(graph: Graph, query: str, key: str, attn: Weights, side: int, scale: float) -> tuple[str, str]:
    """Puts `add_decomposed_rel_pos` into the product of query [N, H, ss, d] and transposed key [N, H, d, ss].

    Returns query [N, H, ss, d + 2s] and key [N, H, d + 2s, ss].
    """
    grid = graph.op("Reshape", query, graph.ints(0, 0, side, side, -1))
    across = graph.transpose(grid, 0, 1, 3, 2, 4)
    rows = graph.matmul(grid, graph.constant(_position_table(attn, "rel_pos_h", side)))
    columns = graph.matmul(across, graph.constant(_position_table(attn, "rel_pos_w", side)))
    scaled = graph.mul(grid, graph.constant(scale))
    joined = graph.concat(scaled, rows, graph.transpose(columns, 0, 1, 3, 2, 4), axis=-1)
    query = graph.op("Reshape", joined, graph.ints(0, 0, side * side, -1))
    one = np.eye(side, dtype=np.float32)
    hot = np.concatenate([np.repeat(one, side, axis=1), np.tile(one, (1, side))])
    shape = graph.concat(graph.op("Shape", key, end=2), graph.ints(*hot.shape), axis=0)
    return query, graph.concat(key, graph.op("Expand", graph.constant(hot), shape), axis=2)


def _position_table(attn: Weights, name: str, side: int) -> NDArray[np.float32]:
    """`get_rel_pos` for equal sides, as [query position, d, key position]."""
    offsets = np.arange(side)[:, None] - np.arange(side)[None, :] + side - 1
    table: NDArray[np.float32] = attn[name].astype(np.float32)[offsets]
    return table.transpose(0, 2, 1)


class _Windows:
    """How tokens are cut into squares that attend among themselves: `window_partition` and back.

    side: of one square, in patches; the whole picture is one square for global attention.
    """

    def __init__(self, architecture: Architecture, *, whole: bool = False) -> None:
        self.count = architecture.embedding_side
        self.num_heads = architecture.num_heads
        self._d = architecture.embed_dim // architecture.num_heads
        self.side = self.count if whole else architecture.window_size
        self.per_axis = -(-self.count // self.side)
        self.padding = self.per_axis * self.side - self.count

    def heads(self, graph: Graph, projected: str, bias: str, *, transposed: bool) -> str:
        """Projections without bias [B, hw, E] -> [B * windows, H, ss, d], or [B * windows, H, d, ss]."""
        if self.padding:
            grid = graph.reshape(projected, 0, self.count, self.count, -1)
            projected = graph.op("Pad", grid, graph.ints(0, 0, 0, 0, 0, self.padding, self.padding, 0))
        split = graph.reshape(
            graph.add(projected, bias), -1, self.per_axis, self.side, self.per_axis, self.side, self.num_heads, self._d
        )
        if transposed:
            moved = graph.transpose(split, 0, 1, 3, 5, 6, 2, 4)
            return graph.reshape(moved, -1, self.num_heads, self._d, self.side**2)
        return graph.reshape(graph.transpose(split, 0, 1, 3, 5, 2, 4, 6), -1, self.num_heads, self.side**2, self._d)

    def merge(self, graph: Graph, attended: str) -> str:
        """[B * windows, H, ss, d] -> tokens [B, hw, E], without the padding."""
        split = graph.reshape(attended, -1, self.per_axis, self.per_axis, self.num_heads, self.side, self.side, self._d)
        merged = graph.transpose(split, 0, 1, 4, 2, 5, 3, 6)
        padded = self.per_axis * self.side
        grid = graph.reshape(merged, -1, padded, padded, self.num_heads * self._d)
        if self.padding:
            zero, end = graph.ints(0, 0), graph.ints(self.count, self.count)
            grid = graph.op("Slice", grid, zero, end, graph.ints(1, 2))
        return graph.reshape(grid, 0, self.count**2, -1)


def _neck(graph: Graph, tokens: str, neck: Weights, architecture: Architecture) -> str:
    """Tokens [B, hw, E] -> embeddings [B, C, h, w]: 1x1 and 3x3 convolutions with norms over the channels."""
    count = architecture.embedding_side
    kernel = neck["0.weight"][:, :, 0, 0].T
    narrow = graph.matmul(tokens, graph.weight(kernel, "neck.0.weight"))
    planes = _planes(graph, norm(graph, narrow, neck, "1", NORM_EPSILON), count)
    mixed = graph.op("Conv", planes, graph.weight(neck["2.weight"], "neck.2.weight"), pads=[1, 1, 1, 1])
    last = graph.transpose(graph.reshape(mixed, 0, 0, -1), 0, 2, 1)
    return _planes(graph, norm(graph, last, neck, "3", NORM_EPSILON), count)


def _planes(graph: Graph, tokens: str, count: int) -> str:
    return graph.reshape(graph.transpose(tokens, 0, 2, 1), 0, 0, count, count)
