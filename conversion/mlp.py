"""The MLP of the encoder's blocks, in each precision it is converted to.

Its two layers are two thirds of the encoder's products.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from conversion.graph import Graph
from conversion.linears import int8_linear, int8_linear_by_row, scaled_rows
from conversion.weights import Weights

CHUNKS = 4
"""Parts of the tokens whose hidden activations are computed at a time in float: 21 MB for `vit_h`, of which more stays
in a CPU's caches."""

Mlp = Callable[[Graph, str, Weights, NDArray[np.float64] | None], str]
"""Adds the MLP of normed tokens [B * hw, E]. The last is by what the norm divided each channel, None for 1."""


def float_mlp(graph: Graph, tokens: str, mlp: Weights, factors: NDArray[np.float64] | None) -> str:
    """As convolutions of one token each, in the graph's own float type.

    ONNX Runtime keeps planes in blocks of 16 channels, and multiplies those quicker than matrices: by more than the two
    transposes take.
    """
    dim = mlp["lin1.weight"].shape[1]
    first, second = _kernel(graph, mlp, "lin1", factors), _kernel(graph, mlp, "lin2", None)
    parts = []
    for part in graph.ops("Split", tokens, outputs=CHUNKS, axis=0, num_outputs=CHUNKS):
        plane = graph.transpose(graph.reshape(part, 1, 1, -1, dim), 0, 3, 1, 2)
        plane = graph.op("Conv", graph.op("Gelu", graph.op("Conv", plane, *first)), *second)
        parts.append(graph.reshape(graph.transpose(plane, 0, 2, 3, 1), -1, dim))
    return graph.concat(*parts, axis=0)


def int8_mlp(graph: Graph, tokens: str, mlp: Weights, factors: NDArray[np.float64] | None) -> str:
    """As products of bytes; what comes out of the activation differs in length from token to token."""
    kernel, name = scaled_rows(mlp["lin1.weight"].T, factors), f"{mlp.prefix}lin"
    hidden = graph.op("Gelu", int8_linear(graph, tokens, kernel, mlp["lin1.bias"], f"{name}1"))
    return int8_linear_by_row(graph, hidden, mlp["lin2.weight"].T, mlp["lin2.bias"], f"{name}2")


def _kernel(graph: Graph, mlp: Weights, name: str, factors: NDArray[np.float64] | None) -> tuple[str, str]:
    """(weights [out, in, 1, 1], bias [out]) of one layer."""
    kernel = scaled_rows(mlp[f"{name}.weight"].T, factors).T[:, :, None, None]
    return (
        graph.weight(kernel, f"{mlp.prefix}{name}.weight"),
        graph.weight(mlp[f"{name}.bias"], f"{mlp.prefix}{name}.bias"),
    )
