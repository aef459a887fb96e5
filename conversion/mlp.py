"""The MLP of the encoder's blocks, in each precision it is converted to.

Its two layers are two thirds of the encoder's products.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from conversion.graph import Graph
from conversion.linears import int8_linear, int8_linear_by_row, scaled_rows
from conversion.strassen import joined, product, quarters
from conversion.weights import Weights

Mlp = Callable[[Graph, str, Weights, NDArray[np.float64] | None], str]
"""Adds the MLP of normed tokens [n, E]. The last is by what the norm divided each channel, None for 1."""


def float_mlp(graph: Graph, tokens: str, mlp: Weights, factors: NDArray[np.float64] | None) -> str:
    """In the graph's own float type, in fewer multiplications; for an even number of tokens."""
    kernels = scaled_rows(mlp["lin1.weight"].T, factors), mlp["lin2.weight"].T
    hidden = product(graph, quarters(graph, tokens), kernels[0], mlp["lin1.bias"], f"{mlp.prefix}lin1")
    hidden = [graph.op("Gelu", quarter) for quarter in hidden]
    return joined(graph, product(graph, hidden, kernels[1], mlp["lin2.bias"], f"{mlp.prefix}lin2"))


def int8_mlp(graph: Graph, tokens: str, mlp: Weights, factors: NDArray[np.float64] | None) -> str:
    """As products of bytes; what comes out of the activation differs in length from token to token."""
    kernel, name = scaled_rows(mlp["lin1.weight"].T, factors), f"{mlp.prefix}lin"
    hidden = graph.op("Gelu", int8_linear(graph, tokens, kernel, mlp["lin1.bias"], f"{name}1"))
    return int8_linear_by_row(graph, hidden, mlp["lin2.weight"].T, mlp["lin2.bias"], f"{name}2")
