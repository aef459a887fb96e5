"""The encoder's large matrix products, x @ kernel + bias, in each precision it is converted to.

Knows operators and number formats, not networks.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from conversion.graph import Graph

INT8_LEVELS = 127
"""Weights are -127 to 127 times a column's scale; -128 is left out, so that the scale is symmetric."""


SHORTEST = 1e-12
"""Stands for 0 where something is divided by it."""

TYPICAL_LARGEST = 4.0
"""Of a channel's normalised activations, in standard deviations."""

Linear = Callable[[Graph, str, NDArray[np.generic], NDArray[np.generic], str], str]
"""Adds x [rows, in] times kernel [in, out], plus bias [out], to a graph; the last is what the weights are called."""


def float_linear(graph: Graph, x: str, kernel: NDArray[np.generic], bias: NDArray[np.generic], name: str) -> str:
    """In the graph's own float type."""
    return graph.op("Gemm", x, graph.weight(kernel, f"{name}.weight"), graph.weight(bias, f"{name}.bias"))


def int8_linear(graph: Graph, x: str, kernel: NDArray[np.generic], bias: NDArray[np.generic], name: str) -> str:
    """Weights int8 with a scale per column, activations int8 with a scale per row; sums are exact in int32.

    Each row is divided by its largest magnitude, so that one constant step fits all rows: tokens differ in length, and
    a common range would lose the short ones. Written in ONNX's own quantisation operators, which runtimes fuse into
    products of bytes.
    """
    exact = kernel.astype(np.float32)
    scale = np.abs(exact).max(axis=0) / INT8_LEVELS
    scale[scale == 0] = 1
    weight = graph.op(
        "DequantizeLinear",
        graph.raw(np.rint(exact / scale).astype(np.int8), f"{name}.weight"),
        graph.weight(scale.astype(np.float32), f"{name}.scale"),
        graph.constant(np.zeros(len(scale)), np.int8),
        axis=1,
    )
    largest = graph.op("ReduceMax", graph.op("Abs", x), graph.ints(1), keepdims=1)
    largest = graph.op("Max", largest, graph.constant(SHORTEST))
    step, zero = graph.constant(1 / INT8_LEVELS), graph.constant(0, np.int8)
    small = graph.op("QuantizeLinear", graph.op("Div", x, largest), step, zero)
    product = graph.mul(graph.matmul(graph.op("DequantizeLinear", small, step, zero), weight), largest)
    return graph.add(product, graph.weight(bias.astype(np.float32), f"{name}.bias"))


def smooth(scale: NDArray[np.float64], bias: NDArray[np.float64], kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    """By how much to divide each channel between a layer norm and the kernel [in, out] that takes its output.

    Moves half of the spread between channels from the activations, which share one range, to the weights (SmoothQuant,
    Xiao et al. 2023). The norm's own scale and bias stand for the activations: no pictures are needed.
    """
    activation = TYPICAL_LARGEST * np.abs(scale) + np.abs(bias)
    weight = np.abs(kernel).max(axis=1)
    factors: NDArray[np.float64] = np.sqrt(np.maximum(activation, SHORTEST) / np.maximum(weight, SHORTEST))
    return factors


def scaled_rows(kernel: NDArray[np.generic], factors: NDArray[np.float64] | None) -> NDArray[np.generic]:
    """The kernel [in, out] for activations that were divided by factors [in]; None for 1."""
    return kernel if factors is None else kernel.astype(np.float64) * factors[:, None]
