"""MobileSAM's image encoder as an ONNX graph: `mobile_sam.modeling.TinyViT` with preprocessing in front.

Channels come last throughout, so that 1x1 convolutions are products with all rows of tokens, and nothing is transposed
between them and the attention; only depthwise and 3x3 convolutions see channels first. Batch norms are folded into the
convolutions before them.
"""

import numpy as np
from numpy.typing import NDArray

from conversion.graph import Graph
from conversion.layers import linear, norm
from conversion.normalised import normalised
from conversion.weights import Weights
from segmentation.weights.architecture import TinyVitArchitecture

TOKEN_EPSILON = 1e-5
"""Of `torch.nn.LayerNorm` and `torch.nn.BatchNorm2d`."""

NECK_EPSILON = 1e-6
"""Of `LayerNorm2d`."""

Folded = tuple[NDArray[np.float32], NDArray[np.float32]]


def build_tiny_vit(graph: Graph, weights: Weights, architecture: TinyVitArchitecture) -> None:
    """Adds the encoder to an empty graph; inputs and output as `conversion.encoder_graph.build_encoder`."""
    side = architecture.image_size
    images = graph.input("images", np.uint8, ["batch", side, side, 3])
    sizes = graph.input("sizes", np.int64, ["batch", 2])
    encoder = weights.below("image_encoder")
    pixels = normalised(graph, images, sizes, architecture)
    planes = _convolve(graph, graph.transpose(pixels, 0, 3, 1, 2), encoder.below("patch_embed.seq.0"), stride=2)
    planes = _convolve(graph, graph.op("Gelu", planes), encoder.below("patch_embed.seq.2"), stride=2)
    tokens, side = graph.transpose(planes, 0, 2, 3, 1), side // 4
    for stage in range(4):
        layer = encoder.below(f"layers.{stage}")
        for index in range(architecture.depths[stage]):
            block = layer.below(f"blocks.{index}")
            if stage == 0:
                tokens = _conv_block(graph, tokens, block)
            else:
                heads, window = architecture.num_heads[stage], architecture.window_sizes[stage]
                tokens = _attention_block(graph, tokens, block, side, heads, window)
        if stage < 3:
            stride = 2 if stage < 2 else 1
            tokens, side = _merge(graph, tokens, layer.below("downsample"), stride), side // stride
    embeddings = _neck(graph, tokens, encoder.below("neck"))
    graph.output(embeddings, "embeddings", np.float32, ["batch", *architecture.embedding_shape])


def _conv_block(graph: Graph, tokens: str, block: Weights) -> str:
    """`MBConv` on tokens [B, h, w, E]."""
    hidden = graph.op("Gelu", _product(graph, tokens, block.below("conv1")))
    hidden = graph.op("Gelu", _depthwise(graph, hidden, block.below("conv2")))
    return graph.op("Gelu", graph.add(_product(graph, hidden, block.below("conv3")), tokens))


def _merge(graph: Graph, tokens: str, merging: Weights, stride: int) -> str:
    """`PatchMerging`."""
    x = graph.op("Gelu", _product(graph, tokens, merging.below("conv1")))
    x = graph.op("Gelu", _depthwise(graph, x, merging.below("conv2"), stride))
    return _product(graph, x, merging.below("conv3"))


def _attention_block(graph: Graph, tokens: str, block: Weights, side: int, heads: int, window: int) -> str:
    """`TinyViTBlock` on tokens [B, h, w, E]."""
    tokens = graph.add(tokens, _attend(graph, tokens, block.below("attn"), side, heads, window))
    tokens = _depthwise(graph, tokens, block.below("local_conv"))
    mlp = block.below("mlp")
    hidden = linear(graph, norm(graph, tokens, mlp, "norm", TOKEN_EPSILON), mlp, "fc1")
    return graph.add(tokens, linear(graph, graph.op("Gelu", hidden), mlp, "fc2"))


