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


def int8_linear(graph: Graph, x: str, kernel: NDArray[np.generic], bias: NDArray[np.generic] | None, name: str) -> str:
    """Weights int8 with a scale per column, activations uint8 with one range per call; sums are exact in int32.

    Signed weights are what the matrix units of CPUs (AMX, VNNI) take together with unsigned activations.
    """
    exact = kernel.astype(np.float32)
    scale = np.abs(exact).max(axis=0) / INT8_LEVELS
    scale[scale == 0] = 1
    return graph.op(
        "DynamicQuantizeMatMul",
        x,
        graph.raw(np.rint(exact / scale).astype(np.int8), f"{name}.weight"),
        graph.weight(scale.astype(np.float32), f"{name}.scale"),
        "",
        *([] if bias is None else [graph.weight(bias.astype(np.float32), f"{name}.bias")]),
        domain="com.microsoft",
    )


def int8_linear_by_row(graph: Graph, x: str, kernel: NDArray[np.generic], bias: NDArray[np.generic], name: str) -> str:
    """`int8_linear` on rows of length one: for rows of very different lengths, of which a common range would lose the
    short ones."""
    ones = graph.constant(np.ones(kernel.shape[0]))
    # ONNX Runtime's RMS normalisation: one pass, which also gives what each row was multiplied by.
    normed, factor = graph.ops("SimplifiedLayerNormalization", x, ones, outputs=2, axis=-1, epsilon=SHORTEST)
    product = graph.op("Div", int8_linear(graph, normed, kernel, None, name), factor)
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
