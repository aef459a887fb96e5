"""Pixels as an encoder's network takes them, in a graph; `segmentation.backends.pytorch.normalise` on PyTorch."""

import numpy as np

from conversion.graph import Graph
from segmentation.backends.pytorch.normalise import LEAST_SPAN
from segmentation.weights.architecture import Architecture


def normalised(graph: Graph, images: str, sizes: str, architecture: Architecture) -> str:
    """float32 [B, S, S, 3] of pictures uint8 [B, S, S, 3] with sizes int64 [B, 2], beyond which pixels become 0."""
    side = architecture.image_size
    position = np.arange(side)
    inside = inside_picture(graph, sizes, position.reshape(1, side, 1, 1), position.reshape(1, 1, side, 1))
    pixels = graph.op("Cast", images, to=1)
    if architecture.preprocess.normalise == "min_max":
        scaled = stretched(graph, pixels, inside, axes=(1, 2, 3))
    else:
        centred = graph.op("Sub", pixels, graph.constant(architecture.pixel_mean))
        scaled = graph.op("Div", centred, graph.constant(architecture.pixel_std))
    return graph.op("Where", inside, scaled, graph.constant(0.0))


def inside_picture(graph: Graph, sizes: str, rows: np.ndarray, columns: np.ndarray) -> str:
    """Whether pixels at these rows and columns, each with an axis for pictures in front, lie in their picture."""

    def below(positions: np.ndarray, axis: int) -> str:
        limit = graph.reshape(graph.slice(sizes, 1, axis, axis + 1), -1, *([1] * (positions.ndim - 1)))
        return graph.op("Less", graph.constant(positions, np.int64), limit)

    return graph.op("And", below(rows, 0), below(columns, 1))


def stretched(graph: Graph, pixels: str, inside: str, axes: tuple[int, ...]) -> str:
    """Levels float32 [B, ...] stretched to 0 to 1, picture by picture, by those `inside` it: MedSAM's.

    axes: all but the pictures'.
    """
    low, high = (
        graph.op(kind, graph.op("Where", inside, pixels, graph.constant(beyond)), graph.ints(*axes), keepdims=1)
        for kind, beyond in (("ReduceMin", 255.0), ("ReduceMax", 0.0))
    )
    span = graph.op("Max", graph.op("Sub", high, low), graph.constant(LEAST_SPAN))
    return graph.op("Div", graph.op("Sub", pixels, low), span)
