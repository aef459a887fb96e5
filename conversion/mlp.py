"""The MLP of the encoder's blocks, in each precision it is converted to.

Its two layers are two thirds of the encoder's products.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from conversion.graph import Graph
from conversion.linears import float_linear, int8_linear, scaled_rows
from conversion.weights import Weights

Mlp = Callable[[Graph, str, Weights, NDArray[np.float64] | None], str]
"""Adds the MLP of normed tokens [n, E]. The last is by what the norm divided each channel, None for 1."""


def float_mlp(graph: Graph, tokens: str, mlp: Weights, factors: NDArray[np.float64] | None) -> str:
    """In the graph's own float type."""
    kernel, name = scaled_rows(mlp["lin1.weight"].T, factors), f"{mlp.prefix}lin"
    hidden = graph.op("Gelu", float_linear(graph, tokens, kernel, mlp["lin1.bias"], f"{name}1"))
    return float_linear(graph, hidden, mlp["lin2.weight"].T, mlp["lin2.bias"], f"{name}2")


def int8_mlp(graph: Graph, tokens: str, mlp: Weights, factors: NDArray[np.float64] | None) -> str:
    """As products of bytes."""
    kernel, name = scaled_rows(mlp["lin1.weight"].T, factors), f"{mlp.prefix}lin"
    hidden = graph.op("Gelu", int8_linear(graph, tokens, kernel, mlp["lin1.bias"], f"{name}1"))
    return int8_linear(graph, hidden, mlp["lin2.weight"].T, mlp["lin2.bias"], f"{name}2")