def _attend(graph: Graph, tokens: str, attn: Weights, side: int, heads: int, window: int) -> str:
    """Attention within windows; places beyond the picture hold tokens of zeros, as in the reference."""
    dim = attn["proj.weight"].shape[0]
    head_dim, padding = dim // heads, -side % window
    count = (side + padding) // window
    if padding:
        tokens = graph.op("Pad", tokens, graph.ints(0, 0, 0, 0, 0, padding, padding, 0))
    squares = graph.reshape(tokens, -1, count, window, count, window, dim)
    squares = graph.reshape(graph.transpose(squares, 0, 1, 3, 2, 4, 5), -1, window**2, dim)
    joint = linear(graph, norm(graph, squares, attn, "norm", TOKEN_EPSILON), attn, "qkv")
    joint = graph.reshape(joint, 0, 0, heads, 3 * head_dim)
    query, key, value = (
        graph.transpose(graph.slice(joint, 3, part * head_dim, (part + 1) * head_dim), *axes)
        for part, axes in enumerate(((0, 2, 1, 3), (0, 2, 3, 1), (0, 2, 1, 3)))
    )
    scores = graph.mul(graph.matmul(query, key), graph.constant(head_dim**-0.5))
    bias = graph.weight(attn["attention_biases"][:, _offsets(window)], f"{attn.prefix}bias")
    attended = graph.matmul(graph.op("Softmax", graph.add(scores, bias), axis=-1), value)
    merged = graph.reshape(graph.transpose(attended, 0, 2, 1, 3), 0, 0, dim)
    projected = graph.reshape(linear(graph, merged, attn, "proj"), -1, count, count, window, window, dim)
    placed = graph.reshape(graph.transpose(projected, 0, 1, 3, 2, 4, 5), -1, side + padding, side + padding, dim)
    return graph.slice(graph.slice(placed, 1, 0, side), 2, 0, side) if padding else placed


def _offsets(window: int) -> NDArray[np.int64]:
    """[ww, ww]: which bias a pair of cells has, by their absolute distance in rows and columns."""
    rows, columns = np.divmod(np.arange(window**2), window)
    offsets: NDArray[np.int64] = np.abs(rows[:, None] - rows) * window + np.abs(columns[:, None] - columns)
    return offsets


def _neck(graph: Graph, tokens: str, neck: Weights) -> str:
    """Tokens [B, h, w, E] -> embeddings [B, C, h, w]."""
    narrow = graph.matmul(tokens, graph.weight(neck["0.weight"][:, :, 0, 0].T, "neck.0.weight"))
    planes = graph.transpose(norm(graph, narrow, neck, "1", NECK_EPSILON), 0, 3, 1, 2)
    mixed = graph.op("Conv", planes, graph.weight(neck["2.weight"], "neck.2.weight"), pads=[1, 1, 1, 1])
    last = norm(graph, graph.transpose(mixed, 0, 2, 3, 1), neck, "3", NECK_EPSILON)
    return graph.transpose(last, 0, 3, 1, 2)


def _product(graph: Graph, tokens: str, conv: Weights) -> str:
    """A 1x1 convolution with its batch norm, on tokens [..., E]."""
    kernel, bias = _folded(conv)
    name = conv.prefix.rstrip(".")
    return graph.linear(
        tokens, graph.weight(kernel[:, :, 0, 0].T, f"{name}.weight"), graph.weight(bias, f"{name}.bias")
    )


def _depthwise(graph: Graph, tokens: str, conv: Weights, stride: int = 1) -> str:
    """A 3x3 convolution of each channel by itself with its batch norm, on tokens [B, h, w, E]."""
    channels = conv["c.weight"].shape[0]
    planes = _convolve(graph, graph.transpose(tokens, 0, 3, 1, 2), conv, stride=stride, groups=channels)
    return graph.transpose(planes, 0, 2, 3, 1)


def _convolve(graph: Graph, planes: str, conv: Weights, *, stride: int, groups: int = 1) -> str:
    """A 3x3 convolution with its batch norm, on planes [B, E, h, w]."""
    kernel, bias = _folded(conv)
    name = conv.prefix.rstrip(".")
    return graph.op(
        "Conv",
        planes,
        graph.weight(kernel, f"{name}.weight"),
        graph.weight(bias, f"{name}.bias"),
        pads=[1, 1, 1, 1],
        strides=[stride, stride],
        group=groups,
    )


def _folded(conv: Weights) -> Folded:
    """(kernel, bias) of a convolution with the batch norm behind it."""
    scale = conv.exact("bn.weight") / np.sqrt(conv.exact("bn.running_var") + TOKEN_EPSILON)
    kernel = conv.exact("c.weight") * scale[:, None, None, None]
    bias = conv.exact("bn.bias") - conv.exact("bn.running_mean") * scale
    return kernel.astype(np.float32), bias.astype(np.float32)
